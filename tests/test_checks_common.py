"""What all checks share: the verdict, numbers, functions that misbehave, two networks compared."""

import io
import itertools
import random
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons import checks
from cnn_lessons.checks.functions import tried
from cnn_lessons.checks.numbers import number, numbers, shown
from cnn_lessons.checks.verdict import Wrong, check
from cnn_lessons.models import LeNet5, ResNetCIFAR
from cnn_lessons.models.googlenet import TABLE_1, Inception
from tests.networks import images
from tests.verdicts import assert_right, assert_wrong


@check("Set answer to a number.")
def check_answer(answer):
    return number(answer, {1516: "It is.", 1500: "No biases."})


def test_a_verdict_shows_its_state_first():
    assert repr(check_answer(1516)) == "✓ Right. It is."
    assert repr(check_answer(1500)) == "✗ Not yet. No biases."
    assert repr(check_answer(None)) == "… Not attempted yet. Set answer to a number."


def test_a_verdict_is_printed_plainly_where_the_console_has_no_signs(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    assert repr(checks.Verdict(True, "28×28")).startswith("[ok] Right.")


def test_a_check_that_fails_itself_says_so_and_raises_nothing():
    @check("Nothing yet.")
    def check_badly(answer):
        raise KeyError("lost")

    verdict = check_badly(1)
    assert verdict.passed is False and "cannot be checked: KeyError" in verdict.text


def test_a_check_that_draws_random_numbers_says_the_same_each_time():
    @check("Nothing yet.")
    def check_drawn(answer):
        return str(torch.rand(3))

    first = check_drawn(1)
    torch.rand(1)
    assert check_drawn(1) == first


def test_a_check_begins_with_the_usual_settings_of_torch_and_leaves_those_that_were_there():
    @check("Nothing yet.")
    def check_settings(answer):
        return f"{torch.get_default_dtype()} {torch.is_grad_enabled()}"

    try:
        torch.set_default_dtype(torch.float64)
        with torch.no_grad():
            assert check_settings(1).text == "torch.float32 True" and not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_answers_in_several_parts():
    @check("Set a and b.", answers=2)
    def check_both(a, b, more=0):
        return "Both."

    assert check_both(None, None).passed is None and check_both(b=1, a=2).passed is True
    assert check_both(1, None).text == "b is still empty."
    assert check_both([None], [None, None], more=1).passed is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_887_440, "1,887,440"), (1.88744e7, "18,874,400"), (1234.567, "1,234.57"),
        (0.27216, "0.2722"), (5e-9, "0.000000005"), (-2.5, "-2.5"), (torch.tensor(3), "3"),
        (float("inf"), "inf"), ("a", "'a'"), (None, "None"),
    ],
)  # fmt: skip
def test_numbers_are_shown_as_people_write_them(value, text):
    assert shown(value) == text


def test_what_is_long_is_cut():
    assert len(shown("x" * 1000)) == 60 and "\n" not in shown(torch.zeros(9, 9))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("1516", "quotes"), (True, "not a yes or no"), (torch.tensor(True), "not a yes or no"),
        (np.True_, "not a yes or no"), (1516j, "one number; got 1516j"), (int, "Call it"),
        ((1, 516), "comma makes 2"), (print, "Call it"), ([1516], "one number; got [1516]"),
        (1520, "Rounded it is that: give the exact number"), (7.5, "7.5 is not it"),
        (1e7, "10,000,000 is not it"), (float("nan"), "nan is not it"), (10**400, "one number"),
    ],
)  # fmt: skip
def test_what_is_no_number_or_another_one_is_told(answer, says):
    verdict = check_answer(answer)
    assert verdict.passed is False and says in verdict.text, verdict


def test_a_number_with_a_point_may_be_rounded():
    def judge(answer):
        outcomes = {0.27216: "Right.", 0.19245: "The 2 is missing.", 0.273: "It is nearly that."}
        return number(answer, outcomes)

    assert judge(0.27216) == judge(0.272) == judge(0.27) == "Right."
    for answer, says in ((0.3, "Rounded"), (0.192, "2 is missing"), (0.28, "0.28 is not it")):
        with pytest.raises(Wrong, match=says):
            judge(answer)


