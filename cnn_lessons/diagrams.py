"""Drawings of networks and the tables of their papers, made from `shapes.record`.

Every function returns a Figure whose axes are in inches, x to the right and y down, at most 10
inches wide with letters of 8 points: legible on a page of 7 inches too. Colours: input grey,
convolutions blue, pools green, linear layers orange. Boxes and arrows carry names ("box-...",
"arrow-...", "shortcut-...") that stay in an SVG.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Bbox
from torch import nn

from cnn_lessons import shapes
from cnn_lessons.models import VGG, ResNet, vgg
from cnn_lessons.plots import BLUE, GREY, ORANGE
from cnn_lessons.shapes import Record, Row

WIDTH, SMALL, LETTER = 10, 8, 0.073  # inches, points, and inches of a wide letter of that size
INPUT, CONVOLUTION, POOL, LINEAR, OTHER = "#DDDDDD", "#CFE3F1", "#CDEBE1", "#FBE5B8", "white"


def _canvas(width: float, height: float, title: str) -> Axes:
    """Axes in inches; the title stands above y = 0."""
    top = 0.45 if title else 0.05
    figure = Figure((width, height + top))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, -top))
    ax.set_axis_off()
    if title:
        ax.text(width / 2, -top / 2, title, ha="center", va="center", fontsize=11)
    return ax


def _text(ax: Axes, x: float, y: float, words: str, **style) -> None:
    """Centred text of 8 points; `style` is matplotlib's."""
    ax.text(x, y, words, **{"ha": "center", "va": "center", "fontsize": SMALL, **style})


def _box(ax: Axes, x: float, y: float, size: tuple[float, float], words="", **style) -> Rectangle:
    """A rectangle around (x, y) with text in it; `style` is the rectangle's."""
    width, height = size
    look = {"facecolor": OTHER, "edgecolor": "black", "linewidth": 0.7, "zorder": 2, **style}
    box = Rectangle((x - width / 2, y - height / 2), width, height, **look)
    ax.add_patch(box)
    if words:
        _text(ax, x, y, words, zorder=3)
    return box


def _arrow(ax: Axes, points: Sequence[tuple[float, float]], name: str, **style) -> None:
    """An arrow along straight lines through `points`; `style` is the arrow's."""
    look = {"arrowstyle": "-|>,head_length=3,head_width=1.5", "color": "black", "linewidth": 0.8}
    arrow = FancyArrowPatch(path=Path(points), gid=name, **{**look, "zorder": 1, **style})
    ax.add_patch(arrow)


def _colour(row: Row) -> str:
    if not row.kind:
        return INPUT
    if row.macs or row.parameters:
        return CONVOLUTION if row.window else LINEAR
    return POOL if _is_pool(row) else OTHER


def _short_name(row: Row) -> str:
    return row.name.split(".")[-1]


def _maps(row: Row) -> str:
    """6 @ 28×28, or the length of a vector."""
    side = "×".join(map(str, row.output[2:]))
    return f"{row.output[1]} @ {side}" if side else str(row.output[1])


def _kernel(row: Row) -> str:
    """3×3 /2: the size of a window and its stride."""
    if not row.window:
        return ""
    stride = f" /{row.window.stride[0]}" if row.window.stride[0] > 1 else ""
    return "×".join(map(str, row.window.kernel)) + stride


def _input(record: Record) -> Row:
    return Row("input", "", (), record.rows[0].inputs[0], 0, 0)


def _is_pool(row: Row) -> bool:
    return "pool" in row.kind.lower() or row.kind == "Subsampling"


def _is_quiet(row: Row) -> bool:
    """A step that computes its numbers one by one, or only renames them: it gets no box."""
    same = row.kind == "Flatten" or row.inputs == (row.output,)
    return same and not (row.macs or row.window or _is_pool(row))


def _check_one_path(record: Record, figure: str) -> None:
    for number, row in enumerate(record):
        if row.sources != (number - 1,):
            raise ValueError(
                f"record must be of a network without branches for {figure}; got one "
                f"in which {row.name} reads the steps {row.sources}"
            )


# --- LeNet-5: stacked squares -------------------------------------------------------------------


