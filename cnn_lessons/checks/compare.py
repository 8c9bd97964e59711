"""The checks of lesson 06, its budget and its leaderboard."""

import json
from collections.abc import Callable, Sequence
from math import isfinite, sqrt
from pathlib import Path

import torch
from torch import Tensor, nn

from cnn_lessons import networks
from cnn_lessons.checks.common import SOFTMAX, Verdict, number, value_of
from cnn_lessons.files import write_whole
from cnn_lessons.shapes import Record, ShapeError, record
from cnn_lessons.table import Table

# --- numbers ------------------------------------------------------------------------------------

VGG16_LINEAR = (123_642_856, 123_633_664)  # parameters and MACs of its three linear layers, 224
VGG16_ALL = (138_357_544, 15_470_264_320)


def check_head_shares(answer: Sequence[float] | None) -> Verdict:
    """Lesson 06: the share of VGG-16's parameters, and of its MACs, that its linear layers have."""
    if answer is None:
        return Verdict(None, "Set head_shares to two numbers: parameters, MACs.")
    values = _numbers(answer, 2)
    if values is None:
        return Verdict(False, f"The answer is two numbers, (parameters, MACs); got {answer!r}.")
    shares = [part / whole for part, whole in zip(VGG16_LINEAR, VGG16_ALL)]
    if _near(values, shares):
        text = f"{shares[0]:.1%} of the parameters do {shares[1]:.1%} of the work."
        return Verdict(True, f"{text} The convolutions are the other way round.")
    slips = (
        (shares[::-1], "The two are swapped: parameters come first, then MACs."),
        ([100 * share for share in shares], "Those are per cent. Give shares, from 0 to 1."),
        ([1 - share for share in shares], "Those are the shares of the convolutions."),
        (VGG16_LINEAR, "Those are counts. Divide each by that of the whole network."),
        ((shares[0], shares[0]), "Both the same? The MACs have their own column: row.macs."),
        (
            (VGG16_LINEAR[0] / VGG16_ALL[1], shares[1]),
            "The first is parameters divided by MACs. Divide by table.parameters.",
        ),
    )
    hints = [hint for slip, hint in slips if _near(values, slip)]
    wrong = 'Sum row.parameters and row.macs over the rows whose kind is "Linear".'
    return Verdict(False, (hints or [wrong])[0])


RESNET20_MACS, RESNET20_LINEAR = 40_551_040, 640


def check_cost_at_224(answer: int | None) -> Verdict:
    """Lesson 06: the MACs of ResNetCIFAR20 for a picture of 224 pixels, without running it."""
    truth = 49 * (RESNET20_MACS - RESNET20_LINEAR) + RESNET20_LINEAR
    slips = {
        49 * RESNET20_MACS: "Nearly. The linear layer reads 64 numbers after the pool, whatever "
        "the size: its 640 MACs stay.",
        7 * RESNET20_MACS: "7 times as wide and 7 times as high: that is not 7 times the places.",
        7 * (RESNET20_MACS - RESNET20_LINEAR) + RESNET20_LINEAR: "7 times as wide and 7 times as "
        "high: how many times the places?",
        RESNET20_MACS: "That is the cost at 32 pixels. The kernels now stand at more places.",
        49: "That is the factor. Multiply the MACs of the convolutions with it.",
        269_722: "Those are the parameters, and they do stay the same. The question is the MACs.",
    }
    right = f"49 × (40,551,040 − 640) + 640 = {truth:,}, with the same 269,722 parameters."
    wrong = "Each convolution stands at 7·7 times as many places; the linear layer does not."
    return number(answer, truth, slips, right, "Set macs_at_224 to a number.", wrong)


# --- functions ----------------------------------------------------------------------------------


def check_minutes(function: Callable | None) -> Verdict:
    """Lesson 06: `function(images, epochs, images_per_second)` must return minutes."""
    cases = [(50_000, 30, 850.0), (45_000, 1, 100.0), (1_000, 200, 15_000.0)]
    slips = (
        (lambda n, e, s: n * e / s, "Those are seconds. A minute has 60 of them."),
        (lambda n, e, s: n * e / s / 3600, "Those are hours."),
        (lambda n, e, s: n / s / 60, "That is one epoch. Each epoch shows all pictures again."),
        (lambda n, e, s: n * e * s / 60, "Pictures times pictures a second is no time: divide."),
        (lambda n, e, s: s / (n * e) / 60, "Upside down: pictures / (pictures per second)."),
        (lambda n, e, s: n * e / s * 60, "To go from seconds to minutes, divide by 60."),
    )
    right = "30 epochs of 50,000 pictures at 850 a second take 29.4 minutes."
    return _judge(function, cases, lambda n, e, s: n * e / s / 60, slips, right)


