"""The checks of lesson 01."""

from collections.abc import Callable
from math import e, exp, log, log1p

import torch
from torch import Tensor, nn

from cnn_lessons.checks.common import SOFTMAX, Verdict, number
from cnn_lessons.shapes import ShapeError, record


def check_c1_parameters(answer: int | None) -> Verdict:
    """Lesson 01: the parameters of C1, six 5x5 kernels over three channels."""
    slips = {
        450: "You counted the weights, 6·5·5·3. Each of the six kernels also has one bias.",
        150: "That is six kernels of 5·5. Each kernel also reaches through all 3 input channels.",
        156: "That is the network of 1998, with one input channel. Here the picture has 3.",
        459: "You counted a bias for each input channel too. There is one per kernel, so 6.",
        76: "That is one kernel with its bias. There are six.",
        352800: "Those are the MACs: each weight is used at 28·28 places. Count it once.",
        468: "You counted a bias for each pair of channels. There is one per kernel, so 6.",
        456 * 28 * 28: "Those are connections. One kernel serves all 28·28 places.",
    }
    right = "6 kernels × (5·5·3 weights + 1 bias) = 456."
    return number(answer, 456, slips, right, "Set c1_parameters to a number.")


def check_c3_parameters(answer: int | None) -> Verdict:
    """Lesson 01: the parameters of the C3 of 1998, from Table I."""
    slips = {
        2416: "That is C3 with every map reading all six: the article's. Use Table I.",
        2400: "Those are the weights of a C3 that reads all six maps, without biases.",
        1500: "The weights are right: 60 connections of 5·5. Add one bias for each of the 16 maps.",
        60: "60 pairs of maps are connected. Each pair has a 5·5 kernel, and each map a bias.",
        1560: "You added a bias for each of the 60 connections. There is one per map, so 16.",
    }
    right = "(6·3 + 9·4 + 1·6) kernels × 25 weights + 16 biases = 60 × 25 + 16 = 1,516."
    return number(answer, 1516, slips, right, "Set c3_parameters to a number.")


def check_floor(answer: float | None) -> Verdict:
    """Lesson 01: the lowest loss of a softmax before the cross-entropy, log(1 + 9/e)."""
    truth = log1p(9 / e)
    slips = {
        0.0: "0 needs a logit that grows without limit. A probability stops at 1.",
        log(10): "That is log(10): the loss of a network that knows nothing.",
        exp(-truth): "That is the probability. The loss is minus its logarithm.",
        truth / log(10): "You took the logarithm to base 10. The loss takes the natural one.",
        -truth: "The sign: a loss is minus the logarithm, so it is positive.",
    }
    right = f"The best outputs are 1 and nine zeros: log(1 + 9/e) = {truth:.4f}."
    todo = "Set lowest_loss to a number."
    wrong = "Put 1 for the true class and 0 for the nine others into -log(softmax)."
    return number(answer, truth, slips, right, todo, wrong, tolerance=5e-3)


def check_predict(function: Callable | None, class_names: tuple[str, ...]) -> Verdict:
    """Lesson 01: `function(model, images)` must return the class name of each picture.

    It is tried on a small model with dropout that is left in training mode, so that a forgotten
    `eval()` shows. The model's random numbers are the same each time.
    """
    if function is None:
        return Verdict(None, "Write predict(model, images) and pass it to the check.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = torch.randn(8, 3, 32, 32)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 32 * 32, 10))
        truth = [class_names[k] for k in model.eval()(images).argmax(dim=1).tolist()]
        try:
            answers = [function(model.train(), images) for _ in range(3)]
        except Exception as error:
            hint = " Did you forget dim=1?" if isinstance(error, (IndexError, TypeError)) else ""
            return Verdict(False, f"It failed: {type(error).__name__}: {error}.{hint}")
    if answers[0] is None:
        return Verdict(None, "Your function returns nothing yet.")
    return _judge_names(answers, truth)


def _judge_names(answers: list, truth: list[str]) -> Verdict:
    first = answers[0]
    if isinstance(first, Tensor):
        return Verdict(False, "It returns a tensor. Turn the numbers into names: class_names[k].")
    if not isinstance(first, (list, tuple)) or len(first) != len(truth):
        hint = " Ten answers: is the argmax over dim=0?" if _length(first) == 10 else ""
        return Verdict(False, f"It must return {len(truth)} names, one a picture.{hint}")
    if not all(isinstance(name, str) for name in first):
        return Verdict(False, "It returns numbers. Turn them into names: class_names[k].")
    if any(list(answer) != list(first) for answer in answers):
        return Verdict(
            False, "Three calls, different answers: dropout is active. Call model.eval()."
        )
    if list(first) != truth:
        return Verdict(False, "The names are not those of the largest logits.")
    return Verdict(True, f"{len(truth)} names, the same ones every time.")


def _length(value: object) -> int:
    return len(value) if hasattr(value, "__len__") else 0


def check_fits_mnist(model: nn.Module | None) -> Verdict:
    """Lesson 01: a LeNet-5 that takes MNIST's 1x28x28 pictures and gives ten logits."""
    if model is None:
        return Verdict(None, "Build a network for 1 × 28 × 28 and call it mnist_net.")
    if not isinstance(model, nn.Module):
        return Verdict(False, f"mnist_net must be a network (nn.Module); got {model!r}.")
    try:
        rows = record(model, (1, 28, 28))
    except ShapeError as error:
        return Verdict(False, f"It does not run on 1 × 28 × 28.\n{error}")
    if rows[-1].output != (2, 10):
        shape = ", ".join(str(n) for n in ("N", *rows[-1].output[1:]))
        return Verdict(False, f"It runs, but gives [{shape}] and not [N, 10].")
    kinds = {row.kind.lower() for row in rows}
    if kinds & {"upsample", "interpolate"}:
        return Verdict(False, "It makes the pictures larger. It can be done without.")
    if kinds & SOFTMAX:
        return Verdict(False, "It ends with a softmax. The loss wants logits.")
    convolutions = [row for row in rows if row.kind == "Conv2d"]
    if [row.output[1] for row in convolutions] != [6, 16]:
        return Verdict(False, "It runs. But LeNet-5 has two convolutions, of 6 and of 16 kernels.")
    padded = any(row.window.padding != (0, 0) for row in convolutions)
    how = "padding" if padded else "a smaller first linear layer"
    return Verdict(True, f"It runs, thanks to {how}, with {rows.parameters:,} parameters.")
