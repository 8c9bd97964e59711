"""The checks of lesson 00: right answers pass, usual slips are named, nothing stops a notebook."""

import pytest
import torch
from torch.nn import functional as F

from cnn_lessons import checks
from cnn_lessons.checks import start

RIGHT_SIZES = [28, 32, 14, 55, 112]
NONSENSE = ("many", [], {}, object(), float("nan"), torch.zeros(2, 3, 4), lambda: 1)


def failed(verdict, hint):
    assert verdict.passed is False and hint in verdict.text, verdict


def test_five_sizes():
    assert checks.check_sizes(RIGHT_SIZES).passed
    assert checks.check_sizes(torch.tensor(RIGHT_SIZES)).passed
    for nothing in (None, [None] * 5):
        assert checks.check_sizes(nothing).passed is None


@pytest.mark.parametrize(
    ("row", "answer", "hint"),
    [
        (0, 27, "+ 1"),
        (1, 31, "twice"),
        (1, 30, "left out the padding"),
        (2, 27, "stride"),
        (3, 56, "Round down"),
        (3, 55.25, "whole"),
        (4, 115, "is not it"),
        (4, None, "empty"),
        (4, "much", "one number"),
        (4, float("nan"), "whole"),
        (4, float("inf"), "whole"),
    ],
)
def test_a_wrong_size_is_named_by_its_line(row, answer, hint):
    answers = [*RIGHT_SIZES]
    answers[row] = answer
    failed(checks.check_sizes(answers), hint)
    assert f"Line {row + 1}" in checks.check_sizes(answers).text


def test_pooling():
    assert checks.check_pooling([[7, 4], [8, 6]], [[4, 2], [3, 4]]).passed
    assert checks.check_pooling(None, None).passed is None
    failed(checks.check_pooling([[7, 4], [8, 6]], None), "average is still empty")
    failed(checks.check_pooling([[4, 2], [3, 4]], [[7, 4], [8, 6]]), "the other kind")
    failed(checks.check_pooling([[1, 0], [0, 1]], [[4, 2], [3, 4]]), "smallest")
    failed(checks.check_pooling([[7, 4], [8, 6]], [[16, 8], [12, 16]]), "Divide by 4")
    failed(checks.check_pooling([[7, 8], [4, 6]], [[4, 2], [3, 4]]), "columns")
    failed(checks.check_pooling([[7, 4], [8, 5]], [[4, 2], [3, 4]]), "row 1, column 1")
    failed(checks.check_pooling(torch.ones(3, 3), None), "stride 1")


def test_a_kernel_for_level_edges():
    sobel = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])
    for right in (sobel, -sobel, [[1, 1, 1], [0, 0, 0], [-1, -1, -1]], 1e-6 * sobel):
        assert checks.check_horizontal_edges(right).passed, right
    assert checks.check_horizontal_edges(None).passed is None
    failed(checks.check_horizontal_edges(sobel.T), "Turn it")
    failed(checks.check_horizontal_edges(torch.ones(3, 3)), "add up to 0")
    failed(checks.check_horizontal_edges(torch.zeros(3, 3)), "nothing")
    failed(checks.check_horizontal_edges(sobel + sobel.T), "upright edges too")
    failed(checks.check_horizontal_edges([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]), "columns")
    failed(checks.check_horizontal_edges([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]), "neither")
    failed(checks.check_horizontal_edges(torch.full((3, 3), float("inf"))), "finite")


def test_the_cost_of_a_layer():
    assert checks.check_cost(4640, 1_179_648).passed
    assert checks.check_cost(None, None).passed is None
    failed(checks.check_cost(None, 1_179_648), "parameters is still empty")
    failed(checks.check_cost(4640, None), "macs is still empty")
    for slip, hint in {4608: "bias", 320: "16 input channels", 1_179_648: "MACs"}.items():
        failed(checks.check_cost(slip, None), hint)
    for slip, hint in {2_359_296: "FLOPs", 1_187_840: "biases", 4608: "every place"}.items():
        failed(checks.check_cost(4640, slip), hint)


def test_the_receptive_field_of_a_stack():
    assert checks.check_receptive_field(20).passed
    assert checks.check_receptive_field(None).passed is None
    slips = {11: "2 pixels wide", 19: "Begin with 1", 16: "4 pixels", 31: "(k − 1)", 17: "poolings"}
    for slip, hint in slips.items():
        failed(checks.check_receptive_field(slip), hint)
    failed(checks.check_receptive_field(5), "is not it")


def convolution(picture, weight, bias, stride, padding):
    return F.conv2d(picture[None], weight, bias, stride, padding)[0]


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda p, w, b, s, pad: convolution(p, w, 0 * b, s, pad), "bias"),
        (lambda p, w, b, s, pad: convolution(p, w.flip(2, 3), b, s, pad), "180 degrees"),
        (lambda p, w, b, s, pad: convolution(p, w.transpose(2, 3), b, s, pad), "swapped"),
        (lambda p, w, b, s, pad: convolution(p[:1], w[:, :1], b, s, pad), "first channel"),
        (lambda p, w, b, s, pad: convolution(p, w, b, 1, pad), "the stride"),
        (lambda p, w, b, s, pad: convolution(p, w, b, s, 0), "the padding"),
        (lambda p, w, b, s, pad: F.conv2d(p[None], w, b, s, pad), "batch axis"),
        (lambda p, w, b, s, pad: convolution(p, w, b, s, pad).relu(), "in place of"),
        (lambda p, w, b, s, pad: 3, "a tensor"),
        (lambda p: p, "failed"),
    ],
)
def test_a_convolution_with_a_slip(function, hint):
    failed(checks.check_conv2d(function), hint)


def test_a_convolution():
    assert checks.check_conv2d(convolution).passed
    assert checks.check_conv2d(None).passed is None
    assert checks.check_conv2d(lambda *anything: None).passed is None


def test_a_separator():
    blue, green = torch.zeros(2, 8, 3, 4, 4, dtype=torch.uint8)
    blue[:, 2], green[:, 1] = 200, 200
    kernel = torch.tensor([0.0, 0, 1]).view(3, 1, 1)
    assert checks.check_separator(kernel, 0.4, blue, green).passed
    assert checks.check_separator(None, None, blue, green).passed is None
    failed(checks.check_separator(kernel, 2, blue, green), "middle scores are 0.784, 0.000")
    failed(checks.check_separator(kernel, 0.4, green, blue), "swap the sign")
    failed(checks.check_separator(kernel, "half", blue, green), "one number")
    failed(checks.check_separator(torch.zeros(3, 5, 5), 1, blue, green), "larger than the picture")
    failed(checks.check_separator(torch.zeros(1, 3, 3), 1, blue, green), "[3, k, k]")


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_answered(nonsense):
    pictures = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    for verdict in (
        checks.check_sizes(nonsense),
        checks.check_pooling(nonsense, nonsense),
        checks.check_horizontal_edges(nonsense),
        checks.check_cost(nonsense, nonsense),
        checks.check_receptive_field(nonsense),
        checks.check_conv2d(nonsense),
        checks.check_separator(nonsense, nonsense, pictures, pictures),
    ):
        assert verdict.passed is False, verdict


def test_the_exercise_shows_the_map_that_is_checked():
    assert start.TO_POOL.tolist() == [[3, 1, 0, 2], [5, 7, 4, 2], [0, 8, 6, 6], [4, 0, 1, 3]]
