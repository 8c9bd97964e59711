"""The checks of lesson 06 and its budget."""

from collections.abc import Callable, Sequence
from math import sqrt

import torch
from torch import Tensor, nn

from cnn_lessons.checks.challenge import within
from cnn_lessons.checks.common import Wrong, check, near, number, numbers
from cnn_lessons.checks.comparing import network
from cnn_lessons.checks.trying import tried
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
        "The first is parameters divided by MACs. Divide by table.parameters.": (
            VGG16_LINEAR[0] / VGG16_ALL[1],
            shares[1],
        ),
        "Upside down: the part is divided by the whole.": [1 / share for share in shares],
        "Rounded it is that: give at least two digits that count.": [round(s, 2) for s in shares],
    }
    if all(map(near, values, shares)):
        text = f"{shares[0]:.1%} of the parameters do {shares[1]:.1%} of the work."
        return f"{text} The convolutions are the other way round."
    hints = [hint for hint, slip in slips.items() if all(map(near, values, slip))]
    wrong = 'Sum row.parameters and row.macs over the rows whose kind is "Linear".'
    raise Wrong((hints or [wrong])[0])


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


def _minutes(images: int, epochs: int, images_per_second: float) -> float:
    return images * epochs / images_per_second / 60


@check(FUNCTION)
def check_minutes(function: Callable) -> str:
    """Lesson 06: `function(images, epochs, images_per_second)` must return minutes."""
    cases = [(50_000, 30, 850.0), (45_000, 1, 100.0), (1_000, 200, 15_000.0)]
    slips = {
        "Those are seconds. A minute has 60 of them.": lambda n, e, s: n * e / s,
        "Those are hours.": lambda n, e, s: n * e / s / 3600,
        "That is one epoch. Each epoch shows all pictures again.": lambda n, e, s: n / s / 60,
        "Pictures times pictures a second is no time: divide.": lambda n, e, s: n * e * s / 60,
        "Upside down: pictures / (pictures per second).": lambda n, e, s: s / (n * e) / 60,
        "To go from seconds to minutes, divide by 60.": lambda n, e, s: n * e / s * 60,
        "One division too many: epochs multiply the time.": lambda n, e, s: n / e / s / 60,
    }
    note = tried(function, cases, _minutes, slips)
    return f"30 epochs of 50,000 pictures at 850 a second take 29.4 minutes.{note}"


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
        "1 − p alone? A network that is always wrong has no spread.": lambda p, n: sqrt(
            (1 - p) / n
        ),
        "Those are per cent. Give a share.": lambda p, n: 100 * _standard_error(p, n),
        "That is two standard errors. Give one.": lambda p, n: 2 * _standard_error(p, n),
        "That counts pictures. Divide it by n for a share.": lambda p, n: sqrt(n * p * (1 - p)),
    }
    note = tried(function, cases, _standard_error, slips)
    return f"90 % of 10,000 pictures has a standard error of 0.3 points.{note}"


def _only(a: Tensor, b: Tensor) -> float:
    """How many pictures A gets right and B does not."""
    return float((a & ~b).sum())


def _lead(a: Tensor, b: Tensor) -> float:
    return _only(a, b) - _only(b, a)


def _mcnemar(right_a: Tensor, right_b: Tensor) -> float:
    return _lead(right_a, right_b) / sqrt(float((right_a ^ right_b).sum()))


def _unpaired(a: Tensor, b: Tensor) -> float:
    p, q = float(a.float().mean()), float(b.float().mean())
    return (p - q) / sqrt((p * (1 - p) + q * (1 - q)) / len(a))


# fmt: off
CHANCE_SLIPS = {
    "The sign: it is positive where A is the better one.": lambda a, b: -_mcnemar(a, b),
    "Keep the sign: below 0, B is the better one.": lambda a, b: abs(_mcnemar(a, b)),
    "That is the square, McNemar's chi². Leave it unsquared.": lambda a, b: _mcnemar(a, b) ** 2,
    "That is b − c. Divide it by its standard deviation, √(b + c).": _lead,
    "Divide by the square root of b + c.": lambda a, b: _lead(a, b) / float((a ^ b).sum()),
    "Pictures that both get right say nothing of the difference: leave them out.":
        lambda a, b: _lead(a, b) / sqrt(float(a.sum() + b.sum())),
    "Divide by √(b + c), the pictures that tell them apart, not by √n.":
        lambda a, b: _lead(a, b) / sqrt(len(a)),
    "That takes the two for different pictures. They saw the same ones: pair them.": _unpaired,
}
# fmt: on


@check(FUNCTION)
def check_more_than_chance(function: Callable) -> str:
    """Lesson 06: `function(right_a, right_b)` must return (b - c) / sqrt(b + c), as McNemar has it.

    The arguments are boolean, (N,). b counts the pictures that only A gets right, c those that only
    B gets right.
    """
    shares = ((0.9, 0.85), (0.8, 0.9), (0.6, 0.55))
    cases = [(torch.rand(400) < good, torch.rand(400) < other) for good, other in shares]
    signs = "For tensors of true and false write & and ~, with brackets around each part."
    failures = dict.fromkeys(("ambiguous", "bool tensor", "Bool"), signs)
    note = tried(function, cases, _mcnemar, CHANCE_SLIPS, failures=failures)
    return f"Above 2 or below −2, chance alone would rarely do it (about one time in twenty).{note}"


def _probabilities(logits: list[Tensor]) -> Tensor:
    return torch.stack(logits).softmax(dim=2)


def _ensemble(logits: list[Tensor]) -> Tensor:
    return _probabilities(logits).mean(dim=0).argmax(dim=1)


# fmt: off
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
}
# fmt: on


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
