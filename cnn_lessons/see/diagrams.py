"""Drawings of networks, made from `shapes.record`.

Every function returns a Figure whose axes are in inches, x to the right and y down, at most 10
inches wide with letters of 8 points: legible on a page of 7 inches too. Colours: input grey,
convolutions blue, pools green, linear layers orange. Boxes and arrows carry names ("box-...",
"arrow-...", "shortcut-...") that stay in an SVG.
"""

import re
from functools import partial
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from cnn_lessons.models import BasicBlock, Bottleneck
from cnn_lessons.models.googlenet import NaiveInception
from cnn_lessons.see.colours import (
    BLUE,
    CONVOLUTION,
    GREY,
    INPUT,
    LINEAR,
    ORANGE,
    OTHER,
    POOL,
    STAGES,
)
from cnn_lessons.see.tables import BRANCHES
from cnn_lessons.shapes import Record, Row, on_meta

WIDTH, SMALL, LETTER = 10, 8, 0.073  # inches, points, and inches of a wide letter of that size


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


def _arrow(ax: Axes, points: Path | list[tuple[float, float]], name: str, **style) -> None:
    """An arrow along a path or straight lines through points; `style` is the arrow's."""
    look = {"arrowstyle": "-|>,head_length=3,head_width=1.5", "color": "black", "linewidth": 0.8}
    path = points if isinstance(points, Path) else Path(points)
    arrow = FancyArrowPatch(path=path, gid=name, **{**look, "zorder": 1, **style})
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


def _side(row: Row) -> str:
    return "×".join(map(str, row.output[2:]))


# --- networks with branches, as boxes and arrows ------------------------------------------------


class _Graph:
    """The steps of a record that get a box, -1 the input, and where each one stands.

    `sources` are the boxes that feed a box, `level` is the longest way from the input, `lane` the
    place across in units of a lane: branches spread around the box that they leave. What does not
    lead to the last row, such as an auxiliary head, is in `side` and has the outermost lane.
    """

    def __init__(self, record: Record):
        self.rows, self.sources = {-1: _input(record)}, {-1: []}
        if any(source < -1 for row in record for source in row.sources):
            raise ValueError("record must be of a network with one input; got one with more")
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
        self.lane |= dict.fromkeys(self.side, outermost)

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
    sizes = _sizes(plan, words, 0.6 if wide else trunk / 2 + 0.45)
    left = min(x - size[0] / 2 for x, size in sizes.values())
    across = max(x + size[0] / 2 for x, size in sizes.values()) - left + 0.38
    heights = _level_heights(plan, sizes)
    for count in range(1, max(2, int(WIDTH / across) + 1)):
        columns = _columns(plan, heights, count)
        tall = max(sum(heights[a:b]) for a, b in columns)
        if tall <= 5.4:
            break
    width = max(across * len(columns), 5)
    ax = _canvas(width, tall + 0.5, title)
    start = (width - across * len(columns)) / 2 - left + 0.19
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
        name = "\n".join(row.name.split(".")[-2:]) if number in plan.side else name
        return f"{_kernel(row) if row.window and _colour(row) != OTHER else name}\n{size}"
    return f"{name} {_kernel(row)}".strip() + f", {size}"


def _width(words: str) -> float:
    return max(len(line) for line in words.split("\n")) * LETTER + 0.08


def _sizes(plan: _Graph, words: dict[int, str], lane: float) -> dict:
    """For each box its x, 0 being the trunk, its width and its height."""
    sizes = {}
    for number, text in words.items():
        places = [sizes[s][0] for s in plan.sources[number]] or [0]
        width = max(_width(text), 0.54 if plan.lane[number] else 0)
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
        starts[c] = _lead_on(ax, plan, places, columns[c][0] - 1)
    for source, number in plan.edges:
        column = next(c for c, (a, b) in enumerate(columns) if a <= plan.level[number] < b)
        start = starts[column].get(source, places[source])
        _connect(ax, plan, places, (source, number), start)


