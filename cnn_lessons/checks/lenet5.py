"""The checks of lesson 01."""

from collections.abc import Callable, Sized
from math import e, exp, log, log1p

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.checks.functions import STEP_FAILURES, begun, built, call, stepped
from cnn_lessons.checks.modules import bent, enlarges, network, same_function
from cnn_lessons.checks.numbers import number, shown, value_of
from cnn_lessons.checks.verdict import Unfinished, Wrong, check
from cnn_lessons.models import LeNet5
from cnn_lessons.training import batch_step

LAYERS = ("c1", "s2", "c3", "s4", "c5", "f6", "output")


@check("Write the class MyLeNet5 and pass it to the check.")
def check_lenet5(build: Callable[[], nn.Module]) -> str:
    """Lesson 01: the learner's class against `models.LeNet5`, with the same weights.

    Its gaps are the layers of the paper's names, None at first.
    """
    net = built(build)
    empty = [name for name in LAYERS if getattr(net, name, 0) is None]
    if len(empty) == len(LAYERS):
        raise Unfinished("Fill the gaps in __init__.")
    if empty:
        raise Wrong(f"{', '.join(empty)} is still None.")
    return same_function(net, LeNet5(), torch.rand(4, 3, 32, 32))


@check("Set c1_parameters to a number.")
def check_c1_parameters(answer: int) -> str:
    """Lesson 01: the parameters of C1, six 5x5 kernels over three channels."""
    outcomes = {
        456: "6 kernels × (5·5·3 weights + 1 bias) = 456.",
        450: "You counted the weights, 6·5·5·3. Each of the six kernels also has one bias.",
        150: "That is six kernels of 5·5. Each kernel also reaches through all 3 input channels.",
        156: "That is the network of 1998, with one input channel. Here the picture has 3.",
        453: "There is one bias per kernel, so 6, not one per input channel.",
        459: "You counted a bias for each input channel too. There is one per kernel, so 6.",
        76: "That is one kernel with its bias. There are six.",
        450 * 28 * 28: "Those are the MACs: each weight is used at 28·28 places. Count it once.",
        468: "You counted a bias for each pair of channels. There is one per kernel, so 6.",
        456 * 28 * 28: "Those are connections. One kernel serves all 28·28 places.",
    }
    return number(answer, outcomes)


@check("Set c3_parameters to a number.")
def check_c3_parameters(answer: int) -> str:
    """Lesson 01: the parameters of the C3 of 1998, from Table I."""
    outcomes = {
        1516: "(6·3 + 9·4 + 1·6) kernels × 25 weights + 16 biases = 60 × 25 + 16 = 1,516.",
        2416: "That is C3 with every map reading all six: the article's. Use Table I.",
        2400: "Those are the weights of a C3 that reads all six maps, without biases.",
        1500: "The weights are right: 60 connections of 5·5. Add one bias for each of the 16 maps.",
        60: "60 pairs of maps are connected. Each pair has a 5·5 kernel, and each map a bias.",
        76: "Those are the pairs and the biases. Each pair has a kernel of 5·5 weights.",
        416: "That is one kernel for each map of C3. It has one for each map that it reads.",
        1506: "There is one bias for each map of C3, so 16, not 6.",
        1560: "You added a bias for each of the 60 connections. There is one per map, so 16.",
    }
    return number(answer, outcomes)


