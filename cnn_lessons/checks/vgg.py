"""The checks of lesson 03."""

from collections.abc import Callable
from itertools import pairwise, zip_longest
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnn_lessons.checks.functions import begun, built, call
from cnn_lessons.checks.modules import bent, dropouts, network, plain, same_function
from cnn_lessons.checks.numbers import number, shown
from cnn_lessons.checks.verdict import Wrong, check
from cnn_lessons.models import VGG
from cnn_lessons.models.vgg import convolutions
from cnn_lessons.see.probes import depth_statistics

# --- the network from its column ----------------------------------------------------------------

COLUMNS = (("8 M 16 16 M", False), ("4 4 M 8 M", True), ("6 M 12 12 12 M 5 M", False))


@check("Write convolutions(config, batch_norm) and pass it to the check.")
def check_convolutions(function: Callable) -> str:
    """Lesson 03: `function(config, batch_norm)` builds the layers that a text names.

    What it returns is compared, layer by layer and name by name, with the package's own for three
    short texts, one of them with batch norm.
    """
    for text, batch_norm in COLUMNS:
        case = f'"{text}" {"with" if batch_norm else "without"} batch norm'
        mine, wanted = call(function, text, batch_norm, case=case), convolutions(text, batch_norm)
        begun(mine)
        if not isinstance(mine, nn.Sequential):
            raise Wrong(f"Return one nn.Sequential with all layers; got {shown(mine)}.")
        for found, right in zip_longest(*(each._modules.items() for each in (mine, wanted))):
            if problem := _other_layer(found, right, batch_norm):
                raise Wrong(f"For {case}: {problem}")
        try:  # what is rarer than those slips shows in what the layers give
            same_function(mine, wanted, torch.randn(2, 3, 22, 30))
        except Wrong as wrong:
            raise Wrong(f"For {case}: {wrong}") from None
    return f"It reads a column, with batch norm and without, in all {len(COLUMNS)} tries."


def _other_layer(found: tuple | None, right: tuple | None, batch_norm: bool) -> str:
    """How a layer (name, module) differs from the one that belongs in its place, in words."""
    if not right:
        return f"after the last pool comes {found[0]}, which the text does not name."
    (name, wanted), kind = right, type(right[1]).__name__
    if not found:
        return f"{name} is missing at the end."
    if found[0].isdecimal():
        return f"the layers have no names. Add each one with add_module, the first as {name!r}."
    if type(found[1]) is not type(wanted) or found[0] != name:
        other = f"where {name} ({kind}) belongs, yours has {found[0]}"
        other += f" ({type(found[1]).__name__})."
        if "BatchNorm2d" in (kind, type(found[1]).__name__):
            other += " Batch norm stands after each convolution, before its ReLU"
            other += "." if batch_norm else ", but only if batch_norm is True."
        return other
    if isinstance(wanted, nn.Conv2d):
        return _other_convolution(name, found[1], wanted)
    if isinstance(wanted, nn.MaxPool2d) and {found[1].kernel_size, found[1].stride} - {2, (2, 2)}:
        return f"{name} must have windows of 2×2 and stride 2."
    if isinstance(wanted, nn.BatchNorm2d) and found[1].num_features != wanted.num_features:
        return f"{name} is for {found[1].num_features} maps; {wanted.num_features} come in."
    return ""


def _other_convolution(name: str, mine: nn.Conv2d, wanted: nn.Conv2d) -> str:
    if mine.in_channels != wanted.in_channels:
        before = "remember what the one before made" if name != "conv1_1" else "colours"
        return f"{name} reads {mine.in_channels} maps; {wanted.in_channels} come in: {before}."
    if mine.out_channels != wanted.out_channels:
        return f"{name} makes {mine.out_channels} maps; the text says {wanted.out_channels}."
    if mine.kernel_size != (3, 3):
        return f"the kernels of {name} must be 3×3."
    if mine.padding not in ((1, 1), "same"):
        return f"{name} has padding {mine.padding[0]}, and its maps change their size: padding=1."
    if mine.stride != (1, 1):
        return f"{name} has stride {mine.stride[0]}. Only the pools halve the maps."
    return ""


