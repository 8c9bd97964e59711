"""The checks of lesson 02."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.checks.common import Verdict, number, value_of
from cnn_lessons.shapes import Record, ShapeError, record


def check_sizes_at_96(answer: tuple[int, int, int] | None) -> Verdict:
    """Lesson 02: the sides of conv1, pool1 and pool2 of AlexNet for pictures of 96x96."""
    truth, names = (23, 11, 5), ("conv1", "pool1", "pool2")
    todo = Verdict(None, "Set sides to three numbers: conv1, pool1, pool2.")
    if answer is None:
        return todo
    given = list(answer) if isinstance(answer, (tuple, list)) else []
    if len(given) != 3:
        return Verdict(False, f"The answer is three numbers, such as (55, 27, 13); got {answer!r}.")
    if all(value is None for value in given):
        return todo
    sides = [value_of(value) for value in given]
    if None in sides:
        return Verdict(False, f"All three are numbers; got {answer!r}.")
    if any(side != int(side) for side in sides if side == side and abs(side) < 1e9):
        return Verdict(False, "A map has whole rows: round down, 22.25 is 22. Then add 1.")
    slips = {
        (55, 27, 13): "Those are the sides for 224 pixels.",
        (22, 10, 4): "The window has one place more than it has steps: add 1 at the end.",
        (22, 10, 5): "conv1: (96 + 2·2 − 11) / 4 = 22.25, rounded down, and then 1 more.",
        (22, 11, 5): "conv1: (96 + 2·2 − 11) / 4 = 22.25, rounded down, and then 1 more.",
        (24, 12, 6): "Rounded up. The last window would lie over the edge: round down.",
        (24, 11, 5): "conv1: 22.25 is rounded down, and then 1 is added.",
        (23, 12, 6): "conv1 is right. The pools round down too: (23 − 3) / 2 + 1 = 11.",
        (23, 11, 11): "conv2 keeps the size, but pool2 does not.",
        (23, 23, 11): "pool1 has stride 2 as well.",
    }
    if tuple(sides) in slips:
        return Verdict(False, slips[tuple(sides)])
    for name, side, right in zip(names, sides, truth):
        if side != right:
            hint = (
                " It pads by 2 on both sides."
                if name == "conv1"
                else " The window is 3, the step 2."
            )
            return Verdict(False, f"{name} is not {side:g}.{hint}")
    return Verdict(True, "22.25 is 22, and 1 more: 23. Then (23 − 3)/2 + 1 = 11, and 5.")


def check_grouped_parameters(answer: int | None) -> Verdict:
    """Lesson 02: the parameters of AlexNet's conv2, 96 to 256 maps, 5x5, in two groups."""
    slips = {
        614_656: "That is one group. With two, each kernel reads 48 of the 96 maps.",
        614_400: "That is one group, without the biases.",
        307_200: "The weights are right. Each of the 256 kernels also has one bias.",
        307_328: "The biases are not halved: each of the 256 kernels has one.",
        307_712: "You counted two biases a kernel. The groups share no kernel: 256 biases in all.",
        153_728: "That is one GPU's half: 128 kernels. There are two halves.",
        153_600: "That is one GPU's half, without biases. There are two halves.",
        110_848: "The kernel of conv2 is 5×5.",
        223_948_800: "Those are the MACs: each weight is used at 27·27 places. Count it once.",
    }
    right = "256 kernels × (5·5·48 weights + 1 bias) = 307,456."
    return number(answer, 307_456, slips, right, "Set conv2_parameters to a number.")


def check_half_width(answer: int | None) -> Verdict:
    """Lesson 02: the parameters of AlexNetCIFAR with 1024 units in fc6 and fc7 for 2048."""
    slips = {
        9_244_970: "That is the network as it is.",
        4_622_485: "Half of all. The convolutions stay, and fc7 shrinks by more than half.",
        2_941_226: "fc6 still reads 128·4·4 = 2048 numbers: only its outputs are halved.",
        4_000_042: "fc8 reads 1024 numbers now: 1024·10 + 10.",
        5_038_378: "fc7 is halved on both sides: 1024 units that read 1024 numbers.",
        5_048_618: "fc7 and fc8 read 1024 numbers now, not 2048.",
        3_987_744: "The biases of fc6, fc7 and fc8 are missing: 1024 + 1024 + 10.",
        3_158_026: "Those are fc6, fc7 and fc8. Add what stands before them.",
        5_255_168: "That is what is saved.",
    }
    right = "2048·1024 + 1024, 1024·1024 + 1024, 1024·10 + 10, and 831,776 as before: 3,989,802."
    todo = "Set parameters to a number."
    return number(answer, 3_989_802, slips, right, todo, "Add up fc6, fc7, fc8 and the rest.")


