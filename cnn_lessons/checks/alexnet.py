"""The checks of lesson 02."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.checks.functions import begun, built, call, same, tensor_of, tried
from cnn_lessons.checks.modules import bent, dropouts, network
from cnn_lessons.checks.numbers import number, numbers, output_sizes
from cnn_lessons.checks.verdict import Unfinished, Wrong, check, first_hint
from cnn_lessons.shapes import Record


@check("Fill the gaps of TwoGroups, and pass the class to the check.")
def check_groups(build: Callable[..., nn.Module]) -> str:
    """Lesson 02: `build(in_maps, out_maps, kernel_size, padding)` is a convolution of two halves.

    The first half of its kernels reads the first half of the maps, the second one the second half,
    as `nn.Conv2d` with groups=2 does. The halves are two `nn.Conv2d`. It is tried with two sizes.
    """
    cut = "Give each convolution its half of the maps: first, second = maps.chunk(2, dim=1)."
    failures = {"channels": cut, "must match": "Join along dim=1."}
    for sizes in ((6, 10, 3, 1), (4, 6, 5, 2)):
        model, maps = built(build, *sizes), torch.randn(2, sizes[0], 7, 8)
        halves = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
        if not halves:
            raise Unfinished("TwoGroups has no convolutions yet.")
        _judge_halves(halves, *sizes)
        answer = call(model, maps, failures=failures)
        begun(answer, what="forward")
        if isinstance(answer, (list, tuple)):
            raise Wrong(f"forward returns {len(answer)} tensors. Join them: torch.cat(..., dim=1).")
        _judge_joined(tensor_of(answer), maps, halves)
    return "The same numbers as nn.Conv2d with groups=2: neither half knows of the other."


def _judge_halves(halves: list[nn.Conv2d], maps: int, kernels: int, side: int, pad: int) -> None:
    """Raise Wrong unless these are two convolutions for half of the maps and of the kernels."""
    if len(halves) == 1 and halves[0].groups == 2:
        raise Wrong("That is torch's own groups=2, which you build here: take two convolutions.")
    if len(halves) != 2:
        raise Wrong(f"Each GPU has one convolution, two in all; here are {len(halves)}.")
    for conv in halves:
        if 2 * conv.in_channels != maps:
            reads = f"{conv.in_channels} of {maps} maps"
            raise Wrong(f"Each half reads in_maps // 2 maps; here one reads {reads}.")
        if 2 * conv.out_channels != kernels:
            makes = f"{conv.out_channels} of {kernels}"
            raise Wrong(f"Each half has out_maps // 2 kernels; here one has {makes}.")
        if (conv.kernel_size, conv.padding) != ((side, side), (pad, pad)):
            raise Wrong("Give each convolution the kernel_size and the padding that come in.")
        if str(conv) != str(nn.Conv2d(maps // 2, kernels // 2, side, padding=pad)):
            raise Wrong(f"Only kernel_size and padding are given; all else is usual. Got {conv}.")


def _judge_joined(mine: Tensor, maps: Tensor, halves: list[nn.Conv2d]) -> None:
    """Raise Wrong unless the outputs of the two halves are joined as they should be."""
    one, two = halves
    with torch.no_grad():
        first, second = maps.chunk(2, dim=1)
        a, b = one(first), two(second)
        right = (a, b), (two(first), one(second))  # whichever of the two was made first
        if any(same(mine, torch.cat(parts, dim=1)) for parts in right):
            return
        joined = torch.cat((a, b), dim=1)
        slips = {
            "Both convolutions read the first half of the maps.": (a, two(first)),
            "Both convolutions read the second half of the maps.": (one(second), b),
            "The halves are swapped: the first convolution reads the first half.":
                (one(second), two(first)),
            "The outputs are swapped: those of the first convolution come first.": (b, a),
            "You give each GPU every second map. It has the first half, or the second.":
                (one(maps[:, ::2]), two(maps[:, 1::2])),
            "You add the halves up. They stand one behind the other: torch.cat.": (a + b,),
        }  # fmt: skip
    if same(mine, torch.cat((a, b))):
        raise Wrong("dim=0 are the pictures. Join the maps: torch.cat(..., dim=1).")
    shapes = f"It gives {[*mine.shape]} in place of {[*joined.shape]}."
    other = shapes if mine.shape != joined.shape else "Other numbers come out."
    raise Wrong(first_hint(slips, lambda parts: same(mine, torch.cat(parts, dim=1)), other))


@check("Set sides to three numbers: conv1, pool1, pool2.")
def check_sizes_at_96(answer: tuple[int, int, int]) -> str:
    """Lesson 02: the sides of conv1, pool1 and pool2 of AlexNet for pictures of 96x96."""
    names = ("conv1", "pool1", "pool2")
    conv1, pool1, pool2 = numbers(answer, names)
    if (conv1, pool1, pool2) == (55, 27, 13):
        raise Wrong("Those are the sides for 224 pixels.")
    settings = ((96, 11, 4, 2), (conv1, 3, 2, 0), (pool1, 3, 2, 0))
    output_sizes((conv1, pool1, pool2), settings, names)
    return "22.25 is 22, and 1 more: 23. Then (23 − 3)/2 + 1 = 11, and 5."


@check("Set conv2_parameters to a number.")
def check_grouped_parameters(answer: int) -> str:
    """Lesson 02: the parameters of AlexNet's conv2, 96 to 256 maps, 5x5, in two groups."""
    outcomes = {
        307_456: "256 kernels × (5·5·48 weights + 1 bias) = 307,456.",
        614_656: "That is one group. With two, each kernel reads 48 of the 96 maps.",
        614_400: "That is one group, without the biases.",
        307_200: "The weights are right. Each of the 256 kernels also has one bias.",
        307_328: "The biases are not halved: each of the 256 kernels has one.",
        307_712: "You counted two biases a kernel. The groups share no kernel: 256 biases in all.",
        153_728: "That is one GPU's half: 128 kernels. There are two halves.",
        153_600: "That is one GPU's half, without biases. There are two halves.",
        110_848: "The kernel of conv2 is 5×5.",
        6_656: "A kernel has 5·5 weights for each map that it reads, and it reads 48.",
        223_948_800: "Those are the MACs: each weight is used at 27·27 places. Count it once.",
    }
    return number(answer, outcomes)


