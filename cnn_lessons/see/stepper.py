"""Step through a network: one layer at a time, with its arithmetic, its view and its feature maps.

    Stepper(model, images, class_names=CLASS_NAMES)

`step` computes what is shown for one layer as plain strings, numbers and pixels; `Stepper` is the
panel around it.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, prod, sqrt

import ipywidgets as W
import numpy as np
import torch
from IPython.display import display
from matplotlib import colormaps
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.see import colours, plots, svg
from cnn_lessons.see.panels import Panel
from cnn_lessons.shapes import Record, Row, record

MOST_MAPS, MOST_NUMBERS, MOST_KERNELS, MOST_CLASSES = 64, 4096, 16, 10
LARGEST_MAP, SMALLEST_TILE = 48, 24  # pixels in a mosaic; larger maps are averaged down
SIDE, MOSAIC_SIDE, KERNEL_SIDE = 170, 240, 110  # pixels on the screen


@dataclass(frozen=True)
class Step:
    """What there is to show of one row: sentences, and pixels as uint8 (height, width, 3).

    `facts` are pairs of a heading and a sentence with the numbers filled in. `picture` is the input
    with the view of the middle unit, `maps` all feature maps of the step (the first ones, if there
    are many), `one_map` the chosen one, `kernel` its weights, one square for each map that it
    reads; each is None where the step has none. `scores` are (class name, logit, probability) from
    the likeliest on, for the network's last steps. `text` says in one sentence what is seen.
    """

    number: int
    name: str
    kind: str
    facts: tuple[tuple[str, str], ...]
    picture: np.ndarray | None
    maps: np.ndarray | None
    one_map: np.ndarray | None
    kernel: np.ndarray | None
    scores: tuple[tuple[str, float, float], ...]
    text: str


def step(
    recorded: Record,
    number: int,
    model: nn.Module | None = None,
    picture: np.ndarray | None = None,
    channel: int = 0,
    class_names: Sequence[str] = (),
) -> Step:
    """All that the stepper shows of row `number`; any other front end can draw it.

    `recorded` is a record made with `keep=True` (else there are no maps), `picture` the input as
    uint8 (height, width, 3), `channel` the map to enlarge. Kernels are read from `model`.
    Raises ValueError for a number that the record has not.
    """
    if not 0 <= number < len(recorded):
        raise ValueError(f"number must be from 0 to {len(recorded) - 1}; got {number}")
    row = recorded[number]
    maps = _as_maps(recorded.outputs[number]) if recorded.outputs else None
    channel = min(channel, len(maps) - 1) if maps is not None else 0
    shown = f"; {_shown(maps)}" if maps is not None else ""
    return Step(
        number,
        row.name,
        row.kind,
        _facts(recorded, row),
        None if picture is None else _with_view(picture, row),
        None if maps is None else _mosaic(maps),
        None if maps is None or _is_vector(maps) else _colours(maps[channel], maps.abs().max()),
        _kernel(model, row, channel) if model is not None else None,
        _scores(recorded, number, class_names),
        f"Step {number} of {len(recorded) - 1}: {row.name}, {row.kind}, "
        f"output {_shape(row)}{shown}.",
    )


# --- the arithmetic in words --------------------------------------------------------------------


def _facts(recorded: Record, row: Row) -> tuple[tuple[str, str], ...]:
    facts = [("Output", _size(row)), ("Reads", _reads(recorded, row))]
    if row.parameters or row.weights:
        facts.append(("Parameters", _parameters(row)))
    if row.macs:
        facts.append(("MACs", _macs(row)))
    facts.append(("Memory", f"{row.memory:,} bytes for one picture" if row.memory else "none new"))
    if row.field and len(row.field) == 2:
        facts.append(("Sees", _sees(recorded, row)))
    if row.dead:
        facts.append(("Dead", f"{row.dead:,} of {row.weights:,} weights only ever meet padding"))
    return tuple(facts)


def _size(row: Row) -> str:
    """How the output's size follows from the input's, with the numbers filled in."""
    entering, leaving = row.inputs[0], row.output
    if row.window and len(entering) == 4 == len(leaving):
        axes = [_window_formula(row, axis) for axis in (0, 1)]
        if entering[2] == entering[3] and axes[0] == axes[1]:
            return f"{axes[0]}, for height and width; {leaving[1]} channels"
        return f"height {axes[0]}; width {axes[1]}; {leaving[1]} channels"
    if row.kind == "cat" and len(leaving) == 4:
        channels = " + ".join(str(shape[1]) for shape in row.inputs)
        return f"{channels} = {leaving[1]} channels of {leaving[2]}×{leaving[3]}"
    if len(leaving) == 2 and len(entering) > 2 and prod(entering[1:]) == leaving[1]:
        return f"{'·'.join(map(str, entering[1:]))} = {leaving[1]:,} numbers in a row"
    if len(row.inputs) > 1 and row.kind in ("add", "mul"):
        return f"{_shape(row)}: the inputs are combined element by element"
    if entering == leaving:
        return f"{_shape(row)}: the shape stays"
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
    names = ["the input" if s < 0 else f"step {s} ({recorded[s].name})" for s in row.sources]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _parameters(row: Row) -> str:
    biases = row.parameters - row.weights
    plus = f" + {biases} biases" if biases else ""
    if row.weights and row.weights == prod(_weight_shape(row)):
        out, *window = _weight_shape(row)
        each = "kernels" if row.window else "units"
        return f"{out} {each} of {'·'.join(map(str, window))} weights{plus} = {row.parameters:,}"
    if not row.weights and row.parameters == 2 * row.output[1]:
        return f"2·{row.output[1]} = {row.parameters:,}: a scale and a shift for each channel"
    return f"{row.parameters:,}"


def _macs(row: Row) -> str:
    """Every number of the output costs as many MACs as the kernel has weights for it."""
    numbers = prod(row.output[1:])
    _, *window = _weight_shape(row)
    if numbers * prod(window) == row.macs:
        places = "·".join(map(str, row.output[1:]))
        return f"{places} numbers, each {'·'.join(map(str, window))}: {row.macs:,}"
    return f"{row.macs:,}"


def _weight_shape(row: Row) -> tuple[int, ...]:
    """Of a convolution or linear layer, as the shapes and the window tell: out, in, and kernel."""
    read = row.inputs[0][1] if len(row.inputs[0]) in (2, 4) else row.inputs[0][-1]
    made = row.output[1] if len(row.output) in (2, 4) else row.output[-1]
    return (made, read // row.groups, *(row.window.kernel if row.window else ()))


def _sees(recorded: Record, row: Row) -> str:
    (height, width), (down, across) = row.receptive_field, row.field
    seen = f"{height}×{width} pixels of the input"
    if any(size > side for size, side in zip((height, width), recorded[0].inputs[0][2:])):
        seen += ", which is more than there are: the rest is padding"
    if len(row.output) < 3:
        return f"{seen}, all its numbers together"
    if not (down.stride or across.stride):
        return f"{seen}, the same for each unit"
    return (
        f"{seen}; the first view is centred on pixel ({down.centre:g}, {across.centre:g}), "
        f"the next one is {across.stride} further"
    )


def _shape(row: Row) -> str:
    return _numbers(row.output)


def _numbers(shape: tuple[int, ...]) -> str:
    return f"[N, {', '.join(map(str, shape[1:]))}]"


def _scores(
    recorded: Record, number: int, class_names: Sequence[str]
) -> tuple[tuple[str, float, float], ...]:
    """For the steps at the end whose numbers are the network's answer."""
    last = recorded.rows[-1].output
    if not recorded.outputs or len(last) != 2 or any(r.output != last for r in recorded[number:]):
        return ()
    logits = recorded.outputs[number][0].float()
    probabilities = logits.softmax(dim=0)
    names = class_names if len(class_names) == len(logits) else range(len(logits))
    best = probabilities.topk(min(MOST_CLASSES, len(logits))).indices.tolist()
    return tuple((str(names[k]), logits[k].item(), probabilities[k].item()) for k in best)