def stacked_squares(record: Record, title: str = "") -> Figure:
    """A network without branches, drawn as the paper's Figure 2 draws LeNet-5.

    A stack of squares is a set of feature maps (12 squares at most), a bar is a vector. The small
    square on a stack is the window of the next layer, and its view is drawn to one point there.
    Layers of one kind that follow each other with maps of one shape share a stack. Steps that
    leave the shape alone, and Flatten, are not drawn. Raises ValueError for a network with
    branches.
    """
    _check_one_path(record, "stacked_squares")
    runs = [[_input(record)]]
    for row in record:
        if _is_quiet(row):
            continue
        if (row.kind, row.output) == (runs[-1][-1].kind, runs[-1][-1].output):
            runs[-1].append(row)
        else:
            runs.append([row])
    sizes = [_stack_size(run[0], runs) for run in runs]
    needs = [max(width, 0.66) for width, _ in sizes]
    gap = (WIDTH - sum(needs)) / len(runs)
    height = max(height for _, height in sizes)
    ax = _canvas(WIDTH, height + 1.2, title)
    left, fronts = 0.0, []
    for run, size, need in zip(runs, sizes, needs):
        centre = (left + (need + gap) / 2, height / 2 + 0.6)
        fronts.append(_stack(ax, run, size, centre, need + gap))
        left += need + gap
    for run, before, after in zip(runs[1:], fronts, fronts[1:]):
        _view(ax, run, before, after, height + 0.68)
    return ax.figure


def _stack_size(row: Row, runs: list[list[Row]]) -> tuple[float, float]:
    """Width and height of a drawn stack or bar, in inches."""
    if len(row.output) == 2:
        return 0.08, min(1.3, 0.25 + 0.15 * row.output[1] ** 0.25)
    largest, room = max(runs[0][0].output[2:]), min(1.1, 7 / len(runs))
    side, shift = 0.08 + room * max(row.output[2:]) / largest, 0.025 * (_sheets(row) - 1)
    return side + shift, side + shift


def _sheets(row: Row) -> int:
    return min(row.output[1], 12) if len(row.output) == 4 else 1


def _stack(ax: Axes, run: list[Row], size, centre, room: float) -> Rectangle:
    """Draw the maps or the vector of a run of layers with its label; return the front."""
    (x, y), shift = centre, 0.025 * (_sheets(run[0]) - 1)
    side = (size[0] - shift, size[1] - shift)
    for sheet in range(_sheets(run[0])):
        move = 0.025 * sheet - shift / 2
        face = _colour(run[0])
        front = _box(ax, x + move, y + move, side, facecolor=face, zorder=1)
    first, last = _short_name(run[0]), _short_name(run[-1])
    number = re.search("[0-9]*$", last)[0]
    name = f"{first}–{number}" if first != last else first
    maps = _maps(run[0]) if room > 1 else _maps(run[0]).replace("@ ", "@\n")
    _text(ax, x, y - size[1] / 2 - 0.08, f"{name}\n{maps}", va="bottom")
    return front


def _view(ax: Axes, run: list[Row], before: Rectangle, after: Rectangle, bottom: float) -> None:
    """The window on the maps before, its rays to one point of the maps after, and what it does."""
    x, y, width, height = *before.get_xy(), before.get_width(), before.get_height()
    row, right = run[0], x + width
    if row.window and len(row.output) == 4:
        part = width * min(1.0, row.window.kernel[0] / row.inputs[0][-1])
        corner = (x + (width - part) * 0.8, y + (height - part) * 0.3)
        window = Rectangle(
            corner, part, part, fill=False, edgecolor=ORANGE, linewidth=1.4, zorder=3
        )
        ax.add_patch(window)
        point = (after.get_x() + after.get_width() / 2, after.get_y() + after.get_height() * 0.4)
        for drop in (0, part):
            ends = (corner[0] + part, corner[1] + drop), point
            ax.plot(*zip(*ends), color=ORANGE, linewidth=0.9, zorder=3)
        ax.plot(*point, "s", color=ORANGE, markersize=2, zorder=3)
    else:
        for start, end in ((y, after.get_y()), (y + height, after.get_y() + after.get_height())):
            ax.plot((right, after.get_x()), (start, end), color=GREY, linewidth=0.7)
    kernels = ", ".join(dict.fromkeys(_kernel(row) for row in run if row.window))
    times = f"{len(run)} times" if len(run) > 1 else ""
    middle = (right + after.get_x()) / 2
    _text(ax, middle, bottom, "\n".join(filter(None, (row.kind, kernels, times))), va="top")


