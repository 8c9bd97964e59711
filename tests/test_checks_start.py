"""The checks of lesson 00: right answers pass in any form, and each slip gets its own sentence."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons import checks, training
from cnn_lessons.checks import start
from tests.verdicts import ChecksOfALesson, Parts

SOBEL = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])
LARGEST, AVERAGE = [[7, 4], [8, 6]], [[4, 2], [3, 4]]


def convolution(
    x, w, b, s, p,
    pad=lambda x, p: F.pad(x, 4 * [p]),
    side=lambda w: w.shape[-1],
    count=lambda n, k, s: (n - k) // s + 1,
    step=lambda place, s: place * s,
    number=lambda w, window, b: (w * window).sum(dim=(1, 2, 3)) + b,
):  # fmt: skip
    """The loops of exercise 6; each argument behind the stride and padding may be a slip."""
    padded, k = pad(x, p), side(w)
    rows, columns = count(padded.shape[1], k, s), count(padded.shape[2], k, s)
    maps = torch.zeros(len(w), rows, columns)
    for row in range(rows):
        for column in range(columns):
            top, left = step(row, s), step(column, s)
            maps[:, row, column] = number(w, padded[:, top : top + k, left : left + k], b)
    return maps


def with_slip(**slip):
    return lambda x, w, b, s, p: convolution(x, w, b, s, p, **slip)


def then(change):
    """A right convolution, and something done with its maps."""
    return lambda x, w, b, s, p: change(convolution(x, w, b, s, p))


def one_side_for_both(axis):
    def count_both(x, w, b, s, p):
        padded, k = F.pad(x, 4 * [p]), w.shape[-1]
        places = (padded.shape[axis] - k) // s + 1
        maps = torch.zeros(len(w), places, places)
        for row in range(places):
            for column in range(places):
                window = padded[:, row * s : row * s + k, column * s : column * s + k]
                maps[:, row, column] = (w * window).sum(dim=(1, 2, 3)) + b
        return maps

    return count_both


def one_map(x, w, b, s, p):
    return convolution(x, w, b, s, p).sum(dim=0)


def kernel_by_kernel(x, w, b, s, p):
    """A right answer in another style: one kernel and one channel at a time."""
    padded, k = F.pad(x, (p, p, p, p)), w.shape[-1]
    rows, columns = ((n - k) // s + 1 for n in padded.shape[1:])
    maps = []
    for kernel, bias in zip(w, b):
        values = [
            (kernel * padded[:, s * i : s * i + k, s * j : s * j + k]).sum() + bias
            for i in range(rows)
            for j in range(columns)
        ]
        maps.append(torch.stack(values).reshape(rows, columns))
    return torch.stack(maps)


def unfolded(x, w, b, s, p):
    windows = F.pad(x, 4 * [p]).unfold(1, w.shape[2], s).unfold(2, w.shape[3], s)
    return torch.einsum("kcab,cijab->kij", w, windows) + b[:, None, None]


def len_of_a_kernel(x, w, b, s, p):
    return convolution(
        x, w, b, s, p, side=lambda w: len(w[0]),
        number=lambda w, window, b: torch.stack([(each * window).sum() for each in w]) + b,
    )  # fmt: skip


def in_its_input(x, w, b, s, p):
    w *= 2
    return convolution(x, w, b, s, p)


def only_for_stride_1(x, w, b, s, p):
    if s == 1:
        return convolution(x, w, b, s, p)
    return None


LAYERS = []


def of_the_first_layer(layer, picture, wanted, rate):
    """A step that moves the layer of its first call, whatever it is given."""
    LAYERS.append(layer)
    return kernel_step()(LAYERS[0], picture, wanted, rate)


BLUE, GREEN = torch.zeros(2, 8, 3, 4, 4, dtype=torch.uint8)
BLUE[:, 2], GREEN[:, 1] = 200, 200
FOR_BLUE, FOR_GREEN = torch.tensor([[0.0, 0, 1], [0, 1, 0]])[:, :, None, None]


def check_separator(kernel, threshold):
    return checks.check_separator(kernel, threshold, BLUE, GREEN)


def mean_square(layer, picture, wanted):
    return ((layer(picture) - wanted) ** 2).mean()


def kernel_step(
    loss=mean_square, move=lambda w, rate: w.sub_(rate * w.grad), clear=True, back=None
):
    """A learner's step: its loss, how the weight moves, and what it returns."""

    def step(layer, picture, wanted, rate):
        found = loss(layer, picture, wanted)
        found.backward()
        with torch.no_grad():
            move(layer.weight, rate)
        if clear:
            layer.weight.grad = None
        return found if back is None else back(layer, picture, wanted, found)

    return step