def check_standard_error(function: Callable | None) -> Verdict:
    """Lesson 06: `function(accuracy, images)` must return sqrt(p (1 - p) / n)."""
    cases = [(0.9, 10_000), (0.5, 100), (0.689, 10_000)]
    slips = (
        (lambda p, n: p * (1 - p) / n, "That is the variance. Take its square root."),
        (lambda p, n: sqrt(p * (1 - p)), "That is for one picture. The mean of n is steadier."),
        (lambda p, n: sqrt(p * (1 - p)) / n, "Divide by the root of n, not by n."),
        (lambda p, n: sqrt(p / n), "p alone? A network that is always right has no spread."),
        (lambda p, n: 100 * sqrt(p * (1 - p) / n), "Those are per cent. Give a share."),
        (lambda p, n: 2 * sqrt(p * (1 - p) / n), "That is two standard errors. Give one."),
        (lambda p, n: sqrt(n * p * (1 - p)), "That counts pictures. Divide it by n for a share."),
    )
    right = "90 % of 10,000 pictures has a standard error of 0.3 points."
    return _judge(function, cases, lambda p, n: sqrt(p * (1 - p) / n), slips, right)


def check_more_than_chance(function: Callable | None) -> Verdict:
    """Lesson 06: `function(right_a, right_b)` must return (b - c) / sqrt(b + c), as McNemar has it.

    The arguments are boolean, (N,). b counts the pictures that only A gets right, c those that only
    B gets right.
    """
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(3, 2, 400, generator=generator)
    cases = [
        (a < good, b < other)
        for (a, b), good, other in zip(draws, (0.9, 0.8, 0.6), (0.85, 0.9, 0.55))
    ]

    def counts(a: Tensor, b: Tensor) -> tuple[float, float]:
        return float((a & ~b).sum()), float((b & ~a).sum())

    def truth(a, b):
        only_a, only_b = counts(a, b)
        return (only_a - only_b) / sqrt(only_a + only_b)

    def unpaired(a, b):
        p, q, n = float(a.float().mean()), float(b.float().mean()), len(a)
        return (p - q) / sqrt((p * (1 - p) + q * (1 - q)) / n)

    slips = (
        (lambda a, b: -truth(a, b), "The sign: it is positive where A is the better one."),
        (lambda a, b: abs(truth(a, b)), "Keep the sign: below 0, B is the better one."),
        (lambda a, b: truth(a, b) ** 2, "That is the square, McNemar's chi². Leave it unsquared."),
        (lambda a, b: sum(counts(a, b)) and counts(a, b)[0] - counts(a, b)[1],
         "That is b − c. Divide it by its standard deviation, √(b + c)."),
        (lambda a, b: (counts(a, b)[0] - counts(a, b)[1]) / sum(counts(a, b)),
         "Divide by the square root of b + c."),
        (lambda a, b: (float(a.sum()) - float(b.sum())) / sqrt(float(a.sum()) + float(b.sum())),
         "Pictures that both get right say nothing of the difference: leave them out."),
        (unpaired, "That takes the two for different pictures. They saw the same ones: pair them."),
    )  # fmt: skip
    right = "Above 2 or below −2, chance alone would rarely do it (about one time in twenty)."
    return _judge(function, cases, truth, slips, right)


