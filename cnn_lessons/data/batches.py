"""The pictures in memory: three splits, and the batches that a training reads."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# fmt: off
CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)
# fmt: on


@dataclass(frozen=True, eq=False)
class Split:
    """Some pictures with their answers: images uint8 (N, 3, 32, 32), labels int64 (N,) in 0..9."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, n: int) -> "Split":
        """The first n pictures. Raises ValueError unless 1 <= n <= len(self)."""
        if not 1 <= n <= len(self):
            raise ValueError(f"the number of images must be from 1 to {len(self)}; got {n}")
        return Split(self.images[:n], self.labels[:n])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits, and what is needed to normalise, name and cite them.

    Validation is every tenth training picture (index 9, 19, 29, ...), taken out of training.
    mean and std are those of all training pictures, validation included, with channels in [0, 1].
    name goes into the title of every result, for it says whether this is CIFAR-10.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    def batches(
        self,
        split: str = "train",
        batch_size: int = 128,
        *,
        augment: bool = False,
        shuffle: bool | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
        images: int | None = None,
    ) -> "Batches":
        """The batches of "train", "validation" or "test"; with images=n, of its first n pictures.

        shuffle=None means: shuffle the training split only. Raises ValueError for a bad argument.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        if split not in splits:
            raise ValueError(f"split must be one of {', '.join(splits)}; got {split!r}")
        chosen = splits[split] if images is None else splits[split].head(images)
        shuffle = split == "train" if shuffle is None else shuffle
        return Batches(chosen, self, batch_size, augment, shuffle, seed, device)

    def with_all_training(self) -> "Dataset":
        """For the last run of a recipe that is chosen: training has the validation pictures too.

        An accuracy on the validation pictures says nothing then.
        """
        both = [(part.images, part.labels) for part in (self.train, self.validation)]
        return replace(self, train=Split(*(torch.cat(tensors) for tensors in zip(*both))))

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, 32, 32) to float32 of the same shape: (images / 255 - mean) / std."""
        mean = _levels(self.mean, images.device)[:, None, None]
        std = _levels(self.std, images.device)[:, None, None]
        return images.float().sub_(mean).div_(std)


def _levels(values: tuple[float, ...], device: str | torch.device) -> Tensor:
    """Channel values from [0, 1] to the 0..255 of a stored picture."""
    return torch.tensor([255 * value for value in values], dtype=torch.float32, device=device)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, exact, of uint8 images (N, 3, H, W) in [0, 1].

    The same as `(images / 255.0).mean((0, 2, 3))` and `(images / 255.0).std((0, 2, 3),
    correction=0)`, but from counts of the 256 levels, so without a float copy of all pictures.
    For CIFAR-10's 50,000 training pictures: mean 0.4914 0.4822 0.4465, std 0.2470 0.2435 0.2616.
    The std 0.2023 0.1994 0.2010 that is often seen is the mean of each picture's own std: too low.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten().cpu(), minlength=256).double()
        share = counts / counts.sum()
        mean.append((share * levels).sum().item())
        std.append((share * (levels - mean[-1]) ** 2).sum().sqrt().item())
    return tuple(mean), tuple(std)


def with_validation(
    name: str, train: Split, test: Split, class_names: tuple[str, ...], source: str
) -> Dataset:
    """Takes every tenth training picture out for validation, and measures mean and std."""
    held_out = torch.arange(len(train)) % 10 == 9
    validation = Split(train.images[held_out], train.labels[held_out])
    mean, std = channel_statistics(train.images)
    train = Split(train.images[~held_out], train.labels[~held_out])
    return Dataset(name, train, validation, test, class_names, mean, std, source)


# ---- Batches ------------------------------------------------------------------------------------

PADDING = 4  # pixels of black around a picture from which its random 32x32 window is cut
AT_ONCE = 8192  # pictures that a GPU cuts together, see `Batches`


class Draws(NamedTuple):
    """All random choices of one epoch, each (N,): which picture, which window of it, mirrored?

    The i-th picture shown is number order[i]; its window starts at row top[i], column left[i] of
    the padded picture, and is mirrored if flip[i].
    """

    order: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor


