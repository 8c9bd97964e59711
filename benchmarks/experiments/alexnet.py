"""Lesson 02: does ReLU learn six times faster than tanh? And what helps against overfitting?"""

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from cnn_lessons import training
from cnn_lessons.models import starts

# --- the paper's Figure 1 -----------------------------------------------------------------------

ACTIVATIONS = {"ReLU": nn.ReLU, "tanh": nn.Tanh}
# The fastest of those tried for each, with seed 0 and 2,500 pictures. Epochs with ReLU: 13.8 at
# 0.02, 10.5 at 0.05, 10.8 at 0.1; with tanh: 8.1 at 0.05, 7.3 at 0.1; at 0.2 neither arrived.
RATES = {"ReLU": 0.05, "tanh": 0.1}
# The same of all 45,000 pictures. With ReLU: 17.7 at 0.05, 4.7 at 0.03 and 0.02, 5.9 at 0.01; with
# tanh: not within 20 at 0.1 and 0.05, 5.8 at 0.03 and 0.02, 7.7 at 0.01.
RATES_OF_ALL = {"ReLU": 0.02, "tanh": 0.02}


def four_layers(activation, deeper=0):
    """Three convolutions, each with a pool behind it, and a linear layer; `deeper` adds more.

    The pool stands before the activation: of rising functions that is the same, and quicker.
    """
    layers, channels = [], 3
    for width in (16, 32, 64):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.MaxPool2d(2), activation()]
        channels = width
    for _ in range(deeper):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), activation()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 4 * 4, 10))


def until_a_quarter(
    dataset, seed, quick, *, activation, rates=RATES, slower=1, images=2_500, limit=20, start=None,
    deeper=0,
):  # fmt: skip
    """Epochs until 25 % training error, with no regularisation and a constant rate.

    After each epoch the error is that of the first 2,000 training pictures; between two epochs it
    is taken to fall in a straight line. A network that does not arrive has the limit.
    """
    images, limit = (256, 2) if quick else (images, limit)
    rate = rates[activation] / slower
    torch.manual_seed(seed)
    model = four_layers(ACTIVATIONS[activation], deeper)
    model = start(model) if start else model
    recipe = training.Recipe(limit, rate, 128, weight_decay=0, images=images, precision="bfloat16")
    train = dataset.batches("train", recipe.batch_size, seed=seed, images=images)
    some = dataset.batches("train", 500, shuffle=False, images=min(2_000, images))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=recipe.momentum)
    errors = [0.9]
    while errors[-1] > 0.25 and len(errors) <= limit:
        for pictures, labels in train:
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(model(pictures).float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors.append(round(1 - training.evaluate(model, some).accuracy, 4))
    epochs = len(errors) - 1
    if reached := errors[-1] <= 0.25:
        before, last = errors[-2:]
        epochs -= (0.25 - last) / (before - last)
    return {"epochs": round(epochs, 2), "reached": int(reached), "errors": errors}


# --- learned by heart ---------------------------------------------------------------------------

SHORT = training.Recipe(
    24, 0.03, 32, images=1_000, weight_decay=0, clip=1.0, precision="bfloat16", start="he"
)


def lrn(maps):
    """The paper's LRN: torch divides alpha by the five maps."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


def narrow(dropout=0.0, norm=nn.BatchNorm2d):
    """AlexNet for 32 pixels with few maps, in the paper's order: conv, ReLU, norm, pool."""
    layers, channels = [], 3
    for width, norms, pools in ((8, 1, 1), (16, 1, 1), (24, 0, 0), (24, 0, 0), (16, 0, 1)):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        layers += [norm(width)] * norms + [nn.MaxPool2d(2)] * pools
        channels = width
    layers.append(nn.Flatten())
    for reads in (channels * 4 * 4, 256):
        layers += [nn.Linear(reads, 256), nn.ReLU(), nn.Dropout(dropout)]
    return starts.he(nn.Sequential(*layers, nn.Linear(256, 10)))


def by_heart(
    dataset,
    seed,
    quick,
    *,
    dropout=0.0,
    augment=False,
    epochs=24,
    images=1_000,
    norm=nn.BatchNorm2d,
):
    """How much of its own pictures a small AlexNet names, and how much of new ones."""
    epochs, images = (1, 256) if quick else (epochs, images)
    recipe = replace(SHORT, epochs=epochs, images=images)
    torch.manual_seed(seed)
    model = narrow(dropout, norm)
    train = dataset.batches("train", recipe.batch_size, augment=augment, seed=seed, images=images)
    glance = dataset.batches("validation", images=min(100, len(dataset.validation)))
    training.fit(model, train, glance, recipe, progress=False)
    known = training.evaluate(model, dataset.batches("train", 500, images=images))
    new = training.evaluate(model, dataset.batches("validation", 500))
    return {"training": round(known.accuracy, 4), "new": round(new.accuracy, 4)}


# One thing at a time, against the first; "small" are the paper's first weights, "made for it" those
# that were later found for each of the two.
CHANGES = {
    "": {},
    ", small": {"start": partial(starts.vgg, std=0.01)},
    ", deeper": {"deeper": 4},
    ", slower": {"slower": 2},
}
EXPERIMENTS = {
    "six_times": {
        f"{name}{change}": partial(until_a_quarter, activation=name, **how)
        for change, how in CHANGES.items()
        for name in ACTIVATIONS
    }
    | {
        # With He's start 0.05 is too much: nothing is learned. At 0.02 seed 0 takes 18.6 epochs.
        "ReLU, made for it": partial(
            until_a_quarter, activation="ReLU", start=starts.he, slower=2.5
        ),
        "tanh, made for it": partial(until_a_quarter, activation="tanh", start=starts.glorot),
    },
    "six_times_all_pictures": {
        name: partial(until_a_quarter, activation=name, rates=RATES_OF_ALL, images=45_000)
        for name in ACTIVATIONS
    },
    "by_heart": {
        "nothing": by_heart,
        "dropout": partial(by_heart, dropout=0.5),
        "augmentation": partial(by_heart, augment=True),
        "both": partial(by_heart, dropout=0.5, augment=True),
        "augmentation, longer": partial(by_heart, augment=True, epochs=96),
        "both, longer": partial(by_heart, dropout=0.5, augment=True, epochs=96),
    },
    "norms": {
        "no norm": partial(
            by_heart, augment=True, epochs=8, images=4_000, norm=lambda maps: nn.Identity()
        ),
        "LRN": partial(by_heart, augment=True, epochs=8, images=4_000, norm=lrn),
        "batch norm": partial(by_heart, augment=True, epochs=8, images=4_000),
    },
}