@check("Write build(config, hidden, batch_norm) and pass it to the check.")
def check_build(function: Callable) -> str:
    """Lesson 03: `function(config, hidden, batch_norm)` builds the whole network for 32 pixels.

    It must compute what `VGG` computes, for two columns of other widths, call its layers the same
    so that trained weights fit, and have both dropouts.
    """
    images = torch.randn(2, 3, 32, 32)
    for settings in (("4 M 8 M 8 M 16 M 16 M", 24, False), ("4 M 4 M 8 M 8 M 12 M", 20, True)):
        mine, (text, hidden, batch_norm) = built(function, *settings, what="function"), settings
        reference = VGG(text, 10, 32, batch_norm, hidden)
        network(mine, "What it returns", (3, 32, 32))
        same_function(mine, reference, images)
        for own, name in zip(mine.state_dict(), reference.state_dict()):
            if own != name:
                raise Wrong(f"A weight is called {own}. Call it {name}, so that trained ones fit.")
        if dropouts(mine, (3, 32, 32)) != [0.5, 0.5]:
            raise Wrong("There are two dropouts of 0.5, one after fc6 and one after fc7.")
    return "The same outputs as the course's own network, for two columns of other widths."


# --- the exercises ------------------------------------------------------------------------------


@check("Set fc6_parameters to a number.")
def check_fc6_weights(answer: int) -> str:
    """Lesson 03: the parameters of fc6 at 224 pixels, 512 maps of 7x7 to 4096 units."""
    outcomes = {
        102_764_544: "512·7·7 inputs × 4096 units + 4096 biases = 102,764,544.",
        102_760_448: "Those are the weights. Each of the 4096 units also has one bias.",
        2_101_248: "That is fc6 at 32 pixels, where one number of each map is left.",
        411_045_888: "You took maps of 14×14. There are five pools: 224 / 2⁵ = 7.",
        512 * 4096: "One number of each map: that is fc6 at 32 pixels, without its biases.",
        512 * 7 * 4096 + 4096: "A map of 7×7 has 49 numbers, and each of them has its weights.",
        25_088: "That is what goes in: 512·7·7 numbers. Each of 4096 units has a weight for each.",
        102_785_536: "You added a bias for each input. There is one for each of the 4096 units.",
    }
    return number(answer, outcomes)


@check("Set stack_weights to a number.")
def check_stack_weights(answer: int) -> str:
    """Lesson 03: the weights of a stack of 3x3 layers that sees 11x11, 64 maps in and out."""
    one, channels = 9 * 64 * 64, 64 * 64
    outcomes = {
        5 * one: f"Five layers see 3 + 4·2 = 11: 5·9·64² = {5 * one:,}, against 121·64² = 495,616.",
        121 * channels: "That is one layer of 11×11. How many of 3×3 see as much?",
        11 * one: "Eleven layers see 23×23: each one after the first adds 2 pixels.",
        10 * one: "Ten layers see 21×21: each one adds 2 pixels, one on each side.",
        6 * one: "Six layers see 13×13. The first sees 3, each further one adds 2.",
        4 * one: "Four layers see 9×9. The first sees 3, each further one adds 2.",
        3 * one: "Three layers see 7×7. The first sees 3, each further one adds 2.",
        5 * 9: "That is for one map. Every kernel reads 64 maps, and there are 64 kernels.",
        5 * 9 * 64: "Every kernel reads all 64 maps, and there are 64 kernels: 9·64·64 a layer.",
        5 * (one + 64): "You counted the biases too. Here only the weights are asked for.",
        one: "That is one layer, and it sees 3×3. How many of them see 11×11?",
    }
    return number(answer, outcomes)


COLUMN_E = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"


@check("Write column E as a string, as CONFIGS has the others.")
def check_column_e(answer: str) -> str:
    """Lesson 03: VGG-19, column E of Table 1, as a string for the lesson's builder."""
    if not isinstance(answer, str):
        raise Wrong(f"The answer is a string such as '64 M 128 M'; got {shown(answer)}.")
    mine, truth = ([block.split() for block in text.split("M")] for text in (answer, COLUMN_E))
    for word in answer.replace("M", " M ").split():
        if word != "M" and not word.removesuffix("/3").isdecimal():
            raise Wrong(f"{word!r} is neither M nor a number of maps; spaces stand between them.")
    mine = [[word.removesuffix("/3") for word in block] for block in mine]
    if mine[-1]:
        raise Wrong("After the last convolution there is a pool too: end with M.")
    if len(mine) != len(truth):
        raise Wrong(f"Yours has {len(mine) - 1} pools, column E has 5.")
    column = {13: " That is column D.", 8: " That is column A.", 10: " That is column B."}
    for b, (block, expected) in enumerate(zip(mine, truth), start=1):
        if len(block) != len(expected):
            right = f"Block {b} of yours has {len(block)} convolutions, of column E {len(expected)}"
            raise Wrong(f"{right}.{column.get(sum(map(len, mine)), '')}")
        if block != expected:
            raise Wrong(f"Block {b} has {expected[0]} maps in column E, not {block}.")
    return "16 convolutions and 3 linear layers: VGG-19."


