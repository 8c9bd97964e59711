"""Lesson 04: small networks with batch norm, a short training, the same for all variants."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import hold_taps
from cnn_lessons import training
from cnn_lessons.models import GoogLeNetBN, Inception, starts

SHORT = training.Recipe(epochs=4, images=3_000, batch_size=64, learning_rate=0.1)
QUICK = training.Recipe(epochs=1, images=64, batch_size=32)
PART = 8  # all widths of Table 1 are divided by it


def repaired() -> GoogLeNetBN:
    return GoogLeNetBN(part=PART)


def old_stem() -> GoogLeNetBN:
    """The first layer and the first pool that were made for 224 pixels."""
    net = repaired()
    maps = net.features.conv1.out_channels
    net.features.conv1 = nn.Conv2d(3, maps, 7, stride=2, padding=3, bias=False)
    net.features.relu1 = nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, stride=2))
    return net


def held_at_zero() -> GoogLeNetBN:
    """The repaired network; of each kernel only those taps work that live behind the old stem."""
    net = repaired()
    for name, module in net.features.named_children():
        side = {"4": 2, "5": 1}.get(name.removeprefix("inception_")[0])  # of the old stem's maps
        if isinstance(module, Inception) and side:
            for conv in (module.branch3x3.conv, module.branch5x5.conv):
                hold(conv.weight, side - 1)
    return net


def hold(kernels: nn.Parameter, reach: int) -> None:
    """Keep the taps at zero that lie more than `reach` from the middle."""
    side = kernels.shape[-1]
    lines = slice(max(0, side // 2 - reach), side // 2 + reach + 1)
    live = torch.zeros(side, side, dtype=torch.bool)
    live[lines, lines] = True
    hold_taps(kernels, live)


def three_by_three() -> GoogLeNetBN:
    """Each module a 1×1 and one 3×3 that make as many maps with as many multiplications."""
    net = repaired()
    for name, module in net.features.named_children():
        if isinstance(module, Inception):
            net.features.set_submodule(name, of_one_size(module))
    return net


def of_one_size(module: Inception) -> nn.Sequential:
    maps, made = module.in_channels, module.out_channels
    weights = sum(kernels.numel() for kernels in module.parameters() if kernels.dim() == 4)
    reduce = round(weights / (maps + 9 * made))
    return nn.Sequential(
        nn.Conv2d(maps, reduce, 1, bias=False), nn.BatchNorm2d(reduce), nn.ReLU(),
        nn.Conv2d(reduce, made, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU(),
    )  # fmt: skip


def without_batch_norm(start: str) -> GoogLeNetBN:
    """The old stem, and a start of the weights in place of batch norm."""
    net = old_stem()
    for name, layer in list(net.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            net.set_submodule(name, nn.Identity())
    return starts.STARTS[start](net)


class WithHeads(nn.Module):
    """A network with the paper's two heads in small; forward is that of the network alone."""

    def __init__(self, build: Callable[[], GoogLeNetBN]):
        super().__init__()
        self.net, self.heads = build(), nn.ModuleDict()
        for name, module in self.net.features.named_children():
            if name in ("inception_4a", "inception_4d"):
                self.heads[name] = head(module.out_channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


def head(maps: int) -> nn.Sequential:
    """The paper's head, narrower by PART, for maps of 2×2: those need no pool."""
    reduce, hidden = 128 // PART, 1024 // PART
    return starts.he(nn.Sequential(
        nn.Conv2d(maps, reduce, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * reduce, hidden), nn.ReLU(), nn.Dropout(0.7), nn.Linear(hidden, 10),
    ))  # fmt: skip


def loss_with_heads(net: WithHeads, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The paper's: each head adds 0.3 of its own loss."""
    maps, extra = images, []
    for name, layer in net.net.features.named_children():
        maps = layer(maps)
        if name in net.heads:
            extra.append(F.cross_entropy(net.heads[name](maps).float(), labels))
    logits = net.net.classifier(maps)
    return F.cross_entropy(logits.float(), labels) + 0.3 * sum(extra), logits


def train(build: Callable[[], nn.Module], loss, dataset, seed: int, quick: bool) -> dict:
    """What a network names of 2,048 validation pictures at the end of its training."""
    recipe, device = QUICK if quick else SHORT, training.device()
    torch.manual_seed(seed)
    net = build().to(device)
    how = {"seed": seed, "device": device, "images": recipe.images}
    pictures = dataset.batches("train", recipe.batch_size, augment=True, **how)
    some = list(dataset.batches("validation", 512, device=device))[:4]
    last = training.fit(net, pictures, some, recipe, progress=False, loss=loss).epochs[-1]
    return {"validation_accuracy": last.validation_accuracy, "train_loss": last.train_loss}


def alone(build: Callable[[], nn.Module]):
    return partial(train, build, training.cross_entropy)


def helped(build: Callable[[], GoogLeNetBN]):
    return partial(train, partial(WithHeads, build), loss_with_heads)


STARTS = {
    "PyTorch's start": partial(without_batch_norm, "own"),
    "He's start": partial(without_batch_norm, "he"),
    "batch norm": old_stem,
}
EXPERIMENTS = {
    "inception": {
        "old stem": alone(old_stem),
        "dead taps held at zero": alone(held_at_zero),
        "repaired stem": alone(repaired),
        "3×3 only": alone(three_by_three),
    },
    "heads": {
        name + " + heads" * bool(run is helped): run(build)
        for name, build in STARTS.items()
        for run in (alone, helped)
    },
}