# --- the tables of the papers -------------------------------------------------------------------


def _table(rows: list[list[str]], widths: Sequence[float], title: str, bold=(), rules=()) -> Axes:
    """A table as wide as `widths` say: its first row is the heading, a row of one cell spans it.

    `bold` holds cells (row, column), `rules` the rows that have a line above them. The axes get
    the middles of the rows as `ax.middles`.
    """
    heights = [0.09 + 0.14 * (1 + max(cell.count("\n") for cell in row)) for row in rows]
    tops = [sum(heights[:k]) for k in range(len(rows) + 1)]
    edges = [sum(widths[:k]) for k in range(len(widths) + 1)]
    ax = _canvas(edges[-1] + 0.2, tops[-1] + 0.1, title)
    ax.set_xlim(-0.1, edges[-1] + 0.1)
    for r, row in enumerate(rows):
        y = (tops[r] + tops[r + 1]) / 2
        if len(row) == 1:
            _box(ax, edges[-1] / 2, y, (edges[-1], heights[r]), row[0], facecolor=POOL, linewidth=0)
            continue
        for c, cell in enumerate(row):
            weight = "bold" if (r, c) in bold or r == 0 else "normal"
            _text(ax, (edges[c] + edges[c + 1]) / 2, y, cell, weight=weight, zorder=3)
    for y in (0, tops[1], tops[-1], *[tops[r] for r in rules]):
        ax.plot((0, edges[-1]), (y, y), color="black", linewidth=0.8)
    for x in edges[1:-1]:
        ax.plot((x, x), (0, tops[-1]), color=GREY, linewidth=0.4, zorder=0)
    ax.middles = [(a + b) / 2 for a, b in pairwise(tops)]
    return ax


def _on_meta(build: Callable[[], nn.Module], size: tuple[int, int, int]) -> Record:
    """The record of a network that gets no memory for its weights."""
    with torch.device("meta"):
        return shapes.record(build(), size)


def vgg_table(
    column: str = "D", input_size: int = 224, num_classes: int = 1000, title: str = ""
) -> Figure:
    """VGG's Table 1 with the chosen column marked, and under it the counts of its Table 2.

    Bold is what a column has and the one to its left has not. Parameters and MACs are computed from
    `VGG(column, num_classes, input_size)`. Raises ValueError for a column that Table 1 has not.
    """
    if column not in list(vgg.TABLE_1):
        raise ValueError(f"column must be one of {', '.join(vgg.TABLE_1)}; got {column!r}")
    size = (3, input_size, input_size)
    records = [_on_meta(partial(VGG, c, num_classes, input_size), size) for c in vgg.TABLE_1]
    columns = list(vgg.TABLE_1.values())
    layers = [sum(1 for row in each if row.macs) for each in records]
    rows = [["", *vgg.TABLE_1], ["layers with weights", *map(str, layers)]]
    bold, rules = set(), {2}
    for b, blocks in enumerate(zip(*columns)):
        rules.add(len(rows))
        for k in range(max(map(len, blocks))):
            layer = [block[k] if k < len(block) else "" for block in blocks]
            news = [c for c in range(1, len(layer)) if layer[c] not in ("", layer[c - 1])]
            bold |= {(len(rows), c + 1) for c in news}
            maps = records[0][f"features.conv{b + 1}_1"]
            rows.append([f"block {b + 1}, {_side(maps)}" if k == 0 else "", *map(_vgg_cell, layer)])
        rows.append([f"max pool, 2×2, stride 2: {_side(records[0][f'features.pool{b + 1}'])}"])
    for fc in ("fc6", "fc7", "fc8"):
        rows.append([fc, *[f"FC-{each[f'classifier.{fc}'].output[1]}" for each in records]])
    rules |= {len(rows)}
    rows.append(["parameters", *[f"{each.parameters:,}" for each in records]])
    rows.append(["MACs", *[f"{each.macs:,}" for each in records]])
    ax = _table(rows, [1.6, *[1.35] * 6], title, bold, rules)
    left, end = 1.6 + 1.35 * list(vgg.TABLE_1).index(column), ax.get_ylim()[0] - 0.1
    mark = {"facecolor": CONVOLUTION, "edgecolor": BLUE, "linewidth": 2}
    _box(ax, left + 0.675, end / 2, (1.35, end), gid="chosen", zorder=0, **mark)
    return ax.figure


