"""The networks that the course trains: whose they are, how each one starts, its trained weights.

model = load_trained("LeNet5")       # ready to use, on any machine
print(card("LeNet5")["accuracy"])    # what it reached, and on what
print(results()["VGG16"]["accuracy"])  # what its recipe reached on all training pictures
"""

import hashlib
import io
import json
import socket
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn

from cnn_lessons import models
from cnn_lessons.files import write_whole
from cnn_lessons.models.conversion import from_torchvision
from cnn_lessons.models.starts import STARTS
from cnn_lessons.training import RECIPES, checkpoint, profile

WEIGHTS = Path(__file__).parent / "weights"
# Where `python -m benchmarks.results` writes; an installed package has them beside its modules.
_WRITTEN = Path(__file__).parents[1] / "benchmarks" / "results"
RESULTS = _WRITTEN if _WRITTEN.is_dir() else Path(__file__).parent / "results"


class Network(NamedTuple):
    """How to build a network for CIFAR-10, and who wrote of it, in which year."""

    build: Callable[[], nn.Module]
    paper: str
    year: int


_VGG16 = partial(models.VGG, "D", num_classes=10, input_size=32)
_QUARTER = "16 16 M 32 32 M 64 64 64 M 128 128 128 M 128 128 128 M"  # of the maps of column D
NETWORKS = {
    "LeNet5": Network(models.LeNet5, "LeCun and others", 1998),
    "AlexNetCIFAR": Network(models.AlexNetCIFAR, "Krizhevsky and others", 2012),
    "AlexNetSmall": Network(models.AlexNetSmall, "Krizhevsky and others", 2012),
    "VGG16": Network(partial(_VGG16, batch_norm=True), "Simonyan, Zisserman", 2014),
    "VGG16Narrow": Network(
        partial(models.VGG, _QUARTER, 10, 32, batch_norm=True, hidden=512),
        "Simonyan, Zisserman",
        2014,
    ),
    "VGG16Plain": Network(_VGG16, "Simonyan, Zisserman", 2014),
    "GoogLeNetCIFAR": Network(models.GoogLeNetCIFAR, "Szegedy and others", 2014),
    "GoogLeNetBN": Network(models.GoogLeNetBN, "Ioffe, Szegedy", 2015),
    "ArticleResNet": Network(models.ArticleResNet, "He and others", 2015),
    "ResNetCIFAR20": Network(partial(models.ResNetCIFAR, 20), "He and others", 2015),
    "ResNet18": Network(
        partial(models.ResNet, 18, num_classes=10, stem="3x3"), "He and others", 2015
    ),
}


def build(name: str, start: str | None = None) -> nn.Module:
    """A network for CIFAR-10, with the start of its recipe, or with another of `starts.STARTS`.

    Upper and lower case are the same. Raises ValueError for a name or a start that there is not.
    """
    name = full_name(name)
    start = RECIPES[name]["cpu"].start if start is None else start
    if start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}; got {start!r}")
    return STARTS[start](NETWORKS[name].build())


def full_name(name: str) -> str:
    """The name as NETWORKS has it. Raises ValueError where it has none such."""
    for known in NETWORKS:
        if known.lower() == name.lower():
            return known
    raise ValueError(f"the network must be one of {', '.join(NETWORKS)}; got {name!r}")


def round_to_half(model: nn.Module) -> dict[str, Tensor]:
    """Round the model's weights to half precision, and return them in it.

    So an accuracy can be measured of what is stored. Raises ValueError for weights too large.
    """
    half = {
        key: value.half() if value.is_floating_point() else value
        for key, value in model.state_dict().items()
    }
    large = [key for key, value in half.items() if not value.isfinite().all()]
    if large:
        raise ValueError(f"the weights {large[0]} do not fit into half precision")
    model.load_state_dict(half)
    return half


def save_trained(
    model: nn.Module, name: str, details: dict, folder: str | Path = WEIGHTS
) -> nn.Module:
    """Write weights in half precision, and their card: `details`, of plain values, and a sha256.

    The model's own weights are rounded as well. Returns the model.
    """
    name, path = full_name(name), Path(folder) / f"{full_name(name)}.safetensors"
    checkpoint.write(path, round_to_half(model), {"network": name})
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    text = json.dumps({"network": name} | details | {"sha256": sha256}, indent=2)
    write_whole(path.with_suffix(".json"), f"{text}\n".encode())
    return model