@check("Set he_std to a number.")
def check_he_std(answer: float) -> str:
    """Lesson 03: He's standard deviation for conv1_1, 3 maps to 64 with 3x3, by fan_in."""
    fan_in, fan_out, truth = 27, 576, sqrt(2 / 27)
    outcomes = {
        truth: "√(2 / (3·3·3)) = 0.2722. By fan_out it were 0.0589, less than a quarter.",
        sqrt(2 / fan_out): "That is fan_out, 9·64. The signal going forward adds up 9·3 products.",
        sqrt(1 / fan_in): "The 2 is missing: the ReLU throws away half of the signal.",
        2 / fan_in: "That is the variance. The standard deviation is its square root.",
        sqrt(1 / 3 / fan_in): "That is PyTorch's own start, 1/(3·fan_in).",
        sqrt(2 / (fan_in + fan_out)): "That is Glorot's rule, 2/(fan_in + fan_out).",
        sqrt(2 / 9): "A kernel reads 3 maps: 9·3 products are added up, not 9.",
        sqrt(2 / 3): "A kernel has 3×3 weights for each of the 3 maps: 27 products.",
        sqrt(2) / fan_in: "The root goes over all of it, 2 / fan_in, not over the 2 alone.",
    }
    wrong = "Count the products that one output adds up, divide 2 by it, take the root."
    return number(answer, outcomes, wrong)


COLUMN_D = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


@check("Build the network and call it pooled_net.")
def check_global_pooling(model: nn.Module) -> str:
    """Lesson 03: VGG16's convolutions at 32 pixels, global average pooling, one linear layer."""
    rows = network(model, "pooled_net", (3, 32, 32), (3, 64, 64), (3, 32, 64))
    layers = [row for row in rows if row.weights]
    linear = sum(len(row.output) == 2 for row in layers)
    if linear != 1:
        raise Wrong(f"It has {linear} linear layers: one of 512 to 10 is wanted.")
    if not any(word in plain(row.kind) for row in rows for word in ("avg", "average", "mean")):
        raise Wrong("It averages nothing: use nn.AdaptiveAvgPool2d(1) on the maps.")
    maps = [row.output[1] for row in layers[:-1]]
    if maps != [*COLUMN_D]:
        raise Wrong(f"The convolutions of column D make {[*COLUMN_D]} maps; yours {maps}.")
    if large := [row.name for row in layers[:-1] if row.window.kernel != (3, 3)]:
        raise Wrong(f"All kernels of column D are 3×3; look at {large[0]}.")
    places = [rows.number(row.name) for row in layers]
    for before, after in pairwise(places):
        if not bent(rows, before, after):
            raise Wrong(f"The ReLU after {rows[before].name} is missing.")
    pools = sum(plain(row.kind).startswith("maxpool") for row in rows)
    if pools != 5:
        raise Wrong(f"Column D has five max-pools, one behind each block; yours has {pools}.")
    return f"{rows.parameters:,} parameters in place of 33,638,218, and any size of picture."


# Depth, the broken layer, and whether its weights are tiny or read what all pictures share.
FAULTS = (
    (6, "conv4", "tiny"), (4, "conv1", "tiny"), (7, "conv6", "blind"),
    (3, "fc", "tiny"), (5, "conv1", "blind"), (8, "conv2", "blind"),
)  # fmt: skip


