"""Lesson 01: LeNet-5 with other steps between its layers, and with a softmax too many."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from cnn_lessons.data import Dataset
from cnn_lessons.models import LeNet5
from cnn_lessons.training import Recipe, evaluate, fit

RECIPE = Recipe(epochs=5, images=10_000)


def accuracy(
    build: Callable[[], nn.Module], recipe: Recipe, dataset: Dataset, seed: int, quick: bool
) -> dict[str, float]:
    """The validation accuracy after one training; the seed draws the weights and the batches.

    After each epoch only 50 pictures are looked at, to save time.
    """
    recipe = replace(recipe, epochs=1, images=256) if quick else recipe
    torch.manual_seed(seed)
    net = build()
    train = dataset.batches(seed=seed, images=recipe.images)
    fit(net, train, dataset.batches("validation", images=50), recipe, progress=False)
    return {"validation_accuracy": evaluate(net, dataset.batches("validation", 512)).accuracy}


def variant(after_convolution: type | None, pool: type, after_linear: type) -> nn.Module:
    """LeNet-5 with other activations and another kind of pooling."""
    net = LeNet5(activation=after_convolution)
    net.features.s2, net.features.s4 = pool(2), pool(2)
    net.classifier.relu5, net.classifier.relu6 = after_linear(), after_linear()
    return net


VARIANTS = {  # after C1 and C3, pooling, after C5 and F6
    "none, max-pool": partial(variant, None, nn.MaxPool2d, nn.ReLU),
    "ReLU, max-pool": partial(variant, nn.ReLU, nn.MaxPool2d, nn.ReLU),
    "none, average-pool": partial(variant, None, nn.AvgPool2d, nn.ReLU),
    "tanh, average-pool": partial(variant, nn.Tanh, nn.AvgPool2d, nn.Tanh),
    "sigmoid, average-pool": partial(variant, nn.Sigmoid, nn.AvgPool2d, nn.Sigmoid),
    "softmax before the loss": lambda: nn.Sequential(LeNet5(), nn.Softmax(dim=1)),
}
EXPERIMENTS = {
    "lenet_parts": {name: partial(accuracy, build, RECIPE) for name, build in VARIANTS.items()}
}
