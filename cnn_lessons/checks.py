"""Checks for the exercises: each says whether an answer is right, and if not, what went wrong.

An exercise cell ends with a check, and the notebook shows the `Verdict` that it returns. An answer
that is still None is "not attempted yet", and no check ever stops a notebook.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import e, log1p

import torch
from torch import Tensor, nn

from cnn_lessons.shapes import ShapeError, record


@dataclass(frozen=True)
class Verdict:
    """`passed` is True, False, or None for "not attempted yet"; `text` is for the learner."""

    passed: bool | None
    text: str

    def __repr__(self) -> str:
        sign = {True: "✓ Right.", False: "✗ Not yet.", None: "… Not attempted yet."}[self.passed]
        return f"{sign} {self.text}"


def _number(answer: object, truth: int, slips: dict[int, str], right: str, todo: str) -> Verdict:
    """Compare one whole number; `slips` explains wrong answers that are often given."""
    if answer is None:
        return Verdict(None, todo)
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        return Verdict(False, f"The answer is one number; got {answer!r}.")
    if answer == truth:
        return Verdict(True, right)
    return Verdict(False, slips.get(answer, f"{answer:,} is not it."))


def check_c1_parameters(answer: int | None) -> Verdict:
    """Lesson 01: the parameters of C1, six 5x5 kernels over three channels."""
    slips = {
        450: "You counted the weights, 6·5·5·3. Each of the six kernels also has one bias.",
        150: "That is six kernels of 5·5. Each kernel also reaches through all 3 input channels.",
        156: "That is the network of 1998, with one input channel. Here the picture has 3.",
        459: "You counted a bias for each input channel too. There is one per kernel, so 6.",
        468: "You counted a bias for each pair of channels. There is one per kernel, so 6.",
    }
    slips[456 * 28 * 28] = "Those are connections. One kernel serves all 28·28 places."
    right = "6 kernels × (5·5·3 weights + 1 bias) = 456."
    return _number(answer, 456, slips, right, "Set c1_parameters to a number.")


def check_c3_parameters(answer: int | None) -> Verdict:
    """Lesson 01: the parameters of the C3 of 1998, from Table I."""
    slips = {
        2416: "That is C3 with every map reading all six: the article's. Use Table I.",
        1500: "The weights are right: 60 connections of 5·5. Add one bias for each of the 16 maps.",
        60: "60 pairs of maps are connected. Each pair has a 5·5 kernel, and each map a bias.",
        1560: "You added a bias for each of the 60 connections. There is one per map, so 16.",
    }
    right = "(6·3 + 9·4 + 1·6) kernels × 25 weights + 16 biases = 60 × 25 + 16 = 1,516."
    return _number(answer, 1516, slips, right, "Set c3_parameters to a number.")


def check_floor(answer: float | None) -> Verdict:
    """Lesson 01: the lowest loss of a softmax before the cross-entropy, log(1 + 9/e)."""
    if answer is None:
        return Verdict(None, "Set lowest_loss to a number.")
    if not isinstance(answer, (int, float)):
        return Verdict(False, f"The answer is one number; got {answer!r}.")
    truth = log1p(9 / e)
    if abs(answer - truth) < 5e-4:
        return Verdict(True, f"The best logits are 1 and nine zeros: log(1 + 9/e) = {truth:.4f}.")
    if abs(answer) < 5e-4:
        return Verdict(False, "0 needs a logit that grows without limit. A probability stops at 1.")
    if abs(answer - 2.3026) < 5e-3:
        return Verdict(False, "That is log(10): the loss of a network that knows nothing.")
    return Verdict(False, "Put 1 for the true class and 0 for the nine others into -log(softmax).")


def check_predict(
    function: Callable | None, model: nn.Module, images: Tensor, class_names: tuple[str, ...]
) -> Verdict:
    """Lesson 01: `function(model, images)` must return the class name of each picture.

    It is tried on a copy of the model's job with a dropout layer in training mode in front, so that
    a forgotten `eval()` shows.
    """
    if function is None:
        return Verdict(None, "Write predict(model, images) and pass it to the check.")
    trap = nn.Sequential(nn.Dropout(0.5), model)
    model_mode = model.training
    try:
        trap.train()
        answers = [function(trap, images) for _ in range(3)]
        with torch.no_grad():
            trap.eval()
            truth = [class_names[k] for k in trap(images).argmax(dim=1).tolist()]
    except Exception as error:
        return Verdict(False, f"Your function failed: {type(error).__name__}: {error}")
    finally:
        model.train(model_mode)
    first = answers[0]
    if first is None:
        return Verdict(None, "Your function returns nothing yet.")
    if isinstance(first, Tensor):
        return Verdict(False, "It returns a tensor. Turn the numbers into names: class_names[k].")
    if not isinstance(first, (list, tuple)) or len(first) != len(images):
        return Verdict(False, f"It must return {len(images)} names, one a picture; got {first!r}.")
    if any(list(answer) != list(first) for answer in answers):
        return Verdict(
            False, "Three calls, different answers: dropout is active. Call model.eval()."
        )
    if list(first) != truth:
        return Verdict(False, "The names are not those of the largest logits: argmax over dim=1?")
    return Verdict(True, f"{len(truth)} names, the same ones every time.")


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
    convolutions = [row for row in rows if row.kind == "Conv2d"]
    if [row.output[1] for row in convolutions] != [6, 16]:
        return Verdict(False, "It runs. But LeNet-5 has two convolutions, of 6 and of 16 kernels.")
    how = "padding" if convolutions[0].output[-1] == 28 else "a smaller first linear layer"
    return Verdict(True, f"It runs, thanks to {how}, with {rows.parameters:,} parameters.")


def check_same_function(mine: nn.Module, reference: nn.Module, images: Tensor) -> Verdict:
    """Copy the reference's weights into `mine`, in order, and compare what both give for `images`.

    This is how a network typed in a notebook is proved to be the one in the package. `images` must
    fit both networks. The weights of `mine` are replaced.
    """
    own, theirs = list(mine.state_dict().items()), list(reference.state_dict().items())
    if len(own) != len(theirs):
        return Verdict(False, f"Yours has {len(own)} weight tensors, the reference {len(theirs)}.")
    for (name, weight), (other, expected) in zip(own, theirs):
        if weight.shape != expected.shape:
            return Verdict(
                False,
                f"{name} is {list(weight.shape)}, but {other} is {list(expected.shape)}.",
            )
    mine.load_state_dict(dict(zip((name for name, _ in own), (weight for _, weight in theirs))))
    try:
        with torch.no_grad():
            difference = (mine.eval()(images) - reference.eval()(images)).abs().max().item()
    except Exception as error:
        return Verdict(False, f"Your network failed: {type(error).__name__}: {error}")
    if difference > 1e-5:
        return Verdict(
            False, f"Same weights, other outputs (by up to {difference:.2g}): compare steps."
        )
    return Verdict(True, f"Same weights, same outputs, for {len(images)} pictures.")
