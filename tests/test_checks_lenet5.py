"""The checks: right answers pass, usual slips are named, nothing stops a notebook."""

import math

import pytest
import torch
from torch import nn

from cnn_lessons import checks
from cnn_lessons.models import LeNet5

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
NAMES = tuple("abcdefghij")


@pytest.mark.parametrize(
    ("check", "right", "slips"),
    [
        (checks.check_c1_parameters, 456, {450: "bias", 150: "channels", 156: "1998", 7: "is not"}),
        (checks.check_c3_parameters, 1516, {2416: "Table I", 1500: "one bias", 60: "pairs"}),
        (checks.check_floor, math.log(1 + 9 / math.e), {0: "without limit", 2.3026: "nothing"}),
    ],
)
def test_numbers(check, right, slips):
    assert check(right).passed is True
    assert check(None).passed is None
    for answer, hint in slips.items():
        verdict = check(answer)
        assert verdict.passed is False and hint in verdict.text, answer


def test_something_that_is_no_number_is_not_an_error():
    for check in (checks.check_c1_parameters, checks.check_c3_parameters, checks.check_floor):
        assert check("many").passed is False
        assert "number" in check("many").text


def test_a_verdict_shows_its_state_first():
    assert repr(checks.check_c1_parameters(456)).startswith("✓")
    assert repr(checks.check_c1_parameters(1)).startswith("✗")
    assert repr(checks.check_c1_parameters(None)).startswith("…")


def names_of(logits):
    return [NAMES[k] for k in logits.argmax(dim=1).tolist()]


def test_predict_passes_a_good_one_and_leaves_the_random_state():
    state = torch.random.get_rng_state()
    verdict = checks.check_predict(lambda m, x: names_of(m.eval()(x)), NAMES)
    assert verdict.passed is True
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda m, x: names_of(m(x)), "eval()"),
        (lambda m, x: m.eval()(x).argmax(dim=1), "names"),
        (lambda m, x: m.eval()(x).argmax(dim=1).tolist(), "names"),
        (lambda m, x: names_of(m.eval()(x).T), "dim=0"),
        (lambda m, x: NAMES[m.eval()(x).argmax()], "dim=1"),
        (lambda m, x: "a", "8 names"),
        (lambda m, x: 7, "8 names"),
        (lambda m, x: names_of(-m.eval()(x)), "largest logits"),
        (lambda m, x: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_predict_names_the_slip(function, hint):
    verdict = checks.check_predict(function, NAMES)
    assert verdict.passed is False and hint in verdict.text


def test_predict_that_is_not_written_yet():
    assert checks.check_predict(None, NAMES).passed is None
    assert checks.check_predict(lambda m, x: None, NAMES).passed is None


def test_numbers_may_be_tensors_and_rounded():
    assert checks.check_c1_parameters(torch.tensor(456)).passed is True
    assert checks.check_floor(torch.tensor(1.4612)).passed is True
    assert checks.check_floor(1.46).passed is True
    for answer, hint in ((0.232, "minus its"), (0.635, "base 10"), (-1.461, "sign")):
        assert hint in checks.check_floor(answer).text


def test_fits_mnist_refuses_larger_pictures_and_softmax():
    larger = nn.Sequential(nn.Upsample(size=(32, 32)), *mnist(0, 400))
    assert "larger" in checks.check_fits_mnist(larger).text
    soft = nn.Sequential(*mnist(2, 400), nn.Softmax(dim=1))
    assert "logits" in checks.check_fits_mnist(soft).text


def mnist(padding, features):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=padding), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(features, 10),
    )  # fmt: skip


def test_fits_mnist():
    assert "padding" in checks.check_fits_mnist(mnist(2, 400)).text
    assert checks.check_fits_mnist(mnist(2, 400)).passed is True
    assert "smaller" in checks.check_fits_mnist(mnist(0, 256)).text
    assert checks.check_fits_mnist(mnist(0, 256)).passed is True
    failed = checks.check_fits_mnist(mnist(0, 400))
    assert failed.passed is False and "5 (Linear) failed" in failed.text
    assert checks.check_fits_mnist(None).passed is None
    assert "nn.Module" in checks.check_fits_mnist(28).text
    assert "[N, 3]" in checks.check_fits_mnist(nn.Sequential(nn.Flatten(), nn.Linear(784, 3))).text
    linear = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    assert "two convolutions" in checks.check_fits_mnist(linear).text


def test_same_function():
    assert checks.check_same_function(LeNet5(), LeNet5(), IMAGES).passed is True
    other = checks.check_same_function(LeNet5(activation=nn.ReLU), LeNet5(), IMAGES)
    assert other.passed is False and "other outputs" in other.text
    wider = LeNet5()
    wider.classifier.f6 = nn.Linear(120, 80)
    assert "[80, 120]" in checks.check_same_function(wider, LeNet5(), IMAGES).text
    assert "2 weight tensors" in checks.check_same_function(nn.Linear(1, 1), LeNet5(), IMAGES).text
    broken = LeNet5()
    broken.features.s4 = nn.Identity()
    assert "failed" in checks.check_same_function(broken, LeNet5(), IMAGES).text
