"""What the tests of the checks share: answers of several parts, and what a verdict must say."""

from collections import Counter

import numpy as np
import torch

from cnn_lessons.checks import Verdict


class Parts(tuple):
    """An answer of several parts, each an argument of the check."""

    def __new__(cls, *parts):
        return super().__new__(cls, parts)


def judge(check, answer) -> Verdict:
    return check(*answer) if isinstance(answer, Parts) else check(answer)


def assert_right(check, answer):
    verdict = judge(check, answer)
    assert verdict.passed is True, verdict


def assert_wrong(check, answer, says: str, not_says: str = ""):
    """`says` and `not_says` are words, several of them with | between."""
    verdict = judge(check, answer)
    assert verdict.passed is False, verdict
    for words in says.split("|"):
        assert words in verdict.text, verdict
    for words in filter(None, not_says.split("|")):
        assert words not in verdict.text, verdict
    assert "cannot be checked" not in verdict.text, verdict


def assert_five_wrong_answers_each(module, table):
    """Each check of a lesson stands in its table with five wrong answers or more."""
    there = Counter(row[0].__name__ for row in table)
    checks = [name for name in vars(module) if name.startswith("check_") and name in dir(module)]
    own = [name for name in checks if getattr(module, name).__module__ == module.__name__]
    assert own and all(there[name] >= 5 for name in own), there


# No answers at all, for any check.
NONSENSE = (
    "many", "", [], {}, set(), object(), float("nan"), float("inf"), -1, 10**400, 3 + 4j, True,
    torch.zeros(2, 3, 4), torch.tensor(True), np.array(["a"]), print, torch.nn.Linear, (1, 516),
)  # fmt: skip


def broken(*given):
    return 1 / 0


def prints(*given):
    print("the answer")


def nothing(*given):
    return None
