"""The checks of lesson 02: right answers pass, usual slips are named, nothing stops a notebook."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons import checks
from cnn_lessons.models import AlexNet, AlexNetCIFAR
from cnn_lessons.shapes import record

NONSENSE = ("many", [], {}, object(), float("nan"), float("inf"), torch.zeros(2), -1)
ALL = (
    checks.check_sizes_at_96, checks.check_grouped_parameters, checks.check_half_width,
    checks.check_lrn, checks.check_dropout_place, checks.check_colour_shift,
)  # fmt: skip


@pytest.mark.parametrize("check", ALL)
def test_none_is_not_attempted_and_nonsense_is_wrong(check):
    assert check(None).passed is None
    for nonsense in NONSENSE:
        assert check(nonsense).passed is False, nonsense


@pytest.mark.parametrize("check", (checks.check_lrn, checks.check_colour_shift))
def test_functions_that_return_nothing_or_nonsense_or_fail(check):
    assert check(lambda *args: None).passed is None
    for answer in (3, "maps", torch.zeros(3)):
        assert check(lambda *args, answer=answer: answer).passed is False
    assert "ZeroDivisionError" in check(lambda *args: 1 / 0).text


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ((55, 27, 13), "224"),
        ((22, 10, 4), "add 1"),
        ((24, 12, 6), "Rounded up"),
        ((23, 12, 6), "pools round down"),
        ((23.25, 11, 5), "whole rows"),
        ((23, 11), "three numbers"),
        ((20, 11, 5), "pads by 2"),
        ((23, 9, 5), "pool1"),
        ((23, "a", 5), "numbers"),
    ],
)
def test_sizes_slips(answer, hint):
    verdict = checks.check_sizes_at_96(answer)
    assert verdict.passed is False and hint in verdict.text


def test_sizes_are_those_of_a_run():
    table = record(AlexNet().features, (3, 96, 96))
    sides = tuple(table[name].output[-1] for name in ("conv1", "pool1", "pool2"))
    assert checks.check_sizes_at_96(sides).passed is True
    assert checks.check_sizes_at_96(list(map(float, sides))).passed is True
    assert checks.check_sizes_at_96((None, None, None)).passed is None


@pytest.mark.parametrize(
    ("check", "slips"),
    [
        (
            checks.check_grouped_parameters,
            {614_656: "one group", 307_200: "one bias", 153_728: "half", 110_848: "5×5", 7: "not"},
        ),
        (
            checks.check_half_width,
            {
                4_622_485: "Half of all",
                2_941_226: "fc6 still reads",
                4_000_042: "fc8 reads 1024",
                5_038_378: "both sides",
                3_987_744: "biases",
                3_158_026: "before them",
                7: "Add up",
            },
        ),
    ],
)
def test_number_slips(check, slips):
    for answer, hint in slips.items():
        verdict = check(answer)
        assert verdict.passed is False and hint in verdict.text, answer


def test_the_counts_are_those_of_the_networks():
    conv2 = AlexNet().features.conv2
    assert checks.check_grouped_parameters(sum(p.numel() for p in conv2.parameters())).passed
    halved = AlexNetCIFAR()
    halved.classifier.fc6 = nn.Linear(2048, 1024)
    halved.classifier.fc7 = nn.Linear(1024, 1024)
    halved.classifier.fc8 = nn.Linear(1024, 10)
    assert checks.check_half_width(sum(p.numel() for p in halved.parameters())).passed is True


def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    channels, out = maps.shape[1], torch.empty_like(maps)
    for i in range(channels):
        near = maps[:, max(0, i - n // 2) : i + n // 2 + 1]
        out[:, i] = maps[:, i] / (k + alpha * near.square().sum(dim=1)) ** beta
    return out


def plain_sum(maps):
    padded = F.pad(maps, (0, 0, 0, 0, 2, 2))
    return sum(padded[:, k : k + maps.shape[1]] for k in range(5))


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda m: lrn(m, alpha=1e-4 / 5), "no mean"),
        (nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2), "no mean"),
        (lambda m: lrn(m, alpha=5e-4), "times 5"),
        (lambda m: lrn(m, k=0), "k is missing"),
        (lambda m: lrn(m, k=1), "paper has 2"),
        (lambda m: lrn(m, beta=1), "power is missing"),
        (lambda m: lrn(m, n=3), "three maps"),
        (lambda m: m / lrn(m), "divisor"),
        (lambda m: m * m / lrn(m), "Multiplied"),
        (lambda m: m / (2 + 1e-4 * plain_sum(m)) ** 0.75, "squared"),
        (lambda m: m / (2 + 1e-4 * m.square().sum(1, keepdim=True)) ** 0.75, "all maps"),
        (lambda m: lrn(m.transpose(1, 3)).transpose(1, 3), "in a row"),
        (lambda m: m + 1, "The shape is right"),
        (lambda m: m[0], "It gives"),
    ],
)
def test_lrn_slips(function, hint):
    verdict = checks.check_lrn(function)
    assert verdict.passed is False and hint in verdict.text


def test_lrn_of_the_paper():
    assert checks.check_lrn(lrn).passed is True
    assert checks.check_lrn(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)).passed is True


def classifier(*kinds, widths=(2048, 2048, 1000), p=0.5):
    """Layers by letter: f a flatten, l the next linear layer, r a ReLU, d a dropout."""
    layers, reads, left = [nn.Flatten()], 128 * 6 * 6, list(widths)
    with torch.device("meta"):  # shapes are enough
        return _of_kinds(kinds, layers, reads, left, p)


def _of_kinds(kinds, layers, reads, left, p):
    for kind in "".join(kinds):
        if kind == "l":
            layers.append(nn.Linear(reads, left[0]))
            reads = left.pop(0)
        else:
            layers.append({"r": nn.ReLU(), "d": nn.Dropout(p), "m": nn.Dropout1d(p)}[kind])
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        (lambda: classifier("dlrdlrl"), "before fc6"),
        (lambda: classifier("lrlrl"), "no dropout"),
        (lambda: classifier("lrdlrl"), "After fc7"),
        (lambda: classifier("lrlrdl"), "After fc6"),
        (lambda: classifier("lrdlrdld"), "after fc8"),
        (lambda: classifier("ldlrdl"), "ReLU after fc6"),
        (lambda: classifier("lrmlrml"), "whole maps"),
        (lambda: classifier("lrdlrdl", p=0.2), "half of the units"),
        (lambda: classifier("lrdlrdl", widths=(1024, 1024, 1000)), "must have 2048"),
        (lambda: nn.Linear(3, 3), "does not run"),
    ],
)
def test_dropout_slips(model, hint):
    verdict = checks.check_dropout_place(model())
    assert verdict.passed is False and hint in verdict.text


@pytest.mark.parametrize("kinds", ["lrdlrdl", "ldrldrl"])
def test_dropout_in_the_papers_place(kinds):
    assert checks.check_dropout_place(classifier(kinds)).passed is True


def colour_shift(images, alphas, power=1.0, columns=True, flip=1, mean=True):
    pixels = images.movedim(1, 0).flatten(1)
    values, axes = torch.linalg.eigh(torch.cov(pixels) * (1 if mean else pixels.shape[1]))
    shift = (alphas * values**power * flip) @ (axes.T if columns else axes)
    return images + shift[:, :, None, None]


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda x, a: x, "as they were"),
        (lambda x, a: x + torch.randn_like(x), "within a picture"),
        (lambda x, a: colour_shift(x, a[:1].expand_as(a)), "All pictures"),
        (lambda x, a: colour_shift(x, a, power=0.5), "square roots"),
        (lambda x, a: colour_shift(x, a, power=0.0), "eigenvalues are missing"),
        (lambda x, a: colour_shift(x, a, mean=False), "a mean"),
        (lambda x, a: colour_shift(x, a, columns=False), "columns"),
        (lambda x, a: x + a[:, :, None, None], "another one"),
        (lambda x, a: x[:2], "must return pictures"),
    ],
)
def test_colour_slips(function, hint):
    verdict = checks.check_colour_shift(function)
    assert verdict.passed is False and hint in verdict.text


def test_colour_shift_of_the_paper_whatever_the_signs():
    for flip in (1, -1, torch.tensor([1, -1, 1])):
        verdict = checks.check_colour_shift(lambda x, a, f=flip: colour_shift(x, a, flip=f))
        assert verdict.passed is True
    backwards = checks.check_colour_shift(lambda x, a: colour_shift(x, a.flip(1)))
    assert backwards.passed is True
