"""Explorers: change a number and see at once what it does to a network.

Each one is a function that works without widgets and returns a `View`, and a thin panel over it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from inspect import signature
from itertools import product, zip_longest
from math import ceil, floor, log10, prod
from typing import NamedTuple

import ipywidgets as W
import torch
from torch import Tensor
from torch.nn import functional as F

from cnn_lessons.models import alexnet, googlenet, resnet, vgg
from cnn_lessons.see import svg
from cnn_lessons.see.colours import BLUE, GREY, ORANGE, PALE_BLUE, PALE_GREY
from cnn_lessons.see.panels import Explorer, View, check, choice, number
from cnn_lessons.see.probes import depth_statistics
from cnn_lessons.see.steps import coloured, seen_by
from cnn_lessons.see.tables import vgg_layer
from cnn_lessons.shapes import Field, Record, Row, on_meta
from cnn_lessons.table import Table, tidy

# Pixels of every drawing: its width, and where the input and the map beside it begin.
WIDTH, LEFT, RIGHT, TOP = 690, 12, 372, 34
DASHES = 'stroke-dasharray="4 3"'


def _table(heading: Sequence[str], lines: Mapping[str, Iterable], chosen: str = "") -> Table:
    """A table of names and numbers, in which the chosen line is marked."""
    rows = [(f"▶ {name}" if name == chosen else name, *cells) for name, cells in lines.items()]
    return Table.of(dict(zip(heading, row)) for row in rows)


def _view(sentence: str, table: Table, height: float, shapes: Iterable[str]) -> View:
    """A view with the drawing that these shapes make, as high as this."""
    return View(sentence, svg.drawing(WIDTH, height, sentence, *shapes), table)


def _written(number: float) -> str:
    """At most two decimals, none for a whole number, and a true minus."""
    return f"{round(number, 2):g}".replace("-", "−")


def _check_unit(unit: tuple[int, int], size: tuple[int, int], where: str = "") -> None:
    for name, value, side in zip(("row", "column"), unit, size):
        if not 0 <= value < side:
            raise ValueError(f"{name} must be 0 to {side - 1}{where}; got {value}")


@cache
def _record(size: int, network: type, *arguments: object, **options: object) -> Record:
    """The record of a network for a picture of size×size, which is made once."""
    return on_meta(partial(network, *arguments, **options), (3, size, size))


# --- convolution arithmetic ---------------------------------------------------------------------


class Sizes(NamedTuple):
    """A convolution's settings, equal in both directions, and the sizes they give, in pixels."""

    input: int = 7
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def padded(self) -> int:
        return self.input + 2 * self.padding

    @property
    def span(self) -> int:
        """What the kernel covers, from its first tap to its last."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def output(self) -> int:
        """Units a side of the output, 0 where the kernel does not fit."""
        return max(0, (self.padded - self.span) // self.stride + 1)

    @property
    def rest(self) -> int:
        """Last rows, and as many columns, of the padded input that no kernel reaches."""
        return (self.padded - self.span) % self.stride if self.output else 0

    @property
    def formula(self) -> str:
        n, k, s, p, d = self
        result = _written((self.padded - self.span) // s + 1)
        return f"floor(({n} + 2·{p} − {d}·({k} − 1) − 1) / {s}) + 1 = {result}"


def convolution(
    input: int = 7, kernel: int = 3, stride: int = 1, padding: int = 0, dilation: int = 1,
    position: int = 0,
) -> View:  # fmt: skip
    """Where a convolution's kernel stands for one unit of its output, and the size it gives.

    All in pixels of a square input; `position` counts the units of the output row by row. Raises
    ValueError for a padding below 0, other settings below 1, and a position that is not there.
    """
    check(1, input=input, kernel=kernel, stride=stride, dilation=dilation)
    check(0, padding=padding)
    sizes = Sizes(input, kernel, stride, padding, dilation)
    at = _unit(position, sizes.output)
    values = {"input": input, "padded": sizes.padded, "kernel spans": sizes.span}
    values |= {"output": sizes.output, "left over": sizes.rest}
    text, shapes = _convolution_sentence(sizes, *at), _convolution_svg(sizes, *at)
    return _view(text, Table.of([values]), 366, shapes)


def _unit(position: int, side: int) -> tuple[int, int]:
    """Row and column of a unit in an output of side×side; without any units the first one's."""
    last = max(0, side**2 - 1)
    if not 0 <= position <= last:
        raise ValueError(f"position must be 0 to {last}; got {position}")
    return divmod(position, max(1, side))


def _convolution_sentence(sizes: Sizes, row: int, column: int) -> str:
    span, padded, rest = sizes.span, sizes.padded, sizes.rest
    formula = f"Output: {sizes.formula}."
    if not sizes.output:
        return (
            f"{formula} The kernel does not fit: it spans {span} pixels, and the padded input has "
            f"{padded}. A smaller kernel, less dilation or more padding makes it fit."
        )
    first, left = row * sizes.stride - sizes.padding, column * sizes.stride - sizes.padding
    text = (
        f"{formula} The unit in row {row}, column {column} reads "
        f"{_lines('row', first, sizes.kernel, sizes.dilation)} and "
        f"{_lines('column', left, sizes.kernel, sizes.dilation)} of the input; "
    )
    text += "what is outside it is padding. " if sizes.padding else "counting starts at 0. "
    if sizes.stride > span:
        text += f"Between two windows {sizes.stride - span} are skipped. "
    if not rest:
        return text + "Nothing is left over."
    lines = "row and column" if rest == 1 else f"{rest} rows and columns"
    return text + f"The division leaves {rest}: the last {lines} of the padded input are not read."


def _lines(name: str, first: int, count: int, apart: int = 1) -> str:
    """Rows or columns in words: "row 3", "rows 0 to 2", "columns −1, 1, 3"."""
    places = [_written(first + k * apart) for k in range(count)]
    if count == 1:
        return f"{name} {places[0]}"
    return f"{name}s " + (", ".join(places) if apart > 1 else f"{places[0]} to {places[-1]}")


