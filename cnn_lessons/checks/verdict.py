"""The verdict: right, wrong with a sentence, or not attempted yet.

A check is a function with the decorator `check`. It returns praise for a right answer, and raises
`Wrong` for any other, with a sentence that says which step went wrong.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch

from cnn_lessons.table import printable


class Wrong(Exception):
    """The sentence for a wrong answer."""


class Unfinished(Exception):
    """The sentence for an answer that is not there yet."""


def first_hint(slips: Mapping[str, Any], fits: Callable[[Any], bool], other: str) -> str:
    """The sentence for the first mistake that fits an answer, or else the other one."""
    return next((hint for hint, slip in slips.items() if fits(slip)), other)


@dataclass(frozen=True)
class Verdict:
    """`passed` is True, False, or None for "not attempted yet"; `text` is for the learner."""

    passed: bool | None
    text: str

    def __repr__(self) -> str:
        sign = {True: "✓ Right.", False: "✗ Not yet.", None: "… Not attempted yet."}[self.passed]
        return printable(f"{sign} {self.text}")


def check(todo: str, answers: int = 1) -> Callable[[Callable[..., str]], Callable[..., Verdict]]:
    """Make a check that gives a `Verdict` and never raises, of a function that judges.

    Its first arguments, as many as `answers`, are the learner's. While all of them are None, or
    lists of None, the verdict is "not attempted yet" with the words of `todo`.
    """

    def decorate(judge: Callable[..., str]) -> Callable[..., Verdict]:
        signature = inspect.signature(judge)

        @wraps(judge)
        def judged(*given, **named) -> Verdict:
            own = [*signature.bind(*given, **named).arguments.items()][:answers]
            empty = [name for name, answer in own if _is_empty(answer)]
            if len(empty) == len(own):
                return Verdict(None, todo)
            if empty:
                return Verdict(False, f"{empty[0]} is still empty.")
            try:
                with as_at_first():
                    return Verdict(True, judge(*given, **named))
            except Wrong as wrong:
                return Verdict(False, str(wrong))
            except Unfinished as unfinished:
                return Verdict(None, str(unfinished))
            except (Exception, SystemExit) as error:
                return Verdict(False, f"It cannot be checked: {type(error).__name__}: {error}")

        return judged

    return decorate


def _is_empty(answer: object) -> bool:
    listed = isinstance(answer, (list, tuple)) and len(answer) > 0
    return answer is None or (listed and all(each is None for each in answer))


@contextmanager
def as_at_first() -> Iterator[None]:
    """PyTorch with the settings that it starts with, and a fixed seed; afterwards as it was."""
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.enable_grad():
        torch.default_generator.manual_seed(0)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
