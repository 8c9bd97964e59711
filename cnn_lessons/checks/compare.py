"""The checks of lesson 06 and its budget."""

from collections.abc import Callable, Sequence
from math import sqrt

import torch
from torch import Tensor, nn

from cnn_lessons.checks.challenge import within
from cnn_lessons.checks.functions import tried
from cnn_lessons.checks.modules import network
from cnn_lessons.checks.numbers import near, number, numbers
from cnn_lessons.checks.verdict import Wrong, check, first_hint
from cnn_lessons.see.explorers import BUDGET

VGG16_LINEAR = (123_642_856, 123_633_664)  # parameters and MACs of its three linear layers, 224
VGG16_ALL = (138_357_544, 15_470_264_320)


@check("Set head_shares to two numbers: parameters, MACs.")
def check_head_shares(answer: Sequence[float]) -> str:
    """Lesson 06: the share of VGG-16's parameters, and of its MACs, that its linear layers have."""
    values = numbers(answer, ("parameters", "MACs"))
    shares = [part / whole for part, whole in zip(VGG16_LINEAR, VGG16_ALL)]
    slips = {
        "The two are swapped: parameters come first, then MACs.": shares[::-1],
        "Those are per cent. Give shares, from 0 to 1.": [100 * share for share in shares],
        "Those are the shares of the convolutions.": [1 - share for share in shares],
        "Those are counts. Divide each by that of the whole network.": VGG16_LINEAR,
        "Both the same? The MACs have their own column: row.macs.": (shares[0], shares[0]),
        "The first is parameters divided by MACs. Divide by table.parameters.":
            (VGG16_LINEAR[0] / VGG16_ALL[1], shares[1]),
        "Upside down: the part is divided by the whole.": [1 / share for share in shares],
        "Rounded it is that: give at least two digits that count.": [round(s, 2) for s in shares],
    }  # fmt: skip
    if all(map(near, values, shares)):
        text = f"{shares[0]:.1%} of the parameters do {shares[1]:.1%} of the work."
        return f"{text} The convolutions are the other way round."
    wrong = 'Sum row.parameters and row.macs over the rows whose kind is "Linear".'
    raise Wrong(first_hint(slips, lambda slip: all(map(near, values, slip)), wrong))


RESNET20_MACS, RESNET20_LINEAR, RESNET20_PARAMETERS = 40_551_040, 640, 269_722


@check("Set macs_at_224 to a number.")
def check_cost_at_224(answer: int) -> str:
    """Lesson 06: the MACs of ResNetCIFAR20 for a picture of 224 pixels, without running it."""
    convolutions = RESNET20_MACS - RESNET20_LINEAR
    truth = 49 * convolutions + RESNET20_LINEAR
    times = "7 times as wide and 7 times as high: that is not 7 times the places, but 49."
    outcomes = {
        truth: f"49 × (40,551,040 − 640) + 640 = {truth:,}, with the same 269,722 parameters.",
        49 * RESNET20_MACS: "Nearly. The linear layer reads 64 numbers after the pool, whatever "
        "the size: its 640 MACs stay.",
        49 * convolutions: "Nearly. The linear layer's 640 MACs stay, and are part of it.",
        7 * RESNET20_MACS: times,
        7 * convolutions + RESNET20_LINEAR: times,
        RESNET20_MACS: "That is the cost at 32 pixels. The kernels now stand at more places.",
        49: "That is the factor. Multiply the MACs of the convolutions with it.",
        269_722: "Those are the parameters, and they do stay the same. The question is the MACs.",
    }
    wrong = "Each convolution stands at 7·7 times as many places; the linear layer does not."
    return number(answer, outcomes, wrong)


FUNCTION = "Write the function and pass it to the check."


def _standard_error(accuracy: float, images: int) -> float:
    return sqrt(accuracy * (1 - accuracy) / images)


@check(FUNCTION)
def check_standard_error(function: Callable) -> str:
    """Lesson 06: `function(accuracy, images)` must return sqrt(p (1 - p) / n)."""
    cases = [(0.9, 10_000), (0.5, 100), (0.689, 10_000)]
    slips = {
        "That is the variance. Take its square root.": lambda p, n: p * (1 - p) / n,
        "That is for one picture. The mean of n is steadier.": lambda p, n: sqrt(p * (1 - p)),
        "Divide by the root of n, not by n.": lambda p, n: sqrt(p * (1 - p)) / n,
        "p alone? A network that is always right has no spread.": lambda p, n: sqrt(p / n),
        "1 − p alone? A network that is always wrong has no spread.":
            lambda p, n: sqrt((1 - p) / n),
        "Those are per cent. Give a share.": lambda p, n: 100 * _standard_error(p, n),
        "That is two standard errors. Give one.": lambda p, n: 2 * _standard_error(p, n),
        "That counts pictures. Divide it by n for a share.": lambda p, n: sqrt(n * p * (1 - p)),
    }  # fmt: skip
    note = tried(function, cases, _standard_error, slips)
    return f"90 % of 10,000 pictures has a standard error of 0.3 points.{note}"


def _error(gains: Tensor) -> Tensor:
    return gains.std() / len(gains) ** 0.5


def _paired(first: Tensor, second: Tensor) -> list[Tensor]:
    gains = second - first
    return [gains.mean(), _error(gains)]