def _vgg_cell(layer: tuple[int, int] | str) -> str:
    return layer if isinstance(layer, str) else f"conv{layer[0]}-{layer[1]}"


def _side(row: Row) -> str:
    return "×".join(map(str, row.output[2:]))


# The columns "params" and "ops" of GoogLeNet's Table 1, as it prints them.
PRINTED_GOOGLENET = {
    "conv1": ("2.7K", "34M"), "conv2": ("112K", "360M"),
    "inception_3a": ("159K", "128M"), "inception_3b": ("380K", "304M"),
    "inception_4a": ("364K", "73M"), "inception_4b": ("437K", "88M"),
    "inception_4c": ("463K", "100M"), "inception_4d": ("580K", "119M"),
    "inception_4e": ("840K", "170M"), "inception_5a": ("1072K", "54M"),
    "inception_5b": ("1388K", "71M"), "fc": ("1000K", "1M"),
}  # fmt: skip
BRANCHES = {
    "1×1": "branch1x1.conv", "3×3\nreduce": "branch3x3.reduce", "3×3": "branch3x3.conv",
    "5×5\nreduce": "branch5x5.reduce", "5×5": "branch5x5.conv", "pool\nproj": "branch_pool.proj",
}  # fmt: skip


def googlenet_table(record: Record, title: str = "") -> Figure:
    """GoogLeNet's Table 1 from the record of a GoogLeNet: its maps, parameters and MACs.

    Beside the counts stands what the paper prints, if the pictures have its 224 pixels and 1000
    classes. The auxiliary heads are left out, as there. Raises ValueError for another network.
    """
    stages: dict[str, list[Row]] = {}
    for row in record:
        part, name, *_ = [*row.name.split("."), ""]
        if part in ("features", "classifier") and (not _is_quiet(row) or row.kind == "Dropout"):
            stages.setdefault(name.removesuffix("_reduce"), []).append(row)
    if not {*PRINTED_GOOGLENET} <= {*stages}:
        raise ValueError(f"record must be of a GoogLeNet; got one with the parts {[*stages]}")
    paper = (record[0].inputs[0][1:], record[-1].output[1]) == ((3, 224, 224), 1000)
    counts = ["parameters", "paper", "MACs", "paper"]
    rows = [["type", "patch/\nstride", "output", "depth", *BRANCHES, *counts]]
    for name, stage in stages.items():
        rows.append(_googlenet_row(name, stage, PRINTED_GOOGLENET.get(name, ("", ""))))
    inside = [row for stage in stages.values() for row in stage]
    totals = [sum(row.parameters for row in inside), sum(row.macs for row in inside)]
    rows.append(["total", *[""] * 9, f"{totals[0]:,}", "", f"{totals[1]:,}", ""])
    widths = [1.2, 0.65, 0.95, 0.5, *[0.52] * 6, 0.85, 0.6, 1.05, 0.55]
    if not paper:
        rows, widths = [row[:11] + row[12:13] for row in rows], widths[:11] + widths[12:13]
    return _table(rows, widths, title, rules=[len(rows) - 1]).figure


def _googlenet_row(name: str, stage: list[Row], printed: tuple[str, str]) -> list[str]:
    last, kinds = stage[-1], {"Conv2d": "convolution", "MaxPool2d": "max pool"}
    kind = kinds.get(last.kind, last.kind.lower())
    window = _kernel(last).replace(" ", "")
    if last.kind == "AdaptiveAvgPool2d":
        kind, window = "average pool", _side(Row("", "", (), last.inputs[0], 0, 0))
    if last.kind == "cat":
        kind = f"inception ({name.split('_')[1]})"
    layers = {".".join(row.name.split(".")[2:]): row for row in stage if row.macs}
    if name == "conv2":
        layers = dict(zip(("branch3x3.reduce", "branch3x3.conv"), stage))
    depth = max(Counter(layer.split(".")[0] for layer in layers).values(), default="")
    counts = [str(layers[b].output[1]) if b in layers else "" for b in BRANCHES.values()]
    shape = "×".join(map(str, (*last.output[2:], last.output[1])))
    totals = [sum(row.parameters for row in stage), sum(row.macs for row in stage)]
    computed = [f"{total:,}" if total else "" for total in totals]
    cells = [computed[0], printed[0], computed[1], printed[1]]
    return [kind, window, shape, str(depth), *counts, *cells]


