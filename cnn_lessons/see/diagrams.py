"""Drawings of networks, made from `shapes.record`.

Every function returns a Figure whose axes are in inches, x to the right and y down, at most 7
inches wide with letters of 10 points. Colours: input grey, convolutions blue, pools green, linear
layers yellow. Boxes and arrows carry names ("box-...", "arrow-...", "shortcut-...") that stay in an
SVG. A record that a function cannot draw gets a ValueError that says why.
"""

import re
from collections.abc import Callable
from functools import partial
from itertools import accumulate, cycle, groupby, pairwise
from math import ceil
from textwrap import fill
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from cnn_lessons.models import BasicBlock, Bottleneck
from cnn_lessons.models.googlenet import NaiveInception
from cnn_lessons.see import colours
from cnn_lessons.see.fonts import Page, legible, letters
from cnn_lessons.shapes import Record, Row, on_meta
from cnn_lessons.shapes.rows import short, times

WIDTH, TALL = 7, 20  # inches of the widest and the highest figure
SMALL, LETTER, LINE = 10, 0.091, 0.165  # points, and inches of a wide letter and of a line
MOST, NAME = 36, 30  # layers in a line of a chain, and letters of a name


def _canvas(width: float, height: float, title: str) -> Axes:
    """Axes in inches; the title stands above y = 0."""
    title = fill(legible(title, 150), int(width / 0.1))
    top = 0.25 + 0.2 * (1 + title.count("\n")) if title else 0.05
    figure = Page((width, height + top))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, -top))
    ax.set_axis_off()
    if title:
        ax.text(width / 2, -top / 2, title, ha="center", va="center", fontsize=12)
    return ax


def _text(ax: Axes, x: float, y: float, words: str, **style) -> None:
    """Centred text of 10 points; `style` is matplotlib's."""
    ax.text(x, y, words, **{"ha": "center", "va": "center", "fontsize": SMALL, **style})


def _box(ax: Axes, x: float, y: float, size: tuple[float, float], words="", **style) -> Rectangle:
    """A rectangle around (x, y) with text in it; `style` is the rectangle's."""
    width, height = size
    look = {"facecolor": colours.OTHER, "edgecolor": "black", "linewidth": 0.7, "zorder": 2}
    box = Rectangle((x - width / 2, y - height / 2), width, height, **look | style)
    ax.add_patch(box)
    if words:
        _text(ax, x, y, words, zorder=3)
    return box


def _arrow(ax: Axes, points: Path | list[tuple[float, float]], name: str, **style) -> None:
    """An arrow along a path or straight lines through points; `style` is the arrow's."""
    look = {"arrowstyle": "-|>,head_length=3,head_width=1.5", "color": "black", "linewidth": 0.8}
    path = points if isinstance(points, Path) else Path(points)
    ax.add_patch(FancyArrowPatch(path=path, gid=name, **look | {"zorder": 1} | style))


def _width(words: str) -> float:
    return letters(words) * LETTER + 0.08


def _colour(row: Row) -> str:
    if not row.kind:
        return colours.INPUT
    if row.macs or row.parameters:
        return colours.CONVOLUTION if row.window or row.inside else colours.LINEAR
    return colours.POOL if row.is_pool else colours.OTHER


def _short_name(row: Row) -> str:
    """The last part of a name; where that is a mere number in a list, the kind of the layer."""
    last = row.name.split(".")[-1]
    return legible(row.kind if last.isdigit() else last, NAME)


def _depth(row: Row) -> int:
    """The number of maps or of numbers; 1 for what has a single number for each picture."""
    return row.output[1] if len(row.output) > 1 else 1


def _side(row: Row) -> str:
    return times(row.output[2:])


def _maps(row: Row) -> str:
    """6 @ 28×28, or the length of a vector."""
    return f"{_depth(row)} @ {_side(row)}" if _side(row) else str(_depth(row))


def _kernel(row: Row) -> str:
    """3×3 /2: the size of a window and its stride."""
    if not row.window:
        return ""
    stride = f" /{short(row.window.stride)}" if max(row.window.stride) > 1 else ""
    return times(row.window.kernel) + stride


def _layer(row: Row) -> str:
    """What a layer with weights is, in a word: its window, or its name."""
    return f"{_kernel(row) or _short_name(row)}, {_depth(row)}"