def _lead_on(ax: Axes, plan: _Graph, places: dict[int, Bbox], level: int) -> dict[int, Bbox]:
    """The line from the last box of a column to above those that it feeds in the next one."""
    (source,) = plan.crossing(level)
    before = [box for n, box in places.items() if plan.level[n] <= level]
    edge = max(box.x1 for box in before)
    left = min(box.x0 for box in places.values() if box.x0 > edge) - 0.12
    fed = [places[n] for s, n in plan.edges if s == source and plan.level[n] > level]
    ends = [(box.x0 + box.x1) / 2 for box in fed]
    middle, low = (places[source].x0 + places[source].x1) / 2, max(box.y1 for box in before) + 0.1
    points = [
        (middle, places[source].y1),
        (middle, low),
        (left, low),
        (left, 0.1),
        (max(ends), 0.1),
    ]
    _arrow(ax, points, f"on-{plan.rows[source].name}", arrowstyle="-")
    return {source: Bbox.from_extents(min(ends), 0.1, max(ends), 0.1)}


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
        points = _straight(a, b, joins=len(plan.sources[edge[1]]) > 1)
    _arrow(ax, points, f"arrow-{plan.rows[edge[0]].name}-{plan.rows[edge[1]].name}")


def _straight(a: Bbox, b: Bbox, joins: bool) -> list[tuple[float, float]]:
    """Straight down from `a` to `b`, or round one corner: beside `a`, or beside a join."""
    middles = [(box.x0 + box.x1) / 2 for box in ((a, b) if joins else (b, a))]
    for x in middles:
        if max(a.x0, b.x0) <= x <= min(a.x1, b.x1):
            return [(x, a.y1), (x, b.y0)]
    if joins:
        side = b.x1 if middles[0] > b.x1 else b.x0
        return [(middles[0], a.y1), (middles[0], b.y0 + 0.05), (side, b.y0 + 0.05)]
    side = a.x1 if middles[0] > a.x1 else a.x0
    return [(side, a.y1 - 0.05), (middles[0], a.y1 - 0.05), (middles[0], b.y0)]


def inception(record: Record, title: str = "") -> Figure:
    """Figure 2 of GoogLeNet: an Inception module, right, and the naive one it replaces, left.

    `record` is that of one Inception module. A box has its layer and maps, its parameters and its
    MACs; the naive module is built for the same input and the same kernels. Raises ValueError for
    the record of anything else.
    """
    names = {row.name for row in record}
    if not {*BRANCHES.values()} <= names:
        raise ValueError(f"record must be of one Inception module; got the steps {sorted(names)}")
    size = record[0].inputs[0][1:]
    widths = [record[f"branch{k}.conv"].output[1] for k in ("1x1", "3x3", "5x5")]
    naive = on_meta(partial(NaiveInception, size[0], *widths), size)
    parts = (("naive (Figure 2a)", naive), ("with reductions (Figure 2b)", record))
    plans = [_Graph(each) for _, each in parts]
    words = [{n: _cost_words(row) for n, row in plan.rows.items()} for plan in plans]
    sizes = [_sizes(plan, texts, 1.2) for plan, texts in zip(plans, words)]
    bottom = max(sum(_level_heights(*both)) for both in zip(plans, sizes)) + 0.45
    ax = _canvas(WIDTH, bottom + 0.5, title)
    for k, (name, each) in enumerate(parts):
        middle, levels = 2.5 + 5 * k, (0, 1 + max(plans[k].level.values()))
        _draw(ax, plans[k], words[k], sizes[k], [levels], [middle])
        total = f"{name}\n{each.parameters:,} parameters, {each.macs:,} MACs"
        _text(ax, middle, bottom, total, fontsize=9, weight="bold")
    _text(ax, WIDTH / 2, 0.1, "in a box: layer and maps, parameters, MACs")
    return ax.figure


def _cost_words(row: Row) -> str:
    if not row.kind:
        return f"previous layer: {_maps(row)}"
    if row.kind == "cat":
        return f"filter concatenation: {_maps(row)}"
    name = "conv" if row.name.startswith("conv") else _short_name(row)
    cost = f"\n{row.parameters:,}\n{row.macs:,}" if row.macs else ""
    return f"{name} {_kernel(row)}, {row.output[1]}{cost}"


