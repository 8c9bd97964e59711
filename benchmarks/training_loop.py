"""Pictures a second of `training.fit`, against the usual loop: same network, same pictures.

The usual loop: torchvision's CIFAR10 with PIL transforms, a DataLoader with two workers that stay
alive, SGD, loss and accuracy read by .item() after every batch, float32, PyTorch's own layout.
"""

import time
from collections.abc import Callable

import torch

from benchmarks import common
from cnn_lessons import networks, training
from cnn_lessons.training.recipes import PRECISIONS, Recipe


def usual(dataset, name: str, images: int, workers: int) -> Callable[[], float]:
    """Makes the usual loop of one network; the function it returns gives pictures a second."""
    model, loader = networks.build(name), common.usual_loader(dataset, images, workers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def run() -> float:
        start = time.perf_counter()
        common.usual_epoch(model, loader, optimizer)
        return images / (time.perf_counter() - start)

    return run


def ours(dataset, name: str, images: int, precision: str) -> Callable[[], float]:
    """The same of `fit`."""
    model, train = networks.build(name), dataset.batches("train", augment=True, images=images)
    check = dataset.batches("validation", images=10)
    recipe = Recipe(epochs=1, learning_rate=0.01, precision=precision)

    def run() -> float:
        history = training.fit(model, train, check, recipe, progress=False)
        return history.epochs[0].images_per_second

    return run


def variants(dataset, name: str, images: int, quick: bool) -> dict[str, Callable[[], float]]:
    found = {"usual": usual(dataset, name, images, 0 if quick else 2)}
    return found | {kind: ours(dataset, name, images, kind) for kind in PRECISIONS[:2]}


def main(arguments=None) -> list[dict]:
    """Print a row a network."""
    chosen, rows = common.speed_options(__doc__).parse_args(arguments), []
    for name, speed in common.speeds(chosen, variants):
        row = {"network": name} | {key: round(value) for key, value in speed.items()}
        row |= {f"{key} / usual": speed[key] / speed["usual"] for key in PRECISIONS[:2]}
        rows.append(row)
    return common.report("training_loop", rows, chosen)


if __name__ == "__main__":
    main()