def _convolution_svg(sizes: Sizes, row: int, column: int) -> list[str]:
    """The padded input and the kernel on it, what no kernel reaches, and the unit of the output."""
    n, k, s, p, d = sizes
    padded, output, cell = sizes.padded, sizes.output, 300 / max(sizes.padded, sizes.span)
    left, top, span = LEFT + column * s * cell, TOP + row * s * cell, sizes.span * cell
    shapes = [
        svg.text(LEFT, 22, f"input {n}×{n}, padded {padded}×{padded}"),
        svg.rect(LEFT, TOP, padded * cell, padded * cell, "white", GREY, 1, DASHES),
        svg.rect(LEFT + p * cell, TOP + p * cell, n * cell, n * cell, PALE_GREY),
        svg.grid(LEFT, TOP, padded, padded, cell),
        svg.text(RIGHT, 356, "output = floor((n + 2p − d·(k − 1) − 1) / s) + 1"),
    ]
    if sizes.rest:
        read = (padded - sizes.rest) * cell
        border = f"M{LEFT + read:g} {TOP}V{TOP + read:g}H{LEFT}"
        shapes += [svg.path(border, ORANGE, 3, DASHES)]
        shapes += [svg.text(LEFT, 356, "beyond the orange line: not read")]
    for down, across in product(range(k), repeat=2):
        place = left + across * d * cell, top + down * d * cell
        shapes += [svg.rect(*place, cell, cell, BLUE, "none", 1, 'fill-opacity="0.45"')]
    shapes += [svg.rect(left, top, span, span, "none", BLUE if output else ORANGE, 2)]
    if output:
        x, y, edge = RIGHT + column * cell, TOP + row * cell, left + span
        rays = f"M{edge:g} {top:g}L{x:g} {y:g}M{edge:g} {top + span:g}L{x:g} {y + cell:g}"
        shapes += _map_svg(f"output {output}×{output}", (output, output), cell, (row, column))
        shapes += [svg.path(rays, BLUE, 1, DASHES)]
    else:
        shapes += [svg.text(RIGHT, 48, "no output: the kernel does not fit")]
    return shapes


def _map_svg(title: str, size: tuple[int, int], cell: float, unit: tuple[int, int]) -> list[str]:
    """A map beside the input, with one unit of it."""
    (rows, columns), mark = size, max(4, cell)
    return [
        svg.text(RIGHT, 22, title),
        svg.rect(RIGHT, TOP, columns * cell, rows * cell, PALE_BLUE),
        svg.grid(RIGHT, TOP, rows, columns, cell),
        svg.rect(RIGHT + unit[1] * cell, TOP + unit[0] * cell, mark, mark, BLUE),
    ]


class ConvolutionArithmetic(Explorer):
    """Move a kernel over a padded input, and see how the output gets its size."""

    def __init__(
        self, input: int = 7, kernel: int = 3, stride: int = 1, padding: int = 0, dilation: int = 1
    ):
        values = input, kernel, stride, padding, dilation, 0
        limits = (1, 32), (1, 11), (1, 8), (0, 8), (1, 4), (0, 0)
        controls = {
            name: number(name.title(), value, *limit)
            for name, value, limit in zip((*Sizes._fields, "position"), values, limits)
        }
        back, forth = W.Button(description="◀ Previous"), W.Button(description="Next ▶")
        back.on_click(lambda _: self.move(-1))
        forth.on_click(lambda _: self.move(1))
        super().__init__(convolution, controls, [W.HBox([back, forth])])

    def limits(self, position: int, **settings: int) -> dict[str, int]:
        return {"position": Sizes(**settings).output ** 2 - 1}

    def move(self, steps: int) -> None:
        """Let the kernel go on or back; it stays at the ends."""
        self.set(position=self.controls["position"].value + steps)


# --- a kernel with its numbers ------------------------------------------------------------------

OWN = "numbers of your own"
KERNELS = {  # nine weights row by row, and what the sum of the products is divided by
    "Sobel, vertical edges": ((-1, 0, 1, -2, 0, 2, -1, 0, 1), 1),
    "Sobel, horizontal edges": ((-1, -2, -1, 0, 0, 0, 1, 2, 1), 1),
    "blur": ((1,) * 9, 9),
    "sharpen": ((0, -1, 0, -1, 5, -1, 0, -1, 0), 1),
    "as it is": ((0, 0, 0, 0, 1, 0, 0, 0, 0), 1),
}
PLACES = tuple(f"w{row}{column}" for row, column in product(range(3), repeat=2))
SMALL = 210  # pixels of the drawing that a picture and a map are high and wide at most
FILTERED = TOP + SMALL + 44  # where the numbers begin below them


def filtering(
    image: Tensor, weights: Sequence[int], divisor: int = 1, bias: int = 0, row: int = 0,
    column: int = 0,
) -> View:  # fmt: skip
    """What a 3×3 kernel makes of a picture, and for one unit of its output every number.

    `weights` are nine whole numbers, row by row; the sum of the products is divided by `divisor`,
    and `bias` is added. `image` is uint8 (1 or 3, H, W), made grey. There is no padding. Raises
    ValueError for another number of weights, a divisor below 1, a picture of another kind or
    smaller than the kernel, and a unit that is not there.
    """
    check(1, divisor=divisor)
    if len(weights) != 9:
        raise ValueError(f"weights must be nine numbers; got {len(weights)}")
    grey = _grey(image)
    kernel = torch.tensor(weights, dtype=torch.float32).reshape(3, 3)
    output = F.conv2d(grey[None, None], kernel[None, None])[0, 0] / divisor + bias
    _check_unit((row, column), output.shape)
    seen = grey[row : row + 3, column : column + 3]
    parts = {"pixel": seen, "weight": kernel, "product": seen * kernel}
    total, value = _written(float(parts["product"].sum())), float(output[row, column])
    terms = f"{total} / {divisor} + {_written(bias)}"
    result, after = _written(value), _written(max(0.0, value))
    text = (
        f"The unit in row {row}, column {column} reads {_lines('row', row, 3)} and "
        f"{_lines('column', column, 3)}. The nine products add up to {total}; {terms} = {result}, "
        f"and ReLU makes it {after}."
    )
    lines = [
        {"row": row + a, "column": column + b}
        | {name: _written(float(part[a, b])) for name, part in parts.items()}
        for a, b in product(range(3), repeat=2)
    ]
    words = (f"sum / {divisor} + bias", terms, f"= {result}", f"after ReLU {after}")
    shapes = _filtering_svg(grey, output, (row, column), parts.values(), words)
    return _view(text, Table.of(lines), FILTERED + 146, shapes)