def _input(record: Record) -> Row:
    return Row("input", "", (), record.rows[0].inputs[0], 0, 0)


def _is_quiet(row: Row) -> bool:
    """A step that computes its numbers one by one, or only renames them: it gets no box."""
    same = row.kind.lower() == "flatten" or row.inputs == (row.output,)
    return same and not (row.macs or row.window or row.inside or row.is_pool)


def _check(record: Record, argument: str = "record") -> None:
    """There is a step, and one input."""
    if not len(record):
        raise ValueError(f"{argument} must have a step to draw; got an empty one")
    if any(source < -1 for row in record for source in row.sources):
        raise ValueError(f"{argument} must be of a network with one input; got one with more")


def _check_one_path(record: Record, figure: str) -> None:
    _check(record)
    for number, row in enumerate(record):
        if row.sources != (number - 1,):
            raise ValueError(
                f"record must be of a network without branches for {figure}; got one "
                f"in which {row.name} reads the steps {row.sources}"
            )


# --- LeNet-5: stacked squares -------------------------------------------------------------------


def stacked_squares(record: Record, title: str = "") -> Figure:
    """A network without branches, drawn as the paper's Figure 2 draws LeNet-5.

    A stack of squares is a set of feature maps (12 squares at most), a bar is a vector; maps of one
    axis are lines, and of three axes the last two are seen. The small square on a stack is the
    window of the next layer, and its view is drawn to one point there. Layers of one kind that
    follow each other with maps of one shape share a stack. Steps that leave the shape alone, and
    Flatten, are not drawn. More than eight stacks go on in a line below, from the last one.
    """
    _check_one_path(record, "stacked_squares")
    steps = [_input(record), *(row for row in record if not _is_quiet(row))]
    runs = [list(run) for _, run in groupby(steps, lambda row: (row.kind, row.output))]
    fit = int(WIDTH / (0.085 * max(letters(legible(run[0].kind, NAME)) for run in runs) + 0.1)) - 1
    count = max(1, ceil((len(runs) - 1) / min(7, max(1, fit))))
    each = ceil((len(runs) - 1) / count)
    lines = [runs[k * each : (k + 1) * each + 1] for k in range(count)]
    largest = max(max(run[0].output[2:], default=1) for run in runs)
    heights = [1.7 + max(_stack_size(run[0], largest)[1] for run in line) for line in lines]
    ax = _canvas(WIDTH, sum(heights), title)
    for line, height, bottom in zip(lines, heights, accumulate(heights)):
        step = WIDTH / len(line)
        fronts = [
            _stack(ax, run, largest, (step * (k + 0.5), bottom - height / 2 - 0.03), step)
            for k, run in enumerate(line)
        ]
        for run, before, after in zip(line[1:], fronts, fronts[1:]):
            _view(ax, run, before, after, bottom - 0.75)
    return ax.figure


def _stack_size(row: Row, largest: int) -> tuple[float, float]:
    """Width and height of a drawn stack or bar, in inches."""
    if len(row.output) < 3:
        return 0.08, min(1.3, 0.25 + 0.15 * _depth(row) ** 0.25)
    down, across = [0.08 + 0.6 * n / largest for n in (1, *row.output[2:])[-2:]]
    shift = 0.025 * (_sheets(row) - 1)
    return across + shift, down + shift


def _sheets(row: Row) -> int:
    return min(_depth(row), 12) if len(row.output) > 2 else 1


def _stack(ax: Axes, run: list[Row], largest: int, centre, room: float) -> Rectangle:
    """Draw the maps or the vector of a run of layers with its label; return the front."""
    (x, y), shift = centre, 0.025 * (_sheets(run[0]) - 1)
    width, height = _stack_size(run[0], largest)
    for sheet in range(_sheets(run[0])):
        move = 0.025 * sheet - shift / 2
        size = (width - shift, height - shift)
        front = _box(ax, x + move, y + move, size, facecolor=_colour(run[0]), zorder=1)
    first, last = _short_name(run[0]), _short_name(run[-1])
    number = re.search("[0-9]*$", last)[0]
    name = f"{first}–{number}" if first != last else first
    maps = _maps(run[0]) if _width(_maps(run[0])) < room else _maps(run[0]).replace("@ ", "@\n")
    _text(ax, x, y - height / 2 - 0.06, f"{name}\n{maps}", va="bottom")
    return front


