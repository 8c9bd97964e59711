"""The networks that the course trains: how each one starts, and its trained weights.

model = load_trained("LeNet5")       # ready to use, on any machine
print(card("LeNet5")["accuracy"])    # what it reached, and on what
print(results()["VGG16"]["accuracy"])  # what its recipe reached on all training pictures
"""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from cnn_lessons.files import write_whole
from cnn_lessons.models import (
    VGG,
    AlexNetCIFAR,
    ArticleResNet,
    GoogLeNetCIFAR,
    LeNet5,
    ResNetCIFAR,
    starts,
)
from cnn_lessons.training import checkpoint

WEIGHTS = Path(__file__).parent / "weights"
# Where `python -m benchmarks.results` writes; an installed package has them beside its modules.
_WRITTEN = Path(__file__).parents[1] / "benchmarks" / "results"
RESULTS = _WRITTEN if _WRITTEN.is_dir() else Path(__file__).parent / "results"


def _he(build: Callable[[], nn.Module]) -> nn.Module:
    """He's start of 2015: with PyTorch's own, deep networks without batch norm do not learn."""
    model = build()
    return starts.he(model)


NETWORKS = {
    "LeNet5": LeNet5,
    "AlexNetCIFAR": partial(_he, AlexNetCIFAR),
    "VGG16": partial(VGG, "D", num_classes=10, input_size=32, batch_norm=True),
    "VGG16Plain": partial(_he, partial(VGG, "D", num_classes=10, input_size=32)),
    "GoogLeNetCIFAR": partial(_he, GoogLeNetCIFAR),
    "ArticleResNet": ArticleResNet,
    "ResNetCIFAR20": partial(ResNetCIFAR, 20),
}


def build(name: str) -> nn.Module:
    """A network of `training.RECIPES` for CIFAR-10, with the start that its recipe wants.

    Upper and lower case are the same. Raises ValueError for a name that is not in NETWORKS.
    """
    return NETWORKS[full_name(name)]()


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
        model = NETWORKS[name]()
    model.to_empty(device="cpu")
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    if found != wanted:
        key = next(key for key in wanted | found if wanted.get(key) != found.get(key))
        raise checkpoint.CheckpointError(
            f"{path} does not fit {name}: {key} is {found.get(key)} there, {wanted.get(key)} here"
        )
    model.load_state_dict(tensors)
    return model.eval()


def results(folder: str | Path = RESULTS) -> dict[str, dict]:
    """What the recipes reached on all training pictures, in the order of NETWORKS.

    Each record has "network", "accuracy" (0 to 1, of the test pictures, the mean over "seeds"),
    "lowest", "highest", "epochs", "images", "data", "seconds", "processor_seconds", "machine" and
    more: all that `python -m benchmarks.results` wrote. Networks without a record are left out.
    """
    files = {name: Path(folder) / f"{name}.json" for name in NETWORKS}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in files.items()
        if path.exists()
    }
