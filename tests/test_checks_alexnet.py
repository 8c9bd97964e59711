"""The checks of lesson 02: right answers pass in any form, and each slip gets its own sentence."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons import checks
from cnn_lessons.checks import alexnet
from cnn_lessons.models import AlexNet, AlexNetCIFAR
from cnn_lessons.shapes import record
from tests.verdicts import ChecksOfALesson, broken, nothing, prints

# --- the paper's LRN, by hand -------------------------------------------------------------------


def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75, low=None, high=None, power=2):
    """The paper's formula as a loop; low and high say where the sum of map i begins and ends."""
    out = torch.empty_like(maps)
    for i in range(maps.shape[1]):
        first = max(0, i - n // 2) if low is None else low(i)
        last = i + n // 2 + 1 if high is None else high(i)
        total = (maps[:, first:last] ** power).sum(dim=1)
        out[:, i] = maps[:, i] / (k + alpha * total) ** beta
    return out


def lrn_map_by_map(maps):
    """A right answer in another style."""
    channels, out = maps.shape[1], []
    for i in range(channels):
        total = 0
        for j in range(max(0, i - 2), min(channels - 1, i + 2) + 1):
            total = total + maps[:, j] ** 2
        out.append(maps[:, i] / (2 + 1e-4 * total) ** 0.75)
    return torch.stack(out, dim=1)


def lrn_padded(maps):
    squares = F.pad(maps**2, (0, 0, 0, 0, 2, 2))
    total = sum(squares[:, k : k + maps.shape[1]] for k in range(5))
    return maps / (2 + 1e-4 * total) ** 0.75


def lrn_of_a_changing_tensor(maps):
    maps = maps.clone()
    for i in range(maps.shape[1]):
        maps[:, i] = lrn(maps)[:, i]
    return maps


def lrn_without_the_last(maps):
    return lrn(maps, high=lambda i: min(maps.shape[1] - 1, i + 2))


def lrn_index_by_index(maps):
    return sum(maps[:, j] ** 2 for j in range(-2, maps.shape[1] + 2))


def divisor(maps):
    return maps / lrn(maps)


def window_sum(maps, size):
    return F.avg_pool2d(maps.square(), size, 1, [n // 2 for n in size]) * (size[0] * size[1])


# --- classifiers --------------------------------------------------------------------------------


def classifier(kinds, widths=(2048, 2048, 1000), p=0.5, end=()):
    """Layers by letter: l the next linear layer, r a ReLU, d a dropout, t a tanh, w whole maps."""
    layers, reads, left = [nn.Flatten()], 128 * 6 * 6, list(widths)
    with torch.device("meta"):  # shapes are enough
        for kind in kinds:
            if kind == "l":
                layers.append(nn.Linear(reads, left[0]))
                reads = left.pop(0)
            else:
                made = {"r": nn.ReLU(), "d": nn.Dropout(p), "t": nn.Tanh(), "a": nn.AlphaDropout(p)}
                layers.append(made[kind])
    return nn.Sequential(*layers, *end)


class InFunctions(nn.Module):
    def __init__(self, p=0.5, always=False):
        super().__init__()
        self.p, self.always = p, always
        with torch.device("meta"):
            self.fc6, self.fc7 = nn.Linear(4608, 2048), nn.Linear(2048, 2048)
            self.fc8 = nn.Linear(2048, 1000)

    def forward(self, maps):
        on = self.always or self.training
        features = F.dropout(F.relu(self.fc6(maps.flatten(1))), self.p, on)
        features = F.dropout(self.fc7(features).relu(), p=self.p, training=on)
        return self.fc8(features)


# --- colours ------------------------------------------------------------------------------------


def shifted(images, alphas, pixels=None, of_values=lambda values: values, columns=True):
    pixels = images.movedim(1, 0).flatten(1) if pixels is None else pixels
    values, axes = torch.linalg.eigh(torch.cov(pixels))
    colours = (alphas * of_values(values)) @ (axes.T if columns else axes)
    return images + colours[:, :, None, None]


def shifted_by_numpy(images, alphas):
    """A right answer in another style: NumPy, and its singular values, largest first."""
    pixels = images.permute(1, 0, 2, 3).reshape(3, -1).numpy()
    axes, sizes, _ = np.linalg.svd(pixels - pixels.mean(axis=1, keepdims=True))
    colours = (alphas.numpy() * sizes**2 / (pixels.shape[1] - 1)) @ axes.T
    return images.numpy() + colours[:, :, None, None]


def shifted_without_the_mean(images, alphas):
    pixels = images.movedim(1, 0).flatten(1)
    values, axes = torch.linalg.eigh(pixels @ pixels.T / pixels.shape[1])
    return images + ((alphas * values) @ axes.T)[:, :, None, None]


def shifted_one_by_one(images, alphas):
    each = [shifted(image[None], alpha[None]) for image, alpha in zip(images, alphas)]
    return torch.cat(each)


def brighter(images, alphas):
    return images.add_(alphas.mean())


# --- two groups ---------------------------------------------------------------------------------


def conv(reads, makes, kernel_size=3, padding=1, **more):
    return nn.Conv2d(reads, makes, kernel_size, padding=padding, **more)


class Halves(nn.Module):
    """Two convolutions, how their halves are cut and joined, and which of the two is the first."""

    def __init__(self, halves, cut, join, order):
        super().__init__()
        self.halves, self.cut, self.join, self.order = nn.ModuleList(halves), cut, join, order

    def forward(self, maps):
        pairs = zip(self.halves[:: self.order], self.cut(maps))
        return self.join([half(part) for half, part in pairs])


def chunks(maps):
    return maps.chunk(2, dim=1)


def joined(parts):
    return torch.cat(parts, dim=1)


def two_groups(
    cut=chunks, join=joined, makes=lambda reads, out: (reads // 2, out // 2), n=2,
    order=1, **how,
):  # fmt: skip
    def build(in_maps, out_maps, kernel_size, padding):
        settings = {"kernel_size": kernel_size, "padding": padding} | how
        halves = [conv(*makes(in_maps, out_maps), **settings) for _ in range(n)]
        return Halves(halves, cut, join, order)

    return build


class Empty(nn.Module):
    def __init__(self, *settings):
        super().__init__()

    def forward(self, maps):
        return None


RIGHT = [
    (checks.check_groups, two_groups()),
    (checks.check_groups, two_groups(lambda m: (m[:, : m.shape[1] // 2], m[:, m.shape[1] // 2 :]))),
    (checks.check_groups, two_groups(lambda m: m.split(m.shape[1] // 2, dim=1))),
    (checks.check_groups, two_groups(join=lambda parts: torch.concat(parts, 1))),
    (checks.check_groups, two_groups(order=-1)),
    (checks.check_sizes_at_96, (23, 11, 5)),
    (checks.check_sizes_at_96, [23.0, 11.0, 5.0]),
    (checks.check_sizes_at_96, np.array([23, 11, 5])),
    (checks.check_grouped_parameters, 307_456),
    (checks.check_grouped_parameters, torch.tensor(307_456)),
    (checks.check_half_width, 3_989_802),
    (checks.check_half_width, 3_989_802.0),
    (checks.check_lrn, lrn),
    (checks.check_lrn, lrn_map_by_map),
    (checks.check_lrn, lrn_padded),
    (checks.check_lrn, lambda maps: lrn(maps.double())),
    (checks.check_lrn, lambda maps: lrn(maps).numpy()),
    (checks.check_lrn, lambda maps: lrn(maps).tolist()),
    (checks.check_dropout_place, classifier("lrdlrdl")),
    (checks.check_dropout_place, classifier("ldrldrl")),
    (checks.check_dropout_place, classifier("ltdltdl")),
    (checks.check_dropout_place, InFunctions()),
    (checks.check_colour_shift, shifted),
    (checks.check_colour_shift, shifted_by_numpy),
    (checks.check_colour_shift, lambda x, a: shifted(x, -a)),
    (checks.check_colour_shift, lambda x, a: shifted(x, a * torch.tensor([1, -1, 1]))),
    (checks.check_colour_shift, lambda x, a: shifted(x, a.flip(1)).tolist()),
]


WRONG = [
    # the check, an answer, words that the message must have, words that it must not have
    (checks.check_groups, two_groups(makes=lambda reads, out: (reads, out // 2)),
     "in_maps // 2|6 of", "out_maps"),
    (checks.check_groups, two_groups(makes=lambda reads, out: (reads // 2, out)),
     "out_maps // 2|10", "in_maps"),
    (checks.check_groups, two_groups(n=1), "here are 1", "groups=2"),
    (checks.check_groups, two_groups(n=3), "here are 3", "groups=2"),
    (checks.check_groups, lambda reads, out, k, p: nn.Conv2d(reads, out, k, padding=p, groups=2),
     "torch's own groups=2", "here are"),
    (checks.check_groups, two_groups(padding=0), "padding that come in", "groups=2"),
    (checks.check_groups, two_groups(kernel_size=5), "kernel_size and the padding", "in_maps"),
    (checks.check_groups, two_groups(kernel_size=3), "kernel_size and the padding", "in_maps"),
    (checks.check_groups, two_groups(padding=1), "kernel_size and the padding", "in_maps"),
    (checks.check_groups, two_groups(makes=lambda *any: (3, 5)), "2 maps; here one reads 3 of 4",
     "groups=2"),
    (checks.check_groups, two_groups(stride=2), "all else is usual|stride=(2, 2)", "in_maps"),
    (checks.check_groups, two_groups(padding_mode="reflect"), "padding_mode=reflect", "in_maps"),
    (checks.check_groups, two_groups(bias=False), "all else is usual|bias=False", "in_maps"),
    (checks.check_groups, two_groups(lambda m: (m, m)), "its half of the maps", "Join along"),
    (checks.check_groups, two_groups(lambda m: chunks(m)[:1] * 2), "read the first half", "second"),
    (checks.check_groups, two_groups(lambda m: chunks(m)[1:] * 2), "read the second half", "first"),
    (checks.check_groups, two_groups(lambda m: chunks(m)[::-1]), "halves are swapped", "outputs"),
    (checks.check_groups, two_groups(join=lambda p: joined(p[::-1])), "outputs are swapped",
     "halves"),
    (checks.check_groups, two_groups(lambda m: (m[:, ::2], m[:, 1::2])), "every second", "swapped"),
    (checks.check_groups, two_groups(join=sum), "add the halves up", "in place of"),
    (checks.check_groups, two_groups(join=torch.cat), "dim=0 are the pictures", "in place of"),
    (checks.check_groups, two_groups(join=tuple), "returns 2 tensors", "dim=0"),
    (checks.check_groups, two_groups(join=lambda p: torch.cat(p, dim=2)), "in place of [2, 10",
     "dim=0"),
    (checks.check_groups, two_groups(join=lambda p: -joined(p)), "Other numbers", "in place of"),
    (checks.check_groups, two_groups()(6, 10, 3, 1), "Pass the class itself", "halves"),
    (checks.check_groups, lambda *settings: 3, "must give an nn.Module; got 3", "halves"),
    (checks.check_sizes_at_96, (22, 9, 3), "conv1|ends with + 1", "padding"),
    (checks.check_sizes_at_96, (22, 10, 4), "conv1|padding|twice", "ends with"),
    (checks.check_sizes_at_96, (24, 12, 6), "conv1|Round down: a window", "kernel:"),
    (checks.check_sizes_at_96, (23, 11, 6), "pool2|left out the kernel", "conv1"),
    (checks.check_sizes_at_96, (23, 12, 6), "pool1|left out the kernel", "Round"),
    (checks.check_sizes_at_96, (23, 23, 11), "pool1|comes in", "pool2"),
    (checks.check_sizes_at_96, (23, 11, 11), "pool2|comes in", "pool1"),
    (checks.check_sizes_at_96, (23, 21, 19), "pool1|left out the stride", "kernel:"),
    (checks.check_sizes_at_96, (23, 10, 3), "pool1|ends with + 1", "pool2"),
    (checks.check_sizes_at_96, (23, 10, 4), "pool1|the very end", "pool2"),
    (checks.check_sizes_at_96, (23.25, 11, 5), "whole", "is not it"),
    (checks.check_sizes_at_96, (20, 9, 4), "conv1|20 is not it", "whole"),
    (checks.check_sizes_at_96, (55, 27, 13), "224", "conv1"),
    (checks.check_sizes_at_96, (23, 11), "3 numbers|got 2", "pool2 is"),
    (checks.check_sizes_at_96, (23, None, 5), "pool1 is still empty", "attempted"),
    (checks.check_sizes_at_96, (23, "11", 5), "pool1|quotes", "empty"),
    (checks.check_grouped_parameters, 256 * (25 * 96 + 1), "one group|48 of the", "without"),
    (checks.check_grouped_parameters, 256 * 25 * 96, "one group, without", "48 of"),
    (checks.check_grouped_parameters, 256 * 25 * 48, "weights are right", "halved"),
    (checks.check_grouped_parameters, 256 * 25 * 48 + 128, "not halved", "two biases"),
    (checks.check_grouped_parameters, 256 * 25 * 48 + 512, "two biases", "not halved"),
    (checks.check_grouped_parameters, 128 * (25 * 48 + 1), "half: 128", "without"),
    (checks.check_grouped_parameters, 128 * 25 * 48, "half, without", "128 kernels"),
    (checks.check_grouped_parameters, 256 * (9 * 48 + 1), "5×5", "GPU"),
    (checks.check_grouped_parameters, 256 * (25 + 1), "each map that it reads", "group"),
    (checks.check_grouped_parameters, 256 * 25 * 48 * 27 * 27, "MACs", "group"),
    (checks.check_grouped_parameters, 307_000, "exact", "is not it"),
    (checks.check_half_width, 9_244_970, "as it is", "Half"),
    (checks.check_half_width, 9_244_970 // 2, "Half of all", "as it is"),
    (checks.check_half_width, 831_776 + (1024 + 1) * 1024 * 2 + 10_250, "fc6 still reads", "fc8"),
    (checks.check_half_width, 3_989_802 + 1024 * 10, "fc8 reads 1024", "fc7"),
    (checks.check_half_width, 3_989_802 + 1024 * 1024, "both sides", "fc8"),
    (checks.check_half_width, 3_989_802 + 1024 * 1024 + 1024 * 10, "fc7 and fc8 read", "both"),
    (checks.check_half_width, 3_989_802 - 1024 - 1024 - 10, "biases", "saved"),
    (checks.check_half_width, 3_989_802 - 831_776, "stands before", "saved"),
    (checks.check_half_width, 9_244_970 - 3_989_802, "what is saved", "before"),
    (checks.check_half_width, 7, "Add up", "saved"),
    (checks.check_lrn, lambda m: lrn(m, alpha=1e-4 / 5), "no mean", "times 5"),
    (checks.check_lrn, lambda m: lrn(m, alpha=5e-4), "alpha times 5", "no mean"),
    (checks.check_lrn, lambda m: lrn(m, k=0), "k is missing", "1 for k"),
    (checks.check_lrn, lambda m: lrn(m, k=1), "1 for k", "missing"),
    (checks.check_lrn, lambda m: lrn(m, beta=1), "power is missing", "0.5"),
    (checks.check_lrn, lambda m: lrn(m, beta=0.5), "not 0.5", "missing"),
    (checks.check_lrn, divisor, "return the divisor", "Multiplied"),
    (checks.check_lrn, lambda m: m * divisor(m), "Multiplied", "return"),
    (checks.check_lrn, lambda m: lrn(m, n=3), "over three maps", "early"),
    (checks.check_lrn, lambda m: lrn(m, n=11), "Five on each side", "all maps"),
    (checks.check_lrn, lambda m: lrn(m, high=lambda i: i + 2), "stops one map early", "last map"),
    (checks.check_lrn, lrn_without_the_last, "last map is left out", "one map early"),
    (checks.check_lrn, lambda m: lrn(m, low=lambda i: i - 2), "take max(0, i − 2)", "its end"),
    (checks.check_lrn, lambda m: lrn(m, low=lambda i: i - 2, high=lambda i: i + 2),
     "counts from the end|leaves out its end", "take max"),
    (checks.check_lrn, lambda m: lrn(m, low=lambda i: max(0, i - 4), high=lambda i: i + 1),
     "the map and those before it", "behind it."),
    (checks.check_lrn, lambda m: lrn(m, low=lambda i: i, high=lambda i: i + 5),
     "the map and those behind it", "those before"),
    (checks.check_lrn, lrn_of_a_changing_tensor, "already changed", "early"),
    (checks.check_lrn, lambda m: m / (divisor(m) ** (4 / 3) - 1e-4 * m**2) ** 0.75, "own square",
     "not squared"),
    (checks.check_lrn, lambda m: lrn(m, power=1), "not squared", "square the sum"),
    (checks.check_lrn, lambda m: m / (2 + 1e-4 * sum(
        F.pad(m, (0, 0, 0, 0, 2, 2))[:, k : k + m.shape[1]] for k in range(5)) ** 2) ** 0.75,
     "square the sum", "not squared"),
    (checks.check_lrn, lambda m: m / (2 + 1e-4 * window_sum(m, (1, 5))) ** 0.75, "in a row",
     "square"),
    (checks.check_lrn, lambda m: m / (2 + 1e-4 * window_sum(m, (5, 5))) ** 0.75, "of the map.",
     "in a row"),
    (checks.check_lrn, lambda m: m / (2 + 1e-4 * m.square().sum(1, keepdim=True)) ** 0.75,
     "over all maps", "square of"),
    (checks.check_lrn, lambda m: m / (2 + 1e-4 * sum(
        m.square().roll(k, 1) for k in range(-2, 3))) ** 0.75, "the other end", "max(0"),
    (checks.check_lrn, nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2), "without torch's own",
     "Seen"),
    (checks.check_lrn, lambda m: F.local_response_norm(m, 5), "without torch's own", "Seen"),
    (checks.check_lrn, lambda m: m.mul_(2), "changes what it is given", "at ["),
    (checks.check_lrn, lrn_index_by_index, "IndexError|may have fewer", "Seen"),
    (checks.check_lrn, lambda m: lrn(m)[0], "in place of [2, 8, 5, 6]|axis is missing", "at ["),
    (checks.check_lrn, lambda m: lrn(m) if m.shape[1] > 5 else None, "returns nothing for", "at ["),
    (checks.check_lrn, lambda m: "maps", "a tensor of numbers", "at ["),
    (checks.check_lrn, prints, "prints", "attempted"),
    (checks.check_lrn, broken, "ZeroDivisionError", "fewer"),
    (checks.check_dropout_place, classifier("dlrdlrl"), "before fc6|article", "after"),
    (checks.check_dropout_place, classifier("lrlrl"), "There is no dropout", "fc6"),
    (checks.check_dropout_place, classifier("lrdlrl"), "After fc7|0 dropouts", "After fc6"),
    (checks.check_dropout_place, classifier("lrlrdl"), "After fc6|0 dropouts", "After fc7"),
    (checks.check_dropout_place, classifier("lrddlrdl"), "After fc6|2 dropouts", "After fc7"),
    (checks.check_dropout_place, classifier("lrdlrdld"), "after fc8", "before"),
    (checks.check_dropout_place, classifier("ldlrdl"), "ReLU after fc6", "fc7"),
    (checks.check_dropout_place, classifier("lrdldl"), "ReLU after fc7", "fc6"),
    (checks.check_dropout_place, classifier("lralral"), "For units, take nn.Dropout", "share"),
    (checks.check_dropout_place, classifier("lrdlrdl", p=0.2), "half of the units|0.2", "F.drop"),
    (checks.check_dropout_place, InFunctions(p=0.2), "half of the units|0.2", "also drops"),
    (checks.check_dropout_place, InFunctions(always=True), "in evaluation mode", "half"),
    (checks.check_dropout_place, classifier("lrdlrdl", end=[nn.Softmax(1)]), "softmax", "share"),
    (checks.check_dropout_place, classifier("lrdlrdlr"), "last step is ReLU", "softmax"),
    (checks.check_dropout_place, classifier("lrdlrdl", widths=(1024, 1024, 1000)),
     "must have 2048", "run"),
    (checks.check_dropout_place, classifier("lrdlrdl", widths=(2048, 2048, 10)), "not [N, 1000]",
     "2048"),
    (checks.check_dropout_place, nn.Linear(3, 3), "does not run", "dropout"),
    (checks.check_colour_shift, lambda x, a: x, "as they were", "alone"),
    (checks.check_colour_shift, lambda x, a: x + torch.randn_like(x), "within a picture", "alone"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a) - x, "the shift alone", "were"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a[:1].expand_as(a)), "All pictures",
     "another"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a, of_values=torch.sqrt), "the roots",
     "missing"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a, of_values=torch.ones_like),
     "eigenvalues are missing", "roots"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a, of_values=lambda v: 239 * v),
     "covariance is a mean", "another"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a, columns=False), "are the columns",
     "another"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a, x.reshape(3, -1)), "reshape(3, -1)",
     "(-1, 3)"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a, x.reshape(-1, 3).T), "reshape(-1, 3)",
     "(3, -1)"),
    (checks.check_colour_shift, shifted_without_the_mean, "Subtract the mean", "another"),
    (checks.check_colour_shift, shifted_one_by_one, "of all pictures, not of each", "another"),
    (checks.check_colour_shift, lambda x, a: x + a[:, :, None, None], "another one", "columns"),
    (checks.check_colour_shift, torch.add, "two axes more", "another"),
    (checks.check_colour_shift, lambda x, a: shifted(x, a)[:2], "must return pictures", "axes"),
    (checks.check_colour_shift, brighter, "changes what it is given", "within"),
    (checks.check_colour_shift, prints, "prints", "attempted"),
    (checks.check_colour_shift, broken, "ZeroDivisionError", "axes"),
]  # fmt: skip


NOT_YET = [
    (checks.check_groups, None, "TwoGroups"),
    (checks.check_groups, Empty, "no convolutions yet"),
    (checks.check_groups, two_groups(join=nothing), "forward returns nothing yet"),
    (checks.check_sizes_at_96, None, "sides"),
    (checks.check_sizes_at_96, (None, None, None), "sides"),
    (checks.check_grouped_parameters, None, "conv2_parameters"),
    (checks.check_half_width, None, "parameters"),
    (checks.check_lrn, None, "my_lrn"),
    (checks.check_lrn, nothing, "returns nothing yet"),
    (checks.check_dropout_place, None, "classifier"),
    (checks.check_colour_shift, None, "colour_shift"),
    (checks.check_colour_shift, nothing, "returns nothing yet"),
]


class TestTheChecks(ChecksOfALesson):
    lesson, right, wrong, not_yet = alexnet, RIGHT, WRONG, NOT_YET


def test_the_numbers_are_those_of_the_networks():
    table = record(AlexNet().features, (3, 96, 96))
    sides = [table[name].output[-1] for name in ("conv1", "pool1", "pool2")]
    assert checks.check_sizes_at_96(sides).passed
    conv2 = AlexNet().features.conv2
    assert checks.check_grouped_parameters(sum(p.numel() for p in conv2.parameters())).passed
    halved = AlexNetCIFAR()
    halved.classifier.fc6 = nn.Linear(2048, 1024)
    halved.classifier.fc7 = nn.Linear(1024, 1024)
    halved.classifier.fc8 = nn.Linear(1024, 10)
    assert checks.check_half_width(sum(p.numel() for p in halved.parameters())).passed
    maps = torch.randn(2, 8, 3, 4)
    torch.testing.assert_close(lrn(maps), F.local_response_norm(maps, 5, 5e-4, 0.75, 2.0))
