"""The checks of lesson 04: right answers pass in any form, and each slip gets its own sentence."""

from dataclasses import replace
from functools import partial
from math import exp, log

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons import checks
from cnn_lessons.checks import googlenet
from cnn_lessons.models import GoogLeNet
from cnn_lessons.models.googlenet import (
    ARTICLE_TABLE,
    TABLE_1,
    AuxiliaryHead,
    Inception,
)
from cnn_lessons.shapes import on_meta
from cnn_lessons.training import RECIPES
from tests.verdicts import ChecksOfALesson, broken, nothing, prints

REPAIRED = (384, 192, 384, 48, 128, 128)  # the paper's row 5b


def rows(**changed):
    return {**ARTICLE_TABLE, "5b": REPAIRED} | {name[1:]: row for name, row in changed.items()}


def head(channels, classes, layers="p c r f l R d o", drop=0.7, pool=lambda: nn.AvgPool2d(5, 3)):
    """The paper's head, its layers by letter: pool, convolution, ReLU, flat, ..., output."""
    made = {
        "p": pool, "c": lambda: nn.Conv2d(channels, 128, 1), "r": nn.ReLU, "f": nn.Flatten,
        "l": lambda: nn.Linear(2048, 1024), "L": lambda: nn.LazyLinear(1024), "R": nn.ReLU,
        "d": lambda: nn.Dropout(drop), "o": lambda: nn.Linear(1024, classes),
        "s": lambda: nn.Softmax(dim=1), "3": lambda: nn.Conv2d(channels, 128, 3, padding=1),
    }  # fmt: skip
    return nn.Sequential(*[made[letter]() for letter in layers.split()])


class InFunctions(nn.Module):
    """The head in another style; its layers are created in another order than they run in."""

    def __init__(self, channels, classes):
        super().__init__()
        self.output, self.hidden = nn.Linear(1024, classes), nn.Linear(2048, 1024)
        self.reduce = nn.Conv2d(channels, 128, 1)

    def forward(self, maps):
        maps = F.relu(self.reduce(F.avg_pool2d(maps, 5, stride=3)))
        features = F.relu(self.hidden(torch.flatten(maps, 1)))
        return self.output(F.dropout(features, 0.7, training=self.training))


