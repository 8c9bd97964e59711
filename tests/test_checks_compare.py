"""The checks of lesson 06: right answers pass in any form, and each slip gets its own sentence."""

from decimal import Decimal
from fractions import Fraction
from math import sqrt

import numpy as np
import torch
from torch import nn

from cnn_lessons import checks, training
from cnn_lessons.checks import compare
from cnn_lessons.models import VGG, LeNet5, ResNetCIFAR
from cnn_lessons.models.resnet import three_stages
from cnn_lessons.shapes import record
from tests.networks import CASES, build_on_meta
from tests.verdicts import ChecksOfALesson, broken, nothing

LINEAR, ALL = (123_642_856, 123_633_664), (138_357_544, 15_470_264_320)  # VGG-16: parameters, MACs
SHARES = (LINEAR[0] / ALL[0], LINEAR[1] / ALL[1])


def error(accuracy, images):
    return sqrt(accuracy * (1 - accuracy) / images)


def rounded(function, digits=None):
    return lambda *given: round(function(*given), digits)


def times(factor, function):
    return lambda *given: factor * function(*given)


def paired(first, second):
    gains = second - first
    return gains.mean(), gains.std() / len(gains) ** 0.5


def paired_in_numpy(first, second):
    gains = second.numpy() - first.numpy()
    return [float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))]


def gain_and(error_of):
    return lambda a, b: ((b - a).mean(), error_of(a, b))


def by_hand(a, b):
    total = 0
    for k in range(len(a)):
        total += b[k] - a[k]
    return total / 5, (b - a).std() / 5**0.5


def probabilities(logits):
    return torch.stack([each.softmax(dim=1) for each in logits])


def ensemble(logits):
    return probabilities(logits).mean(dim=0).argmax(dim=1)


def of_three_networks(logits):
    return (logits[0].softmax(1) + logits[1].softmax(1) + logits[2].softmax(1)).argmax(1)


def net(*ends, width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), *ends)


POOLED = (nn.AdaptiveAvgPool2d(1), nn.Flatten())

RIGHT = [
    (checks.check_head_shares, SHARES),
    (checks.check_head_shares, (0.894, 0.008)),
    (checks.check_head_shares, [0.89, 0.008]),
    (checks.check_head_shares, torch.tensor(SHARES)),
    (checks.check_cost_at_224, 1_986_970_240),
    (checks.check_cost_at_224, torch.tensor(1_986_970_240)),
    (checks.check_standard_error, error),
    (checks.check_standard_error, lambda p, n: torch.tensor(p * (1 - p) / n).sqrt()),
    (checks.check_standard_error, lambda p, n: (Decimal(p) * (1 - Decimal(p)) / n).sqrt()),
    (checks.check_standard_error, lambda p, n: [Fraction(error(p, n))]),
    (checks.check_paired, paired),
    (checks.check_paired, paired_in_numpy),
    (checks.check_paired, lambda a, b: (paired(a, b)[0], paired(a, b)[1].item())),
    (checks.check_paired, lambda a, b: (paired(a, b)[0].item(), paired(a, b)[1])),
    (checks.check_paired, lambda a, b: torch.stack(paired(a, b))),
    (checks.check_paired, lambda a, b: np.array(paired_in_numpy(a, b))),
    (checks.check_ensemble, ensemble),
    (checks.check_ensemble, lambda logits: sum(each.softmax(1) for each in logits).argmax(1)),
    (checks.check_ensemble, lambda logits: [int(k) for k in ensemble(logits)]),
    (checks.check_ensemble, lambda logits: ensemble(logits).numpy()),
    (checks.check_budget, three_stages(widths=(16, 40, 80), blocks=(3, 2, 2))),
    (checks.check_budget, LeNet5()),
]


