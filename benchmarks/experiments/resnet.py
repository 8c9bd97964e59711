"""Lesson 05: depth with and without shortcuts, one block less, and the stem of small pictures."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from benchmarks.common import hold_taps
from cnn_lessons import data, training
from cnn_lessons.models import BasicBlock, starts
from cnn_lessons.shapes import live_taps, on_meta

RECIPE = training.Recipe(epochs=4, learning_rate=0.1, batch_size=64, images=4_000)
QUICK = training.Recipe(epochs=1, learning_rate=0.1, batch_size=64, images=128)


def narrow(counts: tuple[int, ...], shortcut: str | None, stem: nn.Module) -> nn.Sequential:
    """A residual network whose first stage is 8 maps wide, without its shortcuts for None."""
    blocks, channels = [], 8
    for stage, count in enumerate(counts):
        for k in range(count):
            stride = 2 if stage and not k else 1
            blocks.append(BasicBlock(channels, 8 * 2**stage, stride, shortcut))
            channels = 8 * 2**stage
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return starts.he(nn.Sequential(stem, *blocks, *head))


def stem(size: int, stride: int, pool: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(3, 8, size, stride, padding=size // 2, bias=False)
    layers = [conv, nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(3, stride=2, padding=1)] if pool else []))


def trained(build: Callable[[], nn.Module], dataset: data.Dataset, seed: int, quick: bool):
    """The trained network, 1,000 validation pictures, and what its last epoch measured."""
    torch.manual_seed(seed)
    net, recipe = build(), QUICK if quick else RECIPE
    train = dataset.batches("train", recipe.batch_size, seed=seed, images=recipe.images)
    held = dataset.batches("validation", 500, images=min(1_000, len(dataset.validation)))
    last = training.fit(net, train, held, recipe, progress=False).epochs[-1]
    names = ("train_loss", "train_accuracy", "validation_accuracy")
    return net, held, {name: round(getattr(last, name), 4) for name in names}


def by_depth(depth: int, shortcut: str | None, dataset, seed: int, quick: bool) -> dict:
    """A network for CIFAR-10 at half its width and size; then each block is cut out in turn.

    Only blocks that keep the shape are cut, by passing on what they get; nothing is trained again.
    """
    build = partial(narrow, ((depth - 2) // 6,) * 3, shortcut, stem(3, 2))
    net, held, measured = trained(build, dataset, seed, quick)
    left = []
    for block in net:
        if isinstance(block, BasicBlock) and block.conv1.stride == (1, 1):
            cut = block.register_forward_hook(lambda block, given, output: given[0])
            left.append(training.evaluate(net, held).accuracy)
            cut.remove()
    return measured | {"one_block_less": round(sum(left) / max(1, len(left)), 4)}


def stems(kind: str, dataset, seed: int, quick: bool) -> dict:
    """18 layers, with ImageNet's stem, with one for 32 pixels, and with this one and dead taps.

    In the third, every tap that ImageNet's stem would leave on padding is held at zero: the maps
    are as fine as in the second, and as many weights are dead as in the first.
    """

    def build():
        imagenet = narrow((2, 2, 2, 2), "B", stem(7, 2, pool=True))
        net = imagenet if kind == "7×7" else narrow((2, 2, 2, 2), "B", stem(3, 1))
        if kind == "3×3, dead taps":
            for row in on_meta(lambda: imagenet, (3, 32, 32)):
                if row.live < 1:
                    hold_taps(net.get_submodule(row.name).weight, live_taps(row))
        return net

    _, _, measured = trained(build, dataset, seed, quick)
    return measured


KINDS = {"plain": None, "residual": "A"}
EXPERIMENTS = {
    "degradation": {
        f"{kind} {depth}": partial(by_depth, depth, shortcut)
        for depth in (8, 32)
        for kind, shortcut in KINDS.items()
    },
    "stems": {kind: partial(stems, kind) for kind in ("7×7", "3×3", "3×3, dead taps")},
}
