"""The networks that the course trains: how each one starts, and its trained weights.

model = load_trained("LeNet5")       # ready to use, on any machine
print(card("LeNet5")["accuracy"])    # what it reached, and on what
"""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from cnn_lessons import checkpoint
from cnn_lessons.models import (
    VGG,
    AlexNetCIFAR,
    ArticleResNet,
    GoogLeNetCIFAR,
    LeNet5,
    ResNetCIFAR,
    vgg,
)

WEIGHTS = Path(__file__).parent / "weights"


def _he(build: Callable[[], nn.Module]) -> nn.Module:
    """He's start of 2015: with PyTorch's own, deep networks without batch norm do not learn."""
    model = build()
    vgg.initialise(model, "he")
    return model


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


def save_trained(
    model: nn.Module, name: str, details: dict, folder: str | Path = WEIGHTS
) -> nn.Module:
    """Write weights in half precision, and their card: `details`, of plain values, and a sha256.

    The model's own weights are rounded to what is written, so that an accuracy measured before and
    after can be compared. Returns the model.
    """
    name, folder = full_name(name), Path(folder)
    half = {
        key: value.half() if value.is_floating_point() else value
        for key, value in model.state_dict().items()
    }
    if not all(value.isfinite().all() for value in half.values()):
        raise ValueError(f"the weights of {name} do not fit into half precision")
    model.load_state_dict(half)
    path = folder / f"{name}.safetensors"
    checkpoint.write(path, half, {"network": name})
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    text = json.dumps({"network": name} | details | {"sha256": sha256}, indent=2)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
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