def _view(ax: Axes, run: list[Row], before: Rectangle, after: Rectangle, bottom: float) -> None:
    """The window on the maps before, its rays to one point of the maps after, and what it does."""
    x, y, width, height = before.get_bbox().bounds
    row, right, end = run[0], x + width, after.get_bbox()
    if row.window and len(row.output) > 2:
        parts = [min(1.0, k / n) for k, n in zip(row.window.kernel[::-1], row.inputs[0][:1:-1])]
        across, down = width * parts[0], height * (parts[1] if len(parts) > 1 else 1)
        corner = (x + (width - across) * 0.8, y + (height - down) * 0.3)
        look = {"fill": False, "edgecolor": colours.ORANGE, "linewidth": 1.4, "zorder": 3}
        ax.add_patch(Rectangle(corner, across, down, **look))
        point = (end.x0 + end.width / 2, end.y0 + end.height * 0.4)
        for drop in (0, down):
            ray = (corner[0] + across, corner[1] + drop), point
            ax.plot(*zip(*ray), color=colours.ORANGE, linewidth=0.9, zorder=3)
        ax.plot(*point, "s", color=colours.ORANGE, markersize=2, zorder=3)
    else:
        for ends in ((y, end.y0), (y + height, end.y1)):
            ax.plot((right, end.x0), ends, color=colours.GREY, linewidth=0.7)
    kernels = ", ".join(dict.fromkeys(_kernel(row) for row in run if row.window))
    number = f"{len(run)} times" if len(run) > 1 else ""
    middle = (right + end.x0) / 2
    words = filter(None, (legible(row.kind, NAME), kernels, number))
    _text(ax, middle, bottom, "\n".join(words), va="top")


# --- networks with branches, as boxes and arrows ------------------------------------------------


class _Graph:
    """The steps of a record that get a box, -1 the input, and where each one stands.

    `sources` are the boxes that feed a box, `quiet` the steps behind it that get none, `level` is
    the longest way from the input, `lane` the place across in units of a lane: branches spread
    around the box that they leave. What does not lead to the last row, such as an auxiliary head,
    is in `side` and has the outermost lane. `words` says what stands in a box. `boxes` has the x of
    each, from the trunk, its width and height, `heights` the tallest box of each level, and more.
    """

    def __init__(self, record: Record, words: Callable[["_Graph", int], str]):
        self.rows, self.sources, through = {-1: _input(record)}, {-1: []}, {-1: -1}
        self.quiet: dict[int, list[Row]] = {}
        for number, row in enumerate(record):
            through[number] = through[row.sources[0]] if _is_quiet(row) else number
            if _is_quiet(row):
                self.quiet.setdefault(through[number], []).append(row)
            else:
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
                self.lane[number] = self._free(number, self._lane(number, main))
        outermost = max(self.lane.values()) + 1.2
        for number in self.side:
            self.lane[number] = self._free(number, outermost)
        self.words = {number: words(self, number) for number in self.rows}
        self._measure()

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

    def _free(self, number: int, lane: float) -> float:
        """The lane, or the next one to the right that no other box of its level is in."""
        level = [n for n in self.lane if self.level[n] == self.level[number]]
        while any(abs(self.lane[n] - lane) < 1 for n in level):
            lane += 1
        return lane

    def _measure(self) -> None:
        """Sizes of boxes, levels and lanes; a lane is as wide as the boxes side by side need it."""
        widths = {n: max(_width(text), 0.54) for n, text in self.words.items()}
        spans = sorted((self.level[n], self.lane[n], width) for n, width in widths.items())
        pairs = [(a, b) for a, b in pairwise(spans) if a[0] == b[0]]
        lane = max([0.62, *(((a[2] + b[2]) / 2 + 0.08) / (b[1] - a[1]) for a, b in pairs)])
        self.boxes, self.heights = {}, [0.0] * (1 + max(self.level.values()))
        for number, text in self.words.items():
            places = [self.boxes[s][0] for s in self.sources[number]]
            reach = max(places) - min(places) + 0.3 if len(places) > 2 else 0
            height, level = 0.06 + LINE * (1 + text.count("\n")), self.level[number]
            self.boxes[number] = self.lane[number] * lane, max(widths[number], reach), height
            self.heights[level] = max(self.heights[level], height + 0.19)
        self.left = min(x - width / 2 for x, width, _ in self.boxes.values())
        self.across = max(x + width / 2 for x, width, _ in self.boxes.values()) - self.left + 0.22

    def crossing(self, level: int) -> set[int]:
        """The boxes up to this level that feed one below it."""
        return {s for s, n in self.edges if self.level[s] <= level < self.level[n]}

    def columns(self, count: int) -> list[tuple[int, int]]:
        """Cut the levels into at most `count` columns, as equal as they can be.

        A cut is made where one box alone feeds all that is below it, so never within a block.
        """
        tops = [0, *accumulate(self.heights)]
        cuts = [k + 1 for k in range(len(self.heights)) if len(self.crossing(k)) < 2]
        room = tops[-1] / count
        while True:
            columns, start = [], 0
            while fits := [k for k in cuts if k > start and tops[k] - tops[start] < room + 0.01]:
                columns.append((start, fits[-1]))
                start = fits[-1]
            if start == len(self.heights) and len(columns) <= count:
                return columns
            room += 0.1