def draw(num_images: int, *, augment: bool, shuffle: bool, seed: int, epoch: int) -> Draws:
    """The choices of one epoch, made on the CPU, so that every device shows the same pictures."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(num_images) if shuffle else np.arange(num_images)
    offsets = rng.integers(0, 2 * PADDING + 1, (2, num_images))
    flip = rng.random(num_images) < 0.5
    if not augment:
        offsets, flip = np.zeros_like(offsets), np.zeros_like(flip)
    return Draws(*(torch.from_numpy(choice) for choice in (order, *offsets, flip)))


class Batches:
    """Batches of one split, in memory; each pass over it is the next epoch, with new draws.

    Yields images, float32 (batch, 3, 32, 32) normalised, in channels_last memory format, and
    labels, int64 (batch,), both on `device`; the last batch holds what is left. With augment=True,
    each picture has its own random window (4 pixels of zero padding) and its own coin for the
    mirror. `epoch` is the number of the next pass; set it to repeat or to resume one.

    Cutting a window is copying its 32 rows: one store on the device holds every picture padded, and
    mirrored as well (2 x 4,800 bytes a picture, 432 MB for CIFAR-10's training split). Seen as rows
    of 32 pixels, one beginning at each pixel, it gives a whole batch by one `index_select`, which
    copies 96 bytes at a time.

    A GPU is asked for many batches at once, 8,192 pictures or 100 MB, because each operator costs a
    launch, whatever its size. A CPU cuts one batch, which its cache holds until the network reads.
    """

    def __init__(self, split, dataset, batch_size, augment, shuffle, seed, device):
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more; got {batch_size}")
        if seed < 0:
            raise ValueError(f"seed must be 0 or more; got {seed}")
        self.num_images, self.batch_size, self.device = len(split), batch_size, device
        self.augment, self.shuffle, self.seed, self.epoch = augment, shuffle, seed, 0
        # Full pictures of mean and std: subtracting three numbers at a time would take longer.
        self._mean = _levels(dataset.mean, device).expand(32, 32, 3).contiguous()
        self._std = _levels(dataset.std, device).expand(32, 32, 3).contiguous()
        self._labels = split.labels.to(device)
        pictures = split.images.to(device).permute(0, 2, 3, 1)
        margin, copies = (PADDING, 2) if augment else (0, 1)
        side, inside = 32 + 2 * margin, slice(margin, margin + 32)
        store = pictures.new_zeros(copies, len(pictures), side, side, 3)
        store[0, :, inside, inside] = pictures
        if augment:
            store[1, :, inside, inside] = store[0, :, inside, inside].flip(2)
        self._store, self._side = store, side
        # A view without a copy: row k is the 32 pixels from pixel k on.
        self._rows = store.as_strided((store.numel() // 3 - 31, 32 * 3), (3, 1))
        self._down = side * torch.arange(32, device=device)  # from a window's row to its others

    def __len__(self) -> int:
        return -(-self.num_images // self.batch_size)

    def identity(self) -> dict[str, object]:
        """What these batches are made of, to tell one training's data from another's.

        The sha256 is over all labels and every hundredth picture.
        """
        names = ("num_images", "batch_size", "augment", "shuffle", "seed")
        inside = slice(PADDING, PADDING + 32) if self.augment else slice(32)
        pictures = self._store[0, ::100, inside, inside].cpu().contiguous()
        digest = hashlib.sha256(self._labels.cpu().numpy())
        digest.update(pictures.numpy())
        return {name: getattr(self, name) for name in names} | {"sha256": digest.hexdigest()}

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        how = {"augment": self.augment, "shuffle": self.shuffle, "seed": self.seed}
        choices = draw(self.num_images, **how, epoch=self.epoch)
        self.epoch += 1
        order, top, left, flip = (choice.to(self.device) for choice in choices)
        left = torch.where(flip, 2 * PADDING - left, left)  # the same window, seen in the mirror
        first = ((flip * self.num_images + order) * self._side + top) * self._side + left
        size = self.batch_size
        many = size * (1 if self._labels.device.type == "cpu" else max(1, AT_ONCE // size))
        for start in range(0, self.num_images, many):
            now = slice(start, start + many)
            rows = (first[now, None] + self._down).flatten()
            pictures = self._rows.index_select(0, rows).view(-1, 32, 32, 3)
            pictures = pictures.float().sub_(self._mean).div_(self._std).permute(0, 3, 1, 2)
            images = pictures.contiguous(memory_format=torch.channels_last)
            labels = self._labels[order[now]]
            if many == size:
                yield images, labels
            else:
                yield from zip(images.split(size), labels.split(size))
