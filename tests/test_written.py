"""Digits drawn by code: in their place, each another, the same everywhere; and one's own."""

import numpy as np
import pytest
import torch

from cnn_lessons import data
from cnn_lessons.data import written

SEVEN = [[(10, 10), (90, 10), (40, 100)], [(30, 55), (70, 55)]]


def centre(image):
    ink = image[0].double()
    places = torch.arange(32, dtype=torch.float64)
    return float((ink.sum(0) * places).sum() / ink.sum()), float(
        (ink.sum(1) * places).sum() / ink.sum()
    )


def test_digits_come_in_turn_each_another_in_the_middle_of_a_white_margin():
    found = data.digits(40, seed=3)
    assert found.images.shape == (40, 1, 32, 32) and found.images.dtype == torch.uint8
    assert found.labels.tolist() == 4 * list(range(10))
    assert len(found.images.unique(dim=0)) == 40
    assert found.images.amax(dim=(1, 2, 3)).min() > 200
    edge = found.images.clone()
    edge[:, :, 2:-2, 2:-2] = 0
    assert not edge.any(), "28x28 pixels with a margin of 2"
    for image in found.images:
        assert centre(image) == pytest.approx((15.5, 15.5), abs=0.7)
        drawn = image[0].nonzero()
        assert (drawn.amax(0) - drawn.amin(0) + 1).max() <= written.BOX + 5, "and the pen's width"


def test_the_same_seed_gives_the_same_digits_and_another_one_others():
    first, again, other = data.digits(20, 1), data.digits(20, 1), data.digits(20, 2)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_each_way_of_writing_is_used():
    assert [len(ways) for ways in written.WAYS] == [1, 2, 2, 2, 2, 2, 1, 2, 2, 1]


def test_ones_own_digit_is_where_its_points_are_whatever_their_unit():
    mine = data.write_digit(SEVEN)
    larger = data.write_digit([[(5 * x + 40, 5 * y - 7) for x, y in stroke] for stroke in SEVEN])
    assert torch.equal(mine, larger)
    rows = mine[0].float().mean(dim=1)
    assert int(rows.argmax()) < 12, "the bar of a seven is above"
    assert centre(mine) == pytest.approx((15.5, 15.5), abs=0.7)


def test_a_straight_stroke_covers_its_length_times_the_pens_width():
    for thickness in (1.0, 2.0, 4.0):
        ink = data.write_digit([[(0, 0), (0, 9)]], thickness).double().sum() / 255
        around = np.pi * thickness**2 / 4  # half a disc at each end
        assert float(ink) == pytest.approx(written.BOX * thickness + around, rel=0.06)


@pytest.mark.parametrize(
    ("strokes", "thickness", "message"),
    [
        ([], 2, r"strokes must be lists of two or more points \(x, y\); got \[\]"),
        ([[(1, 2)]], 2, "two or more points"),
        ([[(1, 2, 3), (1, 2, 4)]], 2, "two or more points"),
        ([[(0, 0), (float("nan"), 1)]], 2, "points must be finite"),
        (SEVEN, 0, "thickness in 0..20; got 0"),
        (SEVEN, 21, "thickness in 0..20; got 21"),
    ],
)
def test_what_is_no_digit_is_refused(strokes, thickness, message):
    with pytest.raises(ValueError, match=message):
        data.write_digit(strokes, thickness)


def test_one_point_twice_is_a_dot():
    dot = data.write_digit([[(4, 4), (4, 4)]], 3)
    assert 5 <= int((dot > 0).sum()) <= 16


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (10, -1)])
def test_a_wrong_count_or_seed_is_named(count, seed):
    with pytest.raises(ValueError, match=rf"got {count}, {seed}"):
        data.digits(count, seed)