# --- shortcuts ----------------------------------------------------------------------------------


class Shortcut(NamedTuple):
    """From the step `fork` (-1 is the input) to the addition `join`, past `steps` of its own."""

    fork: int
    join: int
    steps: list[int]
    identity: bool


def _shortcuts(record: Record) -> list[Shortcut]:
    """The additions of two paths; the shortcut is the path with fewer MACs."""
    found = []
    for join, row in enumerate(record):
        if row.kind != "add" or len(row.sources) != 2:
            continue
        paths = [_path_to(record, source) for source in row.sources]
        fork = max({*paths[0]} & {*paths[1]})
        paths = [[n for n in path if n > fork] for path in paths]
        steps = min(paths, key=lambda path: (sum(record.rows[n].macs for n in path), len(path)))
        identity = all(record.rows[n].kind == "Identity" for n in steps)
        found.append(Shortcut(fork, join, steps, identity))
    return found


def _hidden(shortcuts: list[Shortcut]) -> set[int]:
    """The steps that are on shortcuts, and so not on the main path."""
    return {n for short in shortcuts for n in short.steps}


def _path_to(record: Record, number: int) -> list[int]:
    path = [number]
    while path[-1] >= 0:
        path.append(record.rows[path[-1]].sources[0])
    return path


def blocks(*records: Record, title: str = "") -> Figure:
    """Figure 5 of ResNet: residual blocks side by side, each from the record of one block.

    Without records these are the paper's two, a BasicBlock on 64 maps and a Bottleneck on 256. The
    shortcut is solid if it is the identity, dashed if it changes the shape.
    """
    side = (56, 56)
    records = records or (
        on_meta(partial(BasicBlock, 64, 64), (64, *side)),
        on_meta(partial(Bottleneck, 256, 64), (256, *side)),
    )
    hidden = [_hidden(_shortcuts(each)) for each in records]
    most = max(
        sum(row.macs > 0 for n, row in enumerate(each) if n not in steps)
        for each, steps in zip(records, hidden)
    )
    ax = _canvas(3.3 * len(records), 1.8 + 0.7 * most, title)
    for k, each in enumerate(records):
        _block(ax, 3.3 * k + 1.35, each)
    return ax.figure


def _block(ax: Axes, x: float, record: Record) -> None:
    """One residual block around x: its layers, what stands between them, and the shortcut."""
    shortcuts = _shortcuts(record)
    if len(shortcuts) != 1:
        raise ValueError(f"records must be of one residual block each; got {len(shortcuts)} sums")
    short, y = shortcuts[0], 0.4
    main = [row for n, row in enumerate(record) if n not in short.steps]
    first = record.rows[0].inputs[0]
    _text(ax, x - 0.1, 0.2, f"{first[1]}-d", ha="right")
    start, beside = 0.1, []
    for row in main:
        if row.macs or row.kind == "add":
            y += 0.7
            _arrow(ax, [(x, start), (x, y - 0.14)], f"arrow-{row.name}")
            _text(ax, x - 0.1, y - 0.42, ", ".join(beside), ha="right")
            words = "+" if row.kind == "add" else f"{_kernel(row)}, {row.output[1]}"
            size = (0.28, 0.28) if row.kind == "add" else (1.3, 0.28)
            face = CONVOLUTION if row.macs else OTHER
            _box(ax, x, y, size, words, facecolor=face, gid=f"box-{row.name}")
            start, beside = y + 0.14, []
        else:
            beside.append({"BatchNorm2d": "batch norm"}.get(row.kind, row.kind))
        end = y
    _arrow(ax, [(x, start), (x, start + 0.5)], "arrow-out")
    _text(ax, x - 0.1, start + 0.25, ", ".join(beside), ha="right")
    _text(ax, x + 0.1, start + 0.4, f"{main[-1].output[1]}-d", ha="left")
    _block_shortcut(ax, x, end, record, short)