def card(name: str, folder: str | Path = WEIGHTS) -> dict:
    """What is known of the trained weights: data, recipe, accuracy on the test pictures, sha256.

    Raises ValueError where there are none for this network.
    """
    path = Path(folder) / f"{full_name(name)}.json"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in Path(folder).glob("*.json"))) or "none"
        raise ValueError(f"no trained weights of {full_name(name)} in {folder}; there: {there}")
    return json.loads(path.read_text(encoding="utf-8"))


def load_trained(name: str, folder: str | Path = WEIGHTS) -> nn.Module:
    """The network with its trained weights, in evaluation mode, on the CPU.

    Raises CheckpointError for a file that is not the one of the card or does not fit the network,
    and ValueError where there is none.
    """
    name = full_name(name)
    expected, path = card(name, folder)["sha256"], Path(folder) / f"{name}.safetensors"
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise checkpoint.CheckpointError(
            f"{path} is missing or not the file of its card, sha256 {expected}; install it again"
        )
    tensors, _ = checkpoint.read(path)
    with torch.device("meta"):
        model = NETWORKS[name].build()
    try:
        model.to_empty(device="cpu").load_state_dict(tensors)
    except RuntimeError as error:
        raise checkpoint.CheckpointError(f"{path} does not fit {name}: {error}") from error
    return model.eval()


def load_imagenet(
    depth: int = 18, timeout: float = 5.0
) -> tuple[nn.Module, Callable[..., Tensor], list[str]]:
    """Our ResNet with the weights that torchvision trained on ImageNet, in evaluation mode.

    With it come what makes its input (3, 224, 224) of a picture (PIL, or uint8 (3, H, W)), and the
    names of its 1,000 classes. The weights, 45 MB for 18 layers, are downloaded once; the sha256 in
    the name of the file is compared, and nothing of it is executed. Raises ValueError for a depth
    other than 18, 34, 50, 101 or 152, and OSError where there is no network, where nothing answers
    for `timeout` seconds, where the file is not the right one, and in the profile "test".
    """
    model = models.ResNet(depth)
    weights = torchvision.models.get_model_weights(f"resnet{depth}")["IMAGENET1K_V1"]
    if profile() == "test":
        raise OSError("the profile is test, in which nothing is downloaded")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        quiet = io.StringIO()  # it tells where it writes, also where it cannot
        with redirect_stdout(quiet), redirect_stderr(quiet):
            state = torch.hub.load_state_dict_from_url(
                weights.url, map_location="cpu", check_hash=True, weights_only=True
            )
    except (RuntimeError, EOFError, UnpicklingError) as error:
        raise OSError(f"{weights.url} is not what it should be: {error}") from error
    finally:
        socket.setdefaulttimeout(before)
    model.load_state_dict(from_torchvision(state, model))
    return model.eval(), weights.transforms(), weights.meta["categories"]


def file_name(what: str, profile: str = "cpu", device: str = "cpu") -> str:
    """What a result is stored as: each profile and each kind of device has files of its own."""
    return "_".join([what, *(part for part in (profile, device) if part != "cpu")])


def results(folder: str | Path = RESULTS, *, gpu: bool = False) -> dict[str, dict]:
    """What the recipes reached on all training pictures, in the order of NETWORKS.

    Those of the `cpu` profile, on a CPU; with `gpu`, those of the `gpu` profile, on an NVIDIA card.

    Each record has "network", "accuracy" (0 to 1, of the test pictures, the mean over "seeds"),
    "lowest", "highest", "epochs", "images", "data", "seconds", "processor_seconds", "machine" and
    more: all that `python -m benchmarks.results` wrote. Networks without a record are left out.
    """
    where = ("gpu", "cuda") if gpu else ("cpu", "cpu")
    files = {name: Path(folder) / f"{file_name(name, *where)}.json" for name in NETWORKS}
    there = {name: path for name, path in files.items() if path.exists()}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in there.items()}