WRONG = [
    # the check, an answer, words that the message must have, words that it must not have
    (checks.check_head_shares, SHARES[::-1], "swapped", "convolutions."),
    (checks.check_head_shares, (89.4, 0.799), "per cent", "swapped"),
    (checks.check_head_shares, (1 - SHARES[0], 1 - SHARES[1]), "of the convolutions", "swapped"),
    (checks.check_head_shares, LINEAR, "are counts", "Upside"),
    (checks.check_head_shares, (SHARES[0], SHARES[0]), "row.macs", "swapped"),
    (checks.check_head_shares, (LINEAR[0] / ALL[1], SHARES[1]),
     "parameters divided by MACs", "kind"),
    (checks.check_head_shares, (1 / SHARES[0], 1 / SHARES[1]), "Upside down", "counts"),
    (checks.check_head_shares, (0.89, 0.01), "Rounded", "kind"),
    (checks.check_head_shares, (0.5, 0.5), "row.parameters and row.macs", "Rounded"),
    (checks.check_head_shares, 0.9, "2 numbers, parameters, MACs", "kind"),
    (checks.check_head_shares, (0.9, "a"), "MACs: |quotes", "kind"),
    (checks.check_head_shares, (None, 0.008), "parameters is still empty", "kind"),
    (checks.check_cost_at_224, 49 * 40_551_040, "640 MACs stay.", "part of it"),
    (checks.check_cost_at_224, 49 * 40_550_400, "stay, and are part of it", "whatever"),
    (checks.check_cost_at_224, 7 * 40_551_040, "but 49", "Nearly"),
    (checks.check_cost_at_224, 7 * 40_550_400 + 640, "but 49", "Nearly"),
    (checks.check_cost_at_224, 40_551_040, "at more places", "factor"),
    (checks.check_cost_at_224, 49, "the factor", "places."),
    (checks.check_cost_at_224, 269_722, "Those are the parameters", "factor"),
    (checks.check_cost_at_224, 1_990_000_000, "exact", "Nearly"),
    (checks.check_cost_at_224, 1, "linear layer does not", "exact"),
    (checks.check_standard_error, lambda p, n: p * (1 - p) / n, "variance", "one picture"),
    (checks.check_standard_error, lambda p, n: sqrt(p * (1 - p)), "for one picture", "variance"),
    (checks.check_standard_error, lambda p, n: sqrt(p * (1 - p)) / n, "root of n", "variance"),
    (checks.check_standard_error, lambda p, n: sqrt(p / n), "always right", "always wrong"),
    (checks.check_standard_error, lambda p, n: sqrt((1 - p) / n), "always wrong", "always right"),
    (checks.check_standard_error, times(100, error), "per cent", "two"),
    (checks.check_standard_error, times(2, error), "two standard errors", "per cent"),
    (checks.check_standard_error, lambda p, n: sqrt(n * p * (1 - p)), "counts pictures", "root"),
    (checks.check_standard_error, rounded(error, 3), "rounds the result", "variance"),
    (checks.check_standard_error, lambda p: p, "TypeError", "variance"),
    (checks.check_paired, lambda a, b: paired(b, a), "The sign", "Keep"),
    (checks.check_paired, gain_and(lambda a, b: (b - a).std()), "of one pair", "strangers"),
    (checks.check_paired, gain_and(lambda a, b: (b - a).std() / len(a)), "by the number", "two"),
    (checks.check_paired, gain_and(lambda a, b: (b - a).var() / len(a)), "variance", "root of the"),
    (checks.check_paired, lambda a, b: tuple(f(b.numpy() - a.numpy()) for f in
     (np.mean, lambda gains: gains.std() / len(gains) ** 0.5)), "n − 1", "strangers"),
    (checks.check_paired, gain_and(lambda a, b: ((a.var() + b.var()) / len(a)) ** 0.5),
     "strangers", "n − 1"),
    (checks.check_paired, gain_and(lambda a, b: (b.std() - a.std()) / len(a) ** 0.5),
     "no deviation", "strangers"),
    (checks.check_paired, lambda a, b: (abs(paired(a, b)[0]), paired(a, b)[1]), "Keep the sign",
     "The sign:"),
    (checks.check_paired, lambda a, b: (paired(a, b)[0], 2 * paired(a, b)[1]), "two standard", "%"),
    (checks.check_paired, lambda a, b: [100 * x for x in paired(a, b)], "per cent", "two"),
    (checks.check_paired, lambda a, b: paired(a, b)[::-1], "Swapped", "sign"),
    (checks.check_paired, lambda a, b: paired(a, b)[0], "mean alone", "axis"),
    (checks.check_paired, lambda a, b: paired(a, b)[1], "error alone", "axis"),
    (checks.check_paired, lambda a, b: paired(a, b)[0] / paired(a, b)[1], "many errors", "alone"),
    (checks.check_paired, lambda a, b: b - a, "Those are the differences", "alone"),
    (checks.check_paired, lambda a, b: b.mean() - a.mean() > 0, "in place of [2]", "alone"),
    (checks.check_paired, lambda a, b: str(training.difference(a, b)), "tensor of numbers", "mean"),
    (checks.check_paired, by_hand, "second [8]|is right", "sign"),
    (checks.check_paired, lambda a, b: a.sub_(b).mean(), "changes what it is given", "sign"),
    (checks.check_ensemble, lambda z: torch.stack(z).mean(0).argmax(1), "Softmax first", "votes"),
    (checks.check_ensemble, lambda z: torch.stack(z).log_softmax(2).mean(0).argmax(1),
     "log_softmax too", "votes"),
    (checks.check_ensemble, lambda z: torch.stack(z).argmax(2).mode(0).values, "counted votes",
     "outvote"),
    (checks.check_ensemble, lambda z: torch.stack(z).softmax(1).mean(0).argmax(1),
     "pictures compete", "votes"),
    (checks.check_ensemble, lambda z: probabilities(z).amax(0).argmax(1), "the largest, not",
     "winners"),
    (checks.check_ensemble, lambda z: z[0].argmax(1), "first network alone", "last"),
    (checks.check_ensemble, lambda z: z[-1].argmax(1), "last network alone", "first"),
    (checks.check_ensemble, lambda z: probabilities(z).mean(0), "scores of ten classes", "dim=0?"),
    (checks.check_ensemble, lambda z: probabilities(z).mean(0).argmax(0), "over dim=0?", "scores"),
    (checks.check_ensemble, lambda z: probabilities(z).mean(0).amax(1), "of the winners", "scores"),
    (checks.check_ensemble, lambda z: ensemble(z)[:, None], "Leave the axis of one out", "winners"),
    (checks.check_ensemble, lambda z: torch.zeros(400), "is right|logits 3 × [400, 10]", "alone"),
    (checks.check_ensemble, of_three_networks, "IndexError|logits 2 × [300, 10]", "Seen"),
    (checks.check_ensemble, lambda z: z[0].exp_().argmax(1),
     "changes what it is given", "alone"),
    (checks.check_ensemble, lambda z: "cat", "tensor of numbers", "alone"),
    (checks.check_ensemble, broken, "ZeroDivisionError", "alone"),
    (checks.check_budget, ResNetCIFAR(20), "ResNet-20 itself", "many"),
    (checks.check_budget, three_stages(), "ResNet-20 itself", "many"),
    (checks.check_budget, LeNet5, "a class|LeNet5()", "run"),
    (checks.check_budget, nn.Sequential(nn.Linear(7, 10)), "does not run", "logits"),
    (checks.check_budget, nn.Sequential(), "ends with maps", "score"),
    (checks.check_budget, net(), "ends with maps", "score"),
    (checks.check_budget, nn.Conv2d(3, 10, 3), "a score for each place|30×30", "ends"),
    (checks.check_budget, net(*POOLED, nn.Linear(8, 100)), "[N, 100] and not [N, 10]", "ImageNet"),
    (checks.check_budget, net(*POOLED, nn.Linear(8, 1000)), "ImageNet", "[N, 1000]"),
    (checks.check_budget, net(*POOLED, nn.Linear(8, 10), nn.Softmax(dim=1)),
     "softmax", "last step"),
    (checks.check_budget, net(*POOLED, nn.Linear(8, 10), nn.LogSoftmax(dim=1)), "softmax", "step"),
    (checks.check_budget, net(*POOLED, nn.Linear(8, 10), nn.ReLU()),
     "last step is ReLU", "softmax"),
    (checks.check_budget, nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10)), "no parameters",
     "many"),
    (checks.check_budget, net(nn.Flatten(), nn.Linear(8 * 32 * 32, 100), nn.Linear(100, 10)),
     "too many|Average each map first", "halve"),
    (checks.check_budget, net(nn.Conv2d(99, 64, 3), *POOLED, nn.Linear(64, 10), width=99),
     "halve earlier|30×30", "Average"),
]  # fmt: skip


