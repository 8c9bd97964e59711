"""Trainings that are killed with -9 and begun again: `python -m tests.killed FOLDER`.

Prints the result of one that ran through, and then of those that were killed at one moment each.
Every training is a process of its own, with other random numbers before it.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from cnn_lessons import data, files
from cnn_lessons.training import Recipe, fit

SET = data.generate(train=80, test=10)
RECIPE = Recipe(epochs=3, learning_rate=0.02, clip=1.0)
MOMENTS = range(1, 34, 4)


class Killed:
    """Counts what happens: batches, calls of `watch`, and the steps of writing a file."""

    def __init__(self, at: int | None):
        self.left = at

    def __call__(self, *_) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function):
        return lambda *arguments: self() or function(*arguments)

    def batches(self, batches):
        class Counted:
            def __len__(_):
                return len(batches)

            def __getattr__(_, name):
                return getattr(batches, name)

            def __setattr__(_, name, value):
                setattr(batches, name, value)

            def __iter__(_):
                for batch in batches:
                    self()
                    yield batch

        return Counted()


def training(path: Path | None, at: int | None) -> str:
    """Train, and be killed at one moment or return the result, in a few digits."""
    torch.manual_seed(os.getpid())
    torch.rand(os.getpid() % 7)
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))
    if path and path.exists():
        torch.manual_seed(os.getpid())  # now the file has the random numbers
    killed = Killed(at)
    files.os.fsync, files.os.replace = map(killed.before, (files.os.fsync, files.os.replace))
    train = killed.batches(SET.batches("train", 16, augment=True, images=64))
    validation = killed.batches(SET.batches("validation", 4, shuffle=True))
    history = fit(model, train, validation, RECIPE, False, checkpoint=path, watch=killed)
    digest = hashlib.sha256(str([e.validation_loss for e in history.epochs]).encode())
    for tensor in model.state_dict().values():
        digest.update(tensor.contiguous().numpy())
    return digest.hexdigest()[:16]


def in_a_process(path: Path | None, at: int | None = None) -> str:
    """The result, or "killed"."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
            os.write(writing, training(path, at).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read() or "killed"


if __name__ == "__main__":
    torch.optim.SGD([torch.zeros(1)])  # imports, once and not in each process, what it needs
    print(in_a_process(None))
    for moment in MOMENTS:
        run = Path(sys.argv[1]) / str(moment)
        print(in_a_process(run, moment), in_a_process(run, 2), in_a_process(run))