@check("Write where_it_dies(net, images, labels) and pass it to the check.")
def check_where_it_dies(function: Callable) -> str:
    """Lesson 03: `function(net, images, labels)` names the layer that loses most of the signal.

    It is tried on small networks of several depths, each with one broken layer. Its weights were
    made tiny, or they read hardly anything but a map that is the same for all pictures. A layer of
    loud weights with one of soft weights behind it is there to lead astray.
    """
    images, labels = torch.randn(8, 3, 16, 12), torch.arange(8)
    images[:, 0] = 0.5  # the same for all pictures
    nets, answers = [_broken(*fault) for fault in FAULTS], []
    for net, (depth, fault, _) in zip(nets, FAULTS):
        case = f"a network of {depth} convolutions"
        answers.append(call(function, net, images, labels, case=case))
        if answers[-1] is not None and not isinstance(answers[-1], str):
            got = shown(answers[-1])
            raise Wrong(f"Return the name of a layer, such as {fault!r}; got {got}.")
    begun(*answers)
    truths = [fault for _, fault, _ in FAULTS]
    if answers != truths:
        steps = [_steps(net, images, labels) for net in nets]
        raise Wrong(_wrong_layer(steps, answers, truths))
    return f"It found the broken layer in {len(FAULTS)} of {len(FAULTS)} networks."


@torch.no_grad()
def _broken(depth: int, fault: str, kind: str) -> nn.Sequential:
    """Convolutions and a linear layer with He's start, one of them broken."""
    net, channels = nn.Sequential(), 3
    for k in range(1, depth + 1):
        net.add_module(f"conv{k}", nn.Conv2d(channels, 16, 3, padding=1))
        net.add_module(f"relu{k}", nn.ReLU())
        channels = 16
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(16 * 16 * 12, 10))
    layers = {n: m for n, m in net.named_children() if isinstance(m, (nn.Conv2d, nn.Linear))}
    for layer in layers.values():
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    names = [*layers]
    if depth > 4:  # not in all networks, or every slip would name the loud layer
        loud = next(k for k in range(1, depth) if fault not in names[k : k + 2])
        layers[names[loud]].weight.mul_(30)
        layers[names[loud + 1]].weight.div_(30)
    broken = layers[fault].weight
    if kind == "blind":
        if fault != "conv1":
            before = layers[names[names.index(fault) - 1]]
            before.weight[0], before.bias[0] = 0, 1
        broken[:, 0] *= broken.shape[1] ** 0.5
        broken[:, 1:] *= 1e-4
    else:
        broken.mul_(1e-4)
    return net


class Step(NamedTuple):
    """A layer with weights: the spread before and after it, its gradient, the weights' size."""

    name: str
    before: float
    after: float
    gradient: float
    size: float


def _steps(net: nn.Module, images: Tensor, labels: Tensor) -> list[Step]:
    steps, before = [], images.std(dim=0).mean().item()
    for layer in depth_statistics(net, images, labels):
        size = net.get_submodule(layer.name).weight.norm().item()
        steps.append(Step(layer.name, before, layer.spread, layer.gradient, size))
        before = layer.spread
    return steps


def _largest_fall(steps: list[Step]) -> int:
    """Its number among the layers, if the pictures before the first one are forgotten."""
    return min(range(1, len(steps)), key=lambda k: steps[k].after / steps[k].before)


WHERE_SLIPS = {
    "You took the layer that gains most. Turn it round: after / before is smallest where it dies.":
        lambda steps: max(steps, key=lambda step: step.after / step.before),
    "You took the smallest spread. Layers after the broken one are quiet too: compare with before.":
        lambda steps: min(steps, key=lambda step: step.after),
    "You took the smallest gradient. Behind a broken layer others starve too: look at the spread.":
        lambda steps: min(steps, key=lambda step: step.gradient),
    "You took the smallest weights. Small ones may do no harm, large ones be blind.":
        lambda steps: min(steps, key=lambda step: step.size),
    "You took the largest difference. From 30 to 1 is less than from 1 to 0.0001: divide.":
        lambda steps: min(steps, key=lambda step: step.after - step.before),
    "The first layer may be the broken one. Before it are the pictures: images.std(dim=0).mean().":
        lambda steps: steps[_largest_fall(steps)],
    "One layer off: of a pair, name the second.": lambda steps: steps[_largest_fall(steps) - 1],
}  # fmt: skip


def _wrong_layer(nets: list[list[Step]], answers: list[str], truths: list[str]) -> str:
    for steps, answer in zip(nets, answers):
        names = [step.name for step in steps]
        if answer not in names:
            return f"{answer!r} is no layer with weights; there are {', '.join(names)}."
    for hint, slip in WHERE_SLIPS.items():
        for first in (0, 1):  # with the first layer, and without
            if [slip(steps[first:]).name for steps in nets] == answers:
                return hint
    answer, truth = next((a, t) for a, t in zip(answers, truths) if a != t)
    return f"In one network it is {truth}; you said {answer}."