def experiment(name: str, measure: str, folder: str | Path = RESULTS) -> dict[str, list]:
    """What a stored comparison measured: for each variant a value a seed, paired by place.

    Seeds that a variant has not run are left out for all. `python -m benchmarks.experiments` wrote
    it. Raises ValueError where there is no such comparison, or none of its trainings has `measure`.
    """
    path = Path(folder) / f"experiment_{name}.json"
    if not path.exists():
        there = [file.stem[11:] for file in sorted(Path(folder).glob("experiment_*.json"))]
        raise ValueError(f"name must be one of {', '.join(there) or 'none'}; got {name!r}")
    return _paired(json.loads(path.read_text(encoding="utf-8"))["rows"], measure)


def depth_sweep(
    measure: str, variants: Sequence[str] | None = None, folder: str | Path = RESULTS
) -> dict[str, list]:
    """What `python -m benchmarks.depth` measured of "plain 8", "residual 56" and others.

    For each variant a value a seed, paired by place, or a list with one an epoch: "test_accuracy",
    "epochs", "train_accuracy", "validation_accuracy", "train_loss". Seeds that one of the variants
    has not run are left out for all. Raises ValueError for a variant or a measure that is unknown.
    """
    rows = json.loads((Path(folder) / "depth.json").read_text(encoding="utf-8"))["rows"]
    there = list(dict.fromkeys(row["variant"] for row in rows))
    if unknown := [each for each in variants or [] if each not in there]:
        raise ValueError(f"variants must be of {', '.join(there)}; got {unknown[0]!r}")
    return _paired([row for row in rows if row["variant"] in (variants or there)], measure)


def race_file(folder: str | Path = RESULTS, device: str = "cpu") -> Path:
    """Where `python -m benchmarks.race` writes what a device did."""
    return Path(folder) / f"{file_name('race', device=device)}.json"


def race(folder: str | Path = RESULTS, device: str = "cpu") -> list[dict]:
    """The rows of `python -m benchmarks.race`, each with one change more; [] if it never ran there.

    A row has "change", "images/s", "times" (the row before that was timed), "epochs" until the last
    mark, and seconds until each: "s to 60%". With several seeds it is their mean. What is not there
    yet is "not measured"; what one of the seeds did not reach, "not reached".
    """
    path = race_file(folder, device)
    if not path.exists():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    rows, before, curves, missing = [], 0.0, [], "not measured"
    for change, speed in record["images/s"].items():
        if change not in record["alter nothing"]:  # else it learns as the row before
            curves = [row["accuracies"] for row in record["rows"] if row["variant"] == change]
        epochs = {mark: _epochs(curves, mark) for mark in record["marks"]}
        row = {"change": change, "images/s": speed or missing}
        row["times"] = (speed / before if before else "") if speed else missing
        row["epochs"] = epochs[max(epochs)]
        for mark, passed in epochs.items():
            known = passed if isinstance(passed, str) or speed else missing
            seconds = known if isinstance(known, str) else known * record["images"] / speed
            row[f"s to {mark:.0%}"] = seconds if isinstance(seconds, str) else round(seconds, 1)
        rows.append(row)
        before = speed or before
    return rows


def _epochs(curves: list[list[float]], mark: float) -> float | str:
    """Epochs until accuracies, taken twice an epoch, reach the mark: the mean of the curves."""
    found = []
    for curve in curves:
        passed = [k for k, accuracy in enumerate(curve, start=1) if accuracy >= mark]
        if not passed:
            return "not reached"
        found.append(passed[0] / 2)
    return sum(found) / len(found) if found else "not measured"


def _paired(rows: list[dict], measure: str) -> dict[str, list]:
    """For each variant its values, for the seeds that all variants have, in the order of seeds."""
    found: dict[str, dict[int, object]] = {}
    for row in rows:
        if measure not in row:
            raise ValueError(f"measure must be one of {', '.join(row)}; got {measure!r}")
        found.setdefault(row["variant"], {})[row["seed"]] = row[measure]
    seeds = sorted(set.intersection(*(set(values) for values in found.values())))
    return {variant: [values[seed] for seed in seeds] for variant, values in found.items()}