NOT_YET = [
    (checks.check_head_shares, None, "head_shares"),
    (checks.check_cost_at_224, None, "macs_at_224"),
    *(
        (check, answer, says)
        for check in (checks.check_standard_error,
                      checks.check_paired, checks.check_ensemble)
        for answer, says in ((None, "Write"), (nothing, "returns nothing yet"))
    ),
    (checks.check_budget, None, "ten classes"),
]  # fmt: skip


class TestTheChecks(ChecksOfALesson):
    lesson, right, wrong, not_yet = compare, RIGHT, WRONG, NOT_YET


def test_the_numbers_are_those_of_the_networks():
    table = record(build_on_meta("vgg_d"), CASES["vgg_d"].size)
    linear = [row for row in table if row.kind == "Linear"]
    counts = tuple(sum(getattr(row, what) for row in linear) for what in ("parameters", "macs"))
    assert (table.parameters, table.macs) == ALL and counts == LINEAR
    with torch.device("meta"):
        macs = record(ResNetCIFAR(20), (3, 224, 224)).macs
    assert checks.check_cost_at_224(macs).passed


# --- the budget ---------------------------------------------------------------------------------


def test_the_budget_says_how_much_is_used():
    text = checks.check_budget(LeNet5()).text
    assert text == "62,006 of 300,000 parameters, 651,720 of 50,000,000 MACs."


def test_the_budget_says_by_how_much_and_where():
    with torch.device("meta"):
        text = checks.check_budget(VGG("D", num_classes=10, input_size=32)).text
    assert "33,638,218 parameters are 33,338,218 too many (112.1 times" in text
    assert "classifier.fc7 (Linear): 16,781,312, 50%" in text
    assert "332,111,872 MACs are 282,111,872 too many (6.6 times" in text


def test_layers_that_do_not_run_are_counted():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = net(*POOLED, nn.Linear(8, 10)), nn.Linear(1000, 1000)

        def forward(self, images):
            return self.used(images)

    assert "did not run" in checks.check_budget(Idle()).text


def test_an_output_that_ignores_the_picture():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(10, 10)

        def forward(self, images):
            return torch.zeros(len(images), 10)

    assert "does not depend" in checks.check_budget(Constant()).text


def test_dead_weights_are_mentioned():
    small = net(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 10, 3, padding=1), nn.Flatten())
    verdict = checks.check_budget(small)
    assert verdict.passed is True and "640 weights never meet a pixel" in verdict.text


def test_a_lazy_network_gets_its_sizes():
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    assert checks.check_budget(lazy).passed is True
