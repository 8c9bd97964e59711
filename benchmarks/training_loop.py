"""Pictures a second of `training.fit`, against the usual loop: same network, same pictures.

The usual loop: torchvision's CIFAR10 with PIL transforms, a DataLoader with two workers that stay
alive, SGD, loss and accuracy read by .item() after every batch, float32, PyTorch's own layout. On a
GPU it gets its best as well: pinned memory, and a worker for each core.
"""

import os
import time
from collections.abc import Callable

import torch

from benchmarks import common
from cnn_lessons import networks, training
from cnn_lessons.training.precision import precisions
from cnn_lessons.training.recipes import Recipe


def usual(dataset, name: str, images: int, chosen, workers: int) -> Callable[[], float]:
    """Makes the usual loop of one network; the function it returns gives pictures a second."""
    device, pin = chosen.device, chosen.device.type == "cuda"
    model = networks.build(name).to(device)
    images = min(images, 12_800 if pin else images)  # it takes long enough with these
    loader = common.usual_loader(dataset, images, workers, chosen.batch_size, pin)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def run() -> float:
        start = time.perf_counter()
        common.usual_epoch(model, loader, optimizer, device)
        return images / (time.perf_counter() - start)

    return run


def ours(dataset, name: str, images: int, chosen, precision: str) -> Callable[[], float]:
    """The same of `fit`; on a GPU of its third epoch, for in the first a step is captured."""
    model, how = networks.build(name).to(chosen.device), {"device": chosen.device}
    train = dataset.batches("train", chosen.batch_size, augment=True, images=images, **how)
    check = dataset.batches("validation", images=10, **how)
    epochs = 1 if chosen.device.type == "cpu" else 3
    recipe = Recipe(epochs, learning_rate=0.01, precision=precision)

    def run() -> float:
        history = training.fit(model, train, check, recipe, progress=False)
        return history.epochs[-1].images_per_second

    return run


def variants(dataset, name: str, images: int, chosen) -> dict[str, Callable[[], float]]:
    found = {"usual": usual(dataset, name, images, chosen, 0 if chosen.quick else 2)}
    if chosen.device.type == "cuda":
        workers = os.cpu_count()
        found[f"usual, {workers} workers"] = usual(dataset, name, images, chosen, workers)
    for precision in precisions(chosen.device):
        found[precision] = ours(dataset, name, images, chosen, precision)
    return found


def main(arguments=None) -> list[dict]:
    """Print a row a network."""
    chosen, rows = common.speed_options(__doc__).parse_args(arguments), []
    for name, speed in common.speeds(chosen, variants):
        row = {"network": name} | {key: round(value) for key, value in speed.items()}
        for precision in precisions(chosen.device):
            row[f"{precision} / usual"] = speed[precision] / speed["usual"]
        rows.append(row)
    return common.report("training_loop", rows, chosen, batch_size=chosen.batch_size)


if __name__ == "__main__":
    main()