def by_an_optimizer(layer, picture, wanted, rate):
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
    loss = F.mse_loss(layer(picture), wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def with_gradients_on(layer, picture, wanted, rate):
    mean_square(layer, picture, wanted).backward()
    layer.weight -= rate * layer.weight.grad


def a_new_weight(layer, picture, wanted, rate):
    mean_square(layer, picture, wanted).backward()
    layer.weight = layer.weight - rate * layer.weight.grad


def without_backward(layer, picture, wanted, rate):
    with torch.no_grad():
        layer.weight -= rate * layer.weight.grad


RIGHT = [
    (checks.check_kernel_step, training.kernel_step),
    (checks.check_kernel_step, kernel_step()),
    (checks.check_kernel_step, by_an_optimizer),
    (checks.check_sizes, [28, 32, 14, 55, 112]),
    (checks.check_sizes, (28.0, 32, 14, 55, 112)),
    (checks.check_sizes, torch.tensor([28, 32, 14, 55, 112])),
    (checks.check_sizes, np.array([28, 32, 14, 55, 112])),
    (checks.check_pooling, Parts(LARGEST, AVERAGE)),
    (checks.check_pooling, Parts(torch.tensor(LARGEST), np.array(AVERAGE, dtype=float))),
    (checks.check_pooling, Parts(torch.tensor([LARGEST]), [AVERAGE])),
    (checks.check_horizontal_edges, SOBEL),
    (checks.check_horizontal_edges, -SOBEL[None, None]),
    (checks.check_horizontal_edges, [[1, 1, 1], [0, 0, 0], [-1, -1, -1]]),
    (checks.check_horizontal_edges, 1e-6 * SOBEL),
    (checks.check_cost, Parts(4640, 1_179_648)),
    (checks.check_cost, Parts(torch.tensor(4640), 1_179_648.0)),
    (checks.check_receptive_field, 26),
    (checks.check_receptive_field, np.int64(26)),
    (checks.check_conv2d, convolution),
    (checks.check_conv2d, kernel_by_kernel),
    (checks.check_conv2d, unfolded),
    (checks.check_conv2d, then(torch.Tensor.double)),
    (checks.check_conv2d, then(torch.Tensor.tolist)),
    (checks.check_conv2d, then(torch.Tensor.numpy)),
    (checks.check_conv2d, then(list)),
    (check_separator, Parts(FOR_BLUE, 0.4)),
    (check_separator, Parts(FOR_BLUE, 0)),  # above it, and not at it, is the first class
    (check_separator, Parts(FOR_BLUE.tolist(), torch.tensor(0.4))),
]


def edges(*rows):
    return torch.tensor([[float(sign) for sign in row.split()] for row in rows])


def grid(a, b, c, d):
    return [[a, b], [c, d]]


STEP = checks.check_kernel_step
WRONG = [
    (STEP, kernel_step(move=lambda w, rate: w.add_(rate * w.grad)), "climbs|minus", "Square"),
    (STEP, kernel_step(clear=False), "to 0 after the step", "climbs"),
    (STEP, kernel_step(move=lambda w, rate: w.sub_(w.grad)), "rate is missing", "climbs"),
    (STEP, kernel_step(lambda *of: mean_square(*of) * 30), "the sum of the squares", "rate"),
    (STEP, kernel_step(lambda f, x, y: (f(x) - y).abs().mean()), "not take their size", "cancel"),
    (STEP, kernel_step(lambda f, x, y: (f(x) - y).mean()), "below 0 cancel", "size"),
    (STEP, kernel_step(move=lambda w, rate: None), "stays where it is", "climbs"),
    (STEP, kernel_step(lambda *of: mean_square(*of) / 2), "not to where", "sum"),
    (STEP, kernel_step(back=lambda *of: None), "Now return the loss", "not to where"),
    (STEP, of_the_first_layer, "outside of the step is kept", "not to where"),
    (STEP, kernel_step(lambda f, x, y: f(x).sum() * 0), "stays where it is", "climbs"),
    (STEP, kernel_step(back=lambda f, x, y, loss: mean_square(f, x, y)), "one before", "Now"),
    (STEP, with_gradients_on, "torch.no_grad", "climbs"),
    (STEP, a_new_weight, "with -=", "no_grad"),
    (STEP, without_backward, "comes before the step", "no_grad"),
    (STEP, kernel_step(lambda f, x, y: (f(x) - y) ** 2), "take the mean", "no gradient"),
    (STEP, kernel_step(lambda *of: mean_square(*of).detach()), "out of the network", "mean"),
    # the check, an answer, words that the message must have, words that it must not have
    (checks.check_sizes, [27, 32, 14, 55, 112], "(a)|ends with + 1", "padding|(b)"),
    (checks.check_sizes, [28, 31, 14, 55, 112], "(b)|add it twice", "ends with|Or"),
    (checks.check_sizes, [27, 31, 13, 54, 111], "(a)|ends with + 1", "padding"),
    (checks.check_sizes, [28, 30, 14, 55, 112], "(b)|left out the padding", "stride"),
    (checks.check_sizes, [28, 32, 27, 55, 112], "(c)|left out the stride", "kernel"),
    (checks.check_sizes, [32, 34, 15, 58, 116], "(a)|comes in", "stride"),
    (checks.check_sizes, [28, 32, 15, 58, 116], "(c)|left out the kernel", "padding"),
    (checks.check_sizes, [28, 32, 13, 54, 112], "(c)|the very end", "Round|Or"),
    (checks.check_sizes, [28, 32, 14, 56, 113], "(d)|Round down: a window", "stride"),
    (checks.check_sizes, [28, 32, 14, 55.25, 112], "(d)|whole", "not it"),
    (checks.check_sizes, [28, 32, 14, 54, 112], "(d)|the very end", "Round"),
    (checks.check_sizes, [28, 32, 14, 55, 115], "(e)|115 is not it", "Round down:"),
    (checks.check_sizes, [28, 32, 14, 55, None], "(e) is still empty", "None"),
    (checks.check_sizes, [28, 32, 14, 55, "112"], "(e)|quotes", "not it"),
    (checks.check_sizes, [28, 32, 14, 55], "5 numbers|got 4", "still"),
    (checks.check_pooling, Parts(AVERAGE, AVERAGE), "largest|other kind", "average:"),
    (checks.check_pooling, Parts(LARGEST, LARGEST), "average|other kind", "largest:"),
    (checks.check_pooling, Parts(grid(1, 0, 0, 1), AVERAGE), "smallest", "columns"),
    (checks.check_pooling, Parts(LARGEST, grid(16, 8, 12, 16)), "Divide by 4", "other kind"),
    (checks.check_pooling, Parts(grid(7, 8, 4, 6), AVERAGE), "columns", "window of"),
    (checks.check_pooling, Parts(grid(3, 0, 0, 6), AVERAGE), "first number", "smallest"),
    (checks.check_pooling, Parts(grid(7, 4, 8, 5), AVERAGE), "row 1, column 1", "kind"),
    (checks.check_pooling, Parts(torch.ones(3, 3), AVERAGE), "stride 1", "row"),
    (checks.check_pooling, Parts([7, 4, 8, 6], AVERAGE), "2 rows of 2", "stride"),
    (checks.check_pooling, Parts(LARGEST, [2 * [float("nan")]] * 2), "row 0, column 0", "kind"),
    (checks.check_pooling, Parts(LARGEST, None), "average is still empty", "largest"),
    (checks.check_horizontal_edges, SOBEL.T, "Turn it by 90", "add up"),
    (checks.check_horizontal_edges, SOBEL + 0.01, "flat picture", "columns"),
    (checks.check_horizontal_edges, torch.ones(3, 3) / 9, "flat picture|add up to 0", "columns"),
    (checks.check_horizontal_edges, edges("0 0 0", "0 1 0", "0 0 0"), "flat picture", "vertical"),
    (checks.check_horizontal_edges, SOBEL + SOBEL.T, "vertical edges too", "Turn"),
    (checks.check_horizontal_edges, edges("-1 -1 -1", "-1 8 -1", "-1 -1 -1"), "columns", "flat"),
    (checks.check_horizontal_edges, edges("1 -2 1", "-2 4 -2", "1 -2 1"), "neither", "columns"),
    (checks.check_horizontal_edges, torch.zeros(3, 3), "answers to nothing", "neither"),
    (checks.check_horizontal_edges, SOBEL[:2], "3 rows of 3", "answers"),
    (checks.check_horizontal_edges, SOBEL / 0, "finite", "answers"),
    (checks.check_cost, Parts(32 * 16 * 9, None), "macs is still empty", "parameters"),
    (checks.check_cost, Parts(32 * 16 * 9, 1), "parameters|counted the weights", "16, not"),
    (checks.check_cost, Parts(32 * 16 * 9 + 16, 1), "so 32, not 16", "counted the"),
    (checks.check_cost, Parts(32 * (9 + 1), 1), "all 16 input channels", "has a bias"),
    (checks.check_cost, Parts(32 * 9, 1), "all 16 input channels, and has a bias", "one kernel"),
    (checks.check_cost, Parts(16 * 9 + 1, 1), "one kernel with its bias", "all 16"),
    (checks.check_cost, Parts(16 * 9 + 32, 1), "with 32 biases", "There are 32."),
    (checks.check_cost, Parts(32 * 16 * (9 + 1), 1), "each pair of channels", "counted the"),
    (checks.check_cost, Parts(4640 * 256, 1), "more like the MACs", "Those are the MACs"),
    (checks.check_cost, Parts(4608 * 256, 1), "Those are the MACs", "more like"),
    (checks.check_cost, Parts(4640, 2 * 4608 * 256), "macs|FLOPs", "parameters"),
    (checks.check_cost, Parts(4640, 4640 * 256), "biases are added", "every place"),
    (checks.check_cost, Parts(4640, 16 * 9 * 256), "one of the 32 kernels", "channels"),
    (checks.check_cost, Parts(4640, 4608 * 14 * 14), "256 places", "32×32"),
    (checks.check_cost, Parts(4640, 4608 * 18 * 18), "with its padding", "32×32"),
    (checks.check_cost, Parts(4640, 4608 * 32 * 32), "not 32×32", "256 places"),
    (checks.check_cost, Parts(4640, 9 * 32 * 256), "all 16 input channels", "one of the"),
    (checks.check_cost, Parts(4640, 4608), "every place of the map.", "do not count"),
    (checks.check_cost, Parts(4640, 4640), "every place|biases do not count", "FLOPs"),
    (checks.check_cost, Parts(4640, 18_874_401), "18,874,401 is not it", "e+07"),
    (checks.check_receptive_field, 1 + 2 + 2 + 1 + 2 + 2 + 2, "2 pixels wide", "Begin"),
    (checks.check_receptive_field, 2 + 2 + 1 + 2 + 2 + 2, "Begin with 1|count the strides", "by k"),
    (checks.check_receptive_field, 26 - 1, "Begin with 1, the pixel", "count the strides"),
    (checks.check_receptive_field, 26 - 2 * 6, "before the last", "Begin"),
    (checks.check_receptive_field, 1 + 2 + 2 + 1 + 4 + 4 + 2 * (2 + 3), "2·3 = 6", "by k"),
    (checks.check_receptive_field, 1 + 2 + 2 + 1 + 4 + 4 + 2 * 3, "2·3 = 6", "own stride"),
    (checks.check_receptive_field, 1 + 2 + 2 + 4 + 2 * 6, "pools see more", "2·3"),
    (checks.check_receptive_field, 1 + 2 + 2 + 2 + 4 + 2 * 6 + 2 * 6, "own stride", "pools see"),
    (checks.check_receptive_field, 3 + 3 + 2 + 3 * 2 + 3 * 2 + 3 * 6, "not by k", "wide"),
    (checks.check_receptive_field, 5, "times all strides", "not by k"),
    (checks.check_conv2d, with_slip(number=lambda w, win, b: (w * win).sum((1, 2, 3))),
     "bias is missing", "inside"),
    (checks.check_conv2d, with_slip(number=lambda w, win, b: (w * win + b[:, None, None, None])
                                    .sum((1, 2, 3))), "inside the sum", "missing"),
    (checks.check_conv2d, with_slip(number=lambda w, win, b: (w * win).sum() + b),
     "added up into each map", "inside"),
    (checks.check_conv2d, with_slip(number=lambda w, win, b: (w * win).mean((1, 2, 3)) + b),
     "the mean", "times"),
    (checks.check_conv2d, with_slip(number=lambda w, win, b: (w * win).sum((1, 2, 3)) + b[0]),
     "first bias", "missing"),
    (checks.check_conv2d, with_slip(number=lambda w, win, b: (w[-1] * win).sum() + b),
     "from one kernel", "added up"),
    (checks.check_conv2d, with_slip(number=lambda w, win, b: (w[:, 0] * win[0]).sum((1, 2)) + b),
     "first channel", "mean"),
    (checks.check_conv2d, with_slip(number=lambda w, win, b: (w[:, -1] * win[-1]).sum((1, 2)) + b),
     "Only the last channel", "first channel"),
    (checks.check_conv2d, with_slip(
        number=lambda w, win, b: (w * win).sum((1, 2, 3)) + len(win) * b), "for each channel",
     "inside"),
    (checks.check_conv2d, with_slip(step=lambda place, s: place), "does not move by the stride",
     "leave out"),
    (checks.check_conv2d, with_slip(pad=lambda x, p: x), "leave out the padding", "stride?"),
    (checks.check_conv2d, with_slip(pad=lambda x, p: F.pad(x, 2 * [p])), "left and right only",
     "leave out"),
    (checks.check_conv2d, with_slip(count=lambda n, k, s: n - k + 1), "ran over the edge",
     "number of kernels"),
    (checks.check_conv2d, with_slip(count=lambda n, k, s: (n - k) // s), "ends with + 1",
     "in place of"),
    (checks.check_conv2d, with_slip(side=len), "len(weight) is the number of kernels", "edge"),
    (checks.check_conv2d, len_of_a_kernel, "its number of channels", "number of kernels"),
    (checks.check_conv2d, one_side_for_both(1), "a height and a width", "ran over"),
    (checks.check_conv2d, one_side_for_both(2), "ran over the edge|height and in width",
     "number of kernels"),
    (checks.check_conv2d, one_map, "One map came out", "each map."),
    (checks.check_conv2d, then(lambda maps: maps.transpose(1, 2)), "of the maps are swapped",
     "kernel are"),
    (checks.check_conv2d, then(lambda maps: maps[None]), "Leave the axis of one out", "missing"),
    (checks.check_conv2d, then(torch.relu), "at [|is right", "times what"),
    (checks.check_conv2d, then(lambda maps: 2 * maps), "2 times what they should be", "at ["),
    (checks.check_conv2d, then(torch.Tensor.int), "whole numbers", "times"),
    (checks.check_conv2d, lambda x, w, b, s, p: convolution(x, w.flip(2, 3), b, s, p),
     "180 degrees", "swapped"),
    (checks.check_conv2d, lambda x, w, b, s, p: convolution(x, w.transpose(2, 3), b, s, p),
     "of the kernel are swapped", "180"),
    (checks.check_conv2d, lambda x, w, b, s, p: convolution(x, w, b, 1, p), "leave out the stride",
     "padding?"),
    (checks.check_conv2d, lambda x, w, b, s, p: F.conv2d(x[None], w, b, s, p)[0],
     "torch's own|without", "Seen"),
    (checks.check_conv2d, lambda x, w, b, s, p: nn.Conv2d(len(x), len(w), 3)(x), "torch's own",
     "Seen"),
    (checks.check_conv2d, in_its_input, "changes what it is given|clone", "times"),
    (checks.check_conv2d, only_for_stride_1, "returns nothing for|stride 2", "attempted"),
    (checks.check_conv2d, lambda x, w, b, s, p: print("maps"), "prints|return", "attempted"),
    (checks.check_conv2d, lambda x, w, b, s, p: x[99], "IndexError|at `", "number of kernels"),
    (checks.check_conv2d, lambda x: x, "TypeError", "Seen"),
    (checks.check_conv2d, torch.zeros(1, 3, 3), "without brackets", "failed"),
    (check_separator, Parts(FOR_BLUE, 2), "middle scores are 0.784, 0.000|threshold between",
     "Swap"),
    (check_separator, Parts(-FOR_BLUE, 0.4), "50.0% are right|Swap the sign", "No threshold"),
    (check_separator, Parts(FOR_GREEN, 0.4), "0.0% are right|No threshold", "Swap"),
    (check_separator, Parts(torch.ones(3, 1, 1), 0.4), "No threshold", "between them"),
    (check_separator, Parts(FOR_BLUE, "half"), "one number", "right"),
    (check_separator, Parts(FOR_BLUE, None), "threshold is still empty", "right"),
    (check_separator, Parts(torch.zeros(3, 5, 5), 1), "larger than the picture, 4×4", "right"),
    (check_separator, Parts(torch.zeros(1, 3, 3), 1), "[3, k, k]", "larger"),
]  # fmt: skip


NOT_YET = [
    (checks.check_sizes, None, "five numbers"),
    (checks.check_sizes, [None] * 5, "five numbers"),
    (checks.check_pooling, Parts(None, None), "2 rows of 2"),
    (checks.check_horizontal_edges, None, "3×3"),
    (checks.check_cost, Parts(None, None), "parameters and macs"),
    (checks.check_receptive_field, None, "sees"),
    (STEP, None, "kernel_step"),
    (STEP, lambda layer, picture, wanted, rate: None, "does nothing yet"),
    (checks.check_conv2d, None, "my_conv2d"),
    (checks.check_conv2d, lambda *anything: None, "returns nothing yet"),
    (check_separator, Parts(None, None), "threshold"),
]


class TestTheChecks(ChecksOfALesson):
    lesson, right, wrong, not_yet = start, RIGHT, WRONG, NOT_YET


def test_the_exercise_shows_the_map_that_is_checked():
    assert start.TO_POOL.tolist() == [[3, 1, 0, 2], [5, 7, 4, 2], [0, 8, 6, 6], [4, 0, 1, 3]]


def test_the_swapped_sign_is_only_proposed_where_it_helps():
    """Behind a ReLU a kernel and its opposite do not score the opposite."""
    for kernel, threshold in ((FOR_GREEN, 0.4), (-FOR_BLUE, 0.4)):
        text = checks.check_separator(kernel, threshold, BLUE, GREEN).text
        swapped = [start.separator_scores(-kernel, images).mean() for images in (BLUE, GREEN)]
        assert ("Swap the sign" in text) == bool(swapped[0] > swapped[1])