def test_several_numbers():
    assert (
        numbers((1, torch.tensor(2.5)), "ab") == numbers(torch.tensor([1, 2.5]), "ab") == [1, 2.5]
    )
    for answer, says in (
        ("12", "2 numbers, a, b; got '12'"), ({1, 2}, "2 numbers"), ({"a": 1, "b": 2}, "2 numbers"),
        (itertools.count(), "2 numbers, a, b; got 1000: count"),
        (5, "got 5"), ([1], "got 1: "), ([1, None], "b is still empty"), ([1, "2"], "b: .*quotes"),
    ):  # fmt: skip
        with pytest.raises(Wrong, match=says):
            numbers(answer, "ab")


# --- functions ----------------------------------------------------------------------------------


def double(maps, add):
    return 2 * maps + add


def run(function, slips=None, **how):
    @check("Write it.")
    def check_double(function):
        cases = [(torch.tensor([1.5, -2.0]), 1), (torch.tensor([[0.5, 4.0]]), 0.5)]
        return "Right." + tried(function, cases, double, slips or {}, **how)

    return check_double(function)


def changes(maps, add):
    maps += add
    return double(maps, add)


def fails_later(maps, add):
    return double(maps, add) if maps.dim() == 1 else maps.no_such_thing


def silent_later(maps, add):
    if maps.dim() == 1:
        return double(maps, add)
    return None


def turns_gradients_off(maps, add):
    torch.set_grad_enabled(False)
    return double(maps, add)


MISBEHAVING = [
    (lambda maps, add: None, None, "returns nothing yet"),
    (lambda maps, add: print(maps), False, "It prints"),
    (silent_later, False, "returns nothing for maps [1, 2], add 0.5"),
    (fails_later, False, "for maps [1, 2], add 0.5, at `return double(maps, add) if"),
    (changes, False, "changes what it is given"),
    (lambda maps: maps, False, "TypeError"),
    (lambda maps, add: sys.exit(), False, "SystemExit"),
    (lambda maps, add: "done", False, "a tensor of numbers; got str: 'done'"),
    (lambda maps, add: {"a": 1}, False, "a tensor of numbers; got dict"),
    (lambda maps, add: (maps, add), False, "a tensor of numbers; got tuple"),
    (lambda maps, add: double(maps, add).int(), False, "whole numbers"),
    (lambda maps, add: double(maps, add) > 0, False, "yes or no"),
    (lambda maps, add: 3 * double(maps, add), False, "3 times what they should be"),
    (lambda maps, add: double(maps, add)[None], False, "Leave the axis of one out"),
    (lambda maps, add: double(maps, add)[0], False, "An axis is missing"),
    (lambda maps, add: double(maps, add) * float("nan"), False, "nan"),
    (lambda maps, add: double(maps, add) * float("inf"), False, "inf"),
    (lambda maps, add: double(maps, add) * 1j, False, "numbers are complex"),
    (lambda maps, add: double(maps, add).to("meta"), False, "a tensor of numbers; got Tensor"),
    (lambda maps, add: (each for each in double(maps, add)), False, "numbers; got generator"),
    (lambda maps, add: [*double(maps, add).tolist(), "a"], False, "numbers; got list"),
    (torch.Tensor, False, "TypeError"),
    (turns_gradients_off, True, "Right."),
    (lambda maps, add: double(maps, add).to_sparse(), True, "Right."),
    (lambda maps, add: [*double(maps, add).numpy()], True, "came as list"),
    (lambda maps, add: double(maps, add).double(), True, "Right."),
    (lambda maps, add: double(maps, add).requires_grad_(), True, "Right."),
    (lambda maps, add: double(maps, add).tolist(), True, "came as list"),
    (lambda maps, add: double(maps, add).numpy(), True, "came as ndarray"),
    (lambda maps, add: list(double(maps, add)), True, "came as list"),
    (torch.zeros(2), False, "without brackets"),
]


@pytest.mark.parametrize(("function", "passed", "says"), MISBEHAVING)
def test_whatever_a_function_does_gets_a_sentence(function, passed, says):
    verdict = run(function)
    assert verdict.passed is passed and says in verdict.text, verdict
    assert torch.is_grad_enabled()


