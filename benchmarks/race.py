"""A race to a share of the test pictures: one change at a time, from the usual loop to the last.

There are two ways to be sooner. More pictures a second: that is timed, of all rows in turn. And
fewer pictures: that is counted in epochs, of a training for each change that alters what is
learned; the test pictures are looked at twice an epoch, which is not timed. Pictures in memory,
their layout and a captured step alter no number, so such a row has the training of the row before.
The seconds to a mark are the pictures until then by the pictures a second.

On a CPU seconds are those that the process and the workers of its loader computed, since others may
work on the machine too; on a GPU they are those of a clock, and a captured step is one row more.
All rows have SGD with the same momentum and weight decay, but for Muon. `networks.race` reads it.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks import common
from benchmarks.muon import muon
from cnn_lessons import data, networks, training
from cnn_lessons.table import Table
from cnn_lessons.training.captured import CapturedStep, has_graphs, may_be_captured, wait
from cnn_lessons.training.precision import forward, precisions
from cnn_lessons.training.state import kept


@dataclass(frozen=True)
class Way:
    """How a row trains; left as it is, the usual loop."""

    in_memory: bool = False
    layout: torch.memory_format = torch.contiguous_format
    precision: str = "float32"
    batch_size: int = 128
    captured: bool = False
    falls: bool = False
    muon: bool = False

    def recipe(self, epochs: int) -> training.Recipe:
        """A rate that stays is small, and grows with the batch; one that falls may begin high."""
        rate = 0.05 if self.muon else 0.1 if self.falls else 0.01 * self.batch_size / 128
        return training.Recipe(epochs, rate, self.batch_size)


# Each is added to those before it.
CHANGES: dict[str, dict] = {
    "usual loop": {},
    "pictures in memory": {"in_memory": True},
    "channels last": {"layout": torch.channels_last},
    "bfloat16": {"precision": "bfloat16"},
    "batch of 512": {"batch_size": 512},
    "captured step": {"captured": True},
    "rate falls to 0": {"falls": True},
    "Muon": {"muon": True},
}
ALTER_NOTHING = ("pictures in memory", "channels last", "captured step")
# The network, the marks, the epochs of a rate that stays at most, of one that falls, and with Muon.
# On a CPU they were chosen on the validation pictures, where 3 epochs of a falling rate had 54.0 %
# and 2 with Muon 57.9 %. Those of a GPU were not run.
ON_A_CPU = ("LeNet5", [0.45, 0.5, 0.55], 12, 4, 2)
ON_A_GPU = ("VGG16", [0.8, 0.85, 0.88], 40, 10, 8)
QUICK = ("LeNet5", [0.05, 0.1, 0.15], 1, 1, 1)


def ways(device: torch.device) -> dict[str, Way]:
    """All rows. On a GPU the first are in tf32 where it has that, as PyTorch by itself would."""
    found, way = {}, Way(precision="tf32" if "tf32" in precisions(device) else "float32")
    for name, change in CHANGES.items():
        way = replace(way, **change)
        found[name] = way
    return found


def clock(device: torch.device) -> float:
    """Seconds: computed on a CPU, by this process and by those that it began and that ended."""
    if device.type == "cpu":
        return sum(os.times()[:4])
    wait(device)
    return time.perf_counter()


def stepper(model, way: Way, recipe: training.Recipe, device: torch.device) -> Callable:
    """What trains on one batch. Unless captured, it reads loss and right answers of each."""
    optimizer = (muon if way.muon else training.sgd)(model, recipe)
    read: list[tuple[float, int]] = []

    def step(images, labels, rate) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, logits = forward(way.precision, training.cross_entropy, model, images, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right = (logits.argmax(dim=1) == labels).sum()
        if not way.captured:
            read.append((loss.item(), int(right)))

    possible = way.captured and may_be_captured(model, optimizer)
    return CapturedStep(step, model, optimizer, (), possible)


def passing(
    dataset: data.Dataset, name: str, way: Way, images: int, workers: int, device: torch.device
) -> Callable[[], float]:
    """The function it returns gives pictures a second of one pass."""
    recipe, pin = way.recipe(1), device.type == "cuda"
    model = networks.build(name).to(device, memory_format=way.layout).train()
    how = {"augment": True, "images": images, "device": device}
    batches = dataset.batches("train", way.batch_size, **how) if way.in_memory else ()
    step = stepper(model, way, recipe, device)
    loading = partial(common.usual_loader, dataset, images, workers, way.batch_size, pin)
    loader = loading() if pin and not way.in_memory else None
    optimizer = training.sgd(model, recipe)

    def one_pass() -> None:
        if not way.in_memory:  # on a CPU workers end with their loader, and then they are counted
            common.usual_epoch(model, loader or loading(), optimizer, device)
            return
        for pictures, labels in batches:
            step(pictures.contiguous(memory_format=way.layout), labels, recipe.learning_rate)

    def run() -> float:
        with kept():
            start = clock(device)
            one_pass()
            return images / max(clock(device) - start, 1e-9)

    return run


def learned(
    dataset: data.Dataset, name: str, way: Way, epochs: int, enough: float, seed: int,
    device: torch.device,
) -> dict:  # fmt: skip
    """Accuracies on the test pictures, after each half of an epoch.

    A rate that stays goes on until they are `enough`; one that falls has to fall to its end.
    """
    torch.manual_seed(seed)
    recipe = way.recipe(epochs)
    model = networks.build(name).to(device, memory_format=way.layout)
    step, found, done = stepper(model, way, recipe, device), [], 0
    train = dataset.batches("train", way.batch_size, augment=True, seed=seed, device=device)
    test = dataset.batches("test", 500, device=device)
    with kept():
        while done < epochs * len(train):
            for pictures, labels in train:
                progress = done / (epochs * len(train))
                rate = recipe.rate(progress) if way.falls else recipe.learning_rate
                step(pictures, labels, rate)
                done += 1
                if done % len(train) in (0, len(train) // 2):
                    found.append(round(training.evaluate(model, test).accuracy, 4))
                    model.train()
                    print(f"epoch {done / len(train):.1f}: {found[-1]:.1%}", flush=True)
                    if found[-1] >= enough and not way.falls:
                        return {"accuracies": found}
    return {"accuracies": found}


def speeds(dataset: data.Dataset, name: str, rows: dict[str, Way], chosen) -> dict[str, int | None]:
    """Pictures a second of each row, the median of five rounds; None where it cannot be had."""
    device = chosen.device
    images = 256 if chosen.quick else 5_120 if device.type == "cpu" else common.ON_A_GPU
    workers = 0 if chosen.quick else 2 if device.type == "cpu" else os.cpu_count()
    runs = {
        row: passing(dataset, name, way, images, workers, device)
        for row, way in rows.items()
        if row != "captured step" or has_graphs(device)
    }
    found = common.in_turn(runs, 1 if chosen.quick else 5)
    return {row: round(found[row]) if row in found else None for row in rows}


def main(arguments=None) -> list[dict]:
    """Write speeds and trainings as soon as they are there; print and return the table."""
    parser = common.with_device(common.options(__doc__))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.set_defaults(folder=networks.RESULTS)
    chosen = parser.parse_args(arguments)
    device, dataset = chosen.device, common.pictures(chosen.quick).with_all_training()
    on_this = ON_A_CPU if device.type == "cpu" else ON_A_GPU
    name, marks, most, falling, with_muon = QUICK if chosen.quick else on_this
    rows, path = ways(device), networks.race_file(chosen.folder, device.type)
    about = {"benchmark": "race", "network": name, "data": dataset.name, "marks": marks}
    about |= {"images": len(dataset.train), "alter nothing": ALTER_NOTHING}
    about["seconds are"] = "computed" if device.type == "cpu" else "of a clock"
    if path.exists():
        about["images/s"] = json.loads(path.read_text(encoding="utf-8"))["images/s"]
    else:
        about["images/s"] = speeds(dataset, name, rows, chosen)
        common.write_json(path, about | {"rows": []})
    runs = {}
    for seed in chosen.seeds:
        for row, way in rows.items():
            if row not in ALTER_NOTHING:
                epochs = with_muon if way.muon else falling if way.falls else most
                way = replace(way, layout=torch.channels_last)
                end = (epochs, marks[-1], seed, device)
                runs[row, seed] = partial(learned, dataset, name, way, *end)
    common.run_missing(path, about, runs, **common.machine(device))
    table = networks.race(chosen.folder, device.type)
    print(Table.of(table).markdown())
    return table


if __name__ == "__main__":
    main()
