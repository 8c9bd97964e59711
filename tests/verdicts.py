"""What the tests of the checks share: answers of several parts, and what a verdict must say."""

import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from types import ModuleType

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


# No answers at all, for any check.
NONSENSE = (
    "many", "", [], {}, set(), object(), float("nan"), float("inf"), -1, 10**400, 3 + 4j, True,
    torch.zeros(2, 3, 4), torch.tensor(True), np.array(["a"]), print, torch.nn.Linear, (1, 516),
    itertools.count(), b"1516", np.True_, torch.tensor(1j), np.array([1j, 2]), float, sys.exit,
    torch.nn.ReLU(), torch.empty(3, device="meta"), [[1, 2], [3]], {"3a": None}, (None, 5),
)  # fmt: skip


def broken(*given):
    return 1 / 0


def prints(*given):
    print("the answer")


def nothing(*given):
    return None


class ChecksOfALesson:
    """What is asked of the checks of each lesson; the test file of a lesson gives its tables.

    `right` has rows of check and answer; `wrong` of check, answer, what the verdict says and what
    it does not say; `not_yet` of check, what stands in the lesson before anything is written, what
    the verdict says.
    """

    lesson: ModuleType
    right: Sequence[tuple]
    wrong: Sequence[tuple]
    not_yet: Sequence[tuple]

    def pytest_generate_tests(self, metafunc):
        tables = {
            "form": self.right, "slip": self.wrong, "untouched": self.not_yet, "nonsense": NONSENSE,
        }  # fmt: skip
        for name, rows in tables.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, rows, ids=range(len(rows)))

    def test_right_answers_in_every_form(self, form):
        assert_right(*form)

    def test_each_slip_has_its_sentence(self, slip):
        assert_wrong(*slip)

    def test_every_check_is_tried_with_five_wrong_answers_or_more(self):
        there = Counter(row[0].__name__ for row in self.wrong)
        checks = [name for name in dir(self.lesson) if name.startswith("check_")]
        own = [n for n in checks if getattr(self.lesson, n).__module__ == self.lesson.__name__]
        assert own and all(there[name] >= 5 for name in own), there

    def test_what_is_not_attempted_is_not_wrong(self, untouched):
        check, answer, says = untouched
        verdict = judge(check, answer)
        assert verdict.passed is None and says in verdict.text

    def test_nonsense_is_wrong_and_raises_nothing(self, nonsense):
        for check, answer, _ in self.not_yet:
            parts = len(answer) if isinstance(answer, Parts) else 1
            verdict = judge(check, Parts(*[nonsense] * parts))
            assert verdict.passed is False and repr(verdict), verdict
            assert "cannot be checked" not in verdict.text, (check, verdict)