def check_lrn(function: Callable | None) -> Verdict:
    """Lesson 02: `function(maps)` is the paper's LRN: n = 5, k = 2, alpha = 1e-4, beta = 0.75.

    Maps are (N, C, H, W). The inputs are large, so that the alpha matters.
    """
    if function is None:
        return Verdict(None, "Write my_lrn(maps) and pass it to the check.")
    draw = torch.Generator().manual_seed(0)
    for shape in ((2, 8, 4, 3), (1, 3, 2, 2)):
        maps = 200 * torch.randn(shape, generator=draw)
        truth = _lrn(maps, 1e-4)
        try:
            mine = function(maps.clone())
        except Exception as error:
            hint = ""
            if shape[1] < 5:
                hint = " There are three maps here: a neighbourhood may have fewer than five."
            return Verdict(False, f"It failed: {type(error).__name__}: {error}.{hint}")
        if mine is None:
            return Verdict(None, "Your function returns nothing yet.")
        if not isinstance(mine, Tensor):
            return Verdict(False, f"It must return a tensor; got {type(mine).__name__}.")
        if mine.shape != truth.shape:
            return Verdict(False, f"It gives {list(mine.shape)} for maps of {list(truth.shape)}.")
        hint = _lrn_hint(mine, maps, truth)
        if hint:
            return Verdict(False, hint)
    return Verdict(True, "The same numbers as nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2).")


def _lrn(maps: Tensor, alpha: float, k: float = 2.0, beta: float = 0.75, n: int = 5) -> Tensor:
    """torch divides alpha by n, the paper does not."""
    return F.local_response_norm(maps, n, alpha * n, beta, k)


def _lrn_hint(mine: Tensor, maps: Tensor, truth: Tensor) -> str:
    """What is wrong with the numbers, in a sentence, or nothing."""
    if torch.allclose(mine, truth, rtol=1e-3, atol=1e-4):
        return ""
    plain = F.avg_pool3d(maps[:, None], (5, 1, 1), 1, (2, 0, 0))[:, 0] * 5
    across = F.avg_pool2d(maps.square(), (1, 5), 1, (0, 2)) * 5
    around = F.avg_pool2d(maps.square(), 5, 1, 2) * 25
    slips = {
        "That divides alpha by 5, as torch does. The paper adds up, it takes no mean.": _lrn(
            maps, 1e-4 / 5
        ),
        "That is alpha times 5. In the formula it is 1e-4; only torch wants it larger.": _lrn(
            maps, 5e-4
        ),
        "The k is missing: 2 + alpha · sum.": _lrn(maps, 1e-4, k=0.0),
        "You took 1 for k. The paper has 2.": _lrn(maps, 1e-4, k=1.0),
        "The power is missing: divide by ( ... ) ** 0.75.": _lrn(maps, 1e-4, beta=1.0),
        "The power is 0.75, not 0.5.": _lrn(maps, 1e-4, beta=0.5),
        "You return the divisor. Divide the maps by it.": maps / truth,
        "Multiplied. The maps are divided by the power.": maps * maps / truth,
        "The sum is over three maps. Two on each side make five.": _lrn(maps, 1e-4, n=3),
        "The numbers are not squared before they are added up.": maps
        / (2 + 1e-4 * plain) ** 0.75,
        "The sum runs over the neighbours in a row. It must run over maps, at one place.": maps
        / (2 + 1e-4 * across) ** 0.75,
        "The sum runs over a square of the map. It must run over maps, at one place.": maps
        / (2 + 1e-4 * around) ** 0.75,
        "The sum runs over all maps. Take two on each side.": maps
        / (2 + 1e-4 * maps.square().sum(dim=1, keepdim=True)) ** 0.75,
        "At the first and last maps the neighbours are cut off, not taken from the other end.": maps
        / (2 + 1e-4 * sum(maps.square().roll(k, 1) for k in range(-2, 3))) ** 0.75,
    }  # fmt: skip
    for hint, wrong in slips.items():
        if torch.allclose(mine, wrong, rtol=1e-3, atol=1e-4):
            return hint
    where = ((mine - truth).abs() > 1e-4 + 1e-3 * truth.abs()).nonzero()[0].tolist()
    got, wanted = (float(values[tuple(where)]) for values in (mine, truth))
    return f"The shape is right, but at {where} it has {got:.3f} in place of {wanted:.3f}."


