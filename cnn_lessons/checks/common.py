"""What all checks share: the verdict, comparing a number, comparing two networks."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnn_lessons.table import printable

# The kinds of a softmax, as a module or as a function, in a record and in lower case.
SOFTMAX = {"softmax", "log_softmax", "logsoftmax"}


@dataclass(frozen=True)
class Verdict:
    """`passed` is True, False, or None for "not attempted yet"; `text` is for the learner."""

    passed: bool | None
    text: str

    def __repr__(self) -> str:
        sign = {True: "✓ Right.", False: "✗ Not yet.", None: "… Not attempted yet."}[self.passed]
        return printable(f"{sign} {self.text}")


def value_of(answer: object) -> float | None:
    """The answer as a plain number, also from a tensor or an array of one number."""
    try:
        return float(answer)
    except (TypeError, ValueError, RuntimeError):
        return None


def number(
    answer: object,
    truth: float,
    slips: dict[float, str],
    right: str,
    todo: str,
    wrong: str = "",
    tolerance: float = 0.0,
) -> Verdict:
    """Compare one number; `slips` explains wrong answers that are often given, `wrong` all others.

    Without a tolerance the numbers must be equal.
    """
    if answer is None:
        return Verdict(None, todo)
    value = value_of(answer)
    if value is None:
        return Verdict(False, f"The answer is one number; got {answer!r}.")

    def is_it(number: float) -> bool:
        return value == number or abs(value - number) < tolerance

    if is_it(truth):
        return Verdict(True, right)
    hints = [hint for slip, hint in slips.items() if is_it(slip)]
    return Verdict(False, (hints or [wrong or f"{value:,g} is not it."])[0])


def check_same_function(mine: nn.Module, reference: nn.Module, images: Tensor) -> Verdict:
    """Copy the reference's weights into `mine`, in order, and compare what both give for `images`.

    This is how a network typed in a notebook is proved to be the one in the package. `images` must
    fit both networks. The weights of `mine` are replaced.
    """
    own, theirs = list(mine.state_dict().items()), list(reference.state_dict().items())
    if len(own) != len(theirs):
        return Verdict(False, f"Yours has {len(own)} weight tensors, the reference {len(theirs)}.")
    for (name, weight), (other, expected) in zip(own, theirs):
        if weight.shape != expected.shape:
            return Verdict(
                False,
                f"{name} is {list(weight.shape)}, but {other} is {list(expected.shape)}.",
            )
    mine.load_state_dict(dict(zip((name for name, _ in own), (weight for _, weight in theirs))))
    try:
        with torch.no_grad():
            difference = (mine.eval()(images) - reference.eval()(images)).abs().max().item()
    except Exception as error:
        return Verdict(False, f"Your network failed: {type(error).__name__}: {error}")
    if difference > 1e-5:
        return Verdict(
            False, f"Same weights, other outputs (by up to {difference:.2g}): compare steps."
        )
    return Verdict(True, f"Same weights, same outputs, for {len(images)} pictures.")