def graph(record: Record, title: str = "") -> Figure:
    """Any network as boxes and arrows, from top to bottom and on in the next column.

    A box is a layer with its name, its kernel, /stride and its number of maps; a pool and a join
    show the size of the maps. Activations, norms, dropout and Flatten are not drawn. What does not
    lead to the output, such as an auxiliary head, has a ground of its own. A network too large for
    a page of 7 by 20 inches is drawn by its blocks.
    """
    _check(record)
    for words in ("", "thick frames: blocks of several layers"):
        drawn = _Graph(record.fold() if words else record, _graph_words)
        counts = range(1, 1 + int(WIDTH / drawn.across))
        tries = [drawn.columns(count) for count in counts]
        tall = [max(sum(drawn.heights[a:b]) for a, b in columns) for columns in tries]
        if tall and min(tall) < TALL - 1:
            k = next((k for k, height in enumerate(tall) if height <= 6), len(tall) - 1)
            width = max(drawn.across * len(tries[k]), 5)
            ax = _canvas(width, tall[k] + 0.5, f"{title} ({words})".strip() if words else title)
            start = (width - drawn.across * len(tries[k])) / 2 - drawn.left + 0.11
            _draw(ax, drawn, tries[k], [start + drawn.across * c for c in range(len(tries[k]))])
            return ax.figure
    raise ValueError(
        f"record must fit on a page of {WIDTH} by {TALL} inches; got {len(record)} steps, too many "
        "even when its blocks are folded: record a part of the network"
    )


def _graph_words(graph: _Graph, number: int) -> str:
    """What stands in a box: one line on the trunk, two in a branch."""
    row, name = graph.rows[number], _short_name(graph.rows[number])
    if row.kind in ("add", "mul"):
        return f"{'+' if row.kind == 'add' else '×'}  {_maps(row)}"
    if row.inside:
        name = legible(row.name, NAME)
        return f"{name}\n{_maps(row)}" if graph.lane[number] else f"{name}: {_maps(row)}"
    if not row.kind or len(graph.sources[number]) > 1:
        name = legible(row.name.split(".")[-2], NAME) if "." in row.name else name
        return f"{name}: {_maps(row)}"
    size = _side(row) if row.is_pool and _side(row) else str(_depth(row))
    if graph.lane[number]:
        return f"{_kernel(row) if row.window and _colour(row) != colours.OTHER else name}\n{size}"
    return f"{name} {_kernel(row)}".strip() + f", {size}"


