"""The checks of lesson 00."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cnn_lessons.checks.common import Verdict, number, value_of
from cnn_lessons.shapes import Field

# Input size, kernel, stride, padding of exercise 1.
SIZES = ((32, 5, 1, 0), (32, 3, 1, 1), (28, 2, 2, 0), (224, 11, 4, 2), (224, 7, 2, 3))

# The slips that are often made with the formula, each as the size that comes out of it.
_SLIPS = {
    "The formula ends with + 1: count the first place of the window too.": lambda n, k, s, p: (
        (n + 2 * p - k) // s
    ),
    "The padding is on both sides of the picture: add it twice.": lambda n, k, s, p: (
        (n + p - k) // s + 1
    ),
    "You left out the padding.": lambda n, k, s, p: (n - k) // s + 1,
    "You left out the stride: divide by it.": lambda n, k, s, p: n + 2 * p - k + 1,
    "Round down: a window that does not fit whole is not taken.": lambda n, k, s, p: (
        -((k - n - 2 * p) // s) + 1
    ),
    "You left out the kernel.": lambda n, k, s, p: (n + 2 * p) // s + 1,
}


def check_sizes(answers: object) -> Verdict:
    """Lesson 00: five output sizes, in the order of SIZES."""
    if answers is None or (_is_list(answers) and {*map(type, answers)} == {type(None)}):
        return Verdict(None, "Put five numbers into sizes.")
    if not _is_list(answers) or len(answers) != len(SIZES):
        return Verdict(False, f"The answer is a list of five numbers; got {answers!r}.")
    for row, (answer, setting) in enumerate(zip(answers, SIZES), 1):
        n, k, s, p = setting
        truth = (n + 2 * p - k) // s + 1
        if value_of(answer) == truth:
            continue
        line = f"Line {row} (n={n}, k={k}, s={s}, p={p})"
        if answer is None:
            return Verdict(False, f"{line} is still empty.")
        value = value_of(answer)
        if value is None:
            return Verdict(False, f"{line} is one number; got {answer!r}.")
        if value % 1:  # also where it is infinite or not a number
            return Verdict(False, f"{line}: a number of pixels is whole. Round down.")
        hints = [hint for hint, slip in _SLIPS.items() if slip(*setting) == value]
        hint = " Or: ".join(hints) or f"{value:,g} is not it."
        return Verdict(False, f"{line}: {hint}")
    return Verdict(True, "All five: 28, 32, 14, 55, 112.")


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, Tensor) and value.dim() > 0)


def _matrix(value: object) -> Tensor | None:
    """The answer as a matrix of floats, or None if it is not one."""
    try:
        matrix = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        return None
    return matrix if matrix.dim() == 2 else None


def check_horizontal_edges(kernel: object) -> Verdict:
    """Lesson 00: a 3x3 kernel that answers to horizontal edges and not to vertical ones."""
    if kernel is None:
        return Verdict(None, "Put a 3×3 tensor into my_kernel.")
    weights = _matrix(kernel)
    if weights is None or weights.shape != (3, 3):
        return Verdict(False, "The kernel is 3 rows of 3 numbers: torch.tensor([[...], ...]).")
    if not weights.isfinite().all():
        return Verdict(False, "All nine weights must be finite numbers.")
    scale = weights.abs().max().item()
    if scale == 0:
        return Verdict(False, "All weights are 0, so it answers to nothing.")
    down = torch.tensor([0.0, 0, 0, 1, 1, 1])
    answers = {
        name: F.conv2d(picture[None, None], weights[None, None]).abs().max().item() / scale
        for name, picture in {
            "flat": torch.ones(6, 6),
            "horizontal": down[:, None].expand(6, 6),
            "vertical": down.expand(6, 6),
        }.items()
    }
    if answers["flat"] > 1e-4:
        return Verdict(
            False, "It answers to a flat picture too. Its nine weights must add up to 0."
        )
    if answers["horizontal"] < 1e-4:
        hint = "It answers to upright edges and not to level ones. Turn it by 90 degrees."
        nothing = "It answers to neither kind of edge."
        return Verdict(False, hint if answers["vertical"] > 1e-4 else nothing)
    if answers["vertical"] > 1e-4:
        return Verdict(
            False, "It answers to upright edges too: each of its three columns must add up to 0."
        )
    return Verdict(True, "It answers to level edges, and to nothing else of the three.")


TO_POOL = torch.tensor([[3.0, 1, 0, 2], [5, 7, 4, 2], [0, 8, 6, 6], [4, 0, 1, 3]])


def check_pooling(largest: object, average: object) -> Verdict:
    """Lesson 00: TO_POOL after max and after average pooling, 2x2 with stride 2."""
    if largest is None and average is None:
        return Verdict(None, "Put 2 rows of 2 numbers into largest and into average.")
    truths = {
        "largest": F.max_pool2d(TO_POOL[None], 2)[0],
        "average": F.avg_pool2d(TO_POOL[None], 2)[0],
    }
    for name, answer in (("largest", largest), ("average", average)):
        if answer is None:
            return Verdict(False, f"{name} is still empty.")
        matrix, truth = _matrix(answer), truths[name]
        if matrix is not None and matrix.shape == (3, 3):
            return Verdict(False, f"{name}: 3×3 is stride 1. With stride 2 no windows overlap.")
        if matrix is None or matrix.shape != (2, 2):
            return Verdict(False, f"{name} is 2 rows of 2 numbers: [[a, b], [c, d]].")
        if torch.allclose(matrix, truth):
            continue
        slips = {
            "That is the other kind of pooling.": truths[
                "average" if name == "largest" else "largest"
            ],
            "That is the smallest of each window.": -F.max_pool2d(-TO_POOL[None], 2)[0],
            "That is the sum of each window. Divide by 4.": 4 * truths["average"],
            "The columns are in place of the rows.": truth.T,
        }
        hints = [hint for hint, slip in slips.items() if torch.allclose(matrix, slip)]
        row, column = ((matrix - truth).abs() > 1e-5).nonzero()[0].tolist()
        place = f"look again at the window of row {row}, column {column}."
        return Verdict(False, f"{name}: {(hints or [place])[0]}")
    return Verdict(True, "Both kinds, four windows each, and nothing to learn in them.")


def check_cost(parameters: object, macs: object) -> Verdict:
    """Lesson 00: what nn.Conv2d(16, 32, kernel_size=3, padding=1) costs on maps of 16x16."""
    if parameters is None and macs is None:
        return Verdict(None, "Set parameters and macs to numbers.")
    slips = {
        4608: "You counted the weights. Each of the 32 kernels also has one bias.",
        4624: "There is one bias per kernel, so 32, not 16.",
        320: "Each kernel also reaches through all 16 input channels.",
        288: "Each kernel also reaches through all 16 input channels, and has a bias.",
        145: "That is one kernel with its bias. There are 32.",
        5120: "You counted a bias for each pair of channels. There is one per kernel.",
        4640 * 256: "Those are more like the MACs. Each weight is counted once.",
        1_179_648: "Those are the MACs.",
    }
    todo = "parameters is still empty."
    first = number(parameters, 4640, slips, "", todo)
    if not first.passed:
        return Verdict(False, f"parameters: {first.text}" if parameters is not None else first.text)
    slips = {
        2 * 1_179_648: "Those are FLOPs. One MAC is a multiplication with its addition.",
        4640 * 256: "The biases are added, not multiplied: leave them out.",
        144 * 256: "That is one of the 32 kernels.",
        4608 * 14 * 14: "With padding 1 the map stays 16×16, so there are 256 places.",
        4608 * 32 * 32: "The maps are 16×16 here, not 32×32.",
        9 * 32 * 256: "Each kernel also reaches through all 16 input channels.",
        4608: "Each weight is used at every place of the map.",
        4640: "Each weight is used at every place of the map, and the biases do not count.",
    }
    right = (
        "32·(16·3·3 + 1) = 4,640 parameters; 32·16·3·3 weights at 16·16 places = 1,179,648 MACs."
    )
    second = number(macs, 1_179_648, slips, right, "macs is still empty.")
    if second.passed:
        return second
    return Verdict(False, second.text if macs is None else f"macs: {second.text}")


# Kernel, stride and padding of the stack of exercise 5.
STACK = ((3, 1, 1), (3, 1, 1), (2, 2, 0), (3, 1, 1), (2, 2, 0), (3, 1, 1))


def check_receptive_field(answer: object) -> Verdict:
    """Lesson 00: how many pixels a side one unit at the end of STACK sees."""
    field = Field(0, 0, 1)
    for kernel, stride, padding in STACK:
        field = field.through(kernel, stride, padding, 1)
    slips = {
        11: "You added k − 1 for each layer. After a stride of 2, each step is 2 pixels wide.",
        10: "Begin with 1, the pixel itself, and count the strides.",
        19: "Begin with 1, the pixel itself.",
        12: "That is the field before the last layer.",
        13: "A layer's own stride counts only for the layers after it, and strides multiply.",
        15: "Multiply all strides before a layer: after two poolings a step is 2·2 = 4 pixels.",
        16: "Multiply all strides before a layer: after two poolings a step is 2·2 = 4 pixels.",
        17: "The poolings see more as well: each adds (2 − 1) times the strides before it.",
        23: "A pooling's own stride counts only for the layers after it.",
        30: "The field grows by (k − 1) times the strides before, not by k.",
        31: "The field grows by (k − 1) times the strides before, not by k.",
        8: "That is the size of the last map for a picture of 32.",
    }
    right = f"{field.size}: it grows 1, 3, 5, 6, 10, 12, {field.size}."
    return number(answer, field.size, slips, right, "Set sees to a number.")


CASES = (  # channels, size, kernels, kernel, stride, padding; each shows one slip more
    (1, 5, 1, 3, 1, 0),
    (3, 6, 2, 3, 1, 0),
    (2, 7, 3, 3, 2, 0),
    (2, 6, 3, 3, 1, 1),
    (3, 9, 4, 5, 2, 2),
)


def check_conv2d(function: Callable | None) -> Verdict:
    """Lesson 00: a convolution with loops, compared with F.conv2d.

    `function` takes a picture (C, H, W), weight (K, C, k, k), bias (K,), stride and padding, and
    returns the maps (K, height, width).
    """
    if function is None:
        return Verdict(None, "Write my_conv2d and pass it to the check.")
    draw = torch.Generator().manual_seed(0)
    for channels, size, kernels, kernel, stride, padding in CASES:
        picture = torch.randn(channels, size, size, generator=draw)
        weight = torch.randn(kernels, channels, kernel, kernel, generator=draw)
        bias = torch.randn(kernels, generator=draw)
        truth = F.conv2d(picture[None], weight, bias, stride, padding)[0]
        try:
            mine = function(picture.clone(), weight.clone(), bias.clone(), stride, padding)
        except Exception as error:
            mine = error
        if mine is None:
            return Verdict(None, "Your function returns nothing yet.")
        case = f"{channels} channel(s) of {size}×{size}, {kernels} kernel(s) of {kernel}×{kernel}"
        case += f", stride {stride}, padding {padding}"
        if isinstance(mine, Exception):
            return Verdict(False, f"It failed for {case}: {type(mine).__name__}: {mine}")
        hint = _conv2d_hint(mine, truth, picture, weight, bias, stride, padding)
        if hint:
            return Verdict(False, f"{hint} ({case})")
    return Verdict(True, f"The same numbers as F.conv2d in {len(CASES)} cases.")


def _conv2d_hint(mine, truth, picture, weight, bias, stride, padding) -> str:
    """What is wrong with these maps, in a sentence, or nothing."""
    if not isinstance(mine, Tensor):
        return f"It must return a tensor; got {type(mine).__name__}."
    if mine.shape != truth.shape:
        shapes = f"It gives {list(mine.shape)} and F.conv2d {list(truth.shape)}."
        if tuple(mine.shape) == (1, *truth.shape):
            return f"{shapes} It is one picture: leave the batch axis out."
        for words, s, p in (("padding", stride, 0), ("stride", 1, padding)):
            if mine.shape == F.conv2d(picture[None], weight, bias, s, p)[0].shape:
                return f"{shapes} Did you leave out the {words}?"
        return shapes
    mine = mine.detach().float()
    if torch.allclose(mine, truth, atol=1e-4):
        return ""
    slips = {
        "The bias is missing.": (picture, weight, 0 * bias),
        "The kernel is turned by 180 degrees. Networks do not turn it: lay it on as it is.": (
            picture, weight.flip(2, 3), bias),
        "Rows and columns of the kernel are swapped.": (picture, weight.transpose(2, 3), bias),
        "Only the first channel is read. Add up the products of all channels.": (
            picture[:1], weight[:, :1], bias),
    }  # fmt: skip
    for hint, (image, kernels, added) in slips.items():
        if torch.allclose(
            mine, F.conv2d(image[None], kernels, added, stride, padding)[0], atol=1e-4
        ):
            return hint
    where = ((mine - truth).abs() > 1e-4).nonzero()[0].tolist()
    got, wanted = (float(maps[tuple(where)]) for maps in (mine, truth))
    return f"The shape is right, but at {where} it has {got:.3f} in place of {wanted:.3f}."


def check_separator(
    kernel: object, threshold: object, first: Tensor, second: Tensor, target: float = 0.8
) -> Verdict:
    """Lesson 00: the smallest network there is, made by hand: kernel, ReLU, mean, threshold.

    `kernel` is (3, k, k). A picture, uint8 (3, H, W), is called one of the `first` if the mean of
    its map, in units of 0 to 1, is above the threshold. `target` is the share that must be right,
    the mean of both classes.
    """
    if kernel is None or threshold is None:
        return Verdict(None, "Set kernel, a tensor [3, k, k], and threshold, a number.")
    try:
        weights = torch.as_tensor(kernel, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        weights = torch.empty(0)
    limit, sides = value_of(threshold), first.shape[2:]
    if weights.dim() != 3 or len(weights) != 3 or not weights.numel():
        return Verdict(False, "The kernel must be [3, k, k]: a red, a green and a blue part.")
    if any(k > n for k, n in zip(weights.shape[1:], sides)):
        return Verdict(False, f"The kernel is larger than the picture, {sides[0]}×{sides[1]}.")
    if limit is None or not weights.isfinite().all():
        return Verdict(False, "The threshold is one number, and all weights are finite.")
    means = [separator_scores(weights, images) for images in (first, second)]
    rates = (means[0] > limit).float().mean().item(), (means[1] <= limit).float().mean().item()
    share = sum(rates) / 2
    found = (
        f"{share:.1%} are right: {rates[0]:.1%} of the first class, {rates[1]:.1%} of the second"
    )
    if share > target:
        return Verdict(True, f"{found}. You needed more than {target:.0%}.")
    if 1 - share > target:
        return Verdict(False, f"{found}. Turned round it would do: swap the sign of the kernel.")
    typical = ", ".join(f"{each.median().item():.3f}" for each in means)
    return Verdict(
        False, f"{found}; you need more than {target:.0%}. The middle scores are {typical}."
    )


def separator_scores(kernel: Tensor, images: Tensor) -> Tensor:
    """The mean (N,) of each picture's map after the kernel (3, k, k) and a ReLU."""
    return F.conv2d(images.float() / 255, kernel[None]).relu().mean(dim=(1, 2, 3))