# The row "FLOPs" of ResNet's Table 1, in 10⁹; what it counts are MACs.
PRINTED_RESNET = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}


def resnet_table(depths: Sequence[int] = (18, 34, 50, 101, 152), title: str = "") -> Figure:
    """ResNet's Table 1: the blocks of each stage, with parameters and MACs beside printed FLOPs.

    The counts are those of `ResNet(depth, stride_on="1x1")`, which strides where the paper does;
    a row of its own gives the MACs with the stride on the 3x3. Raises ValueError for other depths.
    """
    size = (3, 224, 224)
    records = [_on_meta(partial(ResNet, depth, stride_on="1x1"), size) for depth in depths]
    today = [_on_meta(partial(ResNet, depth), size) for depth in depths]
    stem, first = records[0]["conv1"], records[0]
    rows = [["layer", "output", *[f"{depth} layers" for depth in depths]]]
    rows.append(["conv1", _side(stem), *[f"{_kernel(stem)}, {stem.output[1]}"] * len(depths)])
    rows.append([f"max pool, {_kernel(first['pool1'])}: {_side(first['pool1'])}"])
    stages = ("conv2_x", "conv3_x", "conv4_x", "conv5_x")
    for stage in stages:
        cells = [_resnet_cell(each, stage) for each in records]
        rows.append([stage, _side(first[f"{stage}.0.conv2"]), *cells])
    rows.append([f"average pool: {_side(first['pool'])}, then fc {first['fc'].output[1]}, softmax"])
    rows.append(["parameters", "", *[f"{each.parameters:,}" for each in records]])
    rows.append(["MACs", "", *[f"{each.macs:,}" for each in records]])
    rows.append(["paper: FLOPs", "", *[f"{PRINTED_RESNET[depth]} × 10⁹" for depth in depths]])
    rows.append(["MACs", "stride on 3×3", *[f"{each.macs:,}" for each in today]])
    widths = [1.1, 1.1, *[1.5] * len(depths)]
    ax = _table(rows, widths, title, rules=range(2, len(rows)))
    for r, stage in enumerate(stages, start=3):
        for k, each in enumerate(records):
            names = {row.name.split(".")[1] for row in each if row.name.startswith(stage)}
            _brackets(ax, 2.95 + 1.5 * k, ax.middles[r], rows[r][k + 2], f"×{len(names)}")
    return ax.figure


def _resnet_cell(record: Record, stage: str) -> str:
    block = f"{stage}.0.conv"
    layers = [row for row in record if row.name.startswith(block)]
    return "\n".join(f"{_kernel(row).split(' ')[0]}, {row.output[1]}" for row in layers)


def _brackets(ax: Axes, x: float, y: float, words: str, times: str) -> None:
    """Square brackets around the lines of a cell, and how often the block is repeated."""
    half = 0.02 + 0.07 * (1 + words.count("\n"))
    for side in (-0.38, 0.38):
        ends, edge = x + side * 0.85, x + side
        ax.plot((ends, edge, edge, ends), (y - half, y - half, y + half, y + half), "k", lw=0.8)
    _text(ax, x + 0.57, y, times)


# --- networks with branches, as boxes and arrows ------------------------------------------------