def _draw(ax: Axes, graph: _Graph, columns, lefts: list[float], top: float = 0.2) -> None:
    """Draw the boxes of each column of levels around its x, and the arrows between all of them."""
    places = {}
    for (first, end), left in zip(columns, lefts):
        for number in (n for n in graph.rows if first <= graph.level[n] < end):
            level, (x, *size), row = graph.level[number], graph.boxes[number], graph.rows[number]
            y = top + sum(graph.heights[first:level]) + graph.heights[level] / 2
            look = {"facecolor": _colour(row), "linewidth": 1.8 if row.inside else 0.7}
            box = _box(ax, left + x, y, size, graph.words[number], gid=f"box-{row.name}", **look)
            places[number] = box.get_bbox()
    heads = {n: graph.rows[n].name.split(".")[0] for n in graph.side}
    for name in dict.fromkeys(heads.values()):
        _head(ax, name, [places[n] for n, its in heads.items() if its == name])
    starts = [{}, *(_lead_on(ax, graph, places, first - 1) for first, _ in columns[1:])]
    for source, number in graph.edges:
        column = next(c for c, (a, b) in enumerate(columns) if a <= graph.level[number] < b)
        _connect(ax, graph, places, (source, number), starts[column].get(source, places[source]))


def _head(ax: Axes, name: str, boxes: list[Bbox]) -> None:
    """The ground of a head: it stands apart, so that it is not taken for one more branch."""
    all_of_it = Bbox.union(boxes)
    height, middle = all_of_it.height + 0.16 + LINE, (all_of_it.x0 + all_of_it.x1) / 2
    size, bottom = (max(all_of_it.width, _width(name)) + 0.1, height), all_of_it.y0 - 0.07 + height
    look = {"facecolor": colours.HEAD, "edgecolor": colours.ORANGE, "linestyle": "--", "zorder": 0}
    _box(ax, middle, bottom - height / 2, size, gid=f"head-{name}", **look)
    _text(ax, middle, bottom - 0.02 - LINE / 2, name)


def _lead_on(ax: Axes, graph: _Graph, places: dict[int, Bbox], level: int) -> dict[int, Bbox]:
    """The line from the last box of a column to above those that it feeds in the next one."""
    (source,) = graph.crossing(level)
    before = [box for n, box in places.items() if graph.level[n] <= level]
    edge = max(box.x1 for box in before)
    left = min(box.x0 for box in places.values() if box.x0 > edge) - 0.12
    fed = [places[n] for s, n in graph.edges if s == source and graph.level[n] > level]
    ends = [(box.x0 + box.x1) / 2 for box in fed]
    middle, low = (places[source].x0 + places[source].x1) / 2, max(box.y1 for box in before) + 0.1
    points = [(middle, places[source].y1), (middle, low), (left, low), (left, 0.1)]
    _arrow(ax, [*points, (max(ends), 0.1)], f"on-{graph.rows[source].name}", arrowstyle="-")
    return {source: Bbox.from_extents(min(ends), 0.1, max(ends), 0.1)}


def _connect(ax: Axes, graph: _Graph, places: dict, edge: tuple[int, int], a: Bbox) -> None:
    """An arrow from the box or point `a`, straight or around the boxes that are in its way."""
    b, levels = places[edge[1]], [graph.level[n] for n in edge]
    middles = [(box.x0 + box.x1) / 2 for box in (a, b)]
    passed = [box for n, box in places.items() if levels[0] < graph.level[n] < levels[1]]
    if between := [box for box in passed if box.x0 < middles[0] < box.x1]:
        right = max(box.x1 for box in [a, b, *between]) + 0.1
        start, end = max(a.y0, a.y1 - 0.05), b.y0 + 0.05
        points = [(a.x1, start), (right, start), (right, end), (b.x1, end)]
    else:
        points = _straight(a, b, joins=len(graph.sources[edge[1]]) > 1)
    look = {"color": colours.ORANGE, "linestyle": (0, (4, 2))} if edge[1] in graph.side else {}
    _arrow(ax, points, f"arrow-{graph.rows[edge[0]].name}-{graph.rows[edge[1]].name}", **look)


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
    """Figure 2 of GoogLeNet: the naive Inception module, and below it the one that replaces it.

    `record` is that of one Inception module. A box has its layer and maps, its parameters and its
    MACs; the naive module is built for the same input and the same kernels.
    """
    names = {row.name for row in record}
    convs = [f"branch{k}.conv" for k in ("1x1", "3x3", "5x5")]
    if not {*convs, "branch3x3.reduce", "branch5x5.reduce", "branch_pool.proj"} <= names:
        raise ValueError(f"record must be of one Inception module; got the steps {sorted(names)}")
    size = record[0].inputs[0][1:]
    if len(size) != 3:
        raise ValueError(f"record must be of a module for (channels, height, width); got {size}")
    naive = on_meta(partial(NaiveInception, size[0], *[record[c].output[1] for c in convs]), size)
    parts = {"naive (Figure 2a)": naive, "with reductions (Figure 2b)": record}
    graphs = [_Graph(each, _cost_words) for each in parts.values()]
    ends = [*accumulate(sum(each.heights) + 0.75 for each in graphs)]
    ax = _canvas(WIDTH, ends[-1], title)
    _text(ax, WIDTH / 2, 0.1, "in a box: layer and maps, parameters, MACs")
    for (name, each), drawn, end in zip(parts.items(), graphs, ends):
        top = end - sum(drawn.heights) - 0.5
        _draw(ax, drawn, [(0, len(drawn.heights))], [WIDTH / 2], top)
        total = f"{name}: {each.parameters:,} parameters, {each.macs:,} MACs"
        _text(ax, WIDTH / 2, end - 0.35, total, weight="bold")
    return ax.figure


