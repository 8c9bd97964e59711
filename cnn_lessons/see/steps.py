"""What there is to show of one step of a network, as plain strings, numbers and pixels.

Any front end can draw it: the panel of a notebook (`stepper`), a page without a kernel (`page`).
"""

from collections.abc import Callable, Container, Sequence
from functools import cached_property
from math import ceil, floor, prod, sqrt

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.see import colours
from cnn_lessons.see.units import as_maps, layer_of, unit_words, weights_of
from cnn_lessons.shapes import Record, Row, record
from cnn_lessons.shapes.rows import times
from cnn_lessons.table import tidy

MOST_MAPS, MOST_NUMBERS, MOST_KERNELS, MOST_CLASSES = 64, 4096, 16, 10
LARGEST_MAP, SMALLEST_TILE = 48, 24  # pixels in a mosaic; larger maps are averaged down


class Step:
    """What there is to show of row `number` of a record, each part made when it is asked for.

    `recorded` is made with `keep=True` (else there are no maps), `picture` is the input as uint8
    (height, width, 3), `unit` the (map, row, column) to look at: the middle of the first map where
    none is given, the last there is where it is too large. Kernels are read from `model`; `image`
    (1, C, H, W) is what the network read, for the arithmetic of its first layers.

    `size` is (maps, height, width), `names` are those of the maps that are drawn. Pixels are uint8
    (height, width, 3), and None where the step has none. Raises ValueError for a number that the
    record has not.
    """

    def __init__(
        self,
        recorded: Record,
        number: int,
        model: nn.Module | None = None,
        picture: np.ndarray | None = None,
        unit: tuple[int, ...] | None = None,
        class_names: Sequence[str] = (),
        image: Tensor | None = None,
    ):
        if not 0 <= number < len(recorded):
            raise ValueError(f"number must be from 0 to {len(recorded) - 1}; got {number}")
        self.recorded, self.number, self.row = recorded, number, recorded[number]
        self.model, self.image, self.input = model, image, picture
        self.name, self.kind = tidy(self.row.name), tidy(self.row.kind)
        output = recorded.outputs[number] if recorded.outputs else None
        unknown = torch.empty(self.row.output, device="meta")
        self.output = as_maps(unknown if output is None else output)
        self.size = tuple(self.output.shape)
        wanted = unit or (0, *(side // 2 for side in self.size[1:]))
        self.unit = tuple(max(0, min(n, side - 1)) for n, side in zip(wanted, self.size))
        self.classes = _classes(recorded, number, class_names)
        self.names = self.classes or tuple(map(str, range(_drawn(self.output))))
        self.has_maps = output is not None and self.output.numel() > 0

    @cached_property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Pairs of a heading and a sentence with the numbers filled in."""
        row = self.row
        facts = [("Output", _size(row)), ("Reads", _reads(self.recorded, row))]
        if row.parameters or row.weights:
            facts.append(("Parameters", _parameters(row)))
        if row.macs:
            facts.append(("MACs", _macs(row)))
        memory = f"{row.memory:,} bytes for one picture" if row.memory else "none new"
        facts.append(("Memory", memory))
        if sides := self.recorded[0].inputs[0][2:]:
            facts.append(("Sees", _sees(row, sides)))
        if row.dead:
            dead = f"{row.dead:,} of {row.weights:,} weights only ever meet padding"
            facts.append(("Dead", dead))
        return tuple(facts)

    @cached_property
    def value(self) -> str:
        """What the chosen unit is and what made it."""
        if not self.has_maps:
            return ""
        about = self.unit, self.model, self.image, self.classes
        return unit_words(self.recorded, self.number, *about)

    @cached_property
    def sees(self) -> str:
        """Which part of the input the chosen unit depends on."""
        if (view := seen_by(self.row, self.unit)) is None:
            return "what a unit sees is not known"
        rows, columns = (f"{first} to {last}".replace("-", "−") for first, last in view)
        return f"what the unit sees: rows {rows}, columns {columns}"

    @cached_property
    def picture(self) -> np.ndarray | None:
        """The input with what the chosen unit sees framed."""
        return None if self.input is None else _with_view(self.input, seen_by(self.row, self.unit))

    @cached_property
    def maps(self) -> np.ndarray | None:
        """All feature maps of the step, or the first of many."""
        return mosaic(self.output) if self.has_maps else None

    @cached_property
    def one_map(self) -> np.ndarray | None:
        """The chosen map."""
        if not self.has_maps or _is_vector(self.output):
            return None
        return coloured(self.output[self.unit[0]], _largest(self.output))

    @cached_property
    def kernel(self) -> np.ndarray | None:
        """The weights of the chosen map: a square for each map that it reads, or the first ones."""
        weight = None if self.model is None else weights_of(layer_of(self.model, self.row))
        if weight is None or self.unit[0] >= len(weight):
            return None
        squares = as_maps(weight[self.unit[0] : self.unit[0] + 1])
        return tiled(coloured(squares[:MOST_KERNELS], _largest(squares), colours.WEIGHTS), gap=1)

    @cached_property
    def scores(self) -> tuple[tuple[str, float, float], ...]:
        """(class name, logit, probability) from the likeliest on, where a step answers in full."""
        if not self.recorded.outputs or len(self.classes) < 2:
            return ()
        logits = self.recorded.outputs[self.number][0].float()
        if not logits.isfinite().all():
            return ()
        probabilities = logits.softmax(dim=0)
        best = probabilities.topk(min(MOST_CLASSES, len(logits))).indices.tolist()
        return tuple((self.classes[k], logits[k].item(), probabilities[k].item()) for k in best)

    @cached_property
    def text(self) -> str:
        """What is seen, in one sentence."""
        words = f"Step {self.number} of {len(self.recorded) - 1}: {self.name}, {self.kind}, output"
        shown = f"; {_shown(self.output)}" if self.recorded.outputs else ""
        return f"{words} {shape_of(self.row)}{shown}."


# --- the arithmetic in words --------------------------------------------------------------------


def given(
    recorded: Record, number: int, hidden: Container[int] = ()
) -> tuple[tuple[str, str], ...]:
    """What one needs to work out a step's output oneself: what it reads, and the layer's settings.

    Pairs of a heading and a sentence, as the facts of a `Step`. What the steps in `hidden` make is
    still to be guessed.
    """
    row = recorded[number]
    shapes = " and ".join(
        "its size is still to be guessed" if source in hidden else _numbers(shape)
        for source, shape in zip(row.sources, row.inputs)
    )
    facts = [("Reads", f"{_reads(recorded, row)}: {shapes}")]
    makers = str(_weight_shape(row)[0]) if row.weights else ""
    if row.window:
        words = [f"{makers} kernels of" if makers else "a window of"]
        words[0] += f" {times(row.window.kernel)}"
        for name, sizes in list(row.window._asdict().items())[1:]:
            if name != "dilation" or {*sizes} != {1}:
                words.append(f"{name} {times(sizes if len({*sizes}) > 1 else sizes[:1])}")
        facts.append(("Layer", ", ".join(words) + ", rounded up" * row.ceil))
    elif makers:
        facts.append(("Layer", f"{makers} units"))
    return tuple(facts)


def _size(row: Row) -> str:
    """How the output's size follows from the input's, with the numbers filled in."""
    entering, leaving = row.inputs[0], row.output
    if row.window and len(entering) == 2 + len(row.window.kernel) == len(leaving):
        names = ("depth", "height", "width")[5 - len(entering) :]
        formulas = [_window_formula(row, axis) for axis in range(len(names))]
        if len(set(formulas)) == 1:
            return f"{formulas[0]}, for {' and '.join(names)}; {leaving[1]} channels"
        each = "; ".join(f"{name} {formula}" for name, formula in zip(names, formulas))
        return f"{each}; {leaving[1]} channels"
    if row.kind == "cat" and len(leaving) > 2:
        channels = " + ".join(str(shape[1]) for shape in row.inputs)
        if sum(shape[1] for shape in row.inputs) == leaving[1]:
            return f"{channels} = {leaving[1]} channels of {times(leaving[2:])}"
    if len(leaving) == 2 and len(entering) > 2 and prod(entering[1:]) == leaving[1]:
        return f"{'·'.join(map(str, entering[1:]))} = {leaving[1]:,} numbers in a row"
    if len(row.inputs) > 1 and row.kind in ("add", "mul"):
        return f"{shape_of(row)}: the inputs are combined element by element"
    if entering == leaving:
        return f"{shape_of(row)}: the shape stays"
    return f"from {_numbers(entering)} to {_numbers(leaving)}"


def _window_formula(row: Row, axis: int) -> str:
    """floor((n + 2p - d(k - 1) - 1) / s) + 1; rounded up where the layer does so."""
    n, out = row.inputs[0][2 + axis], row.output[2 + axis]
    kernel, stride, padding, dilation = (setting[axis] for setting in row.window)
    exact = (n + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1
    if out not in (floor(exact), ceil(exact)):
        return f"{n} becomes {out}"
    widened = f"{dilation}·({kernel} − 1) − 1" if dilation > 1 else f"{kernel}"
    rounding = "floor" if out == floor(exact) else "ceil"
    return f"{rounding}(({n} + 2·{padding} − {widened}) / {stride}) + 1 = {out}"


def _reads(recorded: Record, row: Row) -> str:
    names = [f"step {s} ({tidy(recorded[s].name)})" if s >= 0 else "the input" for s in row.sources]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _parameters(row: Row) -> str:
    biases = row.parameters - row.weights
    plus = f" + {biases} biases" if biases else ""
    out, *window = _weight_shape(row)
    if row.weights and row.weights == out * prod(window):
        each = "kernels" if row.window else "units"
        return f"{out} {each} of {'·'.join(map(str, window))} weights{plus} = {row.parameters:,}"
    if not row.weights and row.output[1:2] == (row.parameters / 2,):
        return f"2·{row.output[1]} = {row.parameters:,}: a scale and a shift for each channel"
    return f"{row.parameters:,}"


def _macs(row: Row) -> str:
    """Every number of the output costs as many MACs as the kernel has weights for it."""
    _, *window = _weight_shape(row)
    if prod(row.output[1:]) * prod(window) == row.macs:
        places = "·".join(map(str, row.output[1:]))
        return f"{places} numbers, each {'·'.join(map(str, window))}: {row.macs:,}"
    return f"{row.macs:,}"


def _weight_shape(row: Row) -> tuple[int, ...]:
    """Of a convolution or linear layer, as the shapes and the window tell: out, in, and kernel."""
    made, read = (shape[1:] or (1,) for shape in (row.output, row.inputs[0]))
    if row.window:
        return (made[0], read[0] // row.groups, *row.window.kernel)
    return (made[-1], read[-1])


def _sees(row: Row, sides: tuple[int, ...]) -> str:
    """What a unit sees of an input with these sides; a field that is not known is told as such."""
    fields = row.field
    if not fields:
        return "not known: this step, or one before it, does not tell which pixels it reads"
    seen = f"{times(f.size for f in fields)} pixels of the input"
    if not any(f.stride for f in fields):
        return f"{seen}: all of it, for every unit"
    if any(f.size > side for f, side in zip(fields, sides)):
        seen += ", which is more than there are: the rest is padding"
    if len(row.output) < 2 + len(fields):
        return f"{seen}, all its numbers together"
    centre = ", ".join(f"{f.centre:g}" for f in fields)
    strides = {f.stride for f in fields}
    further = strides.pop() if len(strides) == 1 else times(f.stride for f in fields)
    return (
        f"{seen}; the first view is centred on pixel ({centre}), the next one is {further} further"
    )


def shape_of(row: Row) -> str:
    return _numbers(row.output)


def _numbers(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(['N', *map(str, shape[1:])])}]"


def _classes(recorded: Record, number: int, class_names: Sequence[str]) -> tuple[str, ...]:
    """The classes of the numbers of a step at the end, whose numbers are the network's answer."""
    last = recorded.rows[-1].output
    if len(last) != 2 or any(row.output != last for row in recorded[number:]):
        return ()
    names = class_names if len(class_names) == last[1] else range(last[1])
    return tuple(tidy(str(name)) for name in names)


# --- pixels -------------------------------------------------------------------------------------


def _is_vector(maps: Tensor) -> bool:
    return maps.shape[1:] == (1, 1)


def _drawn(maps: Tensor) -> int:
    """How many of them are drawn side by side."""
    return min(len(maps), MOST_NUMBERS if _is_vector(maps) else MOST_MAPS)


def _shown(maps: Tensor) -> str:
    number, height, width = maps.shape
    what = "number" if _is_vector(maps) else "map"
    words = f"{number:,} {what}{'s' * (number != 1)}"
    words = f"the first {_drawn(maps):,} of {words}" if number > _drawn(maps) else words
    words += f" of {height}×{width}" if what == "map" else ""
    strange = int((~maps.isfinite()).sum())
    told = f"; {strange:,} of {maps.numel():,} numbers are NaN or infinite, in yellow"
    return words + told * (strange > 0)


def mosaic(maps: Tensor) -> np.ndarray:
    """All maps side by side in one picture, nearly square, with one scale of colours."""
    largest = _largest(maps)
    gap = 0 if _is_vector(maps) else 1
    maps = maps[: _drawn(maps)]
    if max(maps.shape[1:]) > LARGEST_MAP:
        size = [min(LARGEST_MAP, n) for n in maps.shape[1:]]
        maps = F.adaptive_avg_pool2d(maps[None], size)[0]
    return tiled(coloured(maps, largest), gap)


def _largest(values: Tensor) -> Tensor:
    """The largest size of the finite values."""
    return values.nan_to_num(0, 0, 0).abs().max()


def grid_of(number: int) -> tuple[int, int]:
    """Rows and columns for so many tiles."""
    columns = ceil(sqrt(number))
    return ceil(number / max(1, columns)), columns


def tiled(tiles: np.ndarray, gap: int = 0, ground: int = 140) -> np.ndarray:
    """Tiles, uint8 (number, height, width, 3) or (number, height, width), in a grid in this order.

    Between them, and where none is left, it has the grey of the ground.
    """
    if gap:  # small ones are enlarged first, so that the gap stays thin
        scale = max(1, SMALLEST_TILE // max(tiles.shape[1:3]))
        tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    rows, columns = grid_of(len(tiles))
    edges = [(0, rows * columns - len(tiles)), (0, gap), (0, gap), (0, 0)]
    tiles = np.pad(tiles, edges[: tiles.ndim], constant_values=ground)
    _, height, width, *channels = tiles.shape
    grid = tiles.reshape(rows, columns, height, width, *channels).swapaxes(1, 2)
    grid = grid.reshape(rows * height, columns * width, *channels)
    return grid[: rows * height - gap, : columns * width - gap]


def coloured(values: Tensor, largest: Tensor, name: str = colours.ACTIVATIONS) -> np.ndarray:
    """Red above 0 and blue below for activations, green and brown for weights."""
    share = (values / largest.clamp(min=1e-12) / 2 + 0.5).nan_to_num(0.5)
    pixels = colormaps[name](share.clamp(0, 1).numpy(), bytes=True)[..., :3]
    pixels[~values.isfinite().numpy()] = colours.NOT_FINITE
    return pixels


def seen_by(row: Row, unit: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """The first and last row, and the first and last column, of what a unit sees, if known."""
    if row.field is None or len(row.field) != 2:
        return None
    place = unit[1:] if len(row.output) >= 4 else (0, 0)
    return [(f.first + n * f.stride, f.last + n * f.stride) for f, n in zip(row.field, place)]


def _with_view(picture: np.ndarray, view: list[tuple[int, int]] | None) -> np.ndarray:
    """The picture, enlarged, with what a unit sees framed where it is known."""
    sides = picture.shape[:2]
    scale = max(1, 224 // max(sides))
    shown = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    if view is None or min(shown.shape[:2]) < 6:  # no room for a frame
        return shown
    (top, bottom), (left, right) = (_ends(*ends, side, scale) for ends, side in zip(view, sides))
    image = Image.fromarray(shown)
    for colour, line in (((230, 159, 0), 3), ((0, 0, 0), 1)):
        frame = left, top, right - 1, bottom - 1
        ImageDraw.Draw(image).rectangle(frame, outline=colour, width=line)
    return np.array(image)


def _ends(first: int, last: int, side: int, scale: int) -> tuple[int, int]:
    """From where to where a view reaches on the enlarged picture, at least 6 pixels."""
    start, end = min(max(0, first), side - 1) * scale, max(min(side, last + 1), 1) * scale
    return (start, end) if end - start >= 6 else (max(0, end - 6), max(end, 6))


# --- branches as lines --------------------------------------------------------------------------


def branch_lines(recorded: Record) -> list[str]:
    """For each row a string that shows where branches leave and meet, as version control draws it.

    A dot is the row, a line to its left or right is a tensor that a later row still reads.
    """
    last_use = {s: number for number, row in enumerate(recorded.rows) for s in row.sources}
    lanes: list[int | None] = [-k for k in range(1, 1 + max([0, *(-s for s in last_use)]))]
    lines = []
    for number, row in enumerate(recorded.rows):
        reads = [k for k, value in enumerate(lanes) if value in row.sources]
        ends = [k for k in reads if last_use[lanes[k]] == number]
        free = [k for k in range(min(reads, default=0), len(lanes)) if lanes[k] is None]
        here = (ends or free or [len(lanes)])[0]
        lanes += [None] * (here + 1 - len(lanes))
        lines.append(_lane_characters(lanes, here, reads, ends))
        for k in ends:
            lanes[k] = None
        lanes[here] = number if number in last_use else None
        while len(lanes) > 1 and lanes[-1] is None:
            lanes.pop()
    return lines


def _lane_characters(lanes: list, here: int, reads: list[int], ends: list[int]) -> str:
    joined = [here, *reads]
    line = ""
    for k, value in enumerate(lanes):
        inside = min(joined) <= k < max(joined)
        if k == here:
            line += "●"
        elif k in ends:
            line += "╯" if k == max(joined) else "┴"
        elif k in reads:
            line += "├" if k == min(joined) else "┤" if k == max(joined) else "┼"
        else:
            line += ("┼" if inside else "│") if value is not None else "─" if inside else " "
        line += "─" if inside else " "
    return line.rstrip()


# --- what goes through the network, and pictures of it ------------------------------------------


def followed(model: nn.Module, image: Tensor, forward: Callable | None = None) -> Record:
    """The record, with its outputs, of what the model does with an image (1, C, H, W)."""
    image = image.to(next(model.parameters(), image).device)
    return record(model, image, forward, keep=True)


def checked(images: Tensor, pictures: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both as batches; where there are no pictures they are made from the images."""
    if not isinstance(images, Tensor) or images.dim() not in (3, 4) or not images.numel():
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor (C, H, W), or (N, C, H, W); got {got}")
    images = images if images.dim() == 4 else images[None]
    if pictures is None:
        return images, to_look_at(images)
    number, _, *size = images.shape
    channels = pictures.numel() / (number * prod(size))
    if pictures.dtype != torch.uint8 or [*pictures.shape[-2:]] != size or channels not in (1, 3):
        raise ValueError(
            f"pictures must be uint8, ({number}, 1 or 3, {size[0]}, {size[1]}) as the images are; "
            f"got {pictures.dtype} {tuple(pictures.shape)}"
        )
    return images, pictures.reshape(number, -1, *size)


def to_look_at(images: Tensor) -> Tensor:
    """Pictures as the network reads them, each stretched to the range of uint8."""
    images = images.float().nan_to_num()
    low = images.amin(dim=(1, 2, 3), keepdim=True)
    high = images.amax(dim=(1, 2, 3), keepdim=True)
    shown = ((images - low) / (high - low).clamp(min=1e-12) * 255).to(torch.uint8)
    return shown if images.shape[1] in (1, 3) else shown[:, :1]
