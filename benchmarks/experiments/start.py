"""Lesson 00: does the order of the pixels matter?"""

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from benchmarks.experiments.lenet import accuracy
from cnn_lessons.data import Dataset, Split
from cnn_lessons.models import LeNet5
from cnn_lessons.training import Recipe

RECIPE = Recipe(epochs=5, images=6_000)


def mlp() -> nn.Module:
    """Two linear layers with 61,670 parameters, about as many as LeNet-5."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 20), nn.ReLU(), nn.Linear(20, 10))


def mixed(split: Split, seed: int) -> Split:
    """The pixels of every picture in one and the same random order."""
    order = torch.randperm(32 * 32, generator=torch.Generator().manual_seed(seed))
    return Split(split.images.flatten(2)[:, :, order].view_as(split.images), split.labels)


def _run(build, mix: bool, dataset: Dataset, seed: int, quick: bool) -> dict[str, float]:
    if mix:
        parts = {name: mixed(getattr(dataset, name), seed) for name in ("train", "validation")}
        dataset = replace(dataset, **parts)
    return accuracy(build, RECIPE, dataset, seed, quick)


EXPERIMENTS = {
    "pixel_order": {
        "CNN, as they are": partial(_run, LeNet5, False),
        "CNN, mixed": partial(_run, LeNet5, True),
        "MLP, as they are": partial(_run, mlp, False),
        "MLP, mixed": partial(_run, mlp, True),
    }
}