def test_a_hint_is_given_where_it_explains_all_cases():
    slips = {
        "Nothing added.": lambda maps, add: 2 * maps,
        "One added.": lambda maps, add: 2 * maps + 1,
        "Never.": lambda maps, add: maps,
    }
    assert "Nothing added. (Seen with maps [2], add 1.)" in run(lambda m, a: 2 * m, slips).text
    assert "One added. (Seen with maps [1, 2]" in run(lambda m, a: 2 * m + 1, slips).text
    assert "added" not in run(lambda m, a: 2 * m + 3, slips).text


def test_what_is_forbidden_is_sent_back_and_what_fails_gets_its_hint():
    def with_relu(maps, add):
        return double(maps, add) + 0 * F.relu(maps)

    assert "Without it." in run(with_relu, without={"relu": "Without it."}).text
    assert run(with_relu).passed is True
    hint = {"no_such_thing": "There is none."}
    assert "There is none." in run(fails_later, failures=hint).text


def test_what_is_printed_is_shown_and_random_numbers_are_left_alone(capsys):
    def noisy(maps, add):
        print("here")
        torch.rand(3)
        return double(maps, add)

    states = torch.random.get_rng_state(), random.getstate()
    assert run(noisy).passed is True
    assert capsys.readouterr().out == "here\nhere\n"
    assert torch.equal(states[0], torch.random.get_rng_state()) and states[1] == random.getstate()


# --- two networks -------------------------------------------------------------------------------


class InPlace(LeNet5):
    def forward(self, pictures):
        return super().forward(pictures.sub_(0.5))


class Complex(LeNet5):
    def forward(self, pictures):
        return super().forward(pictures) + 1j


class Leaves(LeNet5):
    def forward(self, pictures):
        sys.exit()


class Mine(nn.Module):
    """LeNet-5 in another style; its layers are created in another order than they run in."""

    def __init__(self, pool=nn.MaxPool2d, relu=False, permute=False):
        super().__init__()
        self.output, self.f6, self.c5 = nn.Linear(84, 10), nn.Linear(120, 84), nn.Linear(400, 120)
        self.c3, self.c1 = nn.Conv2d(6, 16, 5), nn.Conv2d(3, 6, 5)
        self.pool, self.relu, self.permute = pool(2), relu, permute

    def forward(self, pictures):
        maps = self.pool(self.c1(pictures))
        maps = F.relu(maps) if self.relu else maps
        maps = self.pool(self.c3(maps))
        maps = maps.transpose(2, 3) if self.permute else maps
        return self.output(F.relu(self.f6(F.relu(self.c5(maps.flatten(1))))))


def deep(**changed):
    """Twenty layers with PyTorch's start: nothing of the first ones is left in the output."""
    net, channels = nn.Sequential(), 3
    for k in range(1, 21):
        net.add_module(f"conv{k}", nn.Conv2d(channels, 16, 3, padding=1))
        net.add_module(f"relu{k}", nn.ReLU())
        channels = 16
    net.add_module("pool", nn.MaxPool2d(2))
    for name, layer in changed.items():
        net.set_submodule(name, layer)
    return net


def lenet(**changed):
    net = LeNet5()
    for name, layer in changed.items():
        setattr(net.features if hasattr(net.features, name) else net.classifier, name, layer)
    return net


def inception(order):
    class Shuffled(Inception):
        def forward(self, maps):
            branches = (self.branch1x1, self.branch3x3, self.branch5x5, self.branch_pool)
            return torch.cat([branches[k](maps) for k in order], dim=1)

    return Shuffled(192, *TABLE_1["3a"])


PICTURES, MAPS = images((3, 32, 32), 2), images((192, 5, 5), 2)


def against(reference, pictures=PICTURES):
    return lambda mine: checks.check_same_function(mine, reference, pictures)