def _block_shortcut(ax: Axes, x: float, end: float, record: Record, short: Shortcut) -> None:
    steps = [record.rows[n] for n in short.steps if record.rows[n].macs]
    words = "\n".join(f"{_kernel(row)}, {row.output[1]}" for row in steps)
    words = "identity" if short.identity else words or "zero maps\nadded"
    right, middle = x + 1.5, (0.4 + end) / 2
    dashes = "-" if short.identity else (0, (4, 2))
    route = [(x, 0.4), (right, 0.4), (right, end), (x + 0.14, end)]
    _arrow(ax, route, f"shortcut-{short.join}", linestyle=dashes, linewidth=1.2)
    face, edge = (CONVOLUTION if steps else OTHER), (0 if short.identity else 0.7)
    _box(ax, right, middle, (_width(words), 0.34), words, facecolor=face, linewidth=edge)


def chain(*records: Record, title: str = "") -> Figure:
    """Figure 3 of ResNet: each network as a chain of layers, its shortcuts as arcs over it.

    A solid arc is the identity, a dashed one changes the shape. A colour is a size of the maps. The
    networks stand one above the other, a long one in several lines; additions, activations and
    norms are not drawn.
    """
    lines = [line for each in records for line in _chain_lines(each)]
    longest = max(len(layers) for layers, *_ in lines)
    step = min(0.34, (WIDTH - 0.7) / longest)
    ax = _canvas(WIDTH, 2.15 * len(lines), title)
    for k, (layers, arcs, sizes, caption) in enumerate(lines):
        _chain_line(ax, 2.15 * k, step, layers, arcs, sizes)
        _text(ax, 0.1, 2.15 * k + 0.12, caption, ha="left")
    return ax.figure


def _chain_lines(record: Record) -> list[tuple]:
    """For each line of at most 58 or so layers: these, the shortcuts as (first layer, last layer,
    shortcut), the sizes of the whole network's maps, and the caption."""
    shortcuts = _shortcuts(record)
    hidden = _hidden(shortcuts)
    shown = [
        n for n, row in enumerate(record)
        if n not in hidden and not _is_quiet(row) and row.kind != "add"
    ]  # fmt: skip
    spans = [
        (sum(n <= s.fork for n in shown), sum(n < s.join for n in shown), s) for s in shortcuts
    ]
    layers = sum(1 for n in shown if record.rows[n].macs)
    caption = (
        f"{layers} layers with weights, {record.parameters:,} parameters, {record.macs:,} MACs"
    )
    if shortcuts:
        changes = sum(not short.identity for short in shortcuts)
        caption += f"; {len(shortcuts)} shortcuts, {changes} of them change the shape (dashed)"
    sizes = list(dict.fromkeys(_side(record.rows[n]) for n in shown))
    count = ceil(len(shown) / 58)
    whole = [k for k in range(len(shown) + 1) if not any(a < k < b for a, b, _ in spans)]
    cuts = [min(whole, key=lambda k: abs(k - len(shown) * c / count)) for c in range(count + 1)]
    return [
        (
            [record.rows[n] for n in shown[a:b]],
            [(first - a, last - a, short) for first, last, short in spans if a <= first < b],
            sizes,
            caption if a == 0 else "",
        )
        for a, b in pairwise(cuts)
    ]


def _chain_line(ax: Axes, top: float, step: float, layers: list[Row], arcs, sizes) -> None:
    """One line of boxes with their arcs above and the sizes of the maps below."""
    left, y = (WIDTH - step * len(layers)) / 2, top + 1.2
    for k, row in enumerate(layers):
        x = left + step * (k + 0.5)
        face = STAGES[sizes.index(_side(row)) % len(STAGES)] if _side(row) else OTHER
        width = min(0.2, step - 0.04)
        _box(ax, x, y, (width, 1.02), facecolor=face, gid=f"box-{row.name}")
        _text(ax, x, y, _chain_words(row), rotation=90, zorder=3)
        if k:
            ends = [(x - step + width / 2, y), (x - width / 2, y)]
            _arrow(ax, ends, f"arrow-{row.name}", arrowstyle="-")
    for first, last, short in arcs:
        a, b, high, low = left + step * first, left + step * last, y - 0.8, y - 0.53
        curve = Path([(a, low), (a, high), (b, high), (b, low)], [1, 4, 4, 4])
        dashes, colour = ("-", BLUE) if short.identity else ((0, (3, 1.5)), "#B35900")
        _arrow(ax, curve, f"shortcut-{short.join}", linestyle=dashes, color=colour)
    for k, size in enumerate(filter(None, sizes)):
        inside = [n for n, row in enumerate(layers) if _side(row) == size]
        if not inside:
            continue
        x = left + step * ((inside[0] + inside[-1] + 1) / 2)
        _text(ax, x, y + 0.6 + 0.15 * (k % 2), size)


