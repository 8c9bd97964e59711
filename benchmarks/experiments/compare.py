"""Lesson 06: a race at equal pictures, and whether networks together beat the best of them."""

from dataclasses import replace
from functools import partial

import torch

from cnn_lessons import networks, training
from cnn_lessons.data import Dataset


def trained(name: str, dataset: Dataset, seed: int, quick: bool, epochs: int, images: int):
    """The network after a short run of its recipe, and its validation accuracy."""
    epochs, images = (1, 256) if quick else (epochs, images)
    settings = {"epochs": epochs, "images": images, "precision": "bfloat16"}
    recipe = replace(training.RECIPES[name]["cpu"], **settings)
    torch.manual_seed(seed)
    network = networks.build(name)
    train = dataset.batches("train", recipe.batch_size, augment=True, seed=seed, images=images)
    validation = dataset.batches("validation", 500)
    history = training.fit(network, train, validation, recipe, progress=False)
    return network, history.epochs[-1].validation_accuracy


def race(name: str, epochs: int, images: int, dataset: Dataset, seed: int, quick: bool) -> dict:
    """One network, so many pictures so many times."""
    _, accuracy = trained(name, dataset, seed, quick, epochs, images)
    return {"validation_accuracy": accuracy}


def together(members: int, dataset: Dataset, seed: int, quick: bool) -> dict:
    """So many LeNets that differ by their seeds alone; their mean probability answers."""
    validation, probabilities = dataset.batches("validation", 500), []
    for member in range(members):
        network, _ = trained("LeNet5", dataset, 100 * seed + member, quick, 4, 10_000)
        logits, labels = training.predict(network, validation)
        probabilities.append(logits.softmax(dim=1))
    answers = torch.stack(probabilities).mean(dim=0).argmax(dim=1)
    return {"validation_accuracy": round(float((answers == labels).float().mean()), 4)}


EXPERIMENTS = {
    "race": {
        "LeNet5": partial(race, "LeNet5", 2, 6_000),
        "ResNetCIFAR20": partial(race, "ResNetCIFAR20", 2, 6_000),
        "LeNet5, all pictures": partial(race, "LeNet5", 3, 45_000),
    },
    "together": {"one": partial(together, 1), "three": partial(together, 3)},
}
