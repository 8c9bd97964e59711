"""A training on disk: written whole or not at all, and read back only if nothing is wrong with it.

One file in the safetensors format: tensors, and in its header a JSON record. It holds no code.
"""

import hashlib
import json
from pathlib import Path
from textwrap import shorten

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from cnn_lessons.files import write_whole


class CheckpointError(ValueError):
    """The file cannot be written or used: names the file, what is wrong, and what to do."""


def write(path: str | Path, tensors: dict[str, Tensor], record: dict) -> None:
    """Write tensors and record (what JSON can hold) to `path`, as `write_whole` does."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    record = record | {"sha256": _sha256(tensors)}
    write_whole(path, save(tensors, {"record": json.dumps(record)}))


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and record of a file that `write` wrote.

    Raises CheckpointError for a file that is cut short, damaged, or of another origin.
    """
    content = Path(path).read_bytes()
    again = "delete it, or name another file"
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is cut short or damaged ({error}); {again}") from error
    try:
        record = json.loads(header["__metadata__"]["record"])
        expected = record["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} was not written by this course; {again}") from error
    if _sha256(tensors) != expected:
        raise CheckpointError(f"{path} is damaged: its sha256 is not the recorded one; {again}")
    return tensors, record


def _sha256(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class Checkpoint:
    """The file of one training: weights, momentum, random generators, and what is done so far.

    `about` says which training it is (recipe, data): names and plain values. A file with another
    network or with another value under one of these names is refused.
    """

    def __init__(
        self, path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer, about: dict
    ):
        self.path, self.model, self.optimizer = Path(path), model, optimizer
        self.about = about | {"network": type(model).__name__, "layers": _layers(model)}

    def save(self, done: dict) -> None:
        """Write everything, and `done`, which `load` gives back. Raises OSError, see `write`."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        tensors |= {f"random.{name}": state for name, state in rng_states().items()}
        write(self.path, tensors, {"about": self.about, "done": done})

    def load(self) -> dict | None:
        """Put everything back as it was saved and return `done`; None where there is no file.

        Raises CheckpointError, naming what differs, for a file of another training.
        """
        if not self.path.exists():
            return None
        tensors, record = read(self.path)
        self._compare(record, tensors)
        self.model.load_state_dict(_part(tensors, "model."))
        for name, parameter in self.model.named_parameters():
            if f"momentum.{name}" in tensors:
                momentum = torch.empty_like(parameter, requires_grad=False)
                momentum.copy_(tensors[f"momentum.{name}"])
                self.optimizer.state[parameter]["momentum_buffer"] = momentum
        set_rng_states(_part(tensors, "random."))
        return record["done"]

    def _compare(self, record: dict, tensors: dict[str, Tensor]) -> None:
        there, here = dict(record.get("about", {})), dict(self.about)
        there |= {f"shape of {k}": list(v.shape) for k, v in _part(tensors, "model.").items()}
        here |= {f"shape of {k}": list(v.shape) for k, v in self.model.state_dict().items()}
        # The network first: all else differs as well where that is another one.
        for name in sorted(here | there, key=lambda name: name != "network"):
            if here.get(name) != there.get(name):
                values = [shorten(str(side.get(name, "missing")), 80) for side in (there, here)]
                raise CheckpointError(
                    f"{self.path} is of another training: {name} is {values[0]} there and "
                    f"{values[1]} here; name another file, or train as it says"
                )


def _layers(model: nn.Module) -> str:
    return " ".join(type(module).__name__ for module in model.modules())


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def rng_states() -> dict[str, Tensor]:
    """The states of PyTorch's random generators (uint8): "cpu", and those of the GPU, if any."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{k}": state for k, state in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_rng_states(states: dict[str, Tensor]) -> None:
    """Put them back; those of devices that are not here are left out."""
    torch.set_rng_state(states["cpu"])
    for k in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda{k}" in states:
            torch.cuda.set_rng_state(states[f"cuda{k}"], k)
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