@check("Set parameters to a number.")
def check_half_width(answer: int) -> str:
    """Lesson 02: the parameters of AlexNetCIFAR with 1024 units in fc6 and fc7 for 2048."""
    outcomes = {
        3_989_802: "2048·1024 + 1024, 1024·1024 + 1024, 1024·10 + 10, and 831,776 as before.",
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
    return number(answer, outcomes, "Add up fc6, fc7, fc8 and the rest.")


def _lrn(maps: Tensor, alpha: float = 1e-4, k: float = 2, beta: float = 0.75, n: int = 5) -> Tensor:
    """torch divides alpha by n, the paper does not."""
    return F.local_response_norm(maps, n, alpha * n, beta, k)


def _by(maps: Tensor, total: Tensor) -> Tensor:
    """The paper's formula with another sum in it."""
    return maps / (2 + 1e-4 * total) ** 0.75


def _sum(numbers: Tensor) -> Tensor:
    """For each map the sum over itself and two on each side."""
    padded = F.pad(numbers, (0, 0, 0, 0, 2, 2))
    return sum(padded[:, k : k + numbers.shape[1]] for k in range(5))


def _sliced(maps: Tensor, low: Callable[[int], int], high: Callable[[int], int]) -> Tensor:
    """What comes of a loop in which map i adds up the squares of the slice from low to high."""
    squares = maps.square()
    totals = [squares[:, low(i) : high(i)].sum(dim=1) for i in range(maps.shape[1])]
    return _by(maps, torch.stack(totals, dim=1))


def _in_place(maps: Tensor) -> Tensor:
    """What comes of writing into the maps that are still to be read."""
    maps = maps.clone()
    for i in range(maps.shape[1]):
        total = maps[:, max(0, i - 2) : i + 3].square().sum(dim=1)
        maps[:, i] = _by(maps[:, i], total)
    return maps


LRN_SLIPS = {
    "That divides alpha by 5, as torch does. The paper adds up, it takes no mean.":
        lambda m: _lrn(m, 1e-4 / 5),
    "That is alpha times 5. In the formula it is 1e-4; only torch wants it larger.":
        lambda m: _lrn(m, 5e-4),
    "The k is missing: 2 + alpha · sum.": lambda m: _lrn(m, k=0),
    "You took 1 for k. The paper has 2.": lambda m: _lrn(m, k=1),
    "The power is missing: divide by ( ... ) ** 0.75.": lambda m: _lrn(m, beta=1),
    "The power is 0.75, not 0.5.": lambda m: _lrn(m, beta=0.5),
    "You return the divisor. Divide the maps by it.": lambda m: m / _lrn(m),
    "Multiplied. The maps are divided by the power.": lambda m: m * m / _lrn(m),
    "The sum is over three maps. Two on each side make five.": lambda m: _lrn(m, n=3),
    "Five on each side are too many: n = 5 counts all of them, two on each side.":
        lambda m: _sliced(m, lambda i: max(0, i - 5), lambda i: i + 6),
    "The sum stops one map early: range and slices leave their end out, so go to i + 3.":
        lambda m: _sliced(m, lambda i: max(0, i - 2), lambda i: i + 2),
    "The last map is left out: range and slices leave their end out, so min(channels, i + 3).":
        lambda m: _sliced(m, lambda i: max(0, i - 2), lambda i: min(m.shape[1] - 1, i + 2)),
    "At the first maps i − 2 is below 0, which counts from the end: take max(0, i − 2).":
        lambda m: _sliced(m, lambda i: i - 2, lambda i: i + 3),
    "i − 2 may be below 0, which counts from the end, and a slice leaves out its end: i + 3.":
        lambda m: _sliced(m, lambda i: i - 2, lambda i: i + 2),
    "All five are the map and those before it. Take two before and two behind.":
        lambda m: _sliced(m, lambda i: max(0, i - 4), lambda i: i + 1),
    "All five are the map and those behind it. Take two before and two behind.":
        lambda m: _sliced(m, lambda i: i, lambda i: i + 5),
    "Later maps add up what you have already changed. Write into a new tensor.": _in_place,
    "The map's own square belongs to the sum, too.":
        lambda m: _by(m, _sum(m.square()) - m.square()),
    "The numbers are not squared before they are added up.":
        lambda m: _by(m, _sum(m)),
    "You square the sum. Square each number first, then add up.": lambda m: _by(m, _sum(m) ** 2),
    "The sum runs over the neighbours in a row. It must run over maps, at one place.":
        lambda m: _by(m, F.avg_pool2d(m.square(), (1, 5), 1, (0, 2)) * 5),
    "The sum runs over a square of the map. It must run over maps, at one place.":
        lambda m: _by(m, F.avg_pool2d(m.square(), 5, 1, 2) * 25),
    "The sum runs over all maps. Take two on each side.":
        lambda m: _by(m, m.square().sum(dim=1, keepdim=True)),
    "At the first and last maps the neighbours are cut off, not taken from the other end.":
        lambda m: _by(m, sum(m.square().roll(k, 1) for k in range(-2, 3))),
}  # fmt: skip


@check("Write my_lrn(maps) and pass it to the check.")
def check_lrn(function: Callable) -> str:
    """Lesson 02: `function(maps)` is the paper's LRN: n = 5, k = 2, alpha = 1e-4, beta = 0.75.

    Maps are (N, C, H, W). The inputs are large, so that the alpha matters.
    """
    cases = [(200 * torch.randn(shape),) for shape in ((2, 8, 5, 6), (1, 3, 6, 5))]
    itself = "Write it without torch's own LRN (which, by the way, divides alpha by n)."
    few = "Of three maps none has five around it: a neighbourhood may have fewer."
    failures = dict.fromkeys(("out of range", "out of bounds", "must match"), few)
    without = {"local_response_norm": itself}
    note = tried(function, cases, _lrn, LRN_SLIPS, without=without, failures=failures)
    return f"The same numbers as nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2).{note}"


@check("Build the classifier, an nn.Sequential, and call it classifier.")
def check_dropout_place(model: nn.Module) -> str:
    """Lesson 02: the classifier for 128 maps of 6x6, with dropout where the paper has it."""
    rows = network(model, "classifier", (128, 6, 6), classes=1000)
    linear = [k for k, row in enumerate(rows) if row.weights]
    widths = [rows[k].output[1] for k in linear]
    if widths != [2048, 2048, 1000]:
        raise Wrong(f"The linear layers must have 2048, 2048, 1000 units; got {widths}.")
    if hint := _dropout_hint(rows, *linear):
        raise Wrong(hint)
    shares = sorted(set(dropouts(model, (128, 6, 6))))
    if shares != [0.5]:
        raise Wrong(f"The paper drops half of the units; here the shares are {shares}.")
    return "The outputs of fc6 and fc7 are dropped: the paper's place."


def _dropout_hint(rows: Record, fc6: int, fc7: int, fc8: int) -> str:
    """Where a dropout stands that should not, or is missing, in a sentence, or nothing."""
    kinds = [row.kind.lower() for row in rows]
    where = [k for k, kind in enumerate(kinds) if "dropout" in kind]
    if any(kinds[k] != "dropout" for k in where):
        return "Dropout2d and the like drop whole maps, or otherwise. For units, take nn.Dropout."
    if not where:
        return "There is no dropout."
    if any(k < fc6 for k in where):
        return (
            "There is a dropout before fc6: it drops numbers of the maps. The article has it there."
        )
    if any(k > fc8 for k in where):
        return "There is a dropout after fc8: it would drop the answers."
    for name, first, last in (("fc6", fc6, fc7), ("fc7", fc7, fc8)):
        if len(here := [k for k in where if first < k < last]) != 1:
            return f"After {name} there are {len(here)} dropouts; there must be one."
        if not bent(rows, first, last):
            return f"The ReLU after {name} is missing."
    return ""


@check("Write colour_shift(images, alphas) and pass it to the check.")
def check_colour_shift(function: Callable) -> str:
    """Lesson 02: `function(images, alphas)` adds the paper's colour noise of section 4.1.

    Images are (N, 3, H, W), float; alphas (N, 3), a number for each picture and axis. The signs and
    the order of the axes are free, for the directions have none of their own.
    """
    mixing = torch.tensor([[1.0, 0.2, 0.1], [0.9, 0.3, -0.2], [0.8, -0.4, 0.2]])
    images = torch.einsum("ij,njhw->nihw", mixing, torch.randn(6, 3, 8, 5)) + mixing[:, :1, None]
    alphas = 0.5 * torch.randn(6, 3)
    axes = "Give the colours [N, 3] two axes more, for height and width: [:, :, None, None]."
    answer = call(function, images, alphas, failures={"must match": axes})
    begun(answer)
    mine = tensor_of(answer)
    if mine.shape != images.shape:
        raise Wrong(f"It must return pictures of {[*images.shape]}; got {[*mine.shape]}.")
    shift = mine.float() - images
    if not shift.any():
        raise Wrong("The pictures are as they were. Add the shift to them.")
    if float((shift - shift.mean(dim=(2, 3), keepdim=True)).abs().max()) > 1e-4:
        alone = float(mine.std(dim=(2, 3)).max()) < 1e-4
        hint = " You return the shift alone: add it to the pictures." if alone else ""
        raise Wrong(f"The shift differs within a picture. It is one colour for all of it.{hint}")
    _judge_shift(shift[:, :, 0, 0], images, alphas)
    return "Along the axes of the colours, as far as the paper says."


def _judge_shift(shift: Tensor, images: Tensor, alphas: Tensor) -> None:
    """Raise Wrong unless the colours (N, 3) that were added are those of the paper."""
    eigh, pixels = torch.linalg.eigh, images.movedim(1, 0).flatten(1)
    values, axes = eigh(torch.cov(pixels))
    count = pixels.shape[1]
    if _is_along(shift, alphas, values, axes):
        return
    if torch.allclose(shift, shift[:1].expand_as(shift), atol=1e-5):
        raise Wrong("All pictures get the same shift. Each has alphas of its own.")
    slips = {
        "You took the roots. The paper multiplies by the eigenvalues.": (values.sqrt(), axes),
        "The eigenvalues are missing: alpha times lambda for each axis.": (values**0, axes),
        "Divide by the number of pixels: the covariance is a mean.": (values * count, axes),
        "The eigenvectors are the columns of eigh's matrix, not its rows.": (values, axes.T),
        "reshape(3, -1) mixes the colours: images.movedim(1, 0) first, then flatten(1).":
            eigh(torch.cov(images.reshape(3, -1))),
        "reshape(-1, 3) mixes the colours: images.movedim(1, 0) first, then flatten(1).":
            eigh(torch.cov(images.reshape(-1, 3).T)),
        "Subtract the mean colour first, as torch.cov does: it is how the colours vary.":
            eigh(pixels @ pixels.T / count),
    }  # fmt: skip
    other = "One colour a picture, but another one. It is the eigenvectors times alpha · lambda."
    each = [eigh(torch.cov(image.flatten(1))) for image in images]
    if all(_is_along(shift[k, None], alphas[k, None], *each[k]) for k in range(len(images))):
        other = "The covariance is that of the pixels of all pictures, not of each one."
    raise Wrong(first_hint(slips, lambda lengths: _is_along(shift, alphas, *lengths), other))


def _is_along(shift: Tensor, alphas: Tensor, values: Tensor, axes: Tensor) -> bool:
    """Whether a shift is alpha times value along each axis, for any signs and order of the axes."""
    found = shift @ axes
    for ordered in (alphas, alphas.flip(1)):
        wanted = ordered * values
        signs = (found * wanted).sum(dim=0).sign()
        if torch.allclose(found, wanted * signs, rtol=0.02, atol=1e-3):
            return True
    return False