# --- pixels -------------------------------------------------------------------------------------


def _as_maps(output: Tensor) -> Tensor:
    """Whatever a step gave for one picture, as float maps (number, height, width)."""
    output = output[0].float() if output.dim() else output.float()
    if output.dim() < 2:
        return output.reshape(-1)[:MOST_NUMBERS, None, None]
    return output.reshape(-1, *output.shape[-2:])


def _is_vector(maps: Tensor) -> bool:
    return maps.shape[1:] == (1, 1)


def _shown(maps: Tensor) -> str:
    number, height, width = maps.shape
    if _is_vector(maps):
        return f"{number:,} numbers"
    part = f"the first {MOST_MAPS} of " if number > MOST_MAPS else ""
    return f"{part}{number} maps of {height}×{width}"


def _mosaic(maps: Tensor) -> np.ndarray:
    """All maps side by side in one picture, nearly square, with one scale of colours."""
    largest = maps.abs().max()
    gap = 0 if _is_vector(maps) else 1
    maps = maps[: MOST_NUMBERS if not gap else MOST_MAPS]
    if max(maps.shape[1:]) > LARGEST_MAP:
        size = [min(LARGEST_MAP, n) for n in maps.shape[1:]]
        maps = F.adaptive_avg_pool2d(maps[None], size)[0]
    return _tiled(_colours(maps, largest), gap)


