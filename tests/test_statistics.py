"""Comparing two ways of training by seed: against numbers by hand, NumPy, and chance."""

import numpy as np
import pytest
import torch

from cnn_lessons.training import difference


def test_mean_and_standard_error_of_the_differences():
    found = difference([0.50, 0.60, 0.55], [0.53, 0.62, 0.59])
    assert found.mean == pytest.approx(0.03)
    assert found.error == pytest.approx(0.01 / 3**0.5)  # the differences are 0.03, 0.02, 0.04
    assert found.pairs == 3 and found.shown
    assert str(found) == "+3.0 ± 0.6 points, 3 seeds: shown"


def test_what_a_seed_does_to_both_falls_out():
    paired = difference([0.2, 0.4, 0.6, 0.8], [0.21, 0.42, 0.61, 0.82])
    unpaired = difference([0.2, 0.4, 0.6, 0.8], [0.82, 0.21, 0.61, 0.42])
    assert paired.shown and not unpaired.shown
    assert paired.mean == pytest.approx(unpaired.mean)


def test_a_loss_has_a_real_minus_and_chance_is_not_shown():
    assert str(difference([0.5, 0.5], [0.3, 0.1])).startswith("−30.0 ± 10.0 points, 2 seeds: shown")
    assert not difference([0.5, 0.5], [0.7, 0.3]).shown
    assert not difference([0.5, 0.5], [0.5, 0.5]).shown


def test_chance_alone_is_seldom_called_shown():
    """Without a true difference, Student's t says how often: 11.6 % with 5 pairs, 7.7 % with 10."""
    for pairs, beyond_two in ((5, 0.116), (10, 0.077)):
        noise = np.random.default_rng(0).standard_normal((2, 4_000, pairs))
        called = np.mean([difference(a, b).shown for a, b in zip(*noise.tolist())])
        assert abs(called - beyond_two) < 0.02  # four standard errors of this simulation
    gains = noise[1, 0] - noise[0, 0]
    error = gains.std(ddof=1) / 10**0.5
    assert difference(noise[0, 0].tolist(), noise[1, 0].tolist()).error == pytest.approx(error)


@pytest.mark.parametrize(("first", "second"), [([], []), ([1], [2]), ([1, 2], [1, 2, 3])])
def test_what_is_no_pair_is_refused(first, second):
    with pytest.raises(ValueError, match=f"two or more.*got {len(first)} and {len(second)}"):
        difference(first, second)


def test_right_and_wrong_answers_to_the_same_pictures_give_the_test_of_mcnemar():
    draw = np.random.default_rng(0)
    first, second = draw.random(2_000) < 0.80, draw.random(2_000) < 0.83
    only_first, only_second = (first & ~second).sum(), (second & ~first).sum()
    found = difference(torch.from_numpy(first), second, of="pictures")
    mcnemar = (only_second - only_first) / (only_first + only_second) ** 0.5
    assert found.mean / found.error == pytest.approx(mcnemar, rel=0.01)
    assert ", 2,000 pictures: " in str(found)
