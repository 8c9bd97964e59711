"""The checks of lesson 03."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import nn

from cnn_lessons.checks.common import Verdict, number
from cnn_lessons.see.probes import depth_statistics
from cnn_lessons.shapes import ShapeError, record


def check_fc6_weights(answer: int | None) -> Verdict:
    """Lesson 03: the parameters of fc6 at 224 pixels, 512 maps of 7x7 to 4096 units."""
    slips = {
        102_760_448: "Those are the weights. Each of the 4096 units also has one bias.",
        2_101_248: "That is fc6 at 32 pixels, where one number of each map is left.",
        411_045_888: "You took maps of 14×14. There are five pools: 224 / 2⁵ = 7.",
        512 * 4096: "One number of each map: that is fc6 at 32 pixels, without its biases.",
        25_088: "That is what goes in: 512·7·7 numbers. Each of 4096 units has a weight for each.",
        102_785_536: "You added a bias for each input. There is one for each of the 4096 units.",
    }
    right = "512·7·7 inputs × 4096 units + 4096 biases = 102,764,544."
    return number(answer, 102_764_544, slips, right, "Set fc6_parameters to a number.")


def check_stack_weights(answer: int | None) -> Verdict:
    """Lesson 03: the weights of a stack of 3x3 layers that sees 11x11, 64 maps in and out."""
    one, channels = 9 * 64 * 64, 64 * 64
    slips = {
        121 * channels: "That is one layer of 11×11. How many of 3×3 see as much?",
        11 * one: "Eleven layers see 23×23: each one after the first adds 2 pixels.",
        6 * one: "Six layers see 13×13. The first sees 3, each further one adds 2.",
        4 * one: "Four layers see 9×9. The first sees 3, each further one adds 2.",
        3 * one: "Three layers see 7×7. The first sees 3, each further one adds 2.",
        5 * 9: "That is for one map. Every kernel reads 64 maps, and there are 64 kernels.",
        5 * 9 * 64: "Every kernel reads all 64 maps, and there are 64 kernels: 9·64·64 a layer.",
        5 * (one + 64): "You counted the biases too. Here only the weights are asked for.",
        one: "That is one layer, and it sees 3×3. How many of them see 11×11?",
    }
    right = f"Five layers see 3 + 4·2 = 11: 5·9·64² = {5 * one:,}, against 121·64² = 495,616."
    return number(answer, 5 * one, slips, right, "Set stack_weights to a number.")


COLUMN_E = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"


def check_column_e(answer: str | None) -> Verdict:
    """Lesson 03: VGG-19, column E of Table 1, as a string for the lesson's builder."""
    if answer is None:
        return Verdict(None, "Write column E as a string, as CONFIGS has the others.")
    if not isinstance(answer, str):
        return Verdict(False, f"The answer is a string such as '64 M 128 M'; got {answer!r}.")
    mine, truth = ([block.split() for block in text.split("M")] for text in (answer, COLUMN_E))
    for word in answer.split():
        if word != "M" and not word.isdecimal():
            return Verdict(False, f"{word!r} is neither M nor a number of maps.")
    if mine[-1]:
        return Verdict(False, "After the last convolution there is a pool too: end with M.")
    if len(mine) != len(truth):
        return Verdict(False, f"Yours has {len(mine) - 1} pools, column E has 5.")
    for b, (block, expected) in enumerate(zip(mine, truth), start=1):
        if len(block) != len(expected):
            hint = " That is column D." if answer.split().count("512") == 6 else ""
            return Verdict(
                False,
                f"Block {b} of yours has {len(block)} convolutions, of column E"
                f" {len(expected)}.{hint}",
            )
        if block != expected:
            return Verdict(False, f"Block {b} has {expected[0]} maps in column E, not {block}.")
    return Verdict(True, "16 convolutions and 3 linear layers: VGG-19.")


def check_he_std(answer: float | None) -> Verdict:
    """Lesson 03: He's standard deviation for conv1_1, 3 maps to 64 with 3x3, by fan_in."""
    fan_in, fan_out = 27, 576
    slips = {
        sqrt(2 / fan_out): "That is fan_out, 9·64. The signal going forward adds up 9·3 products.",
        sqrt(1 / fan_in): "The 2 is missing: the ReLU throws away half of the signal.",
        2 / fan_in: "That is the variance. The standard deviation is its square root.",
        sqrt(1 / 3 / fan_in): "That is PyTorch's own start, 1/(3·fan_in).",
        sqrt(2 / (fan_in + fan_out)): "That is Glorot's rule, 2/(fan_in + fan_out).",
        sqrt(2 / 9): "A kernel reads 3 maps: 9·3 products are added up, not 9.",
        sqrt(2 / 3): "A kernel has 3×3 weights for each of the 3 maps: 27 products.",
    }
    right = "√(2 / (3·3·3)) = 0.2722. By fan_out it were 0.0589, less than a quarter."
    truth, todo = sqrt(2 / fan_in), "Set he_std to a number."
    wrong = "Count the products that one output adds up, divide 2 by it, take the root."
    return number(answer, truth, slips, right, todo, wrong, tolerance=1e-3)