def _grey(image: Tensor) -> Tensor:
    """The mean of the channels in whole numbers, float (H, W)."""
    if image.dtype != torch.uint8 or image.dim() != 3 or len(image) not in (1, 3):
        kind = f"{image.dtype} {tuple(image.shape)}"
        raise ValueError(f"image must be uint8 (1 or 3, H, W); got {kind}")
    if min(image.shape[1:]) < 3:
        raise ValueError(f"image must be at least 3×3, as the kernel is; got {[*image.shape[1:]]}")
    return image.cpu().float().mean(dim=0).round()


def _filtering_svg(
    grey: Tensor, output: Tensor, unit: tuple[int, int], parts: Iterable[Tensor],
    words: Sequence[str],
) -> list[str]:  # fmt: skip
    """Picture and output, each with its frame; pixels times weights are products, and the rest."""
    shapes, cell = [], 44
    for x, pixels, side, title in (
        (LEFT, svg.pixels(grey[None].byte()), 3, "picture"),
        (RIGHT, coloured(output, output.abs().max()), 1, "output (click on it)"),
    ):
        height, width = pixels.shape[:2]
        scale = SMALL / max(height, width)
        frame = (x + unit[1] * scale, TOP + unit[0] * scale, side * scale, side * scale)
        size = f'width="{width * scale:g}" height="{height * scale:g}"'
        if side == 1:  # a unit of the output is chosen by a click: see panels.js
            size += f' data-rows="{height}" data-columns="{width}" style="cursor: crosshair"'
        inside = f'<svg x="{x}" y="{TOP}" {size} viewBox="0 0 {width} {height}">'
        shapes += [svg.text(x, 22, f"{title}, {height}×{width}")]
        shapes += [f"{inside}{svg.picture(pixels)}</svg>", svg.rect(*frame, "none", ORANGE, 3)]
    shapes += _ends_svg(output, scale)
    for k, (part, title) in enumerate(zip(parts, ("pixels", "× weights", "= products"))):
        x = LEFT + k * (3 * cell + 30)
        shapes += [svg.text(x, FILTERED - 8, title)]
        shapes += _numbers_svg(x, FILTERED, cell, part.tolist(), {})
    return shapes + [svg.text(505, FILTERED + 20 + 26 * k, line) for k, line in enumerate(words)]


def _ends_svg(output: Tensor, scale: float) -> list[str]:
    """Marks on the highest number above 0 and the lowest below it: their sign is seen in grey."""
    words = "red above 0, + most; blue below, − least"
    drawn = [svg.text(RIGHT, TOP + SMALL + 17, words)]
    for sign, values in (("+", output), ("−", -output)):
        if values.max() > 0:
            row, column = divmod(int(values.argmax()), output.shape[1])
            x, y = RIGHT + (column + 0.5) * scale, TOP + (row + 0.5) * scale
            mark = svg.dot(x, y, "white", radius=6) + svg.text(x, y + 4.5, sign, "middle")
            drawn.append(f'<g style="pointer-events: none">{mark}</g>')
    return drawn


