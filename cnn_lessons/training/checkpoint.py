"""A training on disk: written whole or not at all, and read back only if nothing is wrong with it.

One file in the safetensors format: tensors, and in its header a JSON record. It holds no code.
"""

import hashlib
import json
from collections.abc import Sized
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from tqdm.auto import tqdm

from cnn_lessons.files import write_whole
from cnn_lessons.training.history import Epoch, History
from cnn_lessons.training.recipes import Recipe
from cnn_lessons.training.state import rng_states, set_rng_states

OURS = b'{"__metadata__":{"record":"'  # what `write` begins with, after the 8 bytes of a length
FOREIGN = {b"PK": "a zip archive, as torch.save writes it", b"\x80": "a pickle"}
AGAIN = "delete it, or name another file"


class CheckpointError(ValueError):
    """The file cannot be written or used: names the file, what is wrong, and what to do."""


def write(path: str | Path, tensors: dict[str, Tensor], record: dict) -> None:
    """Write tensors and record (what JSON can hold) to `path`, as `write_whole` does."""
    whole = {"memory_format": torch.contiguous_format}  # and a copy, where two layers share weights
    tensors = {name: tensor.detach().cpu().clone(**whole) for name, tensor in tensors.items()}
    record = record | {"sha256": _sha256(tensors, record)}
    write_whole(path, save(tensors, {"record": json.dumps(record)}))


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and record of a file that `write` wrote.

    Raises CheckpointError for a file that is cut short, damaged, or of another origin.
    """
    try:
        if not Path(path).is_file():
            raise CheckpointError(f"{path} is not a file; name another one")
        with Path(path).open("rb") as file:
            content = file.read(8 + len(OURS))
            if content[8:] != OURS:  # so nobody is told to delete it
                kinds = [kind for sign, kind in FOREIGN.items() if content.startswith(sign)]
                kind = (kinds or ["of another origin, or empty"])[0]
                raise CheckpointError(f"{path} is no checkpoint but {kind}; name another file")
            content += file.read()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        record = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["record"])
        expected = record.pop("sha256")
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is cut short or damaged ({error}); {AGAIN}") from error
    # The trained weights that come with the course have the sha256 of their tensors alone.
    if expected not in (_sha256(tensors, record), _sha256(tensors, {})):
        raise CheckpointError(f"{path} is damaged: its sha256 is not the recorded one; {AGAIN}")
    return tensors, record


def _sha256(tensors: dict[str, Tensor], record: dict) -> str:
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode() if record else b"")
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Checkpoint:
    """The file of one training: weights, optimizer, random generators, and what is done so far.

    It knows which training it is of, and a file of another one is refused. Without a path nothing
    is written or read.
    """

    def __init__(
        self, path: str | Path | None, model: nn.Module, optimizer: torch.optim.Optimizer,
        train: Sized, validation: Sized, recipe: Recipe, loss: object,
    ):  # fmt: skip
        self.path = None if path is None else Path(path).expanduser()
        self.model, self.optimizer = model, optimizer
        self.batches: tuple[Any, Any] = train, validation  # some have an `epoch`, others have not
        self.saved = -1  # so many epochs are in the file; -1: there is none yet
        self.about: dict[str, object] = {
            "network": type(model).__name__,
            "layers": " ".join(type(layer).__name__ for layer in model.modules()),
            "loss": getattr(loss, "__name__", type(loss).__name__),
            "optimizer": type(optimizer).__name__,
            "batches": len(train),
        }
        weights = model.state_dict().items()
        self.about |= {f"shape of {name}": list(tensor.shape) for name, tensor in weights}
        self.about |= {f"recipe.{name}": value for name, value in asdict(recipe).items()}
        self.about |= {f"data.{k}": v for k, v in getattr(train, "identity", dict)().items()}

    def save(self, history: History) -> None:
        """Write everything, unless it is in the file already.

        Raises CheckpointError where the first file cannot be written: better then than after hours.
        """
        if self.path is None or self.saved == len(history.epochs):
            return
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"random.{name}": value for name, value in rng_states().items()}
        for name, parameter in self.model.named_parameters():
            state = self.optimizer.state.get(parameter, {}).items()
            tensors |= {f"optimizer.{k}.{name}": v for k, v in state if isinstance(v, Tensor)}
        passes = [getattr(batches, "epoch", None) for batches in self.batches]
        done = {"history": asdict(history), "passes": passes, "machine": _machine()}
        try:
            write(self.path, tensors, {"about": self.about, "done": done})
        except OSError as error:
            if self.saved < 0:
                raise CheckpointError(f"{self.path} cannot be written: {error}") from error
            number = len(history.epochs)
            tqdm.write(f"Epoch {number} is not in {self.path}: {error}. Training goes on.")
        self.saved = len(history.epochs)

    def finish(self, history: History) -> None:
        """Write the last epoch, where an interrupt came while that was being done."""
        if 0 <= self.saved < len(history.epochs):
            self.save(history)

    def load(self) -> History | None:
        """Put everything back as it was saved; None where there is no file.

        Raises CheckpointError, naming what differs, for a file of another training.
        """
        if self.path is None or not self.path.exists():
            return None
        tensors, record = read(self.path)
        try:
            self._compare(record["about"])
            done = record["done"]
            history = History(**done["history"])
            history.epochs = [Epoch(**epoch) for epoch in done["history"]["epochs"]]
            self._restore(tensors, done["passes"])
        except (LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{self.path} is damaged ({error!r}); {AGAIN}") from error
        self.saved = len(history.epochs)
        epochs = f"{self.saved} of {self.about['recipe.epochs']}"
        print(f"Goes on after epoch {epochs}, from {self.path}.")
        if (here := _machine()) != done["machine"]:
            print(f"Its last digits may change: it ran on {done['machine']}, and now on {here}.")
        return history

    def _compare(self, there: dict) -> None:
        # The network first: all else differs as well where that is another one.
        for name in sorted(self.about | there, key=lambda name: name != "network"):
            if self.about.get(name) != there.get(name):
                sides = (there, self.about)
                values = [str(side.get(name, "missing"))[:80] for side in sides]
                raise CheckpointError(
                    f"{self.path} is of another training: {name} is {values[0]} there and "
                    f"{values[1]} here; name another file, or train as it says"
                )

    def _restore(self, tensors: dict[str, Tensor], passes: list[int | None]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "random": {}}
        for name, tensor in tensors.items():
            part, _, name = name.partition(".")
            parts[part][name] = tensor
        self.model.load_state_dict(parts["model"])
        parameters = dict(self.model.named_parameters())
        groups = self.optimizer.param_groups
        on_device = all(group.get("fused") or group.get("capturable") for group in groups)
        for name, value in parts["optimizer"].items():
            key, _, name = name.partition(".")
            if value.shape == parameters[name].shape:  # on its device, in its order in memory
                value = torch.empty_like(parameters[name], requires_grad=False).copy_(value)
            elif on_device:  # a count of steps
                value = value.to(parameters[name].device)
            self.optimizer.state[parameters[name]][key] = value
        for batches, number in zip(self.batches, passes):
            if number is not None:
                batches.epoch = number
        set_rng_states(parts["random"])


def _machine() -> str:
    """What the last digits depend on."""
    threads, processor = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    return f"{processor} with {threads} threads and PyTorch {torch.__version__}"
