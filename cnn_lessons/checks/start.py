"""The checks of lesson 00."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.checks.functions import STEP_FAILURES, stepped, tensor_of, tried
from cnn_lessons.checks.numbers import number, numbers, output_sizes, value_of
from cnn_lessons.checks.verdict import Wrong, check, first_hint
from cnn_lessons.training import kernel_step

# Input size, kernel, stride, padding of exercise 1.
SIZES = ((32, 5, 1, 0), (32, 3, 1, 1), (28, 2, 2, 0), (224, 11, 4, 2), (224, 7, 2, 3))


@check("Put five numbers into sizes.")
def check_sizes(answers: object) -> str:
    """Lesson 00: five output sizes, in the order of SIZES."""
    names = ("(a)", "(b)", "(c)", "(d)", "(e)")
    output_sizes(numbers(answers, names), SIZES, names)
    return "All five: 28, 32, 14, 55, 112."


def _matrix(value: object) -> Tensor | None:
    """The answer as a matrix of floats, without axes of one around it, or None if it is not one."""
    try:
        matrix = tensor_of(value).float()
    except Wrong:
        return None
    while matrix.dim() > 2 and len(matrix) == 1:
        matrix = matrix[0]
    return matrix if matrix.dim() == 2 else None


@check("Put a 3×3 tensor into my_kernel.")
def check_horizontal_edges(kernel: object) -> str:
    """Lesson 00: a 3x3 kernel that answers to horizontal edges and not to vertical ones."""
    weights = _matrix(kernel)
    if weights is None or weights.shape != (3, 3):
        raise Wrong("The kernel is 3 rows of 3 numbers: torch.tensor([[...], ...]).")
    if not weights.isfinite().all():
        raise Wrong("All nine weights must be finite numbers.")
    scale = weights.abs().max().item()
    if scale == 0:
        raise Wrong("All weights are 0, so it answers to nothing.")
    down = torch.tensor([0.0, 0, 0, 1, 1, 1])
    pictures = torch.stack([torch.ones(6, 6), down[:, None].expand(6, 6), down.expand(6, 6)])
    answers = F.conv2d(pictures[:, None], weights[None, None]).abs().amax(dim=(1, 2, 3)) / scale
    flat, horizontal, vertical = (answers > 1e-4).tolist()
    if flat:
        raise Wrong("It answers to a flat picture too. Its nine weights must add up to 0.")
    if vertical and not horizontal:
        raise Wrong("It answers to vertical edges and not to horizontal ones. Turn it by 90°.")
    if not horizontal:
        raise Wrong("It answers to neither kind of edge.")
    if vertical:
        raise Wrong("It answers to vertical edges too: each of its three columns must add up to 0.")
    return "It answers to horizontal edges, and to nothing else of the three."


TO_POOL = torch.tensor([[3.0, 1, 0, 2], [5, 7, 4, 2], [0, 8, 6, 6], [4, 0, 1, 3]])


@check("Put 2 rows of 2 numbers into largest and into average.", answers=2)
def check_pooling(largest: object, average: object) -> str:
    """Lesson 00: TO_POOL after max and after average pooling, 2x2 with stride 2."""
    most, mean = F.max_pool2d(TO_POOL[None], 2)[0], F.avg_pool2d(TO_POOL[None], 2)[0]
    for name, answer, truth in (("largest", largest, most), ("average", average, mean)):
        matrix = _matrix(answer)
        if matrix is not None and matrix.shape == (3, 3):
            raise Wrong(f"{name}: 3×3 is stride 1. With stride 2 no windows overlap.")
        if matrix is None or matrix.shape != (2, 2):
            raise Wrong(f"{name} is 2 rows of 2 numbers: [[a, b], [c, d]].")
        if torch.allclose(matrix, truth):
            continue
        row, column = (~matrix.isclose(truth)).nonzero()[0].tolist()
        place = f"look again at the window of row {row}, column {column}."
        slips = {
            "That is the other kind of pooling.": mean if name == "largest" else most,
            "That is the smallest of each window.": -F.max_pool2d(-TO_POOL[None], 2)[0],
            "That is the sum of each window. Divide by 4.": 4 * mean,
            "The columns are in place of the rows.": truth.T,
            "That is the first number of each window.": TO_POOL[::2, ::2],
        }
        hint = first_hint(slips, partial(torch.allclose, matrix), place)
        raise Wrong(f"{name}: {hint}")
    return "Both kinds, four windows each, and nothing to learn in them."


@check("Set parameters and macs to numbers.", answers=2)
def check_cost(parameters: object, macs: object) -> str:
    """Lesson 00: what nn.Conv2d(16, 32, kernel_size=3, padding=1) costs on maps of 16x16."""
    outcomes = {
        4640: "",
        4608: "You counted the weights. Each of the 32 kernels also has one bias.",
        4624: "There is one bias per kernel, so 32, not 16.",
        320: "Each kernel also reaches through all 16 input channels.",
        288: "Each kernel also reaches through all 16 input channels, and has a bias.",
        145: "That is one kernel with its bias. There are 32.",
        144 + 32: "That is one kernel with 32 biases. There are 32 kernels of 16·3·3 weights.",
        5120: "You counted a bias for each pair of channels. There is one per kernel.",
        4640 * 256: "Those are more like the MACs. Each weight is counted once.",
        4608 * 256: "Those are the MACs.",
    }
    number(parameters, outcomes, name="parameters")
    outcomes = {
        4608 * 256: "32·(16·3·3 + 1) = 4,640 parameters; 32·16·3·3 weights at 16·16 places = "
        "1,179,648 MACs.",
        2 * 4608 * 256: "Those are FLOPs. One MAC is a multiplication with its addition.",
        4640 * 256: "The biases are added, not multiplied: leave them out.",
        144 * 256: "That is one of the 32 kernels.",
        4608 * 14 * 14: "With padding 1 the map stays 16×16, so there are 256 places.",
        4608 * 18 * 18: "The window stands at 16·16 places, also on the picture with its padding.",
        4608 * 32 * 32: "The maps are 16×16 here, not 32×32.",
        9 * 32 * 256: "Each kernel also reaches through all 16 input channels.",
        4608: "Each weight is used at every place of the map.",
        4640: "Each weight is used at every place of the map, and the biases do not count.",
    }
    return number(macs, outcomes, name="macs")


@check("Set sees to a number.")
def check_receptive_field(answer: object) -> str:
    """Lesson 00: how many pixels a side one number sees, at the end of the stack of exercise 5.

    Its layers are 3x3, 3x3, a pool 2x2 of stride 2, 3x3, a pool 3x3 of stride 3, 3x3.
    """
    multiply = "Multiply all strides before a layer: after both pools a step is 2·3 = 6 pixels."
    outcomes = {
        26: "26: it grows 1, 3, 5, 6, 10, 14, 26.",
        12: "You added k − 1 for each layer. After a stride of 2, each step is 2 pixels wide.",
        11: "Begin with 1, the pixel itself, and count the strides.",
        25: "Begin with 1, the pixel itself.",
        14: "That is the field before the last layer.",
        20: multiply,
        24: multiply,
        21: "The pools see more as well: each adds (k − 1) times the strides before it.",
        35: "A pool's own stride counts only for the layers after it.",
        38: "The field grows by (k − 1) times the strides before, not by k.",
        39: "The field grows by (k − 1) times the strides before, not by k.",
    }
    wrong = "Begin with 1, and add (k − 1) times all strides before it for each layer."
    return number(answer, outcomes, wrong)


CASES = (  # channels, height, width, kernels, kernel, stride, padding; each shows one slip more
    (1, 5, 6, 4, 3, 1, 0),
    (2, 6, 8, 4, 3, 1, 0),
    (2, 9, 8, 4, 3, 2, 0),
    (2, 6, 5, 1, 3, 1, 1),
    (3, 9, 12, 4, 5, 2, 2),
)


def _conv(picture, weight, bias, stride, padding) -> Tensor:
    return F.conv2d(picture[None], weight, bias, stride, padding)[0]


def _cut(maps: Tensor, height: int, width: int) -> Tensor:
    return maps[:, :height, :width]


BOTH_SIDES = "A picture has a height and a width of its own: count the places of both."
EDGE = "The window ran over the edge: in height and in width there are (n − k) // stride + 1 "
EDGE += "places."
ITSELF = "That is torch's own convolution. Write it without: a window, products, their sum."
CONV_FAILURES = {
    "(4)": "len(weight) is the number of kernels; the side of one is weight.shape[-1].",
    "must match": EDGE,
    "out of bounds": BOTH_SIDES,
}
CONV_SLIPS = {
    "The bias is missing.": lambda x, w, b, s, p: _conv(x, w, 0 * b, s, p),
    "Did you leave out the padding?": lambda x, w, b, s, p: _conv(x, w, b, s, 0),
    "Did you leave out the stride?": lambda x, w, b, s, p: _conv(x, w, b, 1, p),
    "The window does not move by the stride: it begins at row * stride and column * stride.":
        lambda x, w, b, s, p: _cut(_conv(x, w, b, 1, p), *_conv(x, w, b, s, p).shape[1:]),
    "The bias is inside the sum, so each product adds it again. Add it once, after the sum.":
        lambda x, w, b, s, p: _conv(x, w, b * w[0].numel(), s, p),
    "All kernels are added up into each map. Each makes its own: sum over the other three axes.":
        lambda x, w, b, s, p: _conv(x, w.sum(0, keepdim=True).expand_as(w), b, s, p),
    "One map came out of all kernels. Each makes a map of its own.":
        lambda x, w, b, s, p: _conv(x, w, b, s, p).sum(dim=0),
    "The number of places ends with + 1: count the first one too.":
        lambda *case: _cut(_conv(*case), -1, -1),
    "The kernel is turned by 180 degrees. Networks do not turn it: lay it on as it is.":
        lambda x, w, b, s, p: _conv(x, w.flip(2, 3), b, s, p),
    "Rows and columns of the kernel are swapped.":
        lambda x, w, b, s, p: _conv(x, w.transpose(2, 3), b, s, p),
    "Only the first channel is read. Add up the products of all channels.":
        lambda x, w, b, s, p: _conv(x[:1], w[:, :1], b, s, p),
    "The bias is added for each channel. Add it once.":
        lambda x, w, b, s, p: _conv(x, w, b * len(x), s, p),
    "Only the last channel is left: add up the channels, do not overwrite them.":
        lambda x, w, b, s, p: _conv(x[-1:], w[:, -1:], b, s, p),
    "All maps come from one kernel. Each kernel makes a map of its own.":
        lambda x, w, b, s, p: _conv(x, w[-1:].expand_as(w), b, s, p),
    "All maps get the first bias. Each kernel has its own.":
        lambda x, w, b, s, p: _conv(x, w, b[:1].expand_as(b), s, p),
    "That is the mean of the products. Add them up.":
        lambda x, w, b, s, p: _conv(x, w / w[0].numel(), b, s, p),
    "Two numbers for F.pad put zeros left and right only. Four put them on all sides.":
        lambda x, w, b, s, p: _conv(F.pad(x, 2 * [p]), w, b, s, 0),
    "Rows and columns of the maps are swapped.":
        lambda x, w, b, s, p: _conv(x, w, b, s, p).transpose(1, 2),
    "The side of a kernel is weight.shape[-1]; the len of one kernel is its number of channels.":
        lambda x, w, b, s, p: _conv(x, w.sum((2, 3), keepdim=True), b, s, p),
    BOTH_SIDES: lambda *case: _cut(_conv(*case), *2 * [_conv(*case).shape[1]]),
}  # fmt: skip


@check("Write my_conv2d and pass it to the check.")
def check_conv2d(function: Callable) -> str:
    """Lesson 00: a convolution with loops, compared with F.conv2d.

    `function` takes a picture (C, H, W), weight (K, C, k, k), bias (K,), stride and padding, and
    returns the maps (K, height, width).
    """
    cases = [
        (torch.randn(c, h, w), torch.randn(n, c, k, k), torch.randn(n), stride, padding)
        for c, h, w, n, k, stride, padding in CASES
    ]
    itself = dict.fromkeys(("conv1d", "conv2d", "conv3d"), ITSELF)
    note = tried(function, cases, _conv, CONV_SLIPS, without=itself, failures=CONV_FAILURES)
    return f"The same numbers as F.conv2d in {len(CASES)} cases.{note}"


def _first_steps() -> tuple:
    """A layer, what it reads, what it should give, and a rate."""
    layer, picture = nn.Conv2d(1, 1, 3, bias=False), torch.randn(1, 1, 7, 8)
    return layer, picture, F.conv2d(picture, torch.ones(1, 1, 3, 3)), 0.1


def _square(gap: Tensor) -> Tensor:
    return gap.square().mean()


def _slip(loss: Callable = _square, times: float | None = None, keep: bool = False) -> Callable:
    """`training.kernel_step` with another loss, rate (negative: upwards), or old gradients kept."""

    def step(layer: nn.Module, picture: Tensor, wanted: Tensor, rate: float) -> None:
        loss(layer(picture) - wanted).backward()
        with torch.no_grad():
            layer.weight -= (rate if times is None else times) * layer.weight.grad
        if not keep:
            layer.zero_grad()

    return step


KERNEL_SLIPS = {
    "The weight climbs: go against the gradient, with a minus.": _slip(times=-0.1),
    "Set the gradient to 0 after the step: backward() adds to the old one.": _slip(keep=True),
    "The rate is missing: the step is rate times the gradient.": _slip(times=1.0),
    "That is the sum of the squares. The loss is their mean.":
        _slip(lambda gap: gap.square().sum()),
    "Square the differences, do not take their size.": _slip(lambda gap: gap.abs().mean()),
    "Square each difference: as they are, those above and below 0 cancel.": _slip(torch.mean),
    "The loss comes back, but the weight stays where it is.": _slip(times=0.0),
}  # fmt: skip


@check("Write kernel_step and pass it to the check.")
def check_kernel_step(function: Callable) -> str:
    """Lesson 00: one step of learning a kernel, compared with `training.kernel_step`."""
    stepped(function, _first_steps, kernel_step, KERNEL_SLIPS, STEP_FAILURES)
    return "Two steps of yours move the kernel as they should."


@check("Set kernel, a tensor [3, k, k], and threshold, a number.", answers=2)
def check_separator(
    kernel: object, threshold: object, first: Tensor, second: Tensor, target: float = 0.8
) -> str:
    """Lesson 00: the smallest network there is, made by hand: kernel, ReLU, mean, threshold.

    `kernel` is (3, k, k). A picture, uint8 (3, H, W), is called one of the `first` if the mean of
    its map, in units of 0 to 1, is above the threshold. `target` is the share that must be right,
    the mean of both classes.
    """
    weights, limit, sides = tensor_of(kernel).float(), value_of(threshold), first.shape[2:]
    if weights.dim() != 3 or len(weights) != 3 or not weights.numel():
        raise Wrong("The kernel must be [3, k, k]: a red, a green and a blue part.")
    if any(k > n for k, n in zip(weights.shape[1:], sides)):
        raise Wrong(f"The kernel is larger than the picture, {sides[0]}×{sides[1]}.")
    if limit is None or not weights.isfinite().all():
        raise Wrong("The threshold is one number, and all weights are finite.")
    scores = [separator_scores(weights, images) for images in (first, second)]
    rates = (scores[0] > limit).float().mean().item(), (scores[1] <= limit).float().mean().item()
    share, of_both = sum(rates) / 2, "{:.1%} of the first class, {:.1%} of the second"
    found = f"{share:.1%} are right: {of_both.format(*rates)}"
    if share > target:
        return f"{found}. You needed more than {target:.0%}."
    middle = ", ".join(f"{each.median().item():.3f}" for each in scores)
    found += f"; you need more than {target:.0%}. The middle scores are {middle}."
    if _best_share(scores) > target:
        raise Wrong(f"{found} This kernel can do it, with a threshold between them.")
    swapped = [separator_scores(-weights, images) for images in (first, second)]
    if _best_share(swapped) > target:
        raise Wrong(f"{found} Swap the sign of the kernel, and look for the threshold again.")
    raise Wrong(f"{found} No threshold makes this kernel do it: think of the colours again.")


def _best_share(scores: list[Tensor]) -> float:
    """The share that the best threshold would get right."""
    limits = torch.cat(scores).unique()[:, None]
    rates = (scores[0] > limits).float().mean(dim=1) + (scores[1] <= limits).float().mean(dim=1)
    return rates.max().item() / 2


def separator_scores(kernel: Tensor, images: Tensor) -> Tensor:
    """The mean (N,) of each picture's map after the kernel (3, k, k) and a ReLU."""
    return F.conv2d(images.float() / 255, kernel[None]).relu().mean(dim=(1, 2, 3))
