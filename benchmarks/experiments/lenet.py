"""Lesson 01: LeNet-5 with other steps between its layers, with a softmax too many, and asked for
digits that are not where they were in training."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from cnn_lessons.data import Dataset, digits
from cnn_lessons.models import LeNet5, LeNet5Original
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


class EverySecond(nn.Module):
    """In place of S2 and S4: maps as small as theirs, of every second number, nothing added up."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps[:, :, ::2, ::2]


def without_sums() -> nn.Module:
    net = LeNet5Original()
    net.s2, net.s4 = EverySecond(), EverySecond()
    return net


def fully_connected() -> nn.Module:
    """Two layers with about as many weights as LeNet-5 of 1998, 60,000."""
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 58), nn.Tanh(), nn.Linear(58, 10))


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """The same digits at another place; the margin is wide enough for 4 pixels."""
    return images.roll((down, right), dims=(2, 3))


def reading_moved_digits(build, also_moved: bool, _, seed: int, quick: bool) -> dict[str, float]:
    """The share of new digits read after a training, in the middle and moved by 1 to 4 pixels.

    With also_moved, each digit of the training is moved as well, by up to 4 pixels each way.
    """
    train, test = (digits(100 if quick else 2_000, seed=n) for n in (2 * seed, 2 * seed + 1))
    ink, new_ink = (split.images / 255 * 1.275 - 0.1 for split in (train, test))
    if also_moved:
        places = torch.randint(-4, 5, (len(ink), 2), generator=torch.Generator().manual_seed(seed))
        ink = torch.cat([moved(one[None], *place) for one, place in zip(ink, places.tolist())])
    torch.manual_seed(seed)
    net, recipe = build(), Recipe(epochs=6, learning_rate=0.005, precision="float32")
    batches = list(zip(ink.split(50), train.labels.split(50)))
    fit(net, batches, batches[:1], recipe, progress=False)
    found = {}
    for far in range(5):
        ways = {(far, 0), (-far, 0), (0, far), (0, -far)}
        shares = [evaluate(net, [(moved(new_ink, *way), test.labels)]).accuracy for way in ways]
        found[f"moved_by_{far}"] = sum(shares) / len(shares)
    return found


READERS = {
    "LeNet-5 of 1998": (LeNet5Original, False),
    "every second number": (without_sums, False),
    "fully connected": (fully_connected, False),
    "LeNet-5, moved in training": (LeNet5Original, True),
}
EXPERIMENTS = {
    "lenet_parts": {name: partial(accuracy, build, RECIPE) for name, build in VARIANTS.items()},
    "moved_digits": {name: partial(reading_moved_digits, *how) for name, how in READERS.items()},
}