to_lenet, to_deep = against(LeNet5()), against(deep())
to_inception, to_resnet = against(inception(range(4)), MAPS), against(ResNetCIFAR(8))
SAME = [(to_lenet, LeNet5()), (to_lenet, Mine()), (to_deep, deep()), (to_resnet, ResNetCIFAR(8))]
OTHER = [
    (to_lenet, LeNet5(activation=nn.ReLU), "Up to features.c1|activation1 (ReLU)|s2", "c3"),
    (to_lenet, Mine(relu=True), "Up to pool|yours has relu|features.c3", "s2"),
    (to_lenet, Mine(pool=nn.AvgPool2d), "Up to c1|pool (AvgPool2d|features.s2 (MaxPool2d", "c3"),
    (to_lenet, Mine(permute=True), "transpose", "Up to c1 "),
    (to_lenet, nn.Sequential(LeNet5(), nn.ReLU()), "Up to 0.classifier.output|1 (ReLU)", "c1"),
    (to_lenet, lenet(relu6=nn.Tanh()), "Up to classifier.f6|relu6 (Tanh)|relu6 (ReLU)", "c1"),
    (to_lenet, lenet(f6=nn.Linear(120, 80)), "f6.weight [80, 120]|f6.weight [84, 120]", "tensors"),
    (to_lenet, lenet(s4=nn.Identity()), "Your network failed", "agree"),
    (to_lenet, nn.Linear(1, 1), "2 weight tensors, the reference 10|c1.weight [6, 3", "agree"),
    (to_lenet, nn.Sequential(LeNet5().features, LeNet5().classifier[:-1]), "nothing more", "agree"),
    (to_lenet, 3, "must be a network", "agree"),
    (to_lenet, InPlace(), "changes what it is given|clone", "agree"),
    (to_lenet, Complex(), "other outputs. Up to classifier.output", "failed"),
    (to_lenet, Leaves(), "Your network failed: SystemExit", "agree"),
    (to_deep, deep(relu1=nn.Identity()), "conv2 (|the reference relu1 (ReLU)", "pool"),
    (to_deep, deep(relu5=nn.LeakyReLU()), "Up to conv5|relu5 (LeakyReLU)|relu5 (ReLU)", "conv6"),
    (to_deep, deep(pool=nn.AvgPool2d(2)), "Up to relu20|pool (AvgPool2d|pool (MaxPool2d", "conv1 "),
    (to_deep, deep(conv9=nn.Conv2d(16, 16, 3, padding=1, padding_mode="replicate")),
     "Up to relu8|yours has conv9|the reference conv9", "conv1 "),
    (to_inception, inception((0, 2, 1, 3)), "cat (cat)|another order", "branch1x1"),
    (to_resnet, ResNetCIFAR(8, shortcut=None), "Up to conv2_x.0.bn2|relu2 (ReLU)|add (add)", "fc"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "mine"), SAME)
def test_the_same_network_in_another_style_is_right(check, mine):
    assert_right(check, mine)


@pytest.mark.parametrize(("check", "mine", "says", "not_says"), OTHER)
def test_of_another_network_the_first_step_that_differs_is_named(check, mine, says, not_says):
    assert_wrong(check, mine, says, not_says)


def test_a_dead_signal_hides_no_difference():
    """With the networks' own weights both give the same, and one lacks its first ReLU."""
    mine, reference = deep(relu1=nn.Identity()), deep()
    mine.load_state_dict(reference.state_dict())
    with torch.no_grad():
        assert (mine(PICTURES) - reference(PICTURES)).abs().max() < 1e-5
    assert checks.check_same_function(mine, reference, PICTURES).passed is False


def test_both_networks_are_left_as_they_were():
    nets = [LeNet5().train(), LeNet5().eval()]
    before = [{name: weight.clone() for name, weight in net.state_dict().items()} for net in nets]
    assert checks.check_same_function(*nets, PICTURES).passed is True
    for net, state in zip(nets, before):
        assert all(torch.equal(weight, state[name]) for name, weight in net.state_dict().items())
    assert nets[0].training and not nets[1].training and torch.is_grad_enabled()
    assert checks.check_same_function(None, LeNet5(), PICTURES).passed is None


def test_every_check_of_the_lessons_is_one():
    for name in dir(checks):
        if name.startswith("check_"):
            assert getattr(checks, name).__wrapped__.__doc__, name