def check_global_pooling(model: nn.Module | None) -> Verdict:
    """Lesson 03: VGG16's convolutions at 32 pixels, global average pooling, one linear layer."""
    if model is None:
        return Verdict(None, "Build the network and call it pooled_net.")
    if not isinstance(model, nn.Module):
        return Verdict(False, f"pooled_net must be a network (nn.Module); got {model!r}.")
    for size in (32, 64):
        try:
            rows = record(model, (3, size, size))
        except ShapeError as error:
            hint = "It runs at 32 pixels but not at 64: that is no global pooling."
            return Verdict(False, f"{hint if size == 64 else 'It does not run.'}\n{error}")
        if rows[-1].output != (2, 10):
            shape = ", ".join(str(n) for n in ("N", *rows[-1].output[1:]))
            return Verdict(False, f"It runs at {size} pixels, but gives [{shape}], not [N, 10].")
    linear = [row for row in rows if row.kind == "Linear"]
    if len(linear) > 1:
        return Verdict(False, f"It has {len(linear)} linear layers: one of 512 to 10 is enough.")
    kinds = {row.kind.lower() for row in rows}
    if not any("avg" in kind or "mean" in kind for kind in kinds):
        return Verdict(False, "It averages nothing: use nn.AdaptiveAvgPool2d(1) on the maps.")
    truth = 14_714_688 + 5_130
    if rows.parameters not in (truth, 14_728_266):
        parts = f"column D's convolutions and 512·10 + 10 are {truth:,}"
        return Verdict(False, f"{rows.parameters:,} parameters; {parts}.")
    return Verdict(
        True, f"{rows.parameters:,} parameters in place of 33,638,218, and any size of picture."
    )


FAULTS = ("conv3", "conv6", "conv2", "fc")


def check_where_it_dies(function: Callable | None) -> Verdict:
    """Lesson 03: `function(net, images, labels)` names the layer that loses most of the signal.

    It is tried on small networks in which the weights of one layer were made tiny.
    """
    if function is None:
        return Verdict(None, "Write where_it_dies(net, images, labels) and pass it to the check.")
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8) % 10
    for fault in FAULTS:
        net = _broken(fault)
        try:
            answer = function(net, images, labels)
        except Exception as error:
            return Verdict(False, f"It failed: {type(error).__name__}: {error}.")
        if answer is None:
            return Verdict(None, "Your function returns nothing yet.")
        if not isinstance(answer, str):
            return Verdict(False, f"Return the name of a layer, such as {fault!r}; got {answer!r}.")
        if answer != fault:
            return Verdict(False, _wrong_layer(net, images, labels, answer, fault))
    return Verdict(True, f"It found the broken layer in {len(FAULTS)} of {len(FAULTS)} networks.")


def _broken(fault: str) -> nn.Sequential:
    """Six convolutions and a linear layer, He's start, one layer's weights a 10,000th."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net, channels = nn.Sequential(), 3
        for k in range(1, 7):
            net.add_module(f"conv{k}", nn.Conv2d(channels, 16, 3, padding=1))
            net.add_module(f"relu{k}", nn.ReLU())
            channels = 16
        net.add_module("flatten", nn.Flatten())
        net.add_module("fc", nn.Linear(16 * 16 * 16, 10))
        for module in net:
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        net.get_submodule(fault).weight.mul_(1e-4)
    return net


def _wrong_layer(net, images, labels, answer: str, fault: str) -> str:
    layers = depth_statistics(net, images, labels)
    names = [layer.name for layer in layers]
    if answer not in names:
        return f"{answer!r} is no layer with weights; there are {', '.join(names)}."
    if answer == min(layers, key=lambda layer: layer.spread).name:
        return (
            "You took the smallest spread. The layers after the broken one are quiet too: compare "
            "each with the one before."
        )
    if answer == min(layers, key=lambda layer: layer.gradient).name:
        return (
            "You took the smallest gradient. Behind a broken layer the others starve too: look at "
            "the spread."
        )
    if abs(names.index(answer) - names.index(fault)) == 1:
        return f"One layer off: you said {answer}, it is {fault}. Of a pair, name the second."
    return f"In one network it is {fault}; you said {answer}."