class Filtering(Explorer):
    """Choose a kernel or write one, choose a unit of the output, and see all its numbers.

    `image` is the picture, uint8 (1 or 3, H, W).
    """

    def __init__(self, image: Tensor):
        height, width = _grey(image).shape
        controls = {"kernel": choice("Kernel", (*KERNELS, OWN), "Sobel, vertical edges")}
        controls |= {name: number(f"Weight {name[1:]}", 0, -99, 99) for name in PLACES}
        controls |= {
            "divisor": number("Divided by", 1, 1, 99),
            "bias": number("Bias", 0, -255, 255),
            "row": number("Row", (height - 2) // 2, 0, height - 3),
            "column": number("Column", 2, 0, width - 3),
        }
        self.image, self.chosen = image, OWN
        super().__init__(self.compute_view, controls, beside=PLACES)

    def compute_view(self, kernel: str, **numbers: int) -> View:
        weights = [numbers.pop(name) for name in PLACES]
        return filtering(self.image, weights, **numbers)

    def adapt(self) -> None:
        """A kernel that is chosen writes its numbers; a number that is written makes one's own."""
        fields = [self.controls[name] for name in (*PLACES, "divisor")]
        kernel = self.controls["kernel"]
        if kernel.value not in (self.chosen, OWN):
            weights, divisor = KERNELS[kernel.value]
            for field, value in zip(fields, (*weights, divisor)):
                field.value = value
        now = tuple(field.value for field in fields)
        same = [name for name, (weights, by) in KERNELS.items() if (*weights, by) == now]
        kernel.value = self.chosen = same[0] if same else OWN


# --- pooling ------------------------------------------------------------------------------------

POOLED = (  # a map of 6x6 numbers to try pooling on
    (1, 3, 2, 0, 5, 4),
    (0, 2, 8, 1, 3, 7),
    (4, 0, 1, 6, 2, 2),
    (9, 5, 0, 3, 1, 0),
    (2, 1, 7, 4, 6, 8),
    (3, 6, 5, 0, 2, 4),
)


def pooling(mode: str = "max", kernel: int = 2, stride: int = 2, position: int = 0) -> View:
    """What "max" or "average" pooling makes of the numbers in POOLED, without padding.

    `position` counts the units of the output row by row. Raises ValueError for another mode, a
    kernel that does not fit on the map, a stride below 1, and a position that is not there.
    """
    check(1, kernel=kernel, stride=stride)
    numbers = torch.tensor(POOLED, dtype=torch.float32)
    if mode not in ("max", "average"):
        raise ValueError(f"mode must be max or average; got {mode!r}")
    if kernel > len(numbers):
        raise ValueError(f"kernel must be at most {len(numbers)}, as the map is; got {kernel}")
    windows = numbers.unfold(0, kernel, stride).unfold(1, kernel, stride).flatten(2)
    unit = _unit(position, len(windows))
    results = {"max": windows.amax(dim=2), "average": windows.mean(dim=2)}
    text = _pooling_sentence(mode, kernel, stride, windows[unit].tolist(), len(windows))
    lines = {
        name: (_written(float(result[unit])), _written(float(result.mean())))
        for name, result in results.items()
    }
    table = _table(("pooling", "this unit", "mean of all units"), lines, mode)
    return _view(text, table, 334, _pooling_svg(results[mode], kernel, stride, unit, mode))


def _pooling_sentence(mode: str, kernel: int, stride: int, seen: list[float], side: int) -> str:
    few, count = [f"{n:g}" for n in seen], len(seen)
    among = ", ".join(few) if count <= 9 else f"the {count} numbers"
    total = " + ".join(few) if count <= 9 else f"{sum(seen):g}"
    text = {
        "max": f"Max pooling keeps the largest of {among}: {max(seen):g}.",
        "average": f"Average pooling: ({total}) / {count} = {_written(sum(seen) / count)}.",
    }[mode]
    n = len(POOLED)
    return (
        f"{text} Output: floor(({n} − {kernel}) / {stride}) + 1 = {side}, so {n * n} numbers "
        f"become {side * side}. There is nothing to learn in it."
    )


def _pooling_svg(
    output: Tensor, kernel: int, stride: int, unit: tuple[int, int], mode: str
) -> list[str]:
    """The map with its window, the largest number in orange if it is what is kept; the output."""
    cell, n, side = 48, len(POOLED), len(output)
    top, left = unit[0] * stride, unit[1] * stride
    window = list(product(range(top, top + kernel), range(left, left + kernel)))
    kept = max(window, key=lambda place: POOLED[place[0]][place[1]])
    fills = dict.fromkeys(window, PALE_BLUE) | ({kept: ORANGE} if mode == "max" else {})
    seen, made = (
        (LEFT + left * cell, TOP + top * cell),
        (RIGHT + unit[1] * cell, TOP + unit[0] * cell),
    )
    return [
        svg.text(LEFT, 22, f"a map of {n}×{n}"),
        svg.text(RIGHT, 22, f"{mode} pooling {kernel}×{kernel}, output {side}×{side}"),
        *_numbers_svg(LEFT, TOP, cell, POOLED, fills),
        *_numbers_svg(RIGHT, TOP, cell, output.tolist(), {unit: PALE_BLUE}),
        svg.rect(*seen, kernel * cell, kernel * cell, "none", BLUE, 3),
        svg.rect(*made, cell, cell, "none", BLUE, 3),
    ]


def _numbers_svg(
    x: float, y: float, cell: float, numbers: Sequence[Sequence[float]], fills: dict
) -> list[str]:
    """A square of numbers; `fills` are the colours of some of its cells (row, column)."""
    side = len(numbers)
    drawn = [svg.rect(x, y, side * cell, side * cell, PALE_GREY)]
    drawn += [svg.rect(x + b * cell, y + a * cell, cell, cell, fills[a, b]) for a, b in fills]
    drawn += [svg.grid(x, y, side, side, cell)]
    for a, b in product(range(side), repeat=2):
        place = x + (b + 0.5) * cell, y + (a + 0.5) * cell + 5
        drawn += [svg.text(*place, _written(numbers[a][b]), "middle")]
    return drawn


class Pooling(Explorer):
    """Choose between the largest number and the average, and move the window over a map."""

    def __init__(self):
        controls = {
            "mode": choice("Pooling mode", {"max": "largest number", "average": "average"}, "max"),
            "kernel": number("Kernel", 2, 1, len(POOLED)),
            "stride": number("Stride", 2, 1, len(POOLED)),
            "position": number("Position", 0, 0, 0),
        }
        super().__init__(pooling, controls)

    def limits(self, kernel: int, stride: int, **_: object) -> dict[str, int]:
        return {"position": Sizes(len(POOLED), kernel, stride).output ** 2 - 1}


# --- receptive field ----------------------------------------------------------------------------


def receptive_field(
    record: Record, layer: int | str, row: int, column: int, image: Tensor | None = None
) -> View:
    """What one unit of a layer sees of the input, in pixels, on a picture uint8 (C, H, W).

    `layer` is a row's number or name in the record; branches count with what they see together,
    and so do all units of a vector, which have no place of their own: row and column are 0.
    Raises KeyError or IndexError for a layer that the record has not, and ValueError for one whose
    field is not known, for a unit that it has not, and for a picture of another size.
    """
    step, picture, unit = record[layer], _input_size(record), (row, column)
    if (view := seen_by(step, (0, *unit))) is None:
        raise ValueError(f"layer must be one whose receptive field is known; got {step.name!r}")
    rows, columns = size = _map_size(step)
    _check_unit(unit, size, f" in {step.name}")
    _check_image(image, picture)
    firsts, (height, width) = [first for first, _ in view], (f.size for f in step.field)
    inside = prod(
        max(0, min(last + 1, side) - max(first, 0)) for (first, last), side in zip(view, picture)
    )
    strides, is_map = [f.stride for f in step.field], len(step.output) == 4
    facts = {
        "sees": f"{height}×{width}",
        # A vector has no neighbours, and what every unit sees has none either.
        "stride": "{}×{}".format(*strides) if is_map and any(strides) else "—",
        "centre (row, column)": ", ".join(
            _written(f.centre + k * f.stride) for f, k in zip(step.field, unit)
        ),
        "pixels in the picture": f"{inside:,} of {height * width:,}",
    }
    units = f"{rows}×{columns}" if is_map else f"all {prod(step.output[1:]):,} units"
    shapes = [
        svg.text(LEFT, 22, "input, {}×{} pixels".format(*picture)),
        _seen_svg(step, firsts, picture, image),
        *_map_svg(f"{tidy(step.name, 30)}, {units}", size, 300 / max(*size, 8), unit),
    ]
    return _view(_field_sentence(step, unit, firsts, inside), Table.of([facts]), 366, shapes)


def _check_image(image: Tensor | None, size: tuple[int, int]) -> None:
    if image is None or (image.dtype == torch.uint8 and image.shape in ((1, *size), (3, *size))):
        return
    raise ValueError(
        f"image must be uint8 (1 or 3, {size[0]}, {size[1]}), as the network was recorded; "
        f"got {image.dtype} {tuple(image.shape)}"
    )


def _input_size(record: Record) -> tuple[int, int]:
    """Height and width of the pictures that a network was recorded with."""
    row = next(row for row in record if -1 in row.sources)
    return row.inputs[row.sources.index(-1)][2:]


def _map_size(row: Row) -> tuple[int, int]:
    """Height and width of a layer's maps; a vector counts as a map of one unit."""
    return row.output[2:] if len(row.output) == 4 else (1, 1)


def _field_sentence(step: Row, unit: tuple[int, int], firsts: list[int], inside: int) -> str:
    (top, left), (height, width) = firsts, (f.size for f in step.field)
    layer = f"{tidy(step.name)} ({tidy(step.kind)})"
    who = f"The unit in row {unit[0]}, column {unit[1]} of {layer} sees"
    if len(step.output) != 4:
        who = f"The {prod(step.output[1:]):,} units of {layer} together see"
    text = (
        f"{who} {height}×{width} pixels: {_lines('row', top, height)}, "
        f"{_lines('column', left, width)}. "
    )
    if inside == height * width:
        return text + "All of them are in the picture."
    return text + f"{inside:,} of these {height * width:,} are in the picture, the rest is padding."


def _seen_svg(step: Row, firsts: list[int], picture: tuple[int, int], image: Tensor | None) -> str:
    """The picture, pale where it is not seen, and a frame round the field."""
    (top, left), (height, width), (high, wide) = firsts, (f.size for f in step.field), picture
    (y, bottom), (x, right) = map(_extent, step.field, _map_size(step), picture)
    tall, long = bottom - y, right - x
    edge = max(tall, long) / 100  # room for the frame of a field at the edge
    scale = 300 / (max(tall, long) + 2 * edge)
    size = f'width="{(long + 2 * edge) * scale:g}" height="{(tall + 2 * edge) * scale:g}"'
    view = f'viewBox="{x - edge:g} {y - edge:g} {long + 2 * edge:g} {tall + 2 * edge:g}"'
    outside = f"M{x} {y}h{long}v{tall}h{-long}zM{left} {top}h{width}v{height}h{-width}z"
    line = 4 if min(height, width) * scale > 20 else 2
    dashes = f'stroke-dasharray="{4 / scale:g} {3 / scale:g}"'
    drawn = (
        svg.rect(x, y, long, tall, "white", GREY, 1 / scale, dashes),
        svg.rect(0, 0, wide, high, PALE_GREY, "none"),
        svg.picture(svg.pixels(image)) if image is not None else "",
        f'<path d="{outside}" fill="white" fill-opacity="0.55" fill-rule="evenodd"/>',
        svg.rect(0, 0, wide, high, "none", GREY, 1 / scale),
        svg.rect(left, top, width, height, "none", BLUE, line / scale),
    )
    cropped = top < y or left < x or top + height > bottom or left + width > right
    more = svg.text(12, 356, "what it sees goes on outside this drawing") if cropped else ""
    return f'<svg x="12" y="34" {size} {view}>{"".join(drawn)}</svg>{more}'


def _extent(seen: Field, units: int, side: int) -> tuple[int, int]:
    """From where to where the drawing goes on one axis, the same for all units of a layer.

    It has the picture and what the units see, but at most half a picture outside on each side.
    """
    firsts = seen.first, seen.first + (units - 1) * seen.stride
    end = max(firsts) + seen.size
    return max(-(side // 2), min(0, *firsts)), min(side + side // 2, max(side, end))


class ReceptiveField(Explorer):
    """Choose a layer and a unit of it, and see which pixels of the picture reach that unit.

    `image` is the picture to draw on, uint8 (C, H, W), of the size that was recorded.
    """

    def __init__(self, record: Record, image: Tensor | None = None):
        rows = [(k, row) for k, row in enumerate(record) if seen_by(row, (0, 0, 0))]
        known = {k: f"{k} {tidy(row.name, 30)}" for k, row in rows}
        if not known:
            raise ValueError("record must have a layer whose receptive field is known; got none")
        self.record = record
        layer = next((k for k in known if record[k].window), next(iter(known)))
        height, width = _map_size(record[layer])
        controls = {
            "layer": choice("Layer", known, layer),
            "row": number("Row", height // 2, 0, height - 1),
            "column": number("Column", width // 2, 0, width - 1),
        }
        super().__init__(lambda **unit: receptive_field(record, image=image, **unit), controls)

    def limits(self, layer: int, **_: int) -> dict[str, int]:
        height, width = _map_size(self.record[layer])
        return {"row": height - 1, "column": width - 1}


# --- the columns of VGG -------------------------------------------------------------------------


def vgg_column(column: str) -> View:
    """One column of VGG's Table 1: its layers, what they cost, and what is new in it.

    The table has all six columns. Raises ValueError as `models.VGG` does.
    """
    record = _record(224, vgg.VGG, column)
    costs, names = {name: _vgg_costs(name) for name in vgg.TABLE_1}, list(vgg.TABLE_1)
    layers, parameters, macs, sees = costs[column]
    text = (
        f"Column {column}: {layers} layers with weights, {parameters:,} parameters, {macs:,} MACs; "
        f"a unit of pool5 sees {sees}×{sees} pixels."
    )
    before = names[names.index(column) - 1] if column != names[0] else None
    if before:
        _, fewer, less, _ = costs[before]
        changes = "; ".join(_vgg_changes(column, before))
        text += f" Against {before}: {changes}; "
        text += f"{parameters - fewer:,} parameters and {macs - less:,} MACs more."
    heading = ("column", "layers with weights", "parameters", "MACs", "sees (pixels)")
    return _view(text, _table(heading, costs, column), 232, _vgg_svg(column, before, record))


def _vgg_costs(column: str) -> tuple[int, ...]:
    """Layers with weights, parameters, MACs, and how many pixels a side a unit of pool5 sees."""
    record = _record(224, vgg.VGG, column)
    layers = sum(row.parameters > 0 for row in record)
    return layers, record.parameters, record.macs, record["features.pool5"].field[0].size


def _vgg_changes(column: str, before: str) -> list[str]:
    """What is new in each block, such as "block 3: conv3-256 for conv1-256"."""
    changes = []
    for b, blocks in enumerate(zip(vgg.TABLE_1[column], vgg.TABLE_1[before]), start=1):
        for new, old in zip_longest(*blocks):
            if new != old:
                instead = f"for {vgg_layer(old)}" if old else "more"
                changes.append(f"block {b}: {vgg_layer(new)} {instead}")
    return changes


def _vgg_svg(column: str, before: str | None, record: Record) -> list[str]:
    """A line a block; orange is what the column before has not."""
    drawn = []
    for b, block in enumerate(vgg.TABLE_1[column], start=1):
        y = 36 * b - 26
        side = record[f"features.conv{b}_1"].output[2]
        drawn += [svg.text(12, y + 19, f"block {b}, {side}×{side}")]
        older = vgg.TABLE_1[before][b - 1] if before else block
        for k, layer in enumerate(block):
            new = k >= len(older) or older[k] != layer
            fill = ORANGE if new else PALE_BLUE
            drawn += [svg.box(150 + 92 * k, y, 84, 28, vgg_layer(layer), fill)]
        drawn += [svg.box(150 + 92 * len(block), y, 54, 28, "pool", PALE_GREY)]
    drawn += [svg.text(12, 209, "fully connected")]
    for x, name in zip((150, 242, 334), ("fc6", "fc7", "fc8")):
        label = f"{name}, {record[f'classifier.{name}'].output[1]}"
        drawn += [svg.box(x, 190, 84, 28, label, PALE_BLUE)]
    if before:
        drawn += [svg.legend(430, 197, 0, {f"not in {before}": ORANGE})]
    return drawn


class VGGColumns(Explorer):
    """Choose a column of VGG's Table 1, and see its layers and what they cost."""

    def __init__(self):
        super().__init__(vgg_column, {"column": choice("Column", list(vgg.TABLE_1), "D")})


# --- a convolution in groups ---------------------------------------------------------------------

GROUPED = ("conv2", "conv4", "conv5")  # the layers that Figure 2 of AlexNet cuts in two


def grouped(layer: str = "conv2", groups: int = 2) -> View:
    """What AlexNet costs with its conv2, conv4 and conv5 in so many groups; one of them is drawn.

    The paper has two groups, one a GPU. Raises ValueError for another layer, and for a number of
    groups that does not divide the maps of all three layers.
    """
    record = _record(224, alexnet.AlexNet, groups=1)
    check(1, groups=groups)
    rows = {name: record[f"features.{name}"] for name in GROUPED}
    if layer not in rows:
        raise ValueError(f"layer must be one of {', '.join(rows)}; got {layer!r}")
    if any(n % groups for row in rows.values() for n in (row.inputs[0][1], row.output[1])):
        raise ValueError(f"groups must divide the maps of all three layers; got {groups}")
    lines, parameters, macs = {}, record.parameters, record.macs
    for name, row in rows.items():
        saved, work = row.weights - row.weights // groups, row.macs // groups
        parameters, macs = parameters - saved, macs - row.macs + work
        reads = f"{row.inputs[0][1] // groups} of {row.inputs[0][1]} maps"
        lines[name] = (reads, row.parameters - saved, work, row.macs)
    lines["whole network"] = ("", parameters, macs, record.macs)
    heading = ("layer", "a map reads", "parameters", "MACs", "MACs with one group")
    maps, made = rows[layer].inputs[0][1], rows[layer].output[1]
    text = (
        f"{groups} group{'s' if groups > 1 else ''}: each of the {made} maps of {layer} reads "
        f"{maps // groups} of {maps} maps. The whole network has {parameters:,} parameters and "
        f"{macs:,} MACs; with one group {record.parameters:,} and {record.macs:,}."
    )
    shares = {"parameters": parameters / record.parameters, "MACs": macs / record.macs}
    shapes = _grouped_svg(layer, maps, made, groups, shares)
    return _view(text, _table(heading, lines, layer), 312, shapes)


def _grouped_svg(
    layer: str, maps: int, made: int, groups: int, shares: dict[str, float]
) -> list[str]:
    """A band from the maps that are read to those that are made, for each group; two bars."""
    left, right, top, bar, height = 90, 290, 40, 18, 256
    part = height / groups
    drawn = [
        svg.text(left, 24, f"{maps} maps, read", "middle"),
        svg.text(right + bar, 24, f"{made} maps of {layer}", "middle"),
    ]
    for k in range(groups):
        y, fill = top + k * part, (BLUE, ORANGE)[k % 2]
        band = f"M{left + bar:g} {y:g}L{right:g} {y:g}v{part:g}L{left + bar:g} {y + part:g}z"
        drawn += [f'<path d="{band}" fill="{fill}" fill-opacity="0.3"/>']
        drawn += [svg.rect(x, y, bar, part, fill, "white", 1) for x in (left, right)]
    for y, (name, share) in zip((96, 180), shares.items()):
        drawn += [
            svg.text(400, y, f"{name} of the whole network: {share:.1%}"),
            svg.rect(400, y + 10, 250, 22, PALE_GREY, GREY),
            svg.rect(400, y + 10, 250 * share, 22, BLUE, "none"),
        ]
    return [*drawn, svg.text(400, 270, "grey: with one group")]


class Groups(Explorer):
    """Cut AlexNet's conv2, conv4 and conv5 into groups, and see what they read and cost."""

    def __init__(self):
        counts = {n: "1 (all maps)" if n == 1 else str(n) for n in (1, 2, 4, 8, 16, 32)}
        controls = {
            "layer": choice("Layer", GROUPED, "conv2"),
            "groups": choice("Groups", counts, 2),
        }
        super().__init__(grouped, controls)


# --- the cost of an Inception module ------------------------------------------------------------

BRANCHES = {  # its name in the module, and in the naive one; every name begins with ""
    "1×1": ("branch1x1", "conv1x1"),
    "3×3": ("branch3x3", "conv3x3"),
    "5×5": ("branch5x5", "conv5x5"),
    "pool": ("branch_pool", "pool"),
    "module": ("", ""),
}


def inception_cost(
    in_channels: int = 192, size: int = 28, ch1x1: int = 64, ch3x3_reduce: int = 96,
    ch3x3: int = 128, ch5x5_reduce: int = 16, ch5x5: int = 32, pool_proj: int = 32,
) -> View:  # fmt: skip
    """What an Inception module costs on maps of size×size, beside the naive one of Figure 2a.

    The naive module has no 1x1 reductions and no projection after its pool. Weights are counted
    without biases. Raises ValueError for counts below 1.
    """
    check(1, size=size)
    shape, widths = (in_channels, size, size), (ch1x1, ch3x3_reduce, ch3x3, ch5x5_reduce, ch5x5)
    module = on_meta(partial(googlenet.Inception, in_channels, *widths, pool_proj), shape)
    naive = on_meta(partial(googlenet.NaiveInception, in_channels, ch1x1, ch3x3, ch5x5), shape)
    costs = {
        name: _cost(module, ours) + _cost(naive, simple)
        for name, (ours, simple) in BRANCHES.items()
    }
    weights, macs, naive_weights, _ = costs["module"]
    out, naive_out = module["cat"].output[1], naive["cat"].output[1]
    text = (
        f"{weights:,} weights ({module.parameters:,} parameters with the biases) and {macs:,} MACs "
        f"make {out} maps of {size}×{size} out of {in_channels}. The naive module gives "
        f"{naive_out:,} maps and needs {naive_weights:,} weights, "
    )
    if naive_weights > weights:
        text += f"{naive_weights / weights:.1f} times as many."
    else:
        text += "no more than this one: here the reductions save nothing."
    table = _table(("branch", "weights", "MACs", "naive: weights", "naive: MACs"), costs)
    return _view(text, table, 276, _inception_svg(costs))


def _cost(record: Record, branch: str) -> tuple[int, int]:
    """Weights and MACs of the steps whose names begin so."""
    rows = [row for row in record if row.name.startswith(branch)]
    return sum(row.weights for row in rows), sum(row.macs for row in rows)


def _inception_svg(costs: Mapping[str, tuple[int, ...]]) -> list[str]:
    largest = max(costs["module"][0], costs["module"][2])
    drawn = [
        svg.legend(80, 12, 170, {"with 1×1 reductions": BLUE, "naive": PALE_GREY}),
        svg.text(678, 24, "weights of each branch, without biases", "end"),
    ]
    for k, (name, cost) in enumerate(costs.items()):
        y = 42 + 46 * k
        drawn += [svg.text(70, y + 24, name, "end")]
        for count, fill, top in ((cost[0], BLUE, y), (cost[2], PALE_GREY, y + 18)):
            length = 460 * count / largest
            drawn += [svg.rect(80, top, length, 16, fill)]
            drawn += [svg.text(86 + length, top + 13, f"{count:,}")]
    return drawn


@cache
def inception_rows() -> dict[str, dict[str, int]]:
    """The arguments of `inception_cost` for the rows of GoogLeNet's Table 1, at 224 pixels."""
    names = list(signature(inception_cost).parameters)[2:]
    record = _record(224, googlenet.GoogLeNet, aux=False)
    found = {}
    for name, widths in googlenet.TABLE_1.items():
        _, channels, size, _ = record[f"features.inception_{name}.branch1x1.conv"].inputs[0]
        found[name] = {"in_channels": channels, "size": size, **dict(zip(names, widths))}
    return found


class InceptionCost(Explorer):
    """Choose a row of Table 1 or change the widths of an Inception module, and see the cost."""

    def __init__(self, row: str = "3a"):
        rows = inception_rows()
        options = {**{name: f"row {name}" for name in rows}, "": "own widths"}
        controls = {"row": choice("Table 1", options, row)}
        limits = {"in_channels": 1024, "size": 56}
        for name, value in rows[row].items():
            controls[name] = number(name, value, 1, limits.get(name, 512))
        super().__init__(lambda row, **widths: inception_cost(**widths), controls)

    def changed(self, change: dict) -> None:
        """A row that is chosen sets all widths."""
        if not self.adapting:
            self.set(**inception_rows().get(change["new"], {}))

    def adapt(self) -> None:
        widths = {name: value for name, value in self.state().items() if name != "row"}
        rows = inception_rows().items()
        self.controls["row"].value = next((name for name, row in rows if row == widths), "")


# --- a shortcut, on and off ---------------------------------------------------------------------

KINDS = {"A": "zero maps are added", "B": "1×1 convolution", "C": "1×1 convolution"}


@cache
def gradients(depth: int, shortcut: str | None) -> tuple[float, ...]:
    """The size of the gradient in each block of an untrained ResNetCIFAR, from the input on.

    It is that of the block's first convolution, as `probes.depth_statistics` measures it, for eight
    pictures of noise, in float64: without shortcuts 44 layers make the rounding of float32 so large
    that processors differ in the second digit. Torch's random state is left as it was.
    Raises ValueError as `models.resnet.ResNetCIFAR` does.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet.ResNetCIFAR(depth, shortcut=shortcut)
        images, labels = torch.randn(8, 3, 32, 32), torch.randint(10, (8,))
        layers = depth_statistics(network.double(), images.double(), labels)
    # The stem is "conv1", a block's first convolution "conv2_x.0.conv1".
    return tuple(layer.gradient for layer in layers if layer.name.endswith(".conv1"))


def shortcut_switch(depth: int = 20, kind: str = "A", on: bool = True) -> View:
    """A ResNet for CIFAR-10 with and without its shortcuts: a block, its cost, its gradients.

    `kind` is the paper's option for blocks that change the shape: A, B or C.
    Raises ValueError as `models.resnet.ResNetCIFAR` does.
    """
    shortcuts = {"plain": None, f"residual ({kind})": kind}
    series = {name: gradients(depth, shortcut) for name, shortcut in shortcuts.items()}
    other, chosen = shortcuts if on else reversed(shortcuts)
    lines = {}
    for name, sizes in series.items():
        record = _record(32, resnet.ResNetCIFAR, depth, shortcut=shortcuts[name])
        ends = _rounded(sizes[0], 2), _rounded(sizes[-1], 2)
        lines[name] = (record.parameters, record.macs, *ends)
    heading = ("network", "parameters", "MACs", "gradient, first block", "last block")
    growth = {name: sizes[0] / sizes[-1] for name, sizes in series.items()}
    text = (
        f"{chosen[0].upper()}{chosen[1:]} network with {depth} layers, {lines[chosen][0]:,} "
        "parameters. Before training, the gradient of the first block is about "
        f"{_rounded(growth[chosen], 1)} times as large as that of the last one; "
        f"{other}: {_rounded(growth[other], 1)} times."
    )
    shapes = _block_graph(kind if on else None) + _gradient_plot(series, chosen)
    return _view(text, _table(heading, lines), 340, shapes)


def _rounded(number: float, digits: int) -> str:
    return f"{float(f'{number:.{digits}g}'):,g}"


@cache
def _block_graph(kind: str | None) -> list[str]:
    """The first block of conv3_x, which halves the maps and doubles their number."""
    block = partial(resnet.BasicBlock, 16, 32, stride=2, shortcut=kind)
    steps = [row for row in on_meta(block, (16, 32, 32)) if "shortcut" not in row.name]
    drawn = [svg.text(90, 22, "input, 16@32×32", "middle")]
    for k, row in enumerate(steps):
        y = 48 + 42 * k
        drawn += [svg.path(f"M90 {y - 20}V{y}")]
        _, channels, height, width = row.output
        label = "+" if row.kind == "add" else f"{row.name}, {channels}@{height}×{width}"
        drawn += [svg.box(20, y, 140, 22, label, ORANGE if label == "+" else PALE_BLUE)]
        if label == "+":
            words = svg.text(0, 0, KINDS[kind], "middle")
            drawn += [svg.path(f"M90 38H190V{y + 11}H160", ORANGE, 2)]
            drawn += [f'<g transform="translate(206 150) rotate(90)">{words}</g>']
    return drawn


def _gradient_plot(series: dict[str, Sequence[float]], chosen: str) -> list[str]:
    """A dot a block, on a logarithmic scale; the network that is not chosen has rings."""
    every = [log10(size) for sizes in series.values() for size in sizes]
    low, high = floor(min(every)), ceil(max(every))
    left, top, width, height = 300, 50, 370, 236
    fills = {name: BLUE if name == chosen else "white" for name in series}
    drawn = [
        svg.text(left - 46, 22, "gradient / weights of a block's first convolution"),
        svg.legend(left + 100, 29, 130, fills),
        svg.text(left, top + height + 22, "block 1, next to the input"),
        svg.text(left + width, top + height + 22, f"block {len(series[chosen])}", "end"),
    ]
    for power in range(low, high + 1):
        y = top + height * (high - power) / (high - low)
        drawn += [svg.path(f"M{left} {y:g}h{width}", GREY, 0.6)]
        drawn += [svg.text(left - 8, y + 5, f"{10.0**power:,g}", "end")]
    for name, sizes in sorted(series.items(), key=lambda item: item[0] == chosen):
        for k, size in enumerate(sizes):
            x = left + width * (k + 0.5) / len(sizes)
            y = top + height * (high - log10(size)) / (high - low)
            drawn += [svg.dot(x, y, fills[name])]
    return drawn


class ShortcutSwitch(Explorer):
    """Switch the shortcuts of a ResNet off and on, and see its blocks and their gradients."""

    def __init__(self, depth: int = 20):
        kinds = {"A": "A: zero maps", "B": "B: 1×1 where it changes", "C": "C: 1×1 everywhere"}
        controls = {
            "on": W.Checkbox(value=True, description="Shortcuts"),
            "depth": choice("Depth", {n: f"{n} layers" for n in (8, 20, 32, 44, 56)}, depth),
            "kind": choice("Kind", kinds, "A"),
        }
        super().__init__(shortcut_switch, controls)


# --- a network within a budget -----------------------------------------------------------------

BUDGET = {"parameters": 300_000, "MACs": 50_000_000}  # of lesson 06, for a picture of 32 pixels


def budget(
    width1: int = 16, width2: int = 32, width3: int = 64,
    blocks1: int = 3, blocks2: int = 3, blocks3: int = 3,
) -> View:  # fmt: skip
    """What `three_stages` costs, stage by stage, at 32 pixels, beside what it may cost: BUDGET.

    Raises ValueError as `three_stages` does.
    """
    widths, blocks = (width1, width2, width3), (blocks1, blocks2, blocks3)
    record = on_meta(partial(resnet.three_stages, widths, blocks), (3, 32, 32))
    costs = {name: [0, 0] for name in ("stem", "stage 1", "stage 2", "stage 3", "linear")}
    stages = {"conv2_x": "stage 1", "conv3_x": "stage 2", "conv4_x": "stage 3", "fc": "linear"}
    for row in record:
        stage = costs[stages.get(row.name.split(".")[0], "stem")]
        stage[0] += row.parameters
        stage[1] += row.macs
    totals = {"parameters": record.parameters, "MACs": record.macs}
    over = [name for name, total in totals.items() if total > BUDGET[name]]
    used = " and ".join(f"{total:,} of {BUDGET[name]:,} {name}" for name, total in totals.items())
    sees = max(row.field[0].size for row in record if row.kind == "Conv2d")
    text = (
        f"{used}: {'too many ' + ' and '.join(over) if over else 'within the budget'}. "
        f"{2 * sum(blocks) + 2} layers with weights; the last convolution sees {sees} pixels."
    )
    table = _table(("part", "parameters", "MACs"), {**costs, "all": totals.values()})
    return _view(text, table, 162, _budget_svg(costs, totals))


def _budget_svg(costs: dict[str, list[int]], totals: dict[str, int]) -> list[str]:
    """Two bars, the parts one after the other, with a line where the budget ends."""
    fills = dict(zip(costs, ("#FFFFFF", PALE_BLUE, "#7FB8D8", BLUE, ORANGE)))
    most = max(1.25, *(total / BUDGET[name] for name, total in totals.items()))
    left, width = 100, 560
    end, drawn = left + width / most, [svg.legend(left, 12, 108, fills)]
    for k, (name, limit) in enumerate(BUDGET.items()):
        x, y = left, 50 + 50 * k
        drawn += [svg.text(left - 8, y + 20, name, "end")]
        for part, cost in costs.items():
            length = width / most * cost[k] / limit
            drawn += [svg.rect(x, y, length, 28, fills[part])]
            x += length
    line = svg.path(f"M{end:g} 40V138", "black", 2)
    return [*drawn, line, svg.text(end, 152, "the budget", "middle")]


class Budget(Explorer):
    """Change the widths and depths of a small residual network, and see whether it fits."""

    def __init__(self):
        widths = {f"width{k}": number(f"Width {k}", 8 * 2**k, 1, 160) for k in (1, 2, 3)}
        blocks = {f"blocks{k}": number(f"Blocks {k}", 3, 1, 9) for k in (1, 2, 3)}
        super().__init__(budget, widths | blocks)
