"""Drawings of networks and the tables of their papers, made from `shapes.record`.

Every function returns a Figure whose axes are in inches, x to the right and y down, at most 10
inches wide with letters of 8 points: legible on a page of 7 inches too. Colours: input grey,
convolutions blue, pools green, linear layers orange. Boxes and arrows carry names ("box-...",
"arrow-...", "shortcut-...") that stay in an SVG.
"""

import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path

from cnn_lessons.plots import GREY, ORANGE
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
    return POOL if "pool" in row.kind.lower() or row.kind == "Subsampling" else OTHER


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


def _is_quiet(row: Row) -> bool:
    """A step that computes its numbers one by one, or only renames them: it gets no box."""
    same = row.kind == "Flatten" or row.inputs == (row.output,)
    return same and not row.macs and not row.window


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