def step(maps, made, size, relu=True, padding=None):
    conv = nn.Conv2d(maps, made, size, padding=size // 2 if padding is None else padding)
    return nn.Sequential(conv, nn.ReLU()) if relu else conv


class Module(nn.Module):
    """The Inception module as one writes it, and with slips."""

    def __init__(
        self,
        maps,
        one,
        r3,
        three,
        r5,
        five,
        proj,
        branches=("3", "5", "p"),
        pool=None,
        relus=(True, True),
        padding=None,
        swap=False,
        join=None,
        only_pool=False,
    ):
        super().__init__()
        self.join = join or (lambda made: torch.cat(made, dim=1))
        r3, r5 = (r5, r3) if swap else (r3, r5)
        self.branch1x1 = step(maps, one, 1)
        self.branch3x3 = self.branch5x5 = self.branch_pool = None
        if "3" in branches:
            self.branch3x3 = nn.Sequential(
                step(maps, r3, 1, relus[0]), step(r3, three, 3, relus[1])
            )
        if "5" in branches:
            self.branch5x5 = nn.Sequential(step(maps, r5, 1), step(r5, five, 5, padding=padding))
        if "n" in branches:
            self.branch5x5 = step(maps, five, 5)
        if "p" in branches:
            pool = pool or nn.MaxPool2d(3, stride=1, padding=1)
            self.branch_pool = nn.Sequential(pool, *[step(maps, proj, 1)] * (not only_pool))
        if "P" in branches:
            after = nn.MaxPool2d(3, stride=1, padding=1)
            self.branch_pool = nn.Sequential(step(maps, proj, 1), after)

    def forward(self, maps):
        branches = (self.branch1x1, self.branch3x3, self.branch5x5, self.branch_pool)
        return self.join([branch(maps) for branch in branches])


class Chained(Module):
    def forward(self, maps):
        one = self.branch1x1(maps)
        return torch.cat(
            [one, self.branch3x3(one), self.branch5x5(maps), self.branch_pool(maps)], 1
        )


def without_convolution(channels, classes):
    return nn.Sequential(nn.AvgPool2d(5, 3), nn.Flatten(), nn.Linear(16 * channels, classes))


RIGHT = [
    (checks.check_module_weights, 163_328),
    (checks.check_module_weights, torch.tensor(163_328)),
    (checks.check_first_loss, 1.6 * log(10)),
    (checks.check_first_loss, torch.tensor(10.0).log() * 1.6),
    (checks.check_first_loss, 3.7),
    (checks.check_rows, rows()),
    (checks.check_rows, {name: [*row] for name, row in rows().items()}),
    (checks.check_inception, Inception),
    (checks.check_inception, Module),
    (checks.check_separable, 8),
    (checks.check_separable, torch.tensor(8.0)),
    (checks.check_decay, 0.0094),
    (checks.check_decay, torch.tensor(-1.46625).exp() * 0.0408),
    (checks.check_smallest, 31),
    (checks.check_smallest, torch.tensor([31])),
    (checks.check_aux_head, head),
    (checks.check_aux_head, InFunctions),
    (checks.check_aux_head, AuxiliaryHead),
    (checks.check_aux_head, partial(head, layers="p c r f l d R o")),
    (checks.check_aux_head, partial(head, layers="p c r f L R d o")),
]


ONE, THREE, FIVE = 64 * 192, 96 * 192 + 9 * 96 * 128, 16 * 192 + 25 * 16 * 32  # branches of 3a
WRONG = [
    # the check, an answer, words that the message must have, words that it must not have
    (checks.check_module_weights, 163_328 + 368, "Leave out the 368 biases", "naive"),
    (checks.check_module_weights, 192 * (64 + 9 * 128 + 25 * 32), "naive", "biases"),
    (checks.check_module_weights, ONE + THREE + FIVE, "projection behind the pool", "reductions"),
    (checks.check_module_weights, THREE + FIVE + 32 * 192, "1×1 branch is missing", "pool"),
    (checks.check_module_weights, 163_328 - 96 * 192 - 16 * 192,
     "two reductions are missing", "1×1"),
    (checks.check_module_weights, 163_328 + 25 * (192 - 16) * 32 - 16 * 192,
     "not all 192", "naive"),
    (checks.check_module_weights, ONE + 96 * 192 + 3 * 96 * 128 + 16 * 192 + 5 * 16 * 32 + 32 * 192,
     "9 weights|5×5 kernel 25", "missing"),
    (checks.check_module_weights, ONE + THREE + FIVE + 32 * 32, "module's input", "behind"),
    (checks.check_module_weights, 256 * 192, "each pair", "naive"),
    (checks.check_module_weights, 7, "Six convolutions", "pair"),
    (checks.check_first_loss, log(10), "main loss", "two heads."),
    (checks.check_first_loss, 3 * log(10), "multiplied by 0.3", "main loss"),
    (checks.check_first_loss, 1.3 * log(10), "There are two heads", "multiplied"),
    (checks.check_first_loss, 0.6 * log(10), "own loss is added", "fully"),
    (checks.check_first_loss, 0.9 * log(10), "counts fully", "is added"),
    (checks.check_first_loss, 1.6, "natural logarithm", "1000"),
    (checks.check_first_loss, 1.6 * log(1000), "1000 classes", "natural"),
    (checks.check_first_loss, 0, "1/10", "natural"),
    (checks.check_rows, ARTICLE_TABLE, "the article's rows, as they are", "place"),
    (checks.check_rows, rows(_5b=(384, 190, 384, 48, 128, 128)), "right place|190", "was right"),
    (checks.check_rows, {**ARTICLE_TABLE, "3a": (64, 96, 128, 16, 32, 64)}, "3a was right|6 is 32",
     "place"),
    (checks.check_rows, rows(_5b=(384, 192, 384, 48, 128, 182)), "5b was right|6 is 128", "place"),
    (checks.check_rows, {"5b": REPAIRED}, "the names 3a", "dictionary"),
    (checks.check_rows, rows(_4a=(1, 2)), "4a must have six", "right"),
    (checks.check_rows, rows(_4a=7), "4a must have six", "right"),
    (checks.check_rows, 192, "dictionary|number is right", "names"),
    (checks.check_rows, [REPAIRED], "dictionary", "number is right"),
    (checks.check_inception, partial(Module, relus=(False, True)),
     "ReLU after the 1×1 convolution to 4", "3×3"),
    (checks.check_inception, partial(Module, relus=(True, False)),
     "ReLU after the 3×3 convolution to 5", "1×1"),
    (checks.check_inception, partial(Module, pool=nn.MaxPool2d(3)), "stride=1 for", "axis"),
    (checks.check_inception, partial(Module, pool=nn.MaxPool2d(3, 1)), "keep the height", "axis"),
    (checks.check_inception, partial(Module, pool=nn.AvgPool2d(3, 1, 1)), "MaxPool2d", "ReLU"),
    (checks.check_inception, partial(Module, padding=0), "keep the height and width", "axis"),
    (checks.check_inception, partial(Module, swap=True), "The first that differs", "ReLU"),
    (checks.check_inception, partial(Module, branches=("3", "n", "p")), "Six convolutions", "ReLU"),
    (checks.check_inception, partial(Module, branches=("3", "5", "P")), "comes after it", "ReLU"),
    (checks.check_inception, partial(Module, only_pool=True), "then a 1×1", "Six"),
    (checks.check_inception, partial(Module, join=lambda made: made), "torch.cat", "axis"),
    (checks.check_inception, partial(Module, join=lambda made: torch.cat(made[:3], 1)),
     "joins all four", "ReLU"),
    (checks.check_inception, partial(Module, join=lambda made: torch.cat(made[::-1], 1)),
     "inputs in another order", "missing"),
    (checks.check_inception, partial(Module, join=torch.cat), "It failed", "ReLU"),
    (checks.check_inception, partial(Module, join=lambda made: made[0].sum()), "four axes", "ReLU"),
    (checks.check_inception, Chained, "It failed|channels", "ReLU"),
    (checks.check_inception, Module(10, 3, 4, 5, 2, 6, 7), "the class itself", "ReLU"),
    (checks.check_inception, lambda *row: 7, "nn.Module", "ReLU"),
    (checks.check_inception, broken, "ZeroDivisionError|return 1 / 0", "ReLU"),
    (checks.check_separable, 24, "each of the three", "weights."),
    (checks.check_separable, 64, "after the 1×1", "colours"),
    (checks.check_separable, 1, "339 weights", "each of"),
    (checks.check_separable, 2712, "Those are the weights", "each of"),
    (checks.check_separable, 7, "one more", "less"),
    (checks.check_separable, 9, "one less", "more"),
    (checks.check_separable, 18, "the 1×1 has weights too", "colours"),
    (checks.check_separable, 3, "number of colours", "each of"),
    (checks.check_separable, 5, "together 2.7K", "colours"),
    (checks.check_decay, 0.0408 * exp(-2 * 1.46625), "highest rate all the time", "Momentum"),
    (checks.check_decay, 0.0408 * exp(-0.146625), "Momentum is missing", "Two things"),
    (checks.check_decay, 0.0408 * exp(-0.29325), "Two things", "Momentum is missing"),
    (checks.check_decay, exp(-1.46625), "Multiply by the size", "missing"),
    (checks.check_decay, 1.46625, "exp of minus", "missing"),
    (checks.check_decay, 0.0408, "size at the start", "missing"),
    (checks.check_decay, 0.0408 * (1 - 1.46625), "they multiply", "missing"),
    (checks.check_decay, 0, "average rate", "missing"),
    (checks.check_smallest, 224, "heads want 224", "passes"),
    (checks.check_smallest, 64, "64 passes", "heads"),
    (checks.check_smallest, 33, "33 passes", "one less"),
    (checks.check_smallest, 32, "one less", "33"),
    (checks.check_smallest, 30, "30 fails|pool4", "passes"),
    (checks.check_smallest, 16, "16 fails", "30 fails"),
    (checks.check_smallest, 5, "article's network", "fails"),
    (checks.check_smallest, 1, "pool2", "at least"),
    (checks.check_smallest, 0, "at least one pixel", "pool2"),
    (checks.check_smallest, 77, "77 passes|in a loop", "fails."),
    (checks.check_smallest, 28, "28 fails|in a loop", "passes"),
    (checks.check_aux_head, partial(head, layers="p c f l R d o"),
     "ReLU after the 1×1", "1024 units"),
    (checks.check_aux_head, partial(head, layers="p c r f l d o"), "ReLU after the 1024", "1×1"),
    (checks.check_aux_head, partial(head, layers="p c r f l R o"), "70 % is missing", "ReLU"),
    (checks.check_aux_head, partial(head, layers="p c r f d l R o"), "between the two", "missing"),
    (checks.check_aux_head, partial(head, layers="p c r f d l R d o"), "yours has 2", "between"),
    (checks.check_aux_head, partial(head, drop=0.5), "50 % twice|drops 50%", "thrown away"),
    (checks.check_aux_head, partial(head, drop=0.3), "thrown away: 0.7", "50 %"),
    (checks.check_aux_head, partial(head, layers="p c r f l R d o s"), "softmax", "missing"),
    (checks.check_aux_head, partial(head, layers="p c r f l R d o r"), "last step is ReLU", "1×1"),
    (checks.check_aux_head, partial(head, layers="p 3 r f l R d o"),
     "convolution is 1×1", "missing"),
    (checks.check_aux_head, partial(head, pool=lambda: nn.MaxPool2d(5, 3)),
     "AvgPool2d(5, 3)", "1×1"),
    (checks.check_aux_head, partial(head, pool=lambda: nn.AdaptiveAvgPool2d(4)), "AvgPool2d(5, 3)",
     "1×1"),
    (checks.check_aux_head, partial(head, pool=lambda: nn.AvgPool2d(5)),
     "does not run|2, 2", "two linear"),
    (checks.check_aux_head, without_convolution, "to 128 maps is missing", "linear layers"),
    (checks.check_aux_head, lambda channels, classes: nn.Sequential(
        *head(channels, classes)[:4], nn.Linear(2048, classes)), "two linear layers|has 1", "1×1"),
    (checks.check_aux_head, lambda channels, classes: head(512, classes),
     "my_head(528, 7)|does not run on 528", "my_head(512"),
    (checks.check_aux_head, lambda channels, classes: head(channels, 10),
     "my_head(528, 7)|[N, 10] and not [N, 7]", "my_head(512"),
    (checks.check_aux_head, lambda channels, classes: head(channels, 7), "[N, 7] and not [N, 10]",
     "528"),
    (checks.check_aux_head, lambda channels, classes: InFunctions, "a class", "run"),
    (checks.check_aux_head, lambda channels, classes: 7, "nn.Module", "run"),
    (checks.check_aux_head, lambda channels: head(channels, 10), "TypeError", "ReLU"),
    (checks.check_aux_head, head(512, 10), "without brackets|finished Sequential", "ReLU"),
    (checks.check_aux_head, prints, "prints", "attempted"),
    (checks.check_aux_head, broken, "ZeroDivisionError|broken(512, 10)", "ReLU"),
]  # fmt: skip


NOT_YET = [
    (checks.check_module_weights, None, "weights_3a"),
    (checks.check_first_loss, None, "first_loss"),
    (checks.check_rows, None, "nine rows"),
    (checks.check_inception, None, "branches and the forward"),
    (checks.check_inception, partial(Module, branches=()), "branch3x3 is still None"),
    (checks.check_inception, partial(Module, branches=("3",)), "branch5x5 is still None"),
    (checks.check_inception, partial(Module, join=lambda made: None), "returns nothing yet"),
    (checks.check_separable, None, "kernels_a_colour"),
    (checks.check_decay, None, "size_now"),
    (checks.check_smallest, None, "smallest"),
    (checks.check_aux_head, None, "my_head"),
    (checks.check_aux_head, nothing, "returns nothing yet"),
]


class TestTheChecks(ChecksOfALesson):
    lesson, right, wrong, not_yet = googlenet, RIGHT, WRONG, NOT_YET


def test_the_numbers_are_those_of_the_networks():
    def weights(build, channels):
        return sum(row.weights for row in on_meta(build, (channels, 7, 7)))

    row_3a = 64, 96, 128, 16, 32, 32
    assert checks.check_module_weights(weights(partial(Inception, 192, *row_3a), 192)).passed
    assert rows() == TABLE_1
    with torch.device("meta"):
        network = GoogLeNet(aux=False).eval()
        assert network(torch.empty(1, 3, 31, 31)).shape == (1, 1000)
        with pytest.raises(ValueError, match="31 pixels"):
            network(torch.empty(1, 3, 30, 30))
        with pytest.raises(RuntimeError):
            network.features(torch.empty(1, 3, 30, 30))


def test_decay_alone_shrinks_a_weight_as_the_exercise_says():
    """One weight without a gradient, with the recipe and the optimiser of the course."""
    recipe = replace(RECIPES["GoogLeNetCIFAR"]["cpu"], epochs=30)
    start, steps = (2 / (25 * 48)) ** 0.5, 30 * 391
    weight = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    weight.grad = torch.zeros_like(weight)
    settings = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    optimiser = torch.optim.SGD([weight], lr=1, nesterov=True, **settings)
    for step_number in range(steps):
        optimiser.param_groups[0]["lr"] = recipe.rate(step_number / steps)
        optimiser.step()
    assert weight.item() == pytest.approx(start * exp(-1.46625), rel=0.005)
    assert checks.check_decay(weight.item()).passed