def check_ensemble(function: Callable | None) -> Verdict:
    """Lesson 06: `function(logits)` must return the class of the largest mean probability.

    The argument is a list of tensors (N, classes), one a network; the result is (N,).
    """
    if function is None:
        return Verdict(None, "Write ensemble(logits) and pass it to the check.")
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([0.7, 2.0, 6.0])[:, None, None]
    logits = list(sizes * torch.randn(3, 400, 10, generator=generator))
    probabilities = torch.stack([each.softmax(dim=1) for each in logits])
    truth = probabilities.mean(dim=0).argmax(dim=1)
    try:
        answer = function([each.clone() for each in logits])
    except Exception as error:
        return Verdict(False, f"It failed: {type(error).__name__}: {error}")
    if answer is None:
        return Verdict(None, "Your function returns nothing yet.")
    try:
        answer = torch.as_tensor(answer)
    except (TypeError, ValueError, RuntimeError):
        return Verdict(False, f"It must return one class number a picture; got {answer!r}.")
    if answer.shape == (400, 10):
        return Verdict(False, "Those are scores of ten classes. Which one wins? argmax(dim=1).")
    if answer.shape != truth.shape:
        hint = " Is the argmax over dim=0?" if answer.shape == (10,) else ""
        got = list(answer.shape)
        return Verdict(False, f"It must return one number a picture, [400]; got {got}.{hint}")
    if torch.equal(answer.to(truth), truth):
        return Verdict(True, "The mean of the probabilities decides, for all 400 pictures.")
    votes = torch.stack([each.argmax(dim=1) for each in logits])
    slips = (
        (
            torch.stack(logits).mean(dim=0).argmax(dim=1),
            "You averaged the logits: the network with the largest ones outvotes the others. "
            "Softmax first.",
        ),
        (votes.mode(dim=0).values, "You counted votes. Average the probabilities instead."),
        (
            torch.stack([each.softmax(dim=0) for each in logits]).mean(dim=0).argmax(dim=1),
            "Softmax over dim=0 lets the pictures compete. The classes are dim=1.",
        ),
        (probabilities.amax(dim=0).argmax(dim=1), "You took the largest, not the mean."),
        *((vote, f"That is network {k} alone.") for k, vote in enumerate(votes)),
    )
    hints = [hint for slip, hint in slips if torch.equal(answer.to(slip), slip)]
    share = (answer.to(truth) == truth).float().mean()
    return Verdict(False, (hints or [f"Only {share:.0%} of the 400 answers are right."])[0])


def _judge(function, cases, truth: Callable, slips, right: str) -> Verdict:
    """Call the learner's function and compare its numbers with those of `truth` and of slips."""
    if function is None:
        return Verdict(None, "Write the function and pass it to the check.")
    try:
        answers = [function(*case) for case in cases]
    except Exception as error:
        return Verdict(False, f"It failed: {type(error).__name__}: {error}")
    if all(answer is None for answer in answers):
        return Verdict(None, "Your function returns nothing yet.")
    values = [value_of(answer) for answer in answers]
    if None in values or not all(map(isfinite, values)):
        return Verdict(False, f"It must return one number; got {answers[0]!r}.")
    if _near(values, [truth(*case) for case in cases]):
        return Verdict(True, right)
    hints = [hint for slip, hint in slips if _near(values, [slip(*case) for case in cases])]
    wrong = f"{values[0]:.4g} is not it; the first case has {truth(*cases[0]):.4g}."
    return Verdict(False, (hints or [wrong])[0])


def _numbers(answer: object, count: int) -> list[float] | None:
    try:
        values = [value_of(each) for each in answer]
    except TypeError:
        return None
    return values if len(values) == count and None not in values else None


def _near(values: Sequence[float], others: Sequence[float]) -> bool:
    """Equal to half a per cent, so that a rounded answer is right."""
    return all(abs(a - b) <= 5e-3 * abs(b) for a, b in zip(values, others))


# --- the budget ---------------------------------------------------------------------------------

BUDGET = {"parameters": 300_000, "MACs": 50_000_000}


def check_budget(model: nn.Module | None) -> Verdict:
    """Lesson 06: a network for CIFAR-10 within 300,000 parameters and 50 million MACs.

    Both are counted by `shapes.record`, on one picture of 3x32x32. What is over is named with the
    layer in which most of it sits.
    """
    if model is None:
        return Verdict(None, "Build a network for 3 × 32 × 32 and ten classes.")
    if isinstance(model, type):
        return Verdict(False, f"That is a class. Make a network of it: {model.__name__}().")
    if not isinstance(model, nn.Module):
        return Verdict(False, f"It must be a network (nn.Module); got {model!r}.")
    try:
        table = record(model, (3, 32, 32))
    except ShapeError as error:
        return Verdict(False, f"It does not run on 3 × 32 × 32.\n{error}")
    except ValueError as error:
        return Verdict(False, f"It cannot be counted: {error}")
    if not table.rows:
        return Verdict(False, "Its output does not depend on the picture.")
    if problem := _wrong_output(table):
        return Verdict(False, problem)
    counts = {"parameters": table.parameters, "MACs": table.macs}
    over = [_over(table, what, n) for what, n in counts.items() if n > BUDGET[what]]
    if over:
        return Verdict(False, " ".join(over))
    if not table.parameters:
        return Verdict(False, "It has no parameters, so it cannot learn.")
    used = ", ".join(f"{count:,} of {BUDGET[what]:,} {what}" for what, count in counts.items())
    dead = f" But {table.dead:,} weights never meet a pixel." if table.dead else ""
    return Verdict(True, f"{used}.{dead}")


