"""Lesson 03: which start lets VGG-16 begin to learn, with SGD and with Adam?

All networks are columns of Table 1 without batch norm but where it is named, for 32 pixels, with an
eighth of the maps and of the units; 4,000 pictures in batches of 32, three epochs, float32.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from cnn_lessons import training
from cnn_lessons.models import VGG, starts
from cnn_lessons.see import probes

COLUMNS = {  # an eighth of the maps of Table 1
    "A": "8 M 16 M 32 32 M 64 64 M 64 64 M",
    "D": "8 8 M 16 16 M 32 32 32 M 64 64 64 M 64 64 64 M",
}
STARTS = {
    "PyTorch's default": starts.own,
    "normal, std 0.01": partial(starts.vgg, std=0.01),
    "normal, variance 0.01": starts.vgg,
    "Glorot": starts.glorot,
    "He": starts.he,
}


def adam(model: nn.Module, recipe: training.Recipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)


# The greatest rate of each; SGD's is that of VGG16Plain's recipe.
OPTIMIZERS = {"SGD": (training.sgd, 0.02), "Adam": (adam, 1e-3)}
BEGUN = 2.25  # a loss below it is learning: guessing has 2.303


Run = Callable[..., dict[str, float]]


def network(column: str, start: str, seed: int, batch_norm: bool = False) -> nn.Module:
    """A column with an eighth of its maps and units, its weights drawn by the start."""
    torch.manual_seed(seed)
    return STARTS[start](VGG(COLUMNS[column], 10, 32, batch_norm, hidden=512))


def copied(deep: nn.Module, shallow: nn.Module) -> nn.Module:
    """The paper's remedy (section 3.1): the first four convolutions and the linear layers of A.

    Those are conv1_1, conv2_1, conv3_1 and conv3_2, by their names, which D has as well.
    """
    names = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")
    state = shallow.state_dict()
    chosen = {key: value for key, value in state.items() if key.split(".")[1] in names}
    deep.load_state_dict(chosen, strict=False)
    return deep


def train(model: nn.Module, optimizer: str, dataset, seed: int, quick: bool) -> dict[str, float]:
    """What stands in the first layer before, and the loss and accuracy after three epochs."""
    make, rate = OPTIMIZERS[optimizer]
    images = 128 if quick else 4_000
    recipe = training.Recipe(epochs=1 if quick else 3, learning_rate=rate, clip=1.0)
    pictures = dataset.normalise(dataset.validation.images[:32])
    layers = probes.depth_statistics(model, pictures, dataset.validation.labels[:32])
    batches = dataset.batches("train", 32, seed=seed, images=images)
    check = dataset.batches("validation", 500, images=min(1_000, len(dataset.validation)))
    history = training.fit(model, batches, check, recipe, progress=False, optimizer=make)
    end = history.epochs[-1] if history.epochs else None
    loss = end.train_loss if end else float("inf")
    return {
        "spread": layers[-1].spread,
        "gradient": layers[0].gradient,
        "train_loss": round(loss, 4),
        "begun": float(loss < BEGUN),
        "validation_accuracy": end.validation_accuracy if end else 0.1,
    }


def once(dataset, seed: int, quick: bool, *, column: str, start: str, optimizer: str, **more):
    return train(network(column, start, seed, **more), optimizer, dataset, seed, quick)


def after_a(dataset, seed: int, quick: bool, *, start: str, optimizer: str) -> dict[str, float]:
    """Train A, copy its layers into D, train D."""
    shallow = network("A", start, seed)
    train(shallow, optimizer, dataset, seed, quick)
    return train(copied(network("D", start, seed), shallow), optimizer, dataset, seed, quick)


def variants(optimizer: str) -> dict[str, Run]:
    """Six starts of column D; column A, and D that begins with layers of a trained A."""
    found: dict[str, Run] = {
        start: partial(once, column="D", start=start, optimizer=optimizer) for start in STARTS
    }
    found["default + batch norm"] = partial(
        once, column="D", start="PyTorch's default", batch_norm=True, optimizer=optimizer
    )
    found["A, Glorot"] = partial(once, column="A", start="Glorot", optimizer=optimizer)
    if optimizer == "SGD":  # as in the paper
        found["D from A, Glorot"] = partial(after_a, start="Glorot", optimizer=optimizer)
    return found


EXPERIMENTS: dict = {f"vgg_starts_{name}": variants(name) for name in OPTIMIZERS}
