"""Seconds of training until the test accuracy first passes a mark: ours against the usual recipe.

The usual recipe: Adam with a constant 1e-3, PIL pictures from two workers, float32. Both are
measured after each epoch; the time of measuring is not counted. Ours is the recipe of the `cpu`
profile with fewer epochs, for its rate has to fall to 0, and without augmentation: in so few passes
a network does not yet learn its pictures by heart. That of ResNetCIFAR20 has Muon, which pays in
short trainings. All were chosen on the validation pictures. One JSON file a network.
"""

import time
from dataclasses import replace

import torch
from torch.utils.data import DataLoader

from benchmarks import common
from benchmarks.muon import muon
from cnn_lessons import networks, training

MARKS = {  # the accuracy to pass, what is changed of our recipe, and another optimizer than SGD
    "LeNet5": (0.63, {"epochs": 4}, None),
    "ArticleResNet": (0.69, {"epochs": 3}, None),
    "ResNetCIFAR20": (0.80, {"epochs": 4, "learning_rate": 0.05}, muon),
}


def usual(
    dataset, name: str, loader: DataLoader, mark: float, most: int, seed: int, device: torch.device
) -> tuple:
    """Seconds and epochs to the mark, None for the seconds where `most` epochs do not reach it."""
    torch.manual_seed(seed)
    model, seconds = networks.build(name).to(device), 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    test = dataset.batches("test", 500, device=device)
    for epoch in range(1, most + 1):
        start = time.perf_counter()
        common.usual_epoch(model, loader, optimizer, device)
        seconds += time.perf_counter() - start
        if training.evaluate(model, test).accuracy >= mark:
            return seconds, epoch
    return None, most


def ours(
    dataset, name: str, changes: dict, optimizer, mark: float, seed: int, device: torch.device
) -> tuple:
    """The same of `fit`; it is measured on the test pictures after each epoch as well."""
    recipe = replace(training.RECIPES[name]["cpu"], precision="auto", **changes)
    torch.manual_seed(seed)
    train = dataset.batches("train", recipe.batch_size, augment=False, seed=seed, device=device)
    test = dataset.batches("test", 500, device=device)
    model, how = networks.build(name).to(device), {"progress": False, "optimizer": optimizer}
    history, seconds = training.fit(model, train, test, recipe, **how), 0.0
    for epoch in history.epochs:
        seconds += epoch.seconds
        if epoch.validation_accuracy >= mark:
            return seconds, epoch.epoch
    return None, recipe.epochs


def main(arguments=None) -> list[dict]:
    """Print a table of two rows a network."""
    parser = common.with_device(common.options(__doc__, tuple(MARKS)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=30, help="epochs after which the usual stops")
    chosen = parser.parse_args(arguments)
    dataset, found = common.pictures(chosen.quick).with_all_training(), []
    for name in chosen.networks:
        (mark, changes, optimizer), most, rows = MARKS[name], chosen.most, []
        if chosen.quick:
            mark, changes, most = 0.05, changes | {"epochs": 1}, 1
        workers, pin = 0 if chosen.quick else 2, chosen.device.type == "cuda"
        loader = common.usual_loader(dataset, len(dataset.train), workers, pin=pin)
        end = (chosen.seed, chosen.device)
        measured = {
            "fit": ours(dataset, name, changes, optimizer, mark, *end),
            "usual": usual(dataset, name, loader, mark, most, *end),
        }
        for who, (seconds, epoch) in measured.items():
            reached = "not reached" if seconds is None else round(seconds, 1)
            row = {"network": name, "mark": mark, "loop": who}
            rows.append(row | {"seconds": reached, "epochs": epoch})
        found += common.report(f"time_to_accuracy_{name}", rows, chosen)
    return found


if __name__ == "__main__":
    main()
