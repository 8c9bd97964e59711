"""Ctrl-C at any instruction: what was there before is there afterwards, and the next call works.

A tracer raises KeyboardInterrupt at one line of all that runs, this package's or PyTorch's: harsher
than a signal, which Python looks at in fewer places. CNN_LESSONS_INTERRUPTS=2000 tries more lines;
`python -m tests.interrupted 10000` takes a signal, at any moment.
"""

import contextlib
import os
import random
import sys

import pytest

from cnn_lessons.training import precision
from tests.interrupted import KINDS, Clock

MOMENTS = int(os.environ.get("CNN_LESSONS_INTERRUPTS", "25"))  # of each kind of work
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


def interrupt_anywhere(kind, folder):
    """End this kind of work at some of its lines, drawn at random, the same each time."""
    folder.mkdir()
    with kind(folder) as work, interrupted(None) as lines:
        work()
    rng = random.Random(0)
    for at in [rng.randint(1, lines[0]) for _ in range(MOMENTS)]:
        place = folder / str(at)
        place.mkdir(exist_ok=True)
        with kind(place) as work, contextlib.suppress(KeyboardInterrupt), interrupted(at):
            work()


@pytest.fixture(autouse=True)
def one_clock(monkeypatch):
    monkeypatch.setattr(precision.time, "perf_counter", Clock())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_interrupted_anywhere_leaves_all_as_it_was_and_works_again(tmp_path, capsys, kind):
    interrupt_anywhere(KINDS[kind], tmp_path / "all")
    if "training" in kind:
        assert capsys.readouterr().out.count("Stopped by you") > MOMENTS / 2