def _wrong_output(table: Record) -> str:
    output = table[-1].output
    if len(output) == 4 and output[1] == 10:
        return (
            f"It gives maps of {output[2]}×{output[3]}, a score for each place. Average them: "
            "nn.AdaptiveAvgPool2d(1), then nn.Flatten()."
        )
    if len(output) == 4:
        return "It ends with maps. After them: nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear."
    if output[1:] == (1000,):
        return "It gives 1,000 logits, as for ImageNet. CIFAR-10 has ten classes."
    if output != (table.batch, 10):
        shape = ", ".join(str(n) for n in ("N", *output[1:]))
        return f"It runs, but gives [{shape}] and not [N, 10]."
    ends = {row.kind.lower() for row in table if row.output == output}
    if ends & SOFTMAX:
        return "It ends with a softmax. The loss has one of its own and wants logits: leave it out."
    if table[-1].kind.lower() in ("relu", "sigmoid", "tanh"):
        return f"Its last step is {table[-1].kind}: logits must be free to be of any size."
    return ""


def _over(table: Record, what: str, count: int) -> str:
    """How much of `what` there is too much, and where most of it sits."""
    limit = BUDGET[what]
    attribute = {"parameters": "parameters", "MACs": "macs"}[what]
    largest = max(table, key=lambda row: getattr(row, attribute))
    most = getattr(largest, attribute)
    text = (
        f"{count:,} {what} are {count - limit:,} too many ({count / limit:,.1f} times the budget). "
        f"Most sit in {largest.name} ({largest.kind}): {most:,}, {most / count:.0%}."
    )
    if what == "parameters":
        unused = count - sum(row.parameters for row in table)
        if unused > most:
            return f"{text} {unused:,} more belong to layers that did not run."
        if largest.kind == "Linear" and most > 0.3 * count:
            return f"{text} Average each map first: nn.AdaptiveAvgPool2d(1)."
    elif len(largest.output) == 4:
        return f"{text} It runs at {largest.output[2]}×{largest.output[3]} places: halve earlier."
    return text


# --- the leaderboard ----------------------------------------------------------------------------


class Leaderboard(list):
    """Entries, dictionaries with "name", "accuracy", "parameters" and "macs"; best first."""

    def __repr__(self) -> str:
        lines = [
            (f"{place}.", entry["name"], f"{entry['accuracy']:.1%}", f"{entry['parameters']:,}",
             f"{entry['macs']:,}")
            for place, entry in enumerate(self, start=1)
        ]  # fmt: skip
        return str(Table(("", "network", "validation", "parameters", "MACs"), tuple(lines)))


def leaderboard(path: str | Path = "leaderboard.json") -> Leaderboard:
    """The course's entries and those of the file, if there is one and it can be read."""
    entries = [*_references(), *_own_entries(Path(path))]
    return Leaderboard(sorted(entries, key=lambda entry: -entry["accuracy"]))


def enter(
    name: str, model: nn.Module, accuracy: float, path: str | Path = "leaderboard.json"
) -> Verdict | Leaderboard:
    """Put a network on the board, in place of an older one of this name, and return the board.

    The file is written whole or not at all. A network outside the budget gets its verdict instead,
    and so does an accuracy that is none.
    """
    verdict = check_budget(model)
    if not verdict.passed:
        return verdict
    value = value_of(accuracy)
    if value is None or not 0 <= value <= 1:
        return Verdict(False, f"The accuracy is a share, from 0 to 1; got {accuracy!r}.")
    table = record(model, (3, 32, 32))
    entry = {"name": str(name), "accuracy": round(value, 4)}
    entry |= {"parameters": table.parameters, "macs": table.macs}
    path = Path(path)
    own = _own_entries(path)
    if path.exists() and not own:
        return Verdict(False, f"{path} is there, but is no leaderboard: name another file.")
    others = [each for each in own if each["name"] != entry["name"]]
    write_whole(path, (json.dumps([*others, entry], indent=2) + "\n").encode())
    return leaderboard(path)


def _references() -> list[dict]:
    """What `python -m benchmarks.leaderboard` measured; nothing where its file is not there."""
    path = networks.RESULTS / "leaderboard.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return [{key: row[key] for key in ("name", "accuracy", "parameters", "macs")} for row in rows]


def _own_entries(path: Path) -> list[dict]:
    """The entries of a file; of what is not one, nothing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    kinds = {"name": str, "accuracy": (int, float), "parameters": int, "macs": int}
    return [
        entry
        for entry in (found if isinstance(found, list) else [])
        if isinstance(entry, dict) and all(isinstance(entry.get(k), t) for k, t in kinds.items())
    ]
