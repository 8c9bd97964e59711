"""The checks of lesson 07."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cnn_lessons.checks.common import check, number
from cnn_lessons.checks.trying import tried

SIDE, MARGIN = 32, 4  # of a picture, and of the black around it


def _crops(padded: Tensor, top: Tensor, left: Tensor) -> Tensor:
    found = [
        picture[:, row : row + SIDE, column : column + SIDE]
        for picture, row, column in zip(padded, top.tolist(), left.tolist())
    ]
    return torch.stack(found)


# fmt: off
CROP_SLIPS = {
    "top and left are swapped: top is a row, left is a column.":
        lambda padded, top, left: _crops(padded, left, top),
    "All get the window of the first picture. Each has its own top and left.":
        lambda padded, top, left: _crops(padded, top[:1].expand_as(top), left[:1].expand_as(left)),
    "That is the middle of each picture. The window begins at top and left.":
        lambda padded, top, left: padded[:, :, MARGIN:MARGIN + SIDE, MARGIN:MARGIN + SIDE],
    "The channels are last. Put them behind the pictures: permute(0, 3, 1, 2).":
        lambda padded, top, left: _crops(padded, top, left).permute(0, 2, 3, 1),
    "Rows and columns of each window are swapped.":
        lambda padded, top, left: _crops(padded, top, left).transpose(2, 3),
    "The rows are right. Now the columns, from left on.":
        lambda padded, top, left: _crops(padded, top, torch.zeros_like(left)),
}
# fmt: on
CROP_FAILURES = {
    "shape mismatch": "Give each index as many axes as all of them need: [:, None, None].",
    "only integer tensors": "A slice has one beginning. For a batch make a tensor of all rows.",
    "only one element tensors": "A slice has one beginning. For a batch make a tensor of all rows.",
}


@check("Write crops(padded, top, left) and pass it to the check.")
def check_crops(function: Callable) -> str:
    """Lesson 07: `function(padded, top, left)` must cut a window of 32x32 out of each picture.

    The arguments are uint8 (N, 3, 40, 40) and two of int64 (N,) in 0..8; the result is uint8
    (N, 3, 32, 32). How it does it is not judged: the lesson times it.
    """
    cases = []
    for pictures in (6, 2):
        padded = torch.randint(0, 256, (pictures, 3, 40, 40), dtype=torch.uint8)
        cases.append((padded, torch.randint(0, 9, (pictures,)), torch.randint(0, 9, (pictures,))))
    note = tried(function, cases, _crops, CROP_SLIPS, failures=CROP_FAILURES)
    return f"Each picture has its own window.{note}"


LENET5_MACS, BATCH = 651_720, 128


@check("Set step_macs to a number.")
def check_step_macs(answer: int) -> str:
    """Lesson 07: the MACs of a training step of LeNet5 on 128 pictures, backward counted twice."""
    forward = LENET5_MACS * BATCH
    outcomes = {
        3 * forward: "3 × 651,720 × 128: a quarter of a billion, for the smallest network here.",
        forward: "That is the way forward. The way back does twice as much again.",
        2 * forward: "That is the way back alone. The way forward comes before it.",
        3 * LENET5_MACS: "That is for one picture. The batch has 128.",
        LENET5_MACS: "That is one picture, forward. A step goes back as well, for 128 pictures.",
        6 * forward: "Those are FLOPs, two for a MAC. The question is MACs.",
        4 * forward: "Once forward, twice back: that is three times, not four.",
    }
    return number(answer, outcomes, "Once forward and twice back, for each picture of the batch.")


def _overall(share: float, times: float) -> float:
    return 1 / (1 - share + share / times)


# fmt: off
AMDAHL_SLIPS = {
    "That is the time that is left. How many times faster is its inverse: 1 / time.":
        lambda s, t: 1 - s + s / t,
    "The rest stays as it was: add 1 − share to the time.": lambda s, t: t / s,
    "That adds up speeds. Add up times: the rest, and share / times.":
        lambda s, t: 1 - s + s * t,
    "share and 1 − share are swapped: the share is what gets faster.":
        lambda s, t: 1 / (s + (1 - s) / t),
    "That is as if all of it got faster. Only the share does.": lambda s, t: t,
    "That is what is saved. How many times faster is it: old time / new time?":
        lambda s, t: s - s / t,
}
# fmt: on


@check("Write overall(share, times) and pass it to the check.")
def check_overall(function: Callable) -> str:
    """Lesson 07: `function(share, times)` must return how many times faster the whole is.

    A `share` (0 to 1) of the seconds becomes `times` as fast: Amdahl's law.
    """
    cases = [(0.5, 2.0), (0.9, 10.0), (0.25, 4.0)]
    note = tried(function, cases, _overall, AMDAHL_SLIPS)
    return f"Nine tenths made ten times as fast are 5.3 times in all, and never more than 10.{note}"


def _seconds_to(accuracies: Sequence[float], mark: float, images: int, speed: float) -> float:
    looks = next(k for k, accuracy in enumerate(accuracies, start=1) if accuracy >= mark)
    return looks / 2 * images / speed


# fmt: off
MARK_SLIPS = {
    "The first look is after half an epoch, not before it: count from 1.":
        lambda a, m, n, s: _seconds_to(a, m, n, s) - n / s / 2,
    "There are two looks an epoch: half of that.":
        lambda a, m, n, s: 2 * _seconds_to(a, m, n, s),
    "Count from 1, and take half: there are two looks an epoch.":
        lambda a, m, n, s: 2 * (_seconds_to(a, m, n, s) - n / s / 2),
    "That is the last look. The first one at the mark counts.":
        lambda a, m, n, s: len(a) / 2 * n / s,
    "A look that is just at the mark has reached it: >=.":
        lambda a, m, n, s: _seconds_to(a, m + 1e-9, n, s),
    "Those are epochs. An epoch takes images / speed seconds.":
        lambda a, m, n, s: _seconds_to(a, m, 1, 1),
    "Those are pictures. Divide them by the speed.":
        lambda a, m, n, s: _seconds_to(a, m, n, 1),
    "Upside down: seconds are pictures divided by pictures a second.":
        lambda a, m, n, s: _seconds_to(a, m, 1, 1) * s / n,
}
# fmt: on


@check("Write seconds_to(accuracies, mark, images, speed) and pass it to the check.")
def check_seconds_to(function: Callable) -> str:
    """Lesson 07: `function(accuracies, mark, images, speed)` must return the seconds to the mark.

    The accuracies, a list, are looked at twice an epoch of so many images, the first time after
    half of it; `speed` is in images a second. The mark is always reached, and not at the end.
    """
    curve = [0.31, 0.4, 0.45, 0.44, 0.52, 0.5, 0.55]
    cases = [(curve, 0.45, 50_000, 2_000.0), (curve, 0.35, 1_000, 250.0)]
    note = tried(function, cases, _seconds_to, MARK_SLIPS)
    return f"Both ways to be sooner stand in it: fewer looks, and a higher speed.{note}"


@check("Set first_lost to a number.")
def check_first_lost(answer: int) -> str:
    """Lesson 07: the smallest whole number above 0 that bfloat16, of 8 binary digits, has not."""
    outcomes = {
        257: "256 is 1 with eight zeros behind it; 257 needs a ninth digit.",
        256: "256 is a power of two: one digit and zeros. It is the next one that is lost.",
        255: "255 is eight ones: it just fits.",
        129: "129 is 10000001: eight digits, and bfloat16 keeps eight.",
        128: "128 is a power of two: one digit and zeros.",
        511: "There are smaller ones: the first number of nine digits that ends in 1.",
        2049: "That is float16's, which keeps eleven digits.",
        65_536: "16 bits are not 16 digits: one is the sign, eight are for the size.",
        16_777_217: "That is float32's, which keeps 24 digits.",
    }
    wrong = "Write whole numbers in binary. Which is the first whose digits reach over nine places?"
    return number(answer, outcomes, wrong)