class _Graph:
    """The steps of a record that get a box, -1 the input, and where each one stands.

    `sources` are the boxes that feed a box, `level` is the longest way from the input, `lane` the
    place across in units of a lane: branches spread around the box that they leave. What does not
    lead to the last row, such as an auxiliary head, is in `side` and has the outermost lane.
    """

    def __init__(self, record: Record):
        self.rows, self.sources = {-1: _input(record)}, {-1: []}
        through = {-1: -1}
        for number, row in enumerate(record):
            through[number] = through[row.sources[0]] if _is_quiet(row) else number
            if not _is_quiet(row):
                self.rows[number] = row
                self.sources[number] = [through[source] for source in row.sources]
        self.edges = [(s, n) for n, sources in self.sources.items() for s in sources]
        main = {through[len(record) - 1]}
        for number in reversed(self.rows):
            main |= set(self.sources[number]) if number in main else set()
        self.side = [number for number in self.rows if number not in main]
        self.level, self.lane = {-1: 0}, {-1: 0.0}
        for number in list(self.rows)[1:]:
            self.level[number] = 1 + max(self.level[s] for s in self.sources[number])
            if number in main:
                self.lane[number] = self._lane(number, main)
        outermost = max(self.lane.values()) + 1
        self.lane |= {number: outermost for number in self.side}

    def _lane(self, number: int, main: set[int]) -> float:
        """A single branch goes straight on, a second one beside it, more of them to both sides."""
        sources = self.sources[number]
        lanes = [self.lane[s] for s in sources]
        if len(sources) > 1:
            return sum(lanes) / len(lanes) if len(lanes) > 2 else min(lanes)
        branches = [n for s, n in self.edges if s == sources[0] and n in main]
        branches = [n for n in branches if len(self.sources[n]) == 1]
        middle = (len(branches) - 1) / 2 if len(branches) > 2 else 0
        return lanes[0] + branches.index(number) - middle

    def crossing(self, level: int) -> set[int]:
        """The boxes up to this level that feed one below it."""
        return {s for s, n in self.edges if self.level[s] <= level < self.level[n]}


def graph(record: Record, title: str = "") -> Figure:
    """Any of the networks as boxes and arrows, from top to bottom and on in the next column.

    A box is a layer with its name, its kernel, /stride and its number of maps; a pool and a join
    show the size of the maps. Activations, norms, dropout and Flatten are not drawn.
    """
    plan = _Graph(record)
    words = {n: _graph_words(plan, n) for n in plan.rows}
    trunk = max(_width(text) for n, text in words.items() if not plan.lane[n])
    wide = max(plan.lane.values()) - min(plan.lane.values()) > 2
    sizes = _sizes(plan, words, 0.62 if wide else trunk / 2 + 0.45)
    left = min(x - size[0] / 2 for x, size in sizes.values())
    across = max(x + size[0] / 2 for x, size in sizes.values()) - left + 0.42
    heights = _level_heights(plan, sizes)
    for count in range(1, max(2, int(WIDTH / across) + 1)):
        columns = _columns(plan, heights, count)
        tall = max(sum(heights[a:b]) for a, b in columns)
        if tall <= 5.4:
            break
    width = max(across * len(columns), 5)
    ax = _canvas(width, tall + 0.5, title)
    start = (width - across * len(columns)) / 2 - left + 0.2
    lefts = [start + across * c for c in range(len(columns))]
    _draw(ax, plan, words, sizes, columns, lefts)
    return ax.figure


def _graph_words(plan: _Graph, number: int) -> str:
    """What stands in a box: one line on the trunk, two in a branch."""
    row, name = plan.rows[number], _short_name(plan.rows[number])
    if row.kind == "add":
        return f"+  {_maps(row)}"
    if not row.kind or len(plan.sources[number]) > 1:
        return f"{row.name.split('.')[-2] if '.' in row.name else name}: {_maps(row)}"
    size = _side(row) if _is_pool(row) else str(row.output[1])
    if plan.lane[number]:
        name = ".".join(row.name.split(".")[-2:]) if number in plan.side else name
        return f"{_kernel(row) if row.window and _colour(row) != OTHER else name}\n{size}"
    return f"{name} {_kernel(row)}".strip() + f", {size}"


def _width(words: str) -> float:
    return max(len(line) for line in words.split("\n")) * LETTER + 0.08


def _sizes(plan: _Graph, words: dict[int, str], lane: float) -> dict:
    """For each box its x, 0 being the trunk, its width and its height."""
    sizes = {}
    for number, text in words.items():
        places = [sizes[s][0] for s in plan.sources[number]] or [0]
        width = max(_width(text), 0.56 if plan.lane[number] else 0)
        if len(places) > 2:
            width = max(width, max(places) - min(places) + 0.3)
        sizes[number] = (plan.lane[number] * lane, (width, 0.06 + 0.14 * (1 + text.count("\n"))))
    return sizes


