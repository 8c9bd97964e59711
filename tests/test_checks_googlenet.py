"""The checks of lesson 04: right answers pass, usual slips are named, nothing stops a notebook."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from cnn_lessons import checks
from cnn_lessons.models import GoogLeNet
from cnn_lessons.models.googlenet import (
    ARTICLE_TABLE,
    TABLE_1,
    AuxiliaryHead,
    Inception,
    NaiveInception,
)
from cnn_lessons.shapes import on_meta

NUMBERS = {
    checks.check_module_weights: (
        163_328, {163_696: "biases", 387_072: "naive", 157_184: "projection", 79_360: "9", 7: "Six"}
    ),
    checks.check_first_loss: (
        1.6 * math.log(10), {2.3026: "weight 0.3", 6.908: "multiplied", 2.99: "two heads",
                             1.6: "natural", 11.05: "1000", 0: "1/10"}
    ),
    checks.check_naive_5a: (
        5_271_552, {1_042_432: "as it is", 5_272_256: "biases", 387_072: "3a", 1: "832"}
    ),
    checks.check_smallest: (
        31, {32: "one less", 30: "pool4", 224: "heads", 5: "article", 77: "loop"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("check", NUMBERS)
def test_numbers(check):
    right, slips = NUMBERS[check]
    for answer in (right, torch.tensor(right)):
        assert check(answer).passed is True
    assert check(None).passed is None
    for answer, hint in slips.items():
        verdict = check(answer)
        assert verdict.passed is False and hint in verdict.text, answer
    for nonsense in ("many", [1, 2], torch.zeros(3), print):
        assert check(nonsense).passed is False and "number" in check(nonsense).text


def test_the_numbers_are_those_of_the_networks():
    def weights(build, channels):
        return sum(row.weights for row in on_meta(build, (channels, 7, 7)))

    row = TABLE_1["5a"]
    assert weights(partial(Inception, 192, *TABLE_1["3a"]), 192) == 163_328
    naive = partial(NaiveInception, 832, row[0], row[2], row[4])
    assert weights(naive, 832) == 5_271_552
    with torch.device("meta"):
        network = GoogLeNet(aux=False).eval()
        assert network(torch.empty(1, 3, 31, 31)).shape == (1, 1000)
        with pytest.raises(ValueError, match="31 pixels"):
            network(torch.empty(1, 3, 30, 30))
        with pytest.raises(RuntimeError):
            network.features(torch.empty(1, 3, 30, 30))


def test_rows():
    assert checks.check_rows(None).passed is None
    assert checks.check_rows(TABLE_1).passed is True
    assert checks.check_rows({name: [*row] for name, row in TABLE_1.items()}).passed is True


@pytest.mark.parametrize(
    ("rows", "hint"),
    [
        (ARTICLE_TABLE, "as they are"),
        ({**TABLE_1, "5b": (384, 190, 384, 48, 128, 128)}, "right place"),
        ({**ARTICLE_TABLE, "3a": (64, 96, 128, 16, 32, 64)}, "3a was right"),
        ({**TABLE_1, "5b": (384, 192, 384, 48, 128, 182)}, "5b was right"),
        ({"5b": TABLE_1["5b"]}, "names"),
        ({**TABLE_1, "4a": (1, 2)}, "six numbers"),
        ({**TABLE_1, "4a": 7}, "six numbers"),
        ({**TABLE_1, "4a": ("a",) * 6}, "4a was right"),
        (192, "dictionary"),
        ([TABLE_1], "dictionary"),
    ],
)
def test_rows_names_the_slip(rows, hint):
    verdict = checks.check_rows(rows)
    assert verdict.passed is False and hint in verdict.text


def head(in_channels, num_classes, drop=0.7, first=nn.Identity, last=nn.Identity, size=5):
    return nn.Sequential(
        nn.AvgPool2d(size, 3), nn.Conv2d(in_channels, 128, 1), nn.ReLU(), nn.Flatten(), first(),
        nn.Linear(2048, 1024), nn.ReLU(), nn.Dropout(drop), nn.Linear(1024, num_classes), last(),
    )  # fmt: skip


def without(position):
    def build(in_channels, num_classes):
        layers = list(head(in_channels, num_classes))
        del layers[position]
        return nn.Sequential(*layers)

    return build


def dropout_first(in_channels, num_classes):
    layers = list(head(in_channels, num_classes))
    layers.insert(4, layers.pop(7))
    return nn.Sequential(*layers)


def no_convolution(in_channels, num_classes):
    return nn.Sequential(nn.AvgPool2d(5, 3), nn.Flatten(), nn.Linear(8192, num_classes))


def test_aux_head_passes_a_good_one_and_leaves_the_random_state():
    state = torch.random.get_rng_state()
    assert checks.check_aux_head(None).passed is None
    assert checks.check_aux_head(lambda i, n: None).passed is None
    assert torch.equal(state, torch.random.get_rng_state())
    for build in (head, AuxiliaryHead):
        assert checks.check_aux_head(build).passed is True


@pytest.mark.parametrize(
    ("build", "hint"),
    [
        (partial(head, drop=0.5), "50 % twice"),
        (partial(head, drop=0.3), "thrown away"),
        (partial(head, first=nn.Dropout), "one dropout"),
        (partial(head, last=partial(nn.Softmax, dim=1)), "logits"),
        (partial(head, size=3), "5×5 and stride 3"),
        (partial(head, size=6), "does not run"),
        (without(0), "does not run"),
        (without(2), "other outputs"),
        (without(6), "other outputs"),
        (without(7), "dropout of 70 %"),
        (without(8), "[2, 1024]"),
        (dropout_first, "between the two"),
        (no_convolution, "128 maps"),
        (lambda i, n: head(i, 7), "[2, 7]"),
        (lambda i, n: nn.Sequential(nn.AdaptiveAvgPool2d(4), *list(head(i, n))[1:]), "AvgPool2d"),
        (lambda i, n: nn.Identity(), "gives"),
        (lambda i: head(i, 10), "failed"),
        (lambda i, n: 7, "nn.Module"),
        (7, "failed"),
    ],
)
def test_aux_head_names_the_slip(build, hint):
    verdict = checks.check_aux_head(build)
    assert verdict.passed is False and hint in verdict.text, verdict.text