def _first_batch() -> tuple:
    """A network, its velocity, a batch of pictures with labels, a rate and a momentum."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 10))
    images, labels = torch.randn(6, 3, 2, 2), torch.arange(6)
    velocity = {name: torch.zeros_like(weight) for name, weight in net.named_parameters()}
    return net, velocity, images, labels, 0.1, 0.9


def _slip(
    loss: Callable = F.cross_entropy,
    times: float = 1,
    keep: bool = False,
    push: Callable = lambda gradient, velocity: velocity,
    pull: float = 1,
) -> Callable:
    """`training.batch_step` with another loss, rate, velocity, or with old gradients kept."""

    def step(net, velocity, images, labels, rate, momentum) -> None:
        loss(net(images), labels).backward()
        with torch.no_grad():
            for name, weight in net.named_parameters():
                velocity[name] = momentum * velocity[name] + pull * weight.grad
                weight -= times * rate * push(weight.grad, velocity[name])
        if not keep:
            net.zero_grad()

    return step


STEP_SLIPS = {
    "The weights climb: go against the velocity, with a minus.": _slip(times=-1),
    "Set the gradients to 0 after the step: backward() adds to the old ones.": _slip(keep=True),
    "The rate is missing: a step is rate times velocity.": _slip(times=10),
    "The velocity is not kept: write it back, velocity[name] = momentum * velocity[name] + "
    "weight.grad, and step by it.": _slip(push=lambda gradient, velocity: gradient),
    "Here the whole gradient is added to the velocity, not (1 - momentum) of it.": _slip(pull=0.1),
    "That is Nesterov's change: here the step is rate times velocity.":
        _slip(push=lambda gradient, velocity: gradient + 0.9 * velocity),
    "The loss does the softmax: give it the logits.":
        _slip(lambda logits, labels: F.cross_entropy(logits.softmax(dim=1), labels)),
    "That is the sum of the losses. Take their mean, as cross_entropy does by itself.":
        _slip(lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum")),
    "The loss comes back, but the weights stay where they are.": _slip(times=0),
}  # fmt: skip


@check("Write batch_step and pass it to the check.")
def check_batch_step(function: Callable) -> str:
    """Lesson 01: one step of training, compared with `training.batch_step`."""
    stepped(function, _first_batch, batch_step, STEP_SLIPS, STEP_FAILURES)
    return "Two steps of yours move all weights as they should."


@check("Set lowest_loss to a number.")
def check_floor(answer: float) -> str:
    """Lesson 01: the lowest loss of a softmax before the cross-entropy, log(1 + 9/e)."""
    truth = log1p(9 / e)
    outcomes = {
        truth: f"The best outputs are 1 and nine zeros: log(1 + 9/e) = {truth:.4f}.",
        0.0: "0 needs a logit that grows without limit. A probability stops at 1.",
        log(10): "That is log(10): the loss of a network that knows nothing.",
        exp(-truth): "That is the probability. The loss is minus its logarithm.",
        truth / log(10): "You took the logarithm to base 10. The loss takes the natural one.",
        -truth: "The sign: a loss is minus the logarithm, so it is positive.",
        log1p(10 / e): "Nine others, not ten: the true class is in the sum already.",
        log1p(9 * e): "Turned round: the true class has e¹ and each of the others e⁰ = 1.",
        log(9 + e): "That is the loss where a wrong class gets the 1.",
    }
    wrong = "Put 1 for the true class and 0 for the nine others into -log(softmax)."
    return number(answer, outcomes, wrong)


# What an error says, and what most likely led to it.
DIM = "argmax() without dim=1 looks at all numbers at once: dim=1 is the classes."
INDEX = "An index is one whole number: argmax(dim=1) gives one a picture, then "
INDEX += "[class_names[k] for k in ...]. (max gives the values.)"
NAME_FAILURES = {
    "index out of range": DIM,
    "0-d tensor": DIM,
    "not float": "Those are values. max(dim=1) gives values and indices: you need the indices.",
    "not list": INDEX,
    "only integer tensors": INDEX,
}
SQUEEZED = {"": "One picture is a batch too. Did you squeeze its axis away?"}


@check("Write name_pictures(model, images) and pass it to the check.")
def check_names(function: Callable, class_names: tuple[str, ...]) -> str:
    """Lesson 01: `function(model, images)` must return the class name of each picture.

    It is tried on a small model with dropout that is left in training mode, so that a forgotten
    `eval()` shows, with eight pictures and with one.
    """
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 32 * 32, 10))
    for images in (torch.randn(8, 3, 32, 32), torch.randn(1, 3, 32, 32)):
        with torch.no_grad():
            logits = model.eval()(images)
        failures = NAME_FAILURES if len(images) > 1 else SQUEEZED
        how = {"case": f"{len(images)} picture(s)", "failures": failures}
        answers = [call(function, model.train(), images, **how) for _ in range(3)]
        begun(*answers)
        first, *others = [_names(answer, len(images)) for answer in answers]
        if any(other != first for other in others):
            raise Wrong("Three calls, different answers: dropout is active. Call model.eval().")
        if first == [class_names[k] for k in logits.argmin(dim=1)]:
            raise Wrong("Those are the smallest logits. The largest one names the picture.")
        if first != [class_names[k] for k in logits.argmax(dim=1)]:
            raise Wrong("The names are not those of the largest logits.")
    return "8 names, the same ones every time."


def _names(answer: object, count: int) -> list[str]:
    """The answer as so many names, or Wrong."""
    if isinstance(answer, Tensor):
        ten = " and pick the largest of ten, argmax(dim=1)," if answer.dim() > 1 else ""
        text = f"It returns a tensor. Take its numbers{ten} and names for them: class_names[k]."
        raise Wrong(text)
    given = len(answer) if isinstance(answer, Sized) and not isinstance(answer, str) else 0
    if given != count:
        hint = " Ten answers: is the argmax over dim=0?" if given == 10 else ""
        raise Wrong(f"It must return a list of {count} name(s), one a picture.{hint}")
    if other := [name for name in answer if not isinstance(name, str)]:
        what = "numbers" if value_of(other[0]) is not None else shown(other[0])
        raise Wrong(f"It returns {what}. Turn each number into a name: class_names[k].")
    return [*answer]


@check("Build a network for 1 × 28 × 28 and call it mnist_net.")
def check_fits_mnist(model: nn.Module) -> str:
    """Lesson 01: a LeNet-5 that takes MNIST's 1x28x28 pictures and gives ten logits."""
    rows = network(model, "mnist_net", (1, 28, 28))
    if enlarges(rows):
        raise Wrong("It makes the pictures larger. It can be done without.")
    layers = [row for row in rows if row.weights]
    widths = [row.output[1] for row in layers]
    if widths[:2] != [6, 16] or any(len(row.output) != 4 for row in layers[:2]):
        raise Wrong("It runs. But LeNet-5 has two convolutions, of 6 and of 16 kernels.")
    if any(row.window.kernel != (5, 5) for row in layers[:2]):
        raise Wrong("It runs. But the kernels of LeNet-5's convolutions are 5×5.")
    if widths != [6, 16, 120, 84, 10]:
        raise Wrong(f"It runs. But C5, F6 and the output have 120, 84, 10 units, not {widths[2:]}.")
    reads = layers[2].weights // 120
    if reads > 400:
        raise Wrong(f"It runs. But C5 reads {reads:,} numbers: S2 and S4 halve the maps.")
    c5, f6, output = (rows.number(row.name) for row in layers[2:])
    if not (bent(rows, c5, f6) and bent(rows, f6, output)):
        text = "It runs. But two linear layers in a row are one: a ReLU after C5 and after F6."
        raise Wrong(text)
    how = {400: "padding", 256: "a smaller first linear layer"}.get(reads, "a smaller C5")
    return f"It runs, thanks to {how}, with {rows.parameters:,} parameters."