def _level_heights(plan: _Graph, sizes: dict) -> list[float]:
    """Inches from level to level: the tallest box, and room for an arrow."""
    heights = [0.0] * (1 + max(plan.level.values()))
    for number, (_, size) in sizes.items():
        heights[plan.level[number]] = max(heights[plan.level[number]], size[1] + 0.17)
    return heights


def _columns(plan: _Graph, heights: list[float], count: int) -> list[tuple[int, int]]:
    """Cut the levels into at most `count` columns, as equal as they can be.

    A cut is made where one box alone feeds all that is below it, so never within a block.
    """
    cuts = [k + 1 for k in range(len(heights)) if len(plan.crossing(k)) < 2]
    room = sum(heights) / count
    while True:
        columns, start = [], 0
        while fits := [k for k in cuts if k > start and sum(heights[start:k]) < room + 0.01]:
            columns.append((start, fits[-1]))
            start = fits[-1]
        if start == len(heights) and len(columns) <= count:
            return columns
        room += 0.1


def _draw(ax: Axes, plan: _Graph, words: dict[int, str], sizes: dict, columns, lefts) -> None:
    """Draw the boxes of each column of levels around its x, and the arrows between all of them."""
    heights, places = _level_heights(plan, sizes), {}
    for (first, end), left in zip(columns, lefts):
        for number in (n for n in plan.rows if first <= plan.level[n] < end):
            level, (x, size) = plan.level[number], sizes[number]
            y = 0.2 + sum(heights[first:level]) + heights[level] / 2
            row = plan.rows[number]
            look = {"facecolor": _colour(row), "gid": f"box-{row.name}"}
            places[number] = _box(ax, left + x, y, size, words[number], **look).get_bbox()
    starts = [{} for _ in columns]
    for c in range(1, len(columns)):
        starts[c] = _lead_on(ax, plan, places, columns[c][0] - 1, lefts[c])
    for source, number in plan.edges:
        column = next(c for c, (a, b) in enumerate(columns) if a <= plan.level[number] < b)
        start = starts[column].get(source, places[source])
        _connect(ax, plan, places, (source, number), start)


def _lead_on(ax: Axes, plan: _Graph, places: dict, level: int, x: float) -> dict[int, Bbox]:
    """The line from the last box of a column to the top of the next, whose axis is at x."""
    (source,) = plan.crossing(level)
    before = [b for n, b in places.items() if plan.level[n] <= level]
    left = min(b.x0 for b in places.values() if b.x0 > max(c.x1 for c in before)) - 0.12
    middle, low = (places[source].x0 + places[source].x1) / 2, max(b.y1 for b in before) + 0.1
    points = [(middle, places[source].y1), (middle, low), (left, low), (left, 0.1), (x, 0.1)]
    _arrow(ax, points, f"on-{plan.rows[source].name}", arrowstyle="-")
    return {source: Bbox.from_extents(x, 0.1, x, 0.1)}


def _connect(ax: Axes, plan: _Graph, places: dict, edge: tuple[int, int], a: Bbox) -> None:
    """An arrow from the box or point `a`, straight or around the boxes that are in its way."""
    b, levels = places[edge[1]], [plan.level[n] for n in edge]
    middles = [(box.x0 + box.x1) / 2 for box in (a, b)]
    between = [
        box
        for n, box in places.items()
        if levels[0] < plan.level[n] < levels[1] and box.x0 < middles[0] < box.x1
    ]
    if between:
        right = max(box.x1 for box in [a, b, *between]) + 0.1
        start, end = max(a.y0, a.y1 - 0.05), b.y0 + 0.05
        points = [(a.x1, start), (right, start), (right, end), (b.x1, end)]
    else:
        straight = [x for x in middles if max(a.x0, b.x0) <= x <= min(a.x1, b.x1)]
        start, end = straight[:1] * 2 or (
            min(max(x, box.x0), box.x1) for x, box in zip(middles[::-1], (a, b))
        )
        points = [(start, a.y1), (end, b.y0)]
    _arrow(ax, points, f"arrow-{plan.rows[edge[0]].name}-{plan.rows[edge[1]].name}")