PAIR_SLIPS = {
    "The sign: a gain is the second minus the first.":
        lambda a, b: [(a - b).mean(), _error(b - a)],
    "That is the standard deviation, of one pair. Divide it by the root of their number.":
        lambda a, b: [(b - a).mean(), (b - a).std()],
    "Divide by the root of the number of pairs, not by the number.":
        lambda a, b: [(b - a).mean(), (b - a).std() / len(a)],
    "That is the variance of the mean. Take its square root.":
        lambda a, b: [(b - a).mean(), (b - a).var() / len(a)],
    "For the deviation divide by n − 1, not by n: the mean is taken from the same pairs.":
        lambda a, b: [(b - a).mean(), (b - a).std(correction=0) / len(a) ** 0.5],
    "That takes the two for strangers. First the differences, pair by pair; then their deviation.":
        lambda a, b: [(b - a).mean(), ((a.var() + b.var()) / len(a)).sqrt()],
    "A difference of deviations is no deviation: first the differences, pair by pair.":
        lambda a, b: [(b - a).mean(), (b.std() - a.std()) / len(a) ** 0.5],
    "Keep the sign of the mean: below 0, the second is the worse one.":
        lambda a, b: [(b - a).mean().abs(), _error(b - a)],
    "That is two standard errors. Return one.":
        lambda a, b: [(b - a).mean(), 2 * _error(b - a)],
    "Those are per cent. Leave them shares.":
        lambda a, b: [100 * (b - a).mean(), 100 * _error(b - a)],
    "Swapped: the mean comes first, then its error.":
        lambda a, b: [_error(b - a), (b - a).mean()],
    "That is the mean alone. Return two numbers: mean, error.": lambda a, b: (b - a).mean(),
    "That is the error alone. Return two numbers: mean, error.": lambda a, b: _error(b - a),
    "That is how many errors the mean is. Return both: mean, error.":
        lambda a, b: (b - a).mean() / _error(b - a),
    "Those are the differences. Return their mean and its standard error.": lambda a, b: b - a,
}  # fmt: skip


@check(FUNCTION)
def check_paired(function: Callable) -> str:
    """Lesson 06: `function(first, second)` must return the mean gain and its standard error.

    The arguments are float, (N,): a place in both is one seed. It is what `training.difference`
    does.
    """
    cases = []
    for pairs, better in ((5, 0.02), (8, -0.01)):
        first = 0.5 + 0.05 * torch.randn(pairs)
        cases.append((first, first + better + 0.01 * torch.randn(pairs)))
    tried(function, cases, _paired, PAIR_SLIPS)
    return "Five pairs of equals come out beyond two errors one time in nine: then two is a hint."


def _probabilities(logits: list[Tensor]) -> Tensor:
    return torch.stack(logits).softmax(dim=2)


def _ensemble(logits: list[Tensor]) -> Tensor:
    return _probabilities(logits).mean(dim=0).argmax(dim=1)


ENSEMBLE_SLIPS = {
    "You averaged logits, so the largest ones outvote the rest (log_softmax too). Softmax first.":
        lambda logits: torch.stack(logits).mean(dim=0).argmax(dim=1),
    "You counted votes. Average the probabilities instead.":
        lambda logits: torch.stack(logits).argmax(dim=2).mode(dim=0).values,
    "Softmax over dim=0 lets the pictures compete. The classes are dim=1.":
        lambda logits: torch.stack(logits).softmax(dim=1).mean(dim=0).argmax(dim=1),
    "You took the largest, not the mean.":
        lambda logits: _probabilities(logits).amax(dim=0).argmax(dim=1),
    "That is the first network alone.": lambda logits: logits[0].argmax(dim=1),
    "That is the last network alone.": lambda logits: logits[-1].argmax(dim=1),
    "Those are scores of ten classes. Which one wins? argmax(dim=1).":
        lambda logits: _probabilities(logits).mean(dim=0),
    "Is the argmax over dim=0? The classes are dim=1.":
        lambda logits: _probabilities(logits).mean(dim=0).argmax(dim=0),
    "Those are the probabilities of the winners. Which class is it? argmax(dim=1).":
        lambda logits: _probabilities(logits).mean(dim=0).amax(dim=1),
}  # fmt: skip


@check("Write ensemble(logits) and pass it to the check.")
def check_ensemble(function: Callable) -> str:
    """Lesson 06: `function(logits)` must return the class of the largest mean probability.

    The argument is a list of tensors (N, classes), one a network; the result is (N,). It is tried
    with three networks and with two.
    """
    sizes = torch.tensor([0.7, 2.0, 6.0])[:, None, None]
    cases = [([*(sizes * torch.randn(3, 400, 10))],), ([*(sizes[1:] * torch.randn(2, 300, 10))],)]
    note = tried(function, cases, _ensemble, ENSEMBLE_SLIPS)
    return f"The mean of the probabilities decides, for all 400 pictures.{note}"


# --- the budget ---------------------------------------------------------------------------------


@check("Build a network for 3 × 32 × 32 and ten classes.")
def check_budget(model: nn.Module) -> str:
    """Lesson 06: a network for CIFAR-10 within 300,000 parameters and 50 million MACs.

    Both are counted by `shapes.record`, on one picture of 3x32x32. What is over is named with the
    layer in which most of it sits. ResNet-20 itself is refused.
    """
    table = network(model, "my_network", (3, 32, 32))
    used = within(table, BUDGET)
    if (table.parameters, table.macs) == (RESNET20_PARAMETERS, RESNET20_MACS):
        raise Wrong("That is ResNet-20 itself. Change its widths or its blocks.")
    return used