def _chain_words(row: Row) -> str:
    if _is_pool(row):
        return f"pool {_kernel(row)}".strip()
    return (
        f"{_kernel(row)}, {row.output[1]}" if row.window else f"{_short_name(row)}, {row.output[1]}"
    )


# --- AlexNet: two rows --------------------------------------------------------------------------


def two_rows(record: Record, title: str = "") -> Figure:
    """Figure 2 of AlexNet: what each of the two GPUs computes, and where they read each other.

    A layer with two groups reads its own row alone; one that reads all maps has orange lines to
    the other row as well. Boxes are as high as the maps and as wide as their number says. The
    layers between, activations and LRN, are not drawn; LRN reads a few maps of the other row too.
    Raises ValueError for a network with branches or without a convolution in two groups.
    """
    _check_one_path(record, "two_rows")
    groups = {row.groups for row in record if row.macs and row.window}
    if not (2 in groups and groups <= {1, 2}):
        raise ValueError(
            f"record must have convolutions with 2 groups; got groups {sorted(groups)}"
        )
    layers = [_input(record), *[row for row in record if not _is_quiet(row)]]
    ax, rows = _canvas(WIDTH, 5, title), (1.35, 3.45)
    for y, name in ((rows[0] - 0.5, "GPU 1"), (rows[1] + 0.5, "GPU 2")):
        _text(ax, 0.1, y, name, ha="left", weight="bold", fontsize=9)
    _text(ax, WIDTH / 2, 4.8, "orange: the layer reads the maps of the other GPU too", fontsize=9)
    step, before = (WIDTH - 0.1) / len(layers), []
    for k, row in enumerate(layers):
        single = k in (0, len(layers) - 1)
        places = []
        for half, y in enumerate((sum(rows) / 2,) if single else rows):
            places.append(_half(ax, 0.05 + step * (k + 0.5), y, row, half, single))
        _cross(ax, before, places, row)
        before = places
    return ax.figure


def _half(ax: Axes, x: float, y: float, row: Row, half: int, single: bool) -> Bbox:
    """The box of one GPU's half of the maps, or of all of them, with its label outside."""
    share = 1 if single else 2
    maps = row.output[1] // share
    side = row.output[2] / 224 if len(row.output) == 4 else 0
    size = (
        (0.08 + 0.016 * maps**0.5, 0.2 + 0.9 * side**0.7)
        if side
        else (0.1, 0.2 + 0.018 * maps**0.5)
    )
    words = "\n".join(
        filter(None, (_short_name(row), _kernel(row) if row.window else "", str(maps)))
    )
    words += f" @\n{_side(row)}" if side else ""
    box = _box(ax, x, y, size, facecolor=_colour(row), gid=f"box-{_short_name(row)}-{half}")
    down = single or half
    edge = y + (size[1] / 2 + 0.06) * (1 if down else -1)
    _text(ax, x, edge, words, va="top" if down else "bottom")
    return box.get_bbox()


def _cross(ax: Axes, before: list[Bbox], after: list[Bbox], row: Row) -> None:
    """Lines from what a layer reads: grey within a row, orange to the other GPU."""
    both = not _is_pool(row) and not (row.window and row.groups == 2)
    for i, a in enumerate(before):
        for j, b in enumerate(after):
            other = len(before) == len(after) == 2 and i != j
            if other and not both:
                continue
            points = [(a.x1, (a.y0 + a.y1) / 2), (b.x0, (b.y0 + b.y1) / 2)]
            name = f"{'cross' if other else 'arrow'}-{_short_name(row)}-{i}{j}"
            _arrow(ax, points, name, color=ORANGE if other else GREY)
