"""Recipes: what a training needs to know, as data; one for each network and profile."""

import os
from dataclasses import dataclass
from typing import Any

import torch

PRECISIONS = ("float32", "bfloat16", "tf32", "auto")
# What the fields that are words may say. The starts are those of `models.starts`.
CHOICES = {
    "precision": PRECISIONS,
    "start": ("own", "lecun", "alexnet", "vgg", "glorot", "he", "article"),
}
PROFILES = ("test", "cpu", "gpu")


def triangle(progress: float, peak: float = 0.2) -> float:
    """The learning rate's share of its highest value, `progress` of the way through (0 to 1).

    It climbs in a straight line until `peak`, so that the first steps do no harm, and then falls in
    a straight line to 0, so that the last ones settle.
    """
    return progress / peak if progress < peak else (1 - progress) / (1 - peak)


@dataclass(frozen=True)
class Recipe:
    """What a training needs to know; two trainings with one recipe and one seed are the same.

    epochs, images: how often all training pictures are seen; how many there are, None means all.
    learning_rate, warmup: the highest rate, and the share (0 to 1) of all steps in which it climbs;
        after that it falls to 0, see `triangle`.
    batch_size: the pictures of one step.
    momentum, weight_decay: those of SGD with Nesterov momentum.
    clip: the greatest length of the gradient; a longer one is shortened to it. None: as it is.
    precision: "float32", "bfloat16" (autocast), "tf32" (products of fewer digits on NVIDIA's newer
        cards, float32 elsewhere), or "auto": what is faster here, which may differ from machine to
        machine and changes the numbers a little.
    start: how the first weights are drawn, a name in `models.starts.STARTS`; "own" leaves those of
        the network's class. `networks.build` goes by it.
    Raises ValueError for anything else.
    """

    epochs: int
    learning_rate: float = 0.05
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    images: int | None = None
    warmup: float = 0.2
    clip: float | None = None
    precision: str = "float32"
    start: str = "own"

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate", "clip"):
            value = getattr(self, name)
            if not (name == "clip" and value is None) and not value > 0:
                raise ValueError(f"{name} must be above 0; got {value}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be 0 or more; got {self.weight_decay}")
        for name in ("momentum", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1; got {getattr(self, name)}")
        if self.images is not None and self.images < 1:
            raise ValueError(f"images must be None (all) or at least 1; got {self.images}")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                got = repr(getattr(self, name))
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {got}")

    def rate(self, progress: float) -> float:
        """The learning rate, `progress` of the way through (0 to 1)."""
        return self.learning_rate * triangle(progress, self.warmup)


# Seconds, with whatever else a recipe has; float32, so that a test repeats on every machine.
TEST: dict[str, Any] = {"epochs": 1, "batch_size": 64, "images": 256, "precision": "float32"}


def _profiles(
    cpu: int, gpu: int, on_a_gpu: dict[str, Any] | None = None, **settings: Any
) -> dict[str, Recipe]:
    """One recipe for all profiles; they differ in the epochs, and in what is `on_a_gpu` alone."""
    own: dict[str, Any] = {"test": TEST, "cpu": {"epochs": cpu}}
    own["gpu"] = {"epochs": gpu} | (on_a_gpu or {})
    return {name: Recipe(**settings | own[name]) for name in PROFILES}


# Chosen on the validation pictures, never on the test pictures. What the cpu profile reaches on the
# test pictures, and what it costs, stands in benchmarks/results; what else was tried, in
# benchmarks/README.md. Of the gpu recipes LeNet5's alone was run, on a CPU; none of ResNet18.
RECIPES = {
    "LeNet5": {
        "test": Recipe(epochs=1, images=256),
        "cpu": Recipe(epochs=16),
        "gpu": Recipe(epochs=30, precision="tf32"),
    },
    "AlexNetCIFAR": _profiles(
        20, 30, {"batch_size": 512, "learning_rate": 0.2}, clip=1.0, precision="auto", start="he"
    ),
    "AlexNetSmall": _profiles(10, 30, clip=1.0, precision="auto", start="he"),
    "VGG16": _profiles(10, 40, precision="auto"),
    "VGG16Narrow": _profiles(8, 40, precision="bfloat16"),
    "VGG16Plain": _profiles(12, 40, learning_rate=0.02, clip=1.0, precision="auto", start="he"),
    "GoogLeNetCIFAR": _profiles(30, 40, clip=1.0, precision="auto", start="he"),
    "GoogLeNetBN": _profiles(16, 40, learning_rate=0.1, precision="auto"),
    "ArticleResNet": _profiles(20, 40, learning_rate=0.1, precision="auto"),
    "ResNetCIFAR20": _profiles(30, 60, learning_rate=0.1, precision="auto"),
    "ResNet18": _profiles(8, 24, learning_rate=0.2, batch_size=512, precision="auto"),
}
# That of the challenge of lesson 06, for any network.
CHALLENGE = Recipe(epochs=3, learning_rate=0.1, images=20_000, precision="auto")


def profile() -> str:
    """How much to do: "test" (seconds), "cpu" (minutes) or "gpu" (whole networks).

    The environment variable CNN_LESSONS_PROFILE decides; unset, it is "gpu" where there is CUDA
    and "cpu" elsewhere. Raises ValueError if the variable holds anything else.
    """
    chosen = os.environ.get("CNN_LESSONS_PROFILE") or (
        "gpu" if torch.cuda.is_available() else "cpu"
    )
    if chosen not in PROFILES:
        raise ValueError(
            f"CNN_LESSONS_PROFILE must be one of {', '.join(PROFILES)}; got {chosen!r}"
        )
    return chosen