def check_dropout_place(model: nn.Module | None) -> Verdict:
    """Lesson 02: the classifier for 128 maps of 6x6, with dropout where the paper has it."""
    if model is None:
        return Verdict(None, "Build the classifier, an nn.Sequential, and call it classifier.")
    if not isinstance(model, nn.Module):
        return Verdict(False, f"classifier must be a network (nn.Module); got {model!r}.")
    try:
        rows = record(model, (128, 6, 6))
    except (ShapeError, ValueError) as error:
        return Verdict(False, f"It does not run on 128 maps of 6×6.\n{error}")
    linear = [k for k, row in enumerate(rows) if row.kind == "Linear"]
    widths = [rows[k].output[1] for k in linear]
    if widths != [2048, 2048, 1000]:
        return Verdict(False, f"The linear layers must have 2048, 2048, 1000 units; got {widths}.")
    hint = _dropout_hint(rows, linear)
    rates = {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    if not hint and rates != {0.5}:
        hint = f"The paper drops half of the units; here the shares are {sorted(rates)}."
    if hint:
        return Verdict(False, hint)
    return Verdict(True, "The outputs of fc6 and fc7 are dropped: the paper's place.")


def _dropout_hint(rows: Record, linear: list[int]) -> str:
    """Where a dropout stands that should not, or is missing, in a sentence, or nothing."""
    kinds = [row.kind.lower() for row in rows]
    where = [k for k, kind in enumerate(kinds) if "dropout" in kind]
    fc6, fc7, fc8 = linear
    if any("dropout1d" in kinds[k] or "dropout2d" in kinds[k] for k in where):
        return "Dropout2d drops whole maps. For units, take nn.Dropout."
    if not where:
        return "There is no dropout."
    if any(k < fc6 for k in where):
        return (
            "There is a dropout before fc6: it drops numbers of the maps. The article has it there."
        )
    if any(k > fc8 for k in where):
        return "There is a dropout after fc8: it would drop the answers."
    for name, first, last in (("fc6", fc6, fc7), ("fc7", fc7, fc8)):
        here = [k for k in where if first < k < last]
        if len(here) != 1:
            return f"After {name} there are {len(here)} dropouts; there must be one."
        if "relu" not in kinds[first:last]:
            return f"The ReLU after {name} is missing."
    return ""


def check_colour_shift(function: Callable | None) -> Verdict:
    """Lesson 02: `function(images, alphas)` adds the paper's colour noise of section 4.1.

    Images are (N, 3, H, W), float; alphas (N, 3), a number for each picture and axis. The signs and
    the order of the axes are free, for the directions have none of their own.
    """
    if function is None:
        return Verdict(None, "Write colour_shift(images, alphas) and pass it to the check.")
    draw = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[1.0, 0.2, 0.1], [0.9, 0.3, -0.2], [0.8, -0.4, 0.2]])
    images = torch.einsum("ij,njhw->nihw", mixing, torch.randn(6, 3, 8, 8, generator=draw))
    alphas = 0.5 * torch.randn(6, 3, generator=draw)
    try:
        mine = function(images.clone(), alphas.clone())
    except Exception as error:
        return Verdict(False, f"It failed: {type(error).__name__}: {error}.")
    if mine is None:
        return Verdict(None, "Your function returns nothing yet.")
    if not isinstance(mine, Tensor) or mine.shape != images.shape:
        got = list(mine.shape) if isinstance(mine, Tensor) else type(mine).__name__
        return Verdict(False, f"It must return pictures of {list(images.shape)}; got {got}.")
    shift = mine - images
    if torch.allclose(shift, alphas.new_zeros(())):
        return Verdict(False, "The pictures are as they were. Add the shift to them.")
    if float((shift - shift.mean(dim=(2, 3), keepdim=True)).abs().max()) > 1e-4:
        return Verdict(False, "The shift differs within a picture. It is one colour for all of it.")
    return _judge_shift(shift[:, :, 0, 0], images, alphas)


def _judge_shift(shift: Tensor, images: Tensor, alphas: Tensor) -> Verdict:
    """Compare the colours (N, 3) that were added with those of the paper, for all signs."""
    pixels = images.movedim(1, 0).flatten(1)
    values, axes = torch.linalg.eigh(torch.cov(pixels))

    def is_like(lengths: Tensor, axes: Tensor = axes) -> bool:
        options = product(((0, 1, 2), (2, 1, 0)), product((1, -1), repeat=3))
        return any(
            torch.allclose(
                shift, (alphas[:, list(order)] * lengths * torch.tensor(signs)) @ axes.T,
                rtol=0.02, atol=1e-3,
            )
            for order, signs in options
        )  # fmt: skip

    if is_like(values):
        return Verdict(True, "Along the axes of the colours, as far as the paper says.")
    if len(shift) > 1 and torch.allclose(shift, shift[:1].expand_as(shift), atol=1e-5):
        return Verdict(False, "All pictures get the same shift. Each has alphas of its own.")
    if is_like(values.sqrt()):
        return Verdict(False, "You took the square roots. The paper multiplies by the eigenvalues.")
    if is_like(torch.ones(3)):
        return Verdict(False, "The eigenvalues are missing: alpha times lambda for each axis.")
    if is_like(values * pixels.shape[1]) or is_like(values * (pixels.shape[1] - 1)):
        return Verdict(False, "Divide by the number of pixels: the covariance is a mean.")
    if is_like(values, axes.T):
        return Verdict(False, "The eigenvectors are the columns of eigh's matrix, not its rows.")
    return Verdict(
        False, "One colour a picture, but another one. It is the eigenvectors times alpha · lambda."
    )