def _tiled(tiles: np.ndarray, gap: int) -> np.ndarray:
    """Tiles (number, height, width, 3) in a grid, grey between them and where none is left."""
    if gap:  # small ones are enlarged first, so that the gap stays thin
        scale = max(1, SMALLEST_TILE // max(tiles.shape[1:3]))
        tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    number, height, width, _ = tiles.shape
    columns = ceil(sqrt(number))
    rows = ceil(number / columns)
    grid = np.full((rows * (height + gap), columns * (width + gap), 3), 140, np.uint8)
    for k, tile in enumerate(tiles):
        y, x = k // columns * (height + gap), k % columns * (width + gap)
        grid[y : y + height, x : x + width] = tile
    return grid[: grid.shape[0] - gap, : grid.shape[1] - gap]


def _colours(values: Tensor, largest: Tensor, name: str = colours.ACTIVATIONS) -> np.ndarray:
    """Red above 0 and blue below for activations, green and brown for weights."""
    share = (values / largest.clamp(min=1e-12) / 2 + 0.5).nan_to_num(0.5)
    return colormaps[name](share.clamp(0, 1).numpy(), bytes=True)[..., :3]


def _kernel(model: nn.Module, row: Row, channel: int) -> np.ndarray | None:
    """The weights of one map: a square for each map that it reads, the first ones if many."""
    try:
        weight = getattr(model.get_submodule(row.name.split(" (")[0]), "weight", None)
    except AttributeError:  # a function between layers
        return None
    if weight is None or weight.dim() != 4 or channel >= len(weight):
        return None
    weight = weight[channel].detach().float().cpu()
    return _tiled(_colours(weight[:MOST_KERNELS], weight.abs().max(), colours.WEIGHTS), gap=1)


def _with_view(picture: np.ndarray, row: Row) -> np.ndarray:
    """The picture, enlarged, with the view of the middle unit framed."""
    scale = max(1, 224 // max(picture.shape[:2]))
    shown = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    if row.field is None or len(row.field) != 2:
        return shown
    sizes = row.output[-2:] if len(row.output) >= 4 else (1, 1)
    (top, bottom), (left, right) = (
        _ends(seen.first + size // 2 * seen.stride, seen.size, side, scale)
        for seen, size, side in zip(row.field, sizes, picture.shape[:2])
    )
    for inset, colour in ((0, (0, 0, 0)), (1, (230, 159, 0)), (2, (230, 159, 0))):
        y0, y1, x0, x1 = top + inset, bottom - inset - 1, left + inset, right - inset - 1
        shown[y0 : y1 + 1, [x0, x1]] = colour
        shown[[y0, y1], x0 : x1 + 1] = colour
    return shown


def _ends(first: int, size: int, side: int, scale: int) -> tuple[int, int]:
    """From where to where a view reaches on the enlarged picture, at least 6 pixels."""
    start, end = max(0, first), min(side, first + size)
    start, end = min(start, side - 1) * scale, max(end, 1) * scale
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


# --- the panel ----------------------------------------------------------------------------------

# A list box is a table that can be clicked, walked through with the arrow keys, and read aloud. Its
# columns need letters of one width. Its keys stop here: JupyterLab would go to another cell with
# the arrows, and delete a cell with two letters. With Ctrl or Shift they still are JupyterLab's.
# The label is read aloud only.
LETTERS = "font-family: monospace; font-size: 11px; line-height: 1.3; margin: 0; padding-left: 4px"
STYLE = f"""<style onload="this.closest('.cnn-steps').onkeydown = event =>
    event.ctrlKey || event.metaKey || event.shiftKey || event.stopPropagation()">
  .cnn-steps select {{ {LETTERS} }}
  .cnn-steps option:checked {{ background: #0072B2 linear-gradient(#0072B2, #0072B2);
  color: white }}
  .cnn-steps .widget-label {{ position: absolute; clip-path: inset(50%) }}</style>"""


class Stepper(Panel):
    """Step through `model` with a picture: the layer table, and all that `step` tells of a layer.

    `images` is what the network reads, float (3, H, W) or (N, 3, H, W) to choose from; `pictures`
    the same to look at, uint8 (N, 3, H, W), made from `images` where not given. `labels` (N,) names
    the pictures by `class_names`, which also name the answers. `forward` is as in `shapes.record`.

    In a stored notebook the reader finds the table and a strip of feature maps. Raises ValueError
    for images of another shape, and ShapeError, with the layers that ran, if a layer fails.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        pictures: Tensor | None = None,
        labels: Tensor | None = None,
        class_names: Sequence[str] = (),
        forward: Callable | None = None,
    ):
        self.images = images[None] if images.dim() == 3 else images
        if self.images.dim() != 4 or not len(self.images):
            raise ValueError(
                "images must have the axes (channels, height, width), or several of them in front; "
                f"got {tuple(images.shape)}"
            )
        pictures = _to_look_at(self.images) if pictures is None else pictures
        self.pictures = pictures.reshape(len(self.images), -1, *pictures.shape[-2:])
        self.model, self.forward, self.class_names = model, forward, class_names
        self._record_picture(0)
        super().__init__(self._controls(labels))
        self.show()

    def _record_picture(self, number: int) -> None:
        device = next(self.model.parameters(), self.images).device
        image = self.images[number : number + 1].to(device)
        self.record = record(self.model, image, self.forward, keep=True)
        pixels = self.pictures[number].cpu().permute(1, 2, 0).numpy()
        self._pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels

    def _controls(self, labels: Tensor | None) -> list[W.Widget]:
        moving, heading = self._moving()
        self._choosing(labels)
        self.number.observe(lambda _: self.show(), "value")
        self.channel.observe(lambda _: self.show(), "value")
        self.picture.observe(self._another_picture, "value")
        self.details = W.HTML(layout=W.Layout(flex="1 1 400px", max_width="560px"))
        left = W.VBox([W.HTML(f'{STYLE}<pre style="{LETTERS}">{heading}</pre>'), self.table])
        left.add_class("cnn-steps")
        wrapping = W.Layout(flex_flow="row wrap", align_items="flex-start")
        controls = W.Box([*moving, self.picture, self.channel], layout=wrapping)
        return [controls, W.Box([left, self.details], layout=wrapping)]

    def _moving(self) -> tuple[list[W.Widget], str]:
        """What goes from step to step, all linked to `number`, and the heading of the table."""
        last = len(self.record) - 1
        self.number = W.BoundedIntText(0, 0, last, **_labelled("Step", 110))
        narrow = {"layout": W.Layout(width="100px")}
        back = W.Button(description="◀ Previous", **narrow)
        forth = W.Button(description="Next ▶", **narrow)
        back.on_click(lambda _: self.go(self.number.value - 1))
        forth.on_click(lambda _: self.go(self.number.value + 1))
        play = W.Play(value=0, min=0, max=last, interval=1000)
        slider = W.IntSlider(0, 0, last, readout=False, layout=W.Layout(width="130px"))
        heading, lines = table_lines(self.record)
        self.table = W.Select(
            options=[(line, k) for k, line in enumerate(lines)],
            index=0, rows=min(22, len(lines)), description="Layers",
            layout=W.Layout(width=f"{6.7 * len(heading) + 24:.0f}px"),
        )  # fmt: skip
        for widget, trait in ((slider, "value"), (play, "value"), (self.table, "index")):
            W.jslink((widget, trait), (self.number, "value"))
        return [back, forth, self.number, play, slider], heading

    def _choosing(self, labels: Tensor | None) -> None:
        """The picture and the map to look at."""
        names = [f"{k}: {self._name_of(label)}" for k, label in enumerate(_numbers_of(labels))]
        names = names or [str(k) for k in range(len(self.images))]
        pairs = [(name, k) for k, name in enumerate(names)]
        self.picture = W.Dropdown(options=pairs, **_labelled("Picture", 180))
        self.channel = W.BoundedIntText(0, 0, 0, **_labelled("Map", 110))

    def _name_of(self, label: int) -> str:
        return self.class_names[label] if label < len(self.class_names) else f"class {label}"

    def go(self, number: int) -> None:
        """Show this step, or the nearest there is."""
        self.number.value = min(max(0, number), len(self.record) - 1)

    def step(self) -> Step:
        """What is shown now."""
        number, channel = self.number.value, self.channel.value
        return step(self.record, number, self.model, self._pixels, channel, self.class_names)

    def show(self) -> None:
        """Draw the present step; the number of its maps is the limit of the map to choose."""
        maps = len(_as_maps(self.record.outputs[self.number.value]))
        self.channel.max = maps - 1
        self.details.value = step_html(self.step(), self.channel.value)

    def _another_picture(self, change: dict) -> None:
        self._record_picture(change["new"])
        self.show()

    def static_html(self) -> str:
        return self.record._repr_html_()

    def static_text(self) -> str:
        return str(self.record)

    def _ipython_display_(self) -> None:
        """The panel, and below it the strip of maps that stays when the kernel is gone."""
        display(self._repr_mimebundle_(), raw=True)
        tiles, titles = film_strip(self.record, self._pixels)
        steps = len(tiles) - 1
        plots.show(
            plots.film_strip(tiles, titles),
            f"The picture and up to four maps of each of {steps} steps, from left to right.",
        )


def _labelled(text: str, width: int) -> dict:
    """A control with its label close to it, so wide in pixels."""
    style = {"description_width": "initial"}
    return {"description": text, "layout": W.Layout(width=f"{width}px"), "style": style}


def _to_look_at(images: Tensor) -> Tensor:
    """Pictures as the network reads them, each stretched to the range of uint8."""
    low = images.amin(dim=(1, 2, 3), keepdim=True)
    high = images.amax(dim=(1, 2, 3), keepdim=True)
    shown = ((images - low) / (high - low).clamp(min=1e-12) * 255).to(torch.uint8)
    return shown if images.shape[1] in (1, 3) else shown[:, :1]


def _numbers_of(labels: Tensor | None) -> list[int]:
    return [] if labels is None else torch.as_tensor(labels).tolist()


def table_lines(recorded: Record) -> tuple[str, list[str]]:
    """The layer table as lines of equal width for a list box: a heading, and a line a row."""
    branches = branch_lines(recorded)
    cells = [("#", "", "layer", "kind", "output", "parameters")]
    for number, (row, branch) in enumerate(zip(recorded, branches)):
        name = row.name if len(row.name) <= 22 else "…" + row.name[-21:]
        cells.append((str(number), branch[:16], name, row.kind, _shape(row), f"{row.parameters:,}"))
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for line in cells:
        parts = [cell.ljust(width) for cell, width in zip(line, widths)]
        parts[0], parts[-1] = line[0].rjust(widths[0]), line[-1].rjust(widths[-1])
        lines.append(" ".join(parts).replace(" ", "\N{NO-BREAK SPACE}"))
    return lines[0], lines[1:]


def step_html(shown: Step, channel: int) -> str:
    """A step as HTML: what it is, its arithmetic, and its pictures, each with its text."""
    facts = "".join(
        f'<tr><th scope="row" style="text-align: left; vertical-align: top; padding-right: 8px">'
        f'{name}</th><td style="text-align: left">{html.escape(text)}</td></tr>'
        for name, text in shown.facts
    )
    parts = [
        _img(shown.picture, "what the middle unit sees", SIDE),
        _img(shown.maps, "the output, red above 0 and blue below", MOSAIC_SIDE),
        _img(shown.one_map, f"map {channel}", SIDE),
        _img(shown.kernel, f"kernel of map {channel}, green above 0 and brown below", KERNEL_SIDE),
    ]
    pictures = "".join(part for part in parts if part)
    return (
        f'<div style="margin-left: 12px; line-height: 1.35">'
        f"<b>{shown.number}: {html.escape(shown.name)}</b> ({html.escape(shown.kind)})"
        f"<table>{facts}</table>"
        f'<div style="display: flex; flex-wrap: wrap; gap: 12px">{pictures}</div>'
        f"{_scores_html(shown)}"
        f'<p aria-live="polite" style="font-size: 85%">{html.escape(shown.text)}</p></div>'
    )


def _img(pixels: np.ndarray | None, text: str, side: int) -> str:
    if pixels is None:
        return ""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    return (
        f'<figure style="margin: 0"><img src="{svg.png(pixels)}" alt="{text}" '
        f'width="{round(width * scale)}" height="{round(height * scale)}" '
        f'style="image-rendering: pixelated; max-width: none">'
        f'<figcaption style="font-size: 85%">{text}</figcaption></figure>'
    )


def _scores_html(shown: Step) -> str:
    if not shown.scores:
        return ""
    rows = "".join(
        f'<tr><td style="text-align: left">{html.escape(name)}</td>'
        f"<td>{round(logit, 2) + 0:.2f}</td><td>{probability:.1%}</td>"
        f'<td style="text-align: left"><div style="background: {colours.SCORES}; height: 10px; '
        f'width: {160 * probability:.0f}px"></div></td></tr>'
        for name, logit, probability in shown.scores
    )
    return (
        '<table><thead><tr><th scope="col" style="text-align: left">class</th>'
        '<th scope="col">logit</th><th scope="col">softmax</th><th></th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def film_strip(recorded: Record, picture: np.ndarray) -> tuple[list[np.ndarray], list[str]]:
    """The picture, then the first four maps of each step that makes new ones, with their titles.

    Blocks of branches or shortcuts show their output. Needs a record with outputs.
    """
    folded = recorded.fold()
    tiles, titles = [picture], ["the picture"]
    for row, output in zip(folded.rows, folded.outputs):
        if len(row.output) == 4 and (row.window or row.inside):
            channels, height, width = row.output[1:]
            tiles.append(_mosaic(_as_maps(output)[:4]))
            titles.append(f"{_short_name(row.name)}\n{channels}×{height}×{width}")
    return tiles, titles


def _short_name(name: str) -> str:
    """The last part of a name; with the part before it where that is only a number in a list."""
    parts = name.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]
