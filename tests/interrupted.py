"""Ctrl-C at random moments: `python -m tests.interrupted 10000` tells how many did no harm.

A kind of work is a context manager: it gives what is to be done, and checks, once that was ended,
that all is as it was and that the next call works. test_interrupts.py ends it at chosen lines; here
a signal of the system does, at any moment.
"""

import contextlib
import functools
import io
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from cnn_lessons import data
from cnn_lessons.files import write_whole
from cnn_lessons.shapes import record
from cnn_lessons.shapes.recorder import WATCHERS
from cnn_lessons.training import (
    Recipe,
    checkpoint,
    cross_entropy,
    evaluate,
    faster_precision,
    fit,
    precision,
)

SET = data.generate(train=60, test=10)


class Clock:
    """Tells the same time on every machine: so the probe takes the same way each time."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.3
        return self.now


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))
    model[1].eval()  # a part in another mode than the rest
    return model


def state(model):
    """All that an interrupt could leave changed."""
    torch.autocast_increment_nesting()
    depth = torch.autocast_decrement_nesting()
    hooks = [name for name in vars(nn.Module()) if name.endswith(("hooks", "hooks_with_kwargs"))]
    return {
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), depth),
        "cache": torch.is_autocast_cache_enabled(),
        "watchers": [len(now()) for now, *_ in WATCHERS],
        "hooks": [len(getattr(layer, name)) for layer in model.modules() for name in hooks],
        "modes": [layer.training for layer in model.modules()],
        "random": torch.get_rng_state().tolist(),
        "weights": {name: tensor.tolist() for name, tensor in model.state_dict().items()},
        "gradient": [parameter.grad for parameter in model.parameters()],
    }


def numbers(history, model):
    losses = [(epoch.train_loss, epoch.validation_loss) for epoch in history.epochs]
    return losses, [tensor.tolist() for tensor in model.state_dict().values()]


def train(kind, path, model):
    """Two epochs; what is asked for in `watch` and the validation pictures are random as well."""
    recipe = Recipe(epochs=2, learning_rate=0.02, clip=1.0, precision=kind)
    torch.manual_seed(1)
    batches = SET.batches("train", 16, augment=True, images=32)
    validation = SET.batches("validation", 4, shuffle=True)
    how = {"checkpoint": path, "watch": lambda history: torch.rand(len(history.epochs))}
    return fit(model, batches, validation, recipe, False, **how)


@functools.cache
def uninterrupted(kind):
    model = network()
    return numbers(train(kind, None, model), model)


@contextlib.contextmanager
def a_training(kind, folder):
    expected, path, model = uninterrupted(kind), folder / "run", network()
    path.unlink(missing_ok=True)
    outside = ("gradients", "autocast", "cache", "watchers", "hooks")
    before, done = state(model), []
    yield lambda: done.append(train(kind, path, model))
    after = state(model)
    assert [after[name] for name in outside] == [before[name] for name in outside]
    assert {file.name for file in folder.iterdir()} <= {"run"}
    if done:
        assert not any(after["modes"])
        if path.exists():
            _, record = checkpoint.read(path)
            assert len(record["done"]["history"]["epochs"]) == len(done[0].epochs)
    else:
        assert after["modes"] == before["modes"] or not any(after["modes"])
    model = network()
    assert numbers(train(kind, path, model), model) == expected


@contextlib.contextmanager
def leaving(model, work):
    """What changes nothing and says the same again."""
    expected, before = str(work()), state(model)
    yield work
    assert state(model) == before
    assert str(work()) == expected


def an_evaluation(_):
    model, batches = network(), SET.batches("test", 4)
    return leaving(model, lambda: evaluate(model, batches))


def a_record(_):
    model = network()
    return leaving(model, lambda: record(model, (3, 32, 32)))


def a_probe(_):
    model, (images, labels) = network(), next(iter(SET.batches("train", 8)))
    return leaving(model, lambda: faster_precision(model, images, labels, cross_entropy, seconds=0))


@contextlib.contextmanager
def a_file(folder):
    path, old, new = folder / "file", b"old" * 99, b"new" * 100
    write_whole(path, old)
    yield lambda: write_whole(path, new)
    assert path.read_bytes() in (old, new) and list(folder.iterdir()) == [path]


KINDS = {
    "training": functools.partial(a_training, "bfloat16"),
    "training with a probe": functools.partial(a_training, "auto"),
    "evaluation": an_evaluation,
    "record": a_record,
    "probe": a_probe,
    "file": a_file,
}


def ended(work, seconds):
    """Whether a signal came after so many seconds of this work, before it was done."""
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)  # should it have come in the line above
        return True
    return False


def main(number, seed=0):
    """Try so many moments, of all kinds in turn, and print what came of them."""
    from tests import test_data  # which needs this file

    signal.signal(signal.SIGALRM, signal.default_int_handler)  # as for Ctrl-C
    sys.unraisablehook = lambda _: None  # Python drops what is raised while it tidies up
    precision.time.perf_counter, rng = Clock(), random.Random(seed)
    took: dict[str, float] = {}
    tried, came, bad = Counter(), Counter(), Counter()
    with pytest.MonkeyPatch.context() as patch, test_data.serving(patch) as address:
        kinds = KINDS | {"download": functools.partial(test_data.a_download, address)}
        names = list(kinds)
        for k in range(number):
            name, said = names[k % len(names)], io.StringIO()
            with (
                tempfile.TemporaryDirectory() as folder,
                contextlib.redirect_stdout(said), contextlib.redirect_stderr(said),
            ):  # fmt: skip
                try:
                    with kinds[name](Path(folder)) as work:
                        start = time.monotonic()
                        stop = ended(work, rng.uniform(1e-6, took.get(name, 60)))
                        took.setdefault(name, time.monotonic() - start)  # of the first, a whole one
                except Exception as error:
                    bad[name] += 1
                    print(
                        f"{name}, moment {k} of seed {seed}: {error!r}"[:500], file=sys.__stdout__
                    )
            tried[name] += 1
            came[name] += stop or "Stopped by you" in said.getvalue()
            if k % 500 == 499 or k + 1 == number:
                of = ", ".join(f"{came[each]:,} in a {each}" for each in names)
                print(f"{k + 1:,} moments: {bad.total()} did harm; a signal came {of}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
