"""What the benchmarks share: options, the machine in words, medians in turn, the usual loop."""

import argparse
import functools
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader

from cnn_lessons import data, networks
from cnn_lessons.files import write_whole
from cnn_lessons.table import Table

# Pictures in one timing, for some seconds; the other networks take 3,840.
IMAGES = {"LeNet5": 25_600, "VGG16": 640, "VGG16Plain": 640}


def options(description: str, names: tuple[str, ...] = ()) -> argparse.ArgumentParser:
    """--quick and --folder for all; --networks for those that measure several."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="seconds, on generated pictures")
    parser.add_argument("--folder", type=Path, help="write what is measured there, as JSON")
    if names:
        choice = {"nargs": "+", "type": networks.full_name, "default": list(names)}
        parser.add_argument("--networks", help=f"of {', '.join(networks.NETWORKS)}", **choice)
    return parser


def pictures(quick: bool) -> data.Dataset:
    return data.generate(train=600, test=200) if quick else data.load()


def machine() -> dict[str, str]:
    """The machine and the versions in words, without its name."""
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = about.read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        model = next(iter(names), model)
    threads = torch.get_num_threads()
    words = f"{os.cpu_count()} cores of {model}, {threads} thread{'s' * (threads > 1)}"
    if torch.cuda.is_available():
        words = f"{torch.cuda.get_device_name()}, {words}"
    return {
        "machine": words,
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
    }


def in_turn(variants: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of what each variant returns; one after the other in each round.

    So a busy minute of the machine meets all of them. Before the first round each runs once.
    """
    for run in variants.values():
        run()
    found = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            found[name].append(run())
    return {name: median(values) for name, values in found.items()}


def speed_options(description: str) -> argparse.ArgumentParser:
    parser = options(description, tuple(networks.NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    return parser


def speeds(
    chosen: argparse.Namespace, variants: Callable[..., dict[str, Callable]]
) -> Iterator[tuple[str, dict[str, float]]]:
    """For each network that the command line names, the medians of its variants.

    `variants(dataset, name, images, quick)` gives what to run, each returning pictures a second.
    """
    dataset = pictures(chosen.quick)
    for name in chosen.networks:
        images = 256 if chosen.quick else IMAGES.get(name, 3_840)
        runs = variants(dataset, name, images, chosen.quick)
        yield name, in_turn(runs, 1 if chosen.quick else chosen.rounds)


def report(benchmark: str, rows: list[dict], chosen: argparse.Namespace, **facts) -> list[dict]:
    """Print the rows and the machine; with --folder, write them as JSON, and `facts` with them."""
    record = {"benchmark": benchmark, "rows": rows, **facts, **machine()}
    print(Table.of(rows).markdown(), machine(), sep="\n")
    if chosen.folder:
        write_json(chosen.folder / f"{benchmark}.json", record)
    return rows


def write_json(path: Path, record: dict) -> None:
    write_whole(path, (json.dumps(record, indent=2) + "\n").encode())


def hold_taps(weight: nn.Parameter, live: torch.Tensor) -> None:
    """Set the taps of a kernel that are not `live`, of booleans (k, k), to zero for ever."""
    with torch.no_grad():
        weight *= live
    on = functools.cache(live.to)  # a network may go to another device after this
    weight.register_hook(lambda gradient: gradient * on(gradient.device))


class UsualSet(torchvision.datasets.CIFAR10):
    """torchvision's CIFAR10 with pictures that are in memory already: `__getitem__` is its own."""

    def __init__(self, split: data.Split, transform: Callable):
        self.data = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.targets = split.labels.tolist()
        self.transform, self.target_transform = transform, None


def usual_loader(dataset: data.Dataset, images: int, workers: int = 2) -> DataLoader:
    """Batches of 128 as most public code makes them: PIL, one picture at a time, two workers."""
    transforms = torchvision.transforms
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(np.array(dataset.mean), np.array(dataset.std)),
        ]
    )
    chosen = UsualSet(dataset.train.head(images), transform)
    keep = {"persistent_workers": workers > 0}
    return DataLoader(chosen, batch_size=128, shuffle=True, num_workers=workers, **keep)


def usual_epoch(model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer) -> float:
    """One pass as most public code makes it, loss and accuracy read after every batch."""
    model.train()
    criterion = nn.CrossEntropyLoss()
    train_loss, correct, total = 0.0, 0, 0
    for inputs, targets in loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        train_loss += loss.item()
        _, predicted = outputs.max(1)
        total += targets.size(0)
        correct += predicted.eq(targets).sum().item()
    return train_loss / len(loader)
