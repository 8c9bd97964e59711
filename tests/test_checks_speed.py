"""The checks of lesson 07: right answers pass in any form, and each slip gets its own sentence."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cnn_lessons import checks, networks
from cnn_lessons.checks import speed
from cnn_lessons.shapes import on_meta
from tests.verdicts import ChecksOfALesson, assert_right, broken, nothing


def crops(padded, top, left):
    which, window = torch.arange(len(padded)), torch.arange(32)
    rows, columns = top[:, None] + window, left[:, None] + window
    cut = padded[which[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2)


def by_unfolding(padded, top, left):
    windows = padded.unfold(2, 32, 1).unfold(3, 32, 1)
    return windows[torch.arange(len(padded)), :, top, left]


def one_by_one(padded, top, left):
    return torch.stack(
        [p[:, t : t + 32, c : c + 32] for p, t, c in zip(padded, top.tolist(), left.tolist())]
    )


def overall(share, times):
    return 1 / (1 - share + share / times)


def seconds_to(accuracies, mark, images, speed):
    for look, accuracy in enumerate(accuracies, start=1):
        if accuracy >= mark:
            return look / 2 * images / speed
    return None


def seconds_in_numpy(accuracies, mark, images, speed):
    reached = np.array(accuracies) >= mark
    return (np.argmax(reached) + 1) * images / (2 * speed)


RIGHT = [
    (checks.check_crops, crops),
    (checks.check_crops, by_unfolding),
    (checks.check_crops, one_by_one),
    (checks.check_crops, lambda p, t, c: crops(p, t, c).numpy()),
    (checks.check_crops, lambda p, t, c: list(one_by_one(p, t, c))),
    (checks.check_step_macs, 3 * 651_720 * 128),
    (checks.check_step_macs, torch.tensor(250_260_480)),
    (checks.check_overall, overall),
    (checks.check_overall, lambda s, t: t / (t - t * s + s)),
    (checks.check_overall, lambda s, t: torch.tensor(overall(s, t))),
    (checks.check_seconds_to, seconds_to),
    (checks.check_seconds_to, seconds_in_numpy),
    (checks.check_first_lost, 257),
    (checks.check_first_lost, torch.tensor(257.0)),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_in_every_form(check, answer):
    assert_right(check, answer)


def later(function, steps):
    """The time of a look that is so many looks away."""
    return lambda a, m, n, s: function(a, m, n, s) + steps * n / s / 2


WRONG = [
    # the check, an answer, words that the message must have, words that it must not have
    (checks.check_crops, lambda p, t, c: crops(p, c, t), "swapped: top is a row", "middle"),
    (checks.check_crops, lambda p, t, c: p[:, :, t[0] : t[0] + 32, c[0] : c[0] + 32],
     "of the first picture", "middle"),
    (checks.check_crops, lambda p, t, c: p[:, :, 4:36, 4:36], "the middle", "first picture"),
    (checks.check_crops, lambda p, t, c: crops(p, t, c).permute(0, 2, 3, 1), "permute", "swapped"),
    (checks.check_crops, lambda p, t, c: crops(p, t, c).mT, "of each window are swapped", "top is"),
    (checks.check_crops, lambda p, t, c: crops(p, t, 0 * c), "Now the columns", "middle"),
    (checks.check_crops, lambda p, t, c: p[torch.arange(len(p)), :, t[:, None] + torch.arange(32)],
     "as many axes", "slice"),
    (checks.check_crops, lambda p, t, c: p[:, :, t : t + 32], "A slice has one beginning", "axes"),
    (checks.check_crops, lambda p, t, c: F.pad(crops(p, t, c), (0, 1)), "[6, 3, 32, 33]", "middle"),
    (checks.check_crops, lambda p, t, c: crops(p, t, c).float() / 255, "times what", "middle"),
    (checks.check_crops, lambda p, t, c: p.zero_(), "changes what it is given", "middle"),
    (checks.check_crops, broken, "ZeroDivisionError", "middle"),
    (checks.check_step_macs, 651_720 * 128, "the way forward", "back alone"),
    (checks.check_step_macs, 2 * 651_720 * 128, "the way back alone", "twice as much"),
    (checks.check_step_macs, 3 * 651_720, "one picture", "forward"),
    (checks.check_step_macs, 651_720, "one picture, forward", "FLOPs"),
    (checks.check_step_macs, 6 * 651_720 * 128, "FLOPs", "one picture"),
    (checks.check_step_macs, 4 * 651_720 * 128, "not four", "FLOPs"),
    (checks.check_step_macs, 250_000_000, "exact", "FLOPs"),
    (checks.check_step_macs, 7, "for each picture", "exact"),
    (checks.check_overall, lambda s, t: 1 - s + s / t, "its inverse", "saved"),
    (checks.check_overall, lambda s, t: t / s, "add 1 − share", "inverse"),
    (checks.check_overall, lambda s, t: 1 - s + s * t, "adds up speeds", "inverse"),
    (checks.check_overall, lambda s, t: 1 / (s + (1 - s) / t), "are swapped", "inverse"),
    (checks.check_overall, lambda s, t: t, "all of it", "swapped"),
    (checks.check_overall, lambda s, t: s - s / t, "what is saved", "inverse"),
    (checks.check_overall, lambda s, t: round(overall(s, t), 1), "rounds", "inverse"),
    (checks.check_overall, lambda s, t: 100 * overall(s, t), "is right", "inverse"),
    (checks.check_seconds_to, later(seconds_to, -1), "count from 1", "last look"),
    (checks.check_seconds_to, lambda *a: 2 * seconds_to(*a), "half of that", "count from 1"),
    (checks.check_seconds_to, lambda *a: 2 * later(seconds_to, -1)(*a), "and take half", "last"),
    (checks.check_seconds_to, lambda a, m, n, s: len(a) / 2 * n / s, "the last look", "Divide"),
    (checks.check_seconds_to, lambda a, m, n, s: seconds_to(a, m + 1e-6, n, s), ">=", "count"),
    (checks.check_seconds_to, lambda a, m, n, s: seconds_to(a, m, 1, 1), "are epochs", "Divide"),
    (checks.check_seconds_to, lambda a, m, n, s: seconds_to(a, m, n, 1), "Divide them", "epochs"),
    (checks.check_seconds_to, lambda a, m, n, s: seconds_to(a, m, s, n), "Upside down", "epochs"),
    (checks.check_seconds_to, lambda a, m, n, s: None if m > 0.4 else 1.0, "returns nothing for",
     "epochs"),
    (checks.check_first_lost, 256, "the next one", "seven"),
    (checks.check_first_lost, 255, "just fits", "power"),
    (checks.check_first_lost, 129, "10000001", "power"),
    (checks.check_first_lost, 128, "power of two", "next"),
    (checks.check_first_lost, 511, "smaller ones", "power"),
    (checks.check_first_lost, 2_049, "float16", "float32"),
    (checks.check_first_lost, 65_536, "16 digits", "float16"),
    (checks.check_first_lost, 16_777_217, "float32", "float16"),
    (checks.check_first_lost, 1_001, "in binary", "float32"),
]  # fmt: skip


NOT_YET = [
    (checks.check_crops, nothing, "returns nothing yet"),
    (checks.check_step_macs, None, "step_macs"),
    (checks.check_overall, nothing, "returns nothing yet"),
    (checks.check_seconds_to, nothing, "returns nothing yet"),
    (checks.check_first_lost, None, "first_lost"),
]


class TestTheChecks(ChecksOfALesson):
    lesson, wrong, not_yet = speed, WRONG, NOT_YET


def test_the_numbers_of_the_checks_are_true():
    table = on_meta(partial(networks.build, "LeNet5"), (3, 32, 32))
    assert table.macs == speed.LENET5_MACS
    lost = [n for n in range(1, 300) if torch.tensor(float(n)).bfloat16().item() != n]
    assert lost[:2] == [257, 259]
