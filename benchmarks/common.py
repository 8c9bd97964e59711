"""What the benchmarks share: options, the machine in words, medians in turn, the usual loop."""

import argparse
import functools
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader

from cnn_lessons import data, networks, training
from cnn_lessons.files import write_whole
from cnn_lessons.table import Table

ON_A_GPU = 25_600  # pictures in one timing
# The same on a CPU, for some seconds; the other networks take 3,840.
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


def with_device(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """--device, for a benchmark that runs on any; the fastest if left out."""
    what = {"type": torch.device, "default": training.device()}
    parser.add_argument("--device", help="cpu, cuda or mps", **what)
    return parser


@functools.cache
def pictures(quick: bool) -> data.Dataset:
    return data.generate(train=600, test=200) if quick else data.load()


def machine(device: torch.device | None = None) -> dict[str, str]:
    """The machine and the versions in words, without its name; of a GPU if that was the device."""
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = about.read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        model = next(iter(names), model)
    threads = torch.get_num_threads()
    words = f"{os.cpu_count()} cores of {model}, {threads} thread{'s' * (threads > 1)}"
    if (device or training.device()).type == "cuda":
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
    parser = with_device(options(description, tuple(networks.NETWORKS)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    return parser


def speeds(
    chosen: argparse.Namespace, variants: Callable[..., dict[str, Callable]]
) -> Iterator[tuple[str, dict[str, float]]]:
    """For each network that the command line names, the medians of its variants.

    `variants(dataset, name, images, chosen)` gives what to run, each returning pictures a second.
    """
    dataset = pictures(chosen.quick)
    for name in chosen.networks:
        images = IMAGES.get(name, 3_840) if chosen.device.type == "cpu" else ON_A_GPU
        images = 256 if chosen.quick else images
        rounds = 1 if chosen.quick else chosen.rounds
        yield name, in_turn(variants(dataset, name, images, chosen), rounds)  # then all is let go


def report(benchmark: str, rows: list[dict], chosen: argparse.Namespace, **facts) -> list[dict]:
    """Print the rows and the machine; with --folder, write them as JSON, and `facts` with them.

    What was measured with other batches than those of 128 is stored beside what was measured with
    those, and so is what was measured on another device than the CPU.
    """
    device = getattr(chosen, "device", torch.device("cpu"))
    size = getattr(chosen, "batch_size", 128)
    benchmark = benchmark if size == 128 else f"{benchmark}_{size}"
    benchmark = networks.file_name(benchmark, device=device.type)
    where = machine(device)
    record = {"benchmark": benchmark, "rows": rows, **facts, **where}
    print(Table.of(rows).markdown(), where, sep="\n")
    if chosen.folder:
        write_json(chosen.folder / f"{benchmark}.json", record)
    return rows


def run_missing(
    path: Path, about: dict, runs: Mapping[tuple[str, int], Callable[[], dict]], **facts
) -> list[dict]:
    """The rows that a file has, then those of `runs`, by variant and seed, that it had not.

    Each is added to the file as soon as it is there, so that a sweep can be run in parts. `about`
    stands before the rows in the file, `facts` after them.
    """
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    there = {(row["variant"], row["seed"]) for row in rows}
    for (variant, seed), run in runs.items():
        if (variant, seed) not in there:
            rows.append({"variant": variant, "seed": seed} | run())
            write_json(path, about | {"rows": rows} | facts)
            numbers = {key: value for key, value in rows[-1].items() if np.isscalar(value)}
            print(
                {key: value for key, value in numbers.items() if key not in machine()}, flush=True
            )
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


def usual_loader(
    dataset: data.Dataset, images: int, workers: int = 2, batch_size: int = 128, pin: bool = False
) -> DataLoader:
    """Batches as most public code makes them: PIL, one picture at a time, two workers."""
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
    how = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": pin}
    return DataLoader(chosen, batch_size=batch_size, shuffle=True, **how)


def usual_epoch(
    model: nn.Module,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    device: torch.device = torch.device("cpu"),  # noqa: B008
) -> float:
    """One pass as most public code makes it, loss and accuracy read after every batch."""
    model.train()
    criterion = nn.CrossEntropyLoss()
    train_loss, correct, total = 0.0, 0, 0
    for inputs, targets in loader:
        # Only pinned memory is copied while the rest goes on.
        inputs, targets = (each.to(device, non_blocking=True) for each in (inputs, targets))
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
