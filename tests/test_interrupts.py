"""Ctrl-C at any instruction: what was there before is there afterwards, and the next call works.

A tracer raises KeyboardInterrupt at one line of all that runs, this package's or PyTorch's: harsher
than a signal, which Python looks at in fewer places. CNN_LESSONS_INTERRUPTS=2000 tries more lines.
"""

import contextlib
import os
import random
import sys

import pytest
import torch
from torch import nn

from cnn_lessons import data
from cnn_lessons.files import write_whole
from cnn_lessons.training import (
    Recipe,
    checkpoint,
    cross_entropy,
    evaluate,
    faster_precision,
    fit,
    precision,
)

MOMENTS = int(os.environ.get("CNN_LESSONS_INTERRUPTS", "80"))  # of each kind of work
SET = data.generate(train=60, test=10)
LOCKS = ("threading", "tqdm", "queue", "urllib3", "requests", "http", "socket", "logging", "ssl")
# Python drops what is raised while it takes something apart, and tells so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@contextlib.contextmanager
def interrupted(at):
    """Raise KeyboardInterrupt at the line with this number; gives a list of how many lines ran."""
    lines = [0]

    def trace(frame, event, _):
        # Python drops what is raised in __del__, and where a lock is held its `with` can be left
        # without letting go of it: a second Ctrl-C ends that, and no line of ours can.
        path = frame.f_code.co_filename
        if frame.f_code.co_name == "__del__" or any(name in path for name in LOCKS):
            return None
        if event == "line":
            lines[0] += 1
            if lines[0] == at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def moments(work):
    """The numbers of some lines of this work, drawn at random, the same each time."""
    with interrupted(None) as lines:
        work()
    rng = random.Random(0)
    return [rng.randint(1, lines[0]) for _ in range(MOMENTS)]


class Clock:
    """Tells the same time on every machine: so the probe takes the same way each time."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.3
        return self.now


@pytest.fixture(autouse=True)
def one_clock(monkeypatch):
    monkeypatch.setattr(precision.time, "perf_counter", Clock())


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))


def state(model=None):
    """All that an interrupt could leave changed."""
    torch.autocast_increment_nesting()
    depth = torch.autocast_decrement_nesting()
    layers = list(model.modules()) if model else []
    return {
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), depth),
        "cache": torch.is_autocast_cache_enabled(),
        "modes": [layer.training for layer in layers],
        "hooks": [len(layer._forward_hooks) + len(layer._backward_hooks) for layer in layers],
    }


def numbers(history, model):
    losses = [(epoch.train_loss, epoch.validation_loss) for epoch in history.epochs]
    return losses, [tensor.tolist() for tensor in model.state_dict().values()]


@pytest.mark.parametrize("kind", ["bfloat16", "auto"])
def test_a_training_that_is_interrupted_anywhere_goes_on_to_the_same_numbers(
    tmp_path, capsys, kind
):
    recipe = Recipe(epochs=2, learning_rate=0.02, clip=1.0, precision=kind)

    def train(path, model=None):
        model = model or network()
        torch.manual_seed(1)
        batches = SET.batches("train", 16, augment=True, images=32)
        validation = SET.batches("validation", 4, shuffle=True)
        how = {"checkpoint": path, "watch": lambda history: torch.rand(len(history.epochs))}
        return lambda: fit(model, batches, validation, recipe, False, **how)

    model, stopped = network(), 0
    expected = numbers(train(tmp_path / "whole", model)(), model)
    for at in moments(train(tmp_path / "counted")):
        path, model, history = tmp_path / "run", network(), None
        work, before = train(path, model), state()
        with contextlib.suppress(KeyboardInterrupt), interrupted(at):
            history = work()
        assert state() == before, at
        assert {file.name for file in tmp_path.iterdir()} <= {"whole", "counted", "run"}, at
        if history is not None:
            assert not any(layer.training for layer in model.modules()), at
            stopped += bool(history.stopped)
            if path.exists():
                _, record = checkpoint.read(path)
                assert len(record["done"]["history"]["epochs"]) == len(history.epochs), at
        model = network()
        assert numbers(train(path, model)(), model) == expected, at
        path.unlink()
    assert stopped > MOMENTS / 2


def test_an_interrupted_evaluation_leaves_everything_as_it_was():
    model, batches = network(), SET.batches("test", 4)
    model[1].eval()  # a part in another mode than the rest
    expected = evaluate(model, batches)
    for at in moments(lambda: evaluate(model, batches)):
        before, random_state = state(model), torch.get_rng_state()
        with contextlib.suppress(KeyboardInterrupt), interrupted(at):
            evaluate(model, batches)
        assert state(model) == before and torch.equal(torch.get_rng_state(), random_state), at
        assert evaluate(model, batches) == expected, at


def test_an_interrupted_probe_leaves_everything_as_it_was():
    model, (images, labels) = network(), next(iter(SET.batches("train", 8)))
    weights = [tensor.clone() for tensor in model.state_dict().values()]

    def probe():
        faster_precision(model, images, labels, cross_entropy, seconds=0)

    probe()
    for at in moments(probe):
        before, random_state = state(model), torch.get_rng_state()
        with contextlib.suppress(KeyboardInterrupt), interrupted(at):
            probe()
        assert state(model) == before and torch.equal(torch.get_rng_state(), random_state), at
        assert all(map(torch.equal, weights, model.state_dict().values())), at
        assert all(parameter.grad is None for parameter in model.parameters()), at


def test_an_interrupted_writer_leaves_one_whole_file_and_no_other(tmp_path):
    path, old, new = tmp_path / "file", b"old" * 99, b"new" * 100
    write_whole(path, old)
    for at in moments(lambda: write_whole(path, old)):
        with contextlib.suppress(KeyboardInterrupt), interrupted(at):
            write_whole(path, new)
        assert path.read_bytes() in (old, new) and list(tmp_path.iterdir()) == [path], at
        write_whole(path, old)