def _cost_words(graph: _Graph, number: int) -> str:
    row = graph.rows[number]
    if not row.kind:
        return f"previous layer: {_maps(row)}"
    if row.kind == "cat":
        return f"filter concatenation: {_maps(row)}"
    name = "conv" if row.name.startswith("conv") else _short_name(row)
    cost = f"\n{row.parameters:,}\n{row.macs:,}" if row.macs else ""
    return f"{name} {_kernel(row)}, {_depth(row)}{cost}"


def blocks(*records: Record, title: str = "") -> Figure:
    """Figure 5 of ResNet: residual blocks side by side, two in a row, each from its own record.

    Without records these are the paper's two, a BasicBlock on 64 maps and a Bottleneck on 256. A
    box has its layer and what follows it: norms and activations. A shortcut that only carries its
    input is a line; one that changes the shape has its steps as boxes.
    """
    side = (56, 56)
    records = records or (
        on_meta(partial(BasicBlock, 64, 64), (64, *side)),
        on_meta(partial(Bottleneck, 256, 64), (256, *side)),
    )
    for each in records:
        _check(each, "records")
        if (sums := sum(row.kind == "add" for row in each)) != 1:
            raise ValueError(f"records must be of one residual block each; got {sums} sums")
    graphs = [_Graph(each, _block_words) for each in records]
    pairs = [graphs[k : k + 2] for k in range(0, len(graphs), 2)]
    heights = [0.4 + max(sum(drawn.heights) for drawn in pair) for pair in pairs]
    tops = [0, *accumulate(heights)]
    ax = _canvas(min(2, len(graphs)) * WIDTH / 2, tops[-1], title)
    for k, drawn in enumerate(graphs):
        left = WIDTH / 4 * (1 + 2 * (k % 2)) - drawn.left - drawn.across / 2
        _draw(ax, drawn, [(0, len(drawn.heights))], [left], tops[k // 2] + 0.2)
    return ax.figure


def _block_words(graph: _Graph, number: int) -> str:
    row, after = graph.rows[number], [row.kind for row in graph.quiet.get(number, ())]
    after = [{"BatchNorm2d": "batch norm"}.get(kind, kind) for kind in after if kind != "Identity"]
    words = _layer(row) if row.macs else _graph_words(graph, number)
    return "\n".join(filter(None, (words, ", ".join(after))))


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


def _path_to(record: Record, number: int) -> list[int]:
    path = [number]
    while path[-1] >= 0:
        path.append(record.rows[path[-1]].sources[0])
    return path


def _main_path(record: Record, shortcuts: list[Shortcut]) -> list[int]:
    """The steps that are on no shortcut. Raises ValueError if they are not one after another."""
    hidden = {n for each in shortcuts for n in each.steps}
    main = [n for n in range(len(record)) if n not in hidden]
    for before, number in pairwise([-1, *main]):
        row = record.rows[number]
        if before not in row.sources or (len({*row.sources}) > 1 and row.kind != "add"):
            raise ValueError(
                "records must be of one path with shortcuts that are added; got one in which "
                f"{row.name} ({row.kind}) reads the steps {row.sources}"
            )
    return main


def chain(*records: Record, title: str = "") -> Figure:
    """Figure 3 of ResNet: each network as a chain of layers, its shortcuts as arcs over it.

    A solid arc is the identity, a dashed one changes the shape. A colour is a size of the maps. The
    networks stand one above the other, a long one in several lines; additions, activations and
    norms are not drawn.
    """
    if not records:
        raise ValueError("records must be one or more; got none")
    lines = [line for each in records for line in _chain_lines(each)]
    longest = max(len(line.layers) for line in lines)
    if longest > MOST:
        raise ValueError(
            f"records must have at most {MOST} layers between places without a shortcut above "
            f"them; got {longest}"
        )
    step = min(0.4, (WIDTH - 0.1) / longest)
    tall = max(_width(_chain_words(row)) for line in lines for row in line.layers)
    heights = [1.1 + tall + LINE * 2 * bool(line.caption) for line in lines]
    ax = _canvas(WIDTH, sum(heights), title)
    for line, height, bottom in zip(lines, heights, accumulate(heights)):
        _chain_line(ax, bottom - 0.45 - tall / 2, tall, step, line)
        _text(ax, 0.1, bottom - height + 0.12, line.caption, ha="left", va="top")
    return ax.figure


class _Line(NamedTuple):
    """A line of a chain: its layers, its shortcuts as (first layer, last layer, shortcut), the
    colours of all sizes of the network's maps, and the words above it."""

    layers: list[Row]
    arcs: list[tuple[int, int, Shortcut]]
    sizes: dict[str, str]
    caption: str


def _chain_lines(record: Record) -> list[_Line]:
    """A network cut, where no shortcut is, into lines that are about equally long."""
    _check(record, "records")
    shortcuts = _shortcuts(record)
    main = [(n, record.rows[n]) for n in _main_path(record, shortcuts)]
    shown = [n for n, row in main if not _is_quiet(row) and row.kind != "add"]
    if not shown:
        raise ValueError("records must have layers to draw; got steps that leave all as it was")
    spans = [
        (sum(n <= s.fork for n in shown), sum(n < s.join for n in shown), s) for s in shortcuts
    ]
    layers = sum(bool(record.rows[n].macs) for n in shown)
    counts = f"{record.parameters:,} parameters, {record.macs:,} MACs"
    caption = f"{layers} layers with weights, {counts}"
    if shortcuts:
        changes = sum(not each.identity for each in shortcuts)
        caption += f"\n{len(shortcuts)} shortcuts, {changes} of them change the shape (dashed)"
    sizes = dict(zip(dict.fromkeys(_side(record.rows[n]) for n in shown), cycle(colours.STAGES)))
    count = ceil(len(shown) / MOST)
    whole = [k for k in range(len(shown) + 1) if not any(a < k < b for a, b, _ in spans)]
    cuts = [min(whole, key=lambda k: abs(k - len(shown) * c / count)) for c in range(count + 1)]
    return [
        _Line(
            [record.rows[n] for n in shown[a:b]],
            [(first - a, last - a, arc) for first, last, arc in spans if a <= first < b],
            sizes,
            caption if a == 0 else "",
        )
        for a, b in pairwise(cuts)
    ]


def _chain_line(ax: Axes, y: float, tall: float, step: float, line: _Line) -> None:
    """One line of boxes with their arcs above and the sizes of the maps below."""
    left, width = (WIDTH - step * len(line.layers)) / 2, min(0.22, step - 0.03)
    for k, row in enumerate(line.layers):
        x = left + step * (k + 0.5)
        face = line.sizes[_side(row)] if _side(row) else colours.OTHER
        _box(ax, x, y, (width, tall), facecolor=face, gid=f"box-{row.name}")
        _text(ax, x, y, _chain_words(row), rotation=90, zorder=3)
        if k:
            ends = [(x - step + width / 2, y), (x - width / 2, y)]
            _arrow(ax, ends, f"arrow-{row.name}", arrowstyle="-")
    low = y - tall / 2 - 0.02
    for first, last, arc in line.arcs:
        a, b = left + step * first, left + step * last
        curve = Path([(a, low), (a, low - 0.3), (b, low - 0.3), (b, low)], [1, 4, 4, 4])
        dashes, colour = ("-", colours.BLUE) if arc.identity else ((0, (3, 1.5)), colours.ORANGE)
        _arrow(ax, curve, f"shortcut-{arc.join}", linestyle=dashes, color=colour, linewidth=1.2)
    for k, size in enumerate(filter(None, line.sizes)):
        inside = [n for n, row in enumerate(line.layers) if _side(row) == size]
        if inside:
            middle, half = left + step * (inside[0] + inside[-1] + 1) / 2, _width(size) / 2
            x = min(max(middle, half), WIDTH - half)
            _text(ax, x, y + tall / 2 + 0.12 + LINE * (k % 2), size)


def _chain_words(row: Row) -> str:
    return f"pool {_kernel(row)}".strip() if row.is_pool else _layer(row)


# --- AlexNet: two rows --------------------------------------------------------------------------


def two_rows(record: Record, title: str = "") -> Figure:
    """Figure 2 of AlexNet: what each of the two GPUs computes, and where they read each other.

    A layer with two groups reads its own row alone; one that reads all maps has orange lines to
    the other row as well. Boxes are as high as the maps and as wide as their number says. The
    layers between, activations and LRN, are not drawn; LRN reads a few maps of the other row too.
    """
    _check_one_path(record, "two_rows")
    groups = {row.groups for row in record if row.macs and row.window}
    if not (2 in groups and groups <= {1, 2}):
        raise ValueError(
            f"record must have convolutions with 2 groups; got groups {sorted(groups)}"
        )
    layers = [_input(record), *[row for row in record if not _is_quiet(row)]]
    if len(layers) > 12:
        raise ValueError(f"record must have at most 11 layers and pools; got {len(layers) - 1}")
    ax, rows = _canvas(WIDTH, 5.6, title), (1.6, 3.7)
    for y, name in zip(rows, ("GPU 1", "GPU 2")):
        _text(ax, 0.02, y + (0.75 if y > 2 else -0.75), name, ha="left", weight="bold")
    _text(ax, WIDTH / 2, 5.4, "orange: the layer reads the maps of the other GPU too")
    step, before, largest = (WIDTH - 0.2) / len(layers), [], max(layers[0].output[2:], default=1)
    for k, row in enumerate(layers):
        x, share, places = 0.1 + step * (k + 0.5), 1 if k in (0, len(layers) - 1) else 2, []
        for half, y in enumerate(rows if share == 2 else (sum(rows) / 2,)):
            size, name = _half_size(row, share, largest), f"box-{_short_name(row)}-{half}"
            places.append(_box(ax, x, y, size, facecolor=_colour(row), gid=name).get_bbox())
            side, va = (-1, "bottom") if share == 2 and not half else (1, "top")
            _text(ax, x, y + side * (size[1] / 2 + 0.06), _half_words(row, share), va=va)
        _cross(ax, before, places, row)
        before = places
    return ax.figure


def _half_size(row: Row, share: int, largest: int) -> tuple[float, float]:
    """Of the box of all maps, or of one GPU's half of them."""
    wide = 0.016 * (_depth(row) / share) ** 0.5
    if not _side(row):
        return 0.1, 0.2 + wide
    return 0.08 + wide, 0.2 + 0.9 * (row.output[2] / largest) ** 0.7


def _half_words(row: Row, share: int) -> str:
    maps = f"{_depth(row) // share}" + (f" @\n{_side(row)}" if _side(row) else "")
    return "\n".join(filter(None, (_short_name(row), *_kernel(row).split(), maps)))


def _cross(ax: Axes, before: list[Bbox], after: list[Bbox], row: Row) -> None:
    """Lines from what a layer reads: grey within a row, orange to the other GPU."""
    both = not row.is_pool and not (row.window and row.groups == 2)
    for i, a in enumerate(before):
        for j, b in enumerate(after):
            other = len(before) == len(after) == 2 and i != j
            if other and not both:
                continue
            points = [(a.x1, (a.y0 + a.y1) / 2), (b.x0, (b.y0 + b.y1) / 2)]
            name = f"{'cross' if other else 'arrow'}-{_short_name(row)}-{i}{j}"
            _arrow(ax, points, name, color=colours.ORANGE if other else colours.GREY)
