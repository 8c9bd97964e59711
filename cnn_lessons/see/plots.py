"""Pictures of what networks do. Every function returns a Figure; `show` displays it.

At most 7 inches wide, with letters of 10 points or more, so that all can read it. Colours are those
of `see.colours`: what has a name has one colour and one marker in every figure of a lesson.
"""

import base64
import io
import re
from collections.abc import Sequence
from itertools import chain
from math import ceil, inf, nan
from textwrap import fill
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from cnn_lessons.see import colours
from cnn_lessons.see.fonts import Page, at_ticks, give_fonts, last_part, legible, letters
from cnn_lessons.see.probes import LayerStatistics
from cnn_lessons.shapes import Record, live_taps
from cnn_lessons.training import History, confusion_matrix

SMALL, LETTER = 10, 0.086  # points, and inches of a letter of that size
DOTS = 110  # on an inch of the screen; the picture has twice as many
MOST_LINES = 6  # in one panel: nobody follows more
MAPS = "maps"  # the name of what looks like a photograph and is none
ENDS = "+ marks the highest number, − the lowest below 0"


def show(figure: Figure, text: str, name: str = "", again: bool = False) -> None:
    """Display a figure with its text twin: one sentence for readers who do not see the picture.

    With `again` they take the place of what was shown by this name. Raises ValueError for a text
    that is not one sentence.
    """
    if not re.fullmatch(r"(?!.*[.!?]\s+[A-Z])\S.*[.!?]", text, re.DOTALL):
        raise ValueError(f"text must be one sentence with its full stop; got {text!r}")
    from IPython.display import display

    picture, width = _png(figure)
    drawn = {"image/png": base64.b64encode(picture).decode(), "text/plain": text}
    words = {"text/markdown": f"*{text}*", "text/plain": text}
    about = {"image/png": {"alt": text, "width": width}}
    places = [{"display_id": f"{name}-{k}", "update": again} if name else {} for k in (1, 2)]
    display(drawn, metadata=about, raw=True, **places[0])
    display(words, raw=True, **places[1])


def _png(figure: Figure) -> tuple[bytes, int]:
    """The picture with two points for each one of the screen, and its width on the screen."""
    give_fonts(figure)
    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=2 * DOTS, bbox_inches="tight", facecolor="white")
    picture = Image.open(drawn).convert("RGB")
    images = [image for ax in figure.axes for image in ax.images if image.get_gid() != MAPS]
    if all(image.get_array().ndim == 2 for image in images):
        # Drawings and maps have few colours: with a list of 256 they are as sharp, and small.
        picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(stored, "png", optimize=True)
    return stored.getvalue(), picture.width // 2


def _page(width: float, height: float, title: str) -> Page:
    figure = Page((width, height), layout="constrained")
    figure.suptitle(_wrapped(title, width), fontsize=11)
    return figure


def _axes(width: float, height: float, title: str) -> Axes:
    """The axes of a new figure of so many inches."""
    ax = Page((width, height), layout="constrained").add_subplot()
    ax.set_title(_wrapped(title, width), fontsize=11)
    return ax


def _wrapped(title: str, width: float) -> str:
    lines = legible(title, 150).split("\n")
    return "\n".join(fill(line, int(width / 0.095)) for line in lines)


def _grid(
    titles: Sequence[str], columns: int, title: str, bar: float = 0, image: Tensor | None = None
) -> tuple[Page, list[Axes]]:
    """A figure of equal square axes with a title each, and an image on the left of all of them.

    There are fewer columns where titles would touch, and no row is left with a single picture.
    `bar` is the room, in inches, for a colour bar.
    """
    beside, lines = 0 if image is None else 2.3, 1 + max(text.count("\n") for text in titles)
    room = 7 - beside - bar
    fit = int(room / (LETTER * max(map(letters, titles)) + 0.1))
    rows = ceil(len(titles) / max(1, min(columns, fit)))
    columns = ceil(len(titles) / rows)
    cell = min(1.9, room / columns)
    height = max(rows * (cell + 0.06 + 0.17 * lines), beside) + 0.4
    figure = _page(max(beside + columns * cell + bar, 3.4), height, title)
    figure.get_layout_engine().set(h_pad=0.07)
    left, right = figure.add_gridspec(1, 2, width_ratios=[beside or 1e-3, columns * cell + bar])
    grid = right.subgridspec(rows, columns)
    axes = [figure.add_subplot(grid[divmod(k, columns)]) for k in range(len(titles))]
    for ax, words in zip(axes, titles):
        ax.set_axis_off()
        ax.set_title(words, fontsize=SMALL)
    if image is not None:
        _picture(figure.add_subplot(left, anchor="N"), image, "the picture")
    return figure, axes


def _picture(ax: Axes, image: Tensor, title: str | None = None) -> None:
    """A picture, uint8 (3, H, W), or a grey one, (1, H, W), its pixels as squares."""
    pixels = image.permute(1, 2, 0).cpu().numpy()
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_axis_off()
    if title is not None:
        ax.set_title(title, fontsize=SMALL)


# --- pictures and predictions -------------------------------------------------------------------


def pictures(
    images: Tensor, titles: Sequence[str] = (), title: str = "", columns: int = 7
) -> Figure:
    """A grid of pictures, uint8 (N, 3, H, W), each with its own title, at most 7 in a row."""
    if not len(images):
        return _sentence("There is no picture to show.", title)
    titles = [*titles, *[""] * len(images)][: len(images)]
    figure, axes = _grid(titles, min(columns, 7), title)
    for ax, image in zip(axes, images):
        _picture(ax, image)
    return figure


def prediction(
    image: Tensor, probabilities: Tensor | dict[str, Tensor], class_names: Sequence[str],
    label: int | None, title: str = "",
) -> Figure:  # fmt: skip
    """One picture, uint8 (3, H, W), beside its probabilities (classes,); the true class in blue.

    Those of several networks, by name, stand side by side. With None for the label it is of no
    class.
    """
    if isinstance(probabilities, Tensor):
        probabilities = {"": probabilities}
    figure, panels = _page(7, max(2.9, 1.1 + 0.2 * len(class_names)), title), len(probabilities)
    figure.get_layout_engine().set(w_pad=0.1)
    left, *axes = figure.subplots(1, 1 + panels, width_ratios=[2, *[4.8 / panels] * panels])
    _picture(left, image, f"truth: {'none of them' if label is None else class_names[label]}")
    fills = [colours.BLUE if k == label else colours.SCORES for k in range(len(class_names))]
    for k, (ax, (name, each)) in enumerate(zip(axes, probabilities.items())):
        bars = ax.barh(range(len(class_names)), each.numpy(), color=fills)
        ax.bar_label(bars, [f" {p:.{int(panels == 1)}%}" for p in each.tolist()])
        ax.set_yticks(range(len(class_names)), [] if k else at_ticks(class_names))
        ax.invert_yaxis()
        ax.set_xlim(0, 1.2 if panels == 1 else 1.5)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_title(name, fontsize=SMALL)
    figure.supxlabel("probability (blue: the true class)", fontsize=SMALL)
    return figure


def corners(
    probabilities: Tensor, labels: Tensor, class_names: Sequence[str], title: str = ""
) -> Figure:
    """Each picture a point, pulled towards the corner of each class by the class's probability.

    `probabilities` are (N, classes), `labels` (N,). One that could be anything lies in the middle,
    one that is surely one class in that corner. A dot is a right answer, a cross a wrong one, both
    in the colour of the true class.
    """
    angles = 2 * torch.pi * torch.arange(len(class_names)) / len(class_names)
    places = torch.stack((angles.sin(), angles.cos()), dim=1)
    points, right = probabilities @ places, probabilities.argmax(dim=1) == labels
    ax = _axes(4.6, 4.2, title)
    for k, (name, (x, y)) in enumerate(zip(class_names, places.tolist())):
        colour = colours.COLOURS[k % len(colours.COLOURS)]
        for answer, marker in ((right, "o"), (~right, "x")):
            ax.plot(*points[answer & (labels == k)].T, marker, color=colour, ms=3.5, alpha=0.6)
        side = "center" if abs(x) < 0.1 else ("left" if x > 0 else "right")
        ax.plot(x, y, "s", color=colour, ms=8)
        ax.text(1.09 * x, 1.09 * y, legible(name, 20), ha=side, va="center", fontsize=SMALL)
    ax.plot(*torch.cat((places, places[:1])).T, color=colours.GREY, linewidth=0.8, zorder=0)
    ax.margins(0.12)  # room for the names
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax.figure


def confusion(
    labels: Tensor, predicted: Tensor, class_names: Sequence[str], title: str = ""
) -> Figure:
    """Rows are true classes, columns predicted ones, entries numbers of pictures."""
    matrix = confusion_matrix(labels, predicted, len(class_names))
    ax = _axes(6.4, 5.8, title)
    share = matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1)
    ax.imshow(share.numpy(), cmap="Oranges", vmin=0, vmax=1)
    for row, column in np.ndindex(*matrix.shape):
        colour = "white" if share[row, column] > 0.6 else "black"
        number = int(matrix[row, column])
        ax.text(column, row, number, ha="center", va="center", color=colour)
    names = at_ticks(class_names)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    return ax.figure


def worst_mistakes(
    images: Tensor,
    labels: Tensor,
    probabilities: Tensor,
    class_names: Sequence[str],
    count: int = 10,
    title: str = "",
) -> Figure:
    """The pictures, of uint8 (N, 3, H, W), whose wrong answer has the highest probability.

    Labels are (N,), probabilities (N, classes). Worst first; the answer stands above the truth.
    """
    certainty, predicted = probabilities.max(dim=1)
    wrong = (predicted != labels).nonzero().flatten()
    worst = wrong[certainty[wrong].argsort(descending=True, stable=True)][:count].tolist()
    if not worst:
        return _sentence(f"None of {len(labels):,} pictures is wrong.", title)
    titles = [
        f"{class_names[predicted[k]]} {certainty[k]:.1%}\ntruth: {class_names[labels[k]]}"
        for k in worst
    ]
    return pictures(images[worst], titles, title, columns=5)


def _sentence(text: str, title: str) -> Figure:
    """What stands in place of a drawing when there is nothing to draw."""
    ax = _axes(6, 1.2, title)
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center")
    return ax.figure


# --- lines --------------------------------------------------------------------------------------


class Line(NamedTuple):
    """One line of a panel; `style` is its colour and its marker."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: tuple[str, str]
    dashed: bool = False


def training_curves(history: History | dict[str, History], title: str = "") -> Figure:
    """Loss (left) and accuracy (right) by epoch, on the training and the validation pictures.

    Several histories, by name, share the axes: solid is validation, dashed is training. More than
    six lines stand in several rows of panels, first all of validation.
    """
    if isinstance(history, History):
        parts = {"train": [("training", history, (colours.GREY, "s"))]}
        parts["validation"] = [("validation", history, (colours.BLUE, "o"))]
    else:
        named = list(zip(history, history.values(), colours.styles(history)))
        parts = {"train": named, "validation": named}
    panels = {}
    for quantity, words in (("loss", "cross-entropy loss"), ("accuracy", "share correct")):
        panels[words] = [
            Line(name, h.column("epoch"), h.column(f"{part}_{quantity}"), style, part == "train")
            for part, some in parts.items()
            for name, h, style in some
        ]
    return _panels(panels, "epoch (dashed: training pictures)", title)


def errors_by_epoch(errors: dict[str, Sequence[float]], mark: float, title: str = "") -> Figure:
    """Training error (0 to 1) by epoch, before the first one too, a line for each name.

    A dotted line shows the `mark` that all are to reach, as the paper's Figure 1 on AlexNet has it.
    """
    looks = zip(errors.items(), colours.styles(errors))
    lines = [Line(name, range(len(each)), each, style) for (name, each), style in looks]
    figure = _panels({"training error": lines}, "epoch", title)
    figure.axes[0].axhline(mark, color="black", linestyle=":")
    return figure


def by_batch(seconds: dict[str, dict[int, float]], title: str = "") -> Figure:
    """Milliseconds of a step by the pictures in it, a line for each network, on log axes.

    `seconds` has them by name and number of pictures. A dotted line ends where the last step does:
    so the time would grow if each picture took as long as in that step.
    """
    lines = []
    for (name, times), style in zip(seconds.items(), colours.styles(seconds)):
        lines.append(Line(name, list(times), [1000 * each for each in times.values()], style))
    figure = _panels({"milliseconds of a step": lines}, "pictures in the step", title)
    ax = figure.axes[0]
    for line in lines:
        shared = [line.y[-1] * pictures / line.x[-1] for pictures in line.x]
        ax.plot(line.x, shared, ":", color=line.style[0])
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(lines[0].x, map(str, lines[0].x))
    return figure


def by_depth(statistics: dict[str, Sequence[LayerStatistics]], title: str = "") -> Figure:
    """Signal (left) and gradient (right) by layer, a line for each network, on log axes.

    More than six networks stand in several rows of panels. What is 0 or not a finite number has no
    place there and is left out.
    """
    spread, gradient = "spread of a unit over the pictures", "|gradient of the loss| / |weights|"
    panels = {spread: [], gradient: []}
    for (name, layers), style in zip(statistics.items(), colours.styles(statistics)):
        for words, quantity in zip(panels, ("spread", "gradient")):
            values = [getattr(layer, quantity) for layer in layers]
            values = [value if 0 < value < inf else nan for value in values]
            panels[words].append(Line(name, range(1, len(layers) + 1), values, style))
    figure = _panels(panels, "layer, from the picture on", title)
    for ax in figure.axes:
        ax.set_yscale("log")
    return figure


def depth_curves(curves: dict[str, tuple[Sequence, Sequence]], title: str = "") -> Figure:
    """Errors by epoch of networks of several depths, as Figure 4 of arXiv:1512.03385.

    `curves` has by its name, such as "plain 20", the training and the validation accuracy of a
    network, each a curve a seed, (seeds, epochs), 0 to 1. What the first word names has a panel of
    its own, on the same axes; the colour says the depth; training is bold and validation thin, a
    line for the mean and a band from the lowest seed to the highest. No panel is higher than the
    worst training error: a spike of validation is cut off, and does not press the rest together.
    Raises ValueError for more than three depths in a panel.
    """
    kinds = list(dict.fromkeys(name.split()[0] for name in curves))
    depths = list(dict.fromkeys(name.split()[1] for name in curves))
    if 2 * len(depths) > MOST_LINES:
        raise ValueError(f"curves must be of at most three depths; got {', '.join(depths)}")
    figure, handles, low, top = _page(7, 3.6, title), {}, 1.0, 0.0
    row = figure.subplots(1, len(kinds), sharex=True, sharey=True, squeeze=False)[0]
    axes = dict(zip(kinds, row))
    styles = dict(zip(depths, colours.styles([f"{depth} layers" for depth in depths])))
    for name, parts in curves.items():
        kind, depth = name.split()
        for part, width, shares in zip(("training", "validation"), (3, 1.2), parts):
            errors = 1 - np.asarray(shares, dtype=float)
            epochs, (colour, marker) = range(1, errors.shape[1] + 1), styles[depth]
            band = (errors.min(0), errors.max(0))
            axes[kind].fill_between(epochs, *band, color=colour, alpha=0.2, linewidth=0)
            (line,) = axes[kind].plot(epochs, errors.mean(0), color=colour, linewidth=width,
                                      marker=marker, markersize=3 + width)  # fmt: skip
            handles[f"{depth} layers, {part}"] = line
            low, top = min(low, errors.min()), max(top, errors.max() * (part == "training"))
    for kind, ax in axes.items():
        ax.set_title(kind, fontsize=SMALL)
        ax.set_xlabel("epoch (bold: training, thin: validation)")
        ax.set_ylim(0.9 * low, 1.05 * top)
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    axes[kinds[0]].set_ylabel("share of wrong pictures")
    _legend(figure, handles, len(depths))
    return figure


def _panels(lines: dict[str, list[Line]], xlabel: str, title: str) -> Figure:
    """A column of panels for the lines of each quantity, at most six lines in a panel."""
    groups = {words: _groups(each) for words, each in lines.items()}
    names = {line.name for line in chain(*lines.values())} or {""}
    columns = max(1, min(5, 78 // (6 + max(map(letters, names)))))
    rows, handles = max(map(len, groups.values())), {}
    figure = _page(7, 0.75 + 2.3 * rows + 0.22 * ceil(len(names) / columns), title)
    axes = figure.subplots(rows, len(lines), sharex="col", sharey="col", squeeze=False)
    for down, (words, parts) in zip(axes.T, groups.items()):
        for ax, part in zip(down, parts):
            handles = _draw_lines(ax, part) | handles
            mixed = rows > 1 and any(line.dashed for line in lines[words])
            kind = (", training" if part[0].dashed else ", validation") if mixed else ""
            ax.set_title(f"{words}{kind}", fontsize=SMALL)
        down[-1].set_xlabel(xlabel)
    _legend(figure, {line.name: handles[line.name] for line in chain(*lines.values())}, columns)
    return figure


def _legend(figure: Figure, handles: dict[str, Artist], columns: int) -> None:
    """The names of lines, below all panels."""
    if handles:
        where = {"loc": "outside lower center", "ncols": columns, "fontsize": SMALL}
        figure.legend(handles.values(), handles, **where)


def _groups(lines: list[Line]) -> list[list[Line]]:
    if len(lines) <= MOST_LINES:
        return [lines]
    parts = [[line for line in lines if line.dashed == dashed] for dashed in (False, True)]
    return [part[k : k + MOST_LINES] for part in parts for k in range(0, len(part), MOST_LINES)]


def _draw_lines(ax: Axes, lines: list[Line]) -> dict[str, object]:
    """The first ones are wider and markers take turns: of lines that coincide all are seen."""
    handles, names = {}, list(dict.fromkeys(line.name for line in lines))
    for line in lines:
        (colour, marker), turn = line.style, names.index(line.name)
        above, turns = len(names) - 1 - turn, max(1, min(len(names), len(line.x) // 3))
        (handles[line.name],) = ax.plot(
            line.x, line.y, "--" if line.dashed else "-", color=colour, marker=marker,
            linewidth=1.2 + 0.4 * above, markersize=5 + 0.6 * above,
            markerfacecolor="white" if line.dashed else colour, markevery=(turn % turns, turns),
        )  # fmt: skip
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    ax.grid(alpha=0.3)
    return handles


# --- several networks ---------------------------------------------------------------------------


def bubbles(
    points: dict[str, tuple[float, float, float]],
    spans: dict[str, tuple[float, float]] | None = None,
    title: str = "",
    ylabel: str = "share of correct pictures",
) -> Figure:
    """Networks by cost and accuracy, after Canziani et al. 2016 (arXiv:1605.07678).

    A point is (MACs, y, size), size the area of the bubble. `spans` are the lowest
    and highest y of a name. Names stand where they cover neither each other nor a bubble.
    """
    ax = _axes(7, 4.2, title)
    largest = max((size for *_, size in points.values()), default=1)
    for name, (low, high) in (spans or {}).items():
        ax.plot([points[name][0]] * 2, [low, high], color="black", linewidth=1.2, zorder=3)
    ax.set_xscale("log")
    ax.margins(x=0.15, y=0.2)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("MACs for one picture")
    ax.set_ylabel(ylabel)
    _dots(ax, {name: (x, y, 1_800 * size / largest) for name, (x, y, size) in points.items()}, 8)
    return ax.figure


def timeline(points: dict[str, tuple[float, float, float]], title: str = "") -> Figure:
    """Networks by year; a point is (year, parameters, MACs), and the area of its dot is the MACs.

    A dot too small to be seen is drawn with a cross on it, larger than its share. Names stand where
    they cover neither each other nor a dot.
    """
    ax, dots, smallest = _axes(7, 4, title), {}, 14
    largest = max(macs for *_, macs in points.values())
    for name, (year, parameters, macs) in points.items():
        area = 2_600 * macs / largest
        if area < smallest:
            ax.scatter(year, parameters, s=60, color="black", marker="x", linewidths=1, zorder=3)
        unit, of = ("G", 1e9) if macs >= 1e8 else ("M", 1e6)
        words = f"{name}\n{macs / of:.{1 if macs < 1e10 else 0}f} {unit} MACs"
        dots[words] = (year, parameters, area)
    ax.set_yscale("log")
    ax.margins(y=0.3)
    years = [year for year, *_ in points.values()]
    ax.set_xlim(min(years) - 2, max(years) + 5)  # room for the names
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("year of the paper")
    ax.set_ylabel("parameters")
    _dots(ax, dots, smallest)
    return ax.figure


def _dots(ax: Axes, dots: dict[str, tuple[float, float, float]], smallest: float) -> None:
    """Dots (x, y, area), the largest first, each with its name.

    A name stands beside, above or below its dot: at the first place that is free, else the first.
    """
    for x, y, area in sorted(dots.values(), key=lambda dot: -dot[2]):
        look = {"color": colours.BUBBLE, "edgecolors": "black", "linewidths": 0.8, "alpha": 0.8}
        ax.scatter(x, y, s=max(smallest, area), **look)
    ax.grid(alpha=0.3)
    ax.figure.draw_without_rendering()
    taken, inside, radii = [], ax.get_window_extent().padded(1), {}
    for name, (x, y, area) in dots.items():
        radii[name] = (max(area, 60) / np.pi) ** 0.5
        corner = ax.transData.transform((x, y)) - radii[name] * ax.figure.dpi / 72
        taken.append(Bbox.from_bounds(*corner, *[radii[name] * ax.figure.dpi / 36] * 2))
    for name, (x, y, _) in dots.items():
        gap, words = radii[name] + 4, []
        sides = ((gap, 0, "left", "center"), (-gap, 0, "right", "center"),
                 (0, gap, "center", "bottom"), (0, -gap, "center", "top"))  # fmt: skip
        for right, up, across, along in sides:
            place = {"textcoords": "offset points", "ha": across, "va": along}
            words.append(ax.annotate(legible(name, 30), (x, y), (right, up), **place))
        give_fonts(ax.figure)
        boxes = [each.get_window_extent() for each in words]
        free = [
            k for k, box in enumerate(boxes)
            if not box.count_overlaps(taken) and inside.count_contains(box.corners()) == 4
        ]  # fmt: skip
        chosen = (free or [0])[0]
        taken.append(boxes[chosen])
        for k, each in enumerate(words):
            if k != chosen:
                each.remove()


def number_grids(
    grids: dict[str, Tensor],
    windows: dict[str, tuple[int, int, int, int]] | None = None,
    signed: dict[str, str] | None = None,
) -> Figure:
    """Small matrices (rows, columns) side by side: the larger a number, the lighter its grey.

    `windows` frames a part of a grid in orange, by its name: (top, left, height, width). `signed`
    gives a grid the colours `colours.ACTIVATIONS` or `colours.WEIGHTS`, in which 0 is white.
    """
    columns = [grid.shape[1] for grid in grids.values()]
    height = 0.42 * max(len(grid) for grid in grids.values()) + 0.5
    figure = _page(0.42 * sum(columns) + 0.5 * len(grids), height, "")
    axes = figure.subplots(1, len(grids), width_ratios=columns, squeeze=False).flat
    for ax, (name, grid) in zip(axes, grids.items()):
        scale = (signed or {}).get(name)
        largest = 1.25 * float(grid.abs().max()) or 1
        low, high = (-largest, largest) if scale else (float(grid.min()), float(grid.max()))
        drawn = ax.imshow(grid.numpy(), cmap=scale or "gray", vmin=low, vmax=high)
        for row, column in np.ndindex(*grid.shape):
            number = float(grid[row, column])
            red, green, blue, _ = drawn.to_rgba(number)
            colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.47 else "black"
            words = f"{number:g}".replace("-", "−")
            ax.text(column, row, words, ha="center", va="center", color=colour)
        ax.set_xticks(np.arange(-0.5, grid.shape[1]), [])
        ax.set_yticks(np.arange(-0.5, grid.shape[0]), [])
        ax.grid(color=colours.GREY, linewidth=1)
        ax.tick_params(length=0)
        ax.set_title(name, fontsize=SMALL)
        if windows and name in windows:
            top, left, tall, wide = windows[name]
            frame = Rectangle((left - 0.5, top - 0.5), wide, tall, fill=False, zorder=3)
            frame.set(edgecolor=colours.ORANGE, linewidth=3.5, clip_on=False)
            ax.add_patch(frame)
    return figure


def ways(layers: int = 2) -> Figure:
    """In how many ways the number in the middle behind so many 3×3 convolutions reads those before.

    A grid for the maps behind each layer but the last, and one for the picture; strides are 1. What
    is 0 is not read. Raises ValueError for layers below 1.
    """
    if layers < 1:
        raise ValueError(f"layers must be 1 or more; got {layers}")
    middle, grids = layers + 1, {}
    read = torch.zeros(1, 1, 2 * middle + 1, 2 * middle + 1)
    read[0, 0, middle, middle] = 1
    for layer in range(layers - 1, -1, -1):
        read = F.conv2d(read, torch.ones(1, 1, 3, 3), padding=1)
        grids[f"ways from layer {layer}" if layer else "ways from the picture"] = read[0, 0]
    return number_grids(grids, signed=dict.fromkeys(grids, colours.ACTIVATIONS))


# --- inside a network ---------------------------------------------------------------------------


def filters(weight: Tensor, title: str = "", columns: int = 8, most: int = 64) -> Figure:
    """Kernels (out, in, k, k), each on a scale of its own in which 0 is the middle.

    With 3 inputs they are colour pictures, otherwise the first input's weights are drawn, brown
    below 0 and green above. Of more than `most` kernels the first are drawn, and the title says so.
    """
    weight = weight.detach().cpu()
    figure, axes = _grid(*_numbered(weight, most, title, columns))
    colour = weight.shape[1] == 3
    for kernel, ax in zip(weight, axes):
        largest = kernel.abs().max().clamp(min=1e-30)
        if colour:
            ax.imshow((kernel / largest / 2 + 0.5).permute(1, 2, 0).numpy(), gid=MAPS)
        else:
            _signed(ax, kernel[0], colours.WEIGHTS, largest)
    scale = "grey" if colour else f"white;\nbrown is below, green above; {ENDS}"
    figure.supxlabel(f"each kernel has its own scale, in which 0 is {scale}", fontsize=SMALL)
    return figure


def feature_maps(
    maps: Tensor, title: str = "", columns: int = 8, most: int = 64, image: Tensor | None = None
) -> Figure:
    """The maps (channels, height, width) of one picture, red above 0 and blue below, one scale.

    The picture itself, uint8 (3, H, W), stands beside them, if it is given. Of more than `most`
    maps the first are drawn, and the title says so.
    """
    maps = maps.detach().cpu()
    columns = columns if image is None else min(columns, 4)
    figure, axes = _grid(*_numbered(maps, most, title, columns), 0.7, image)
    largest = maps[:most].abs().max().clamp(min=1e-30)
    for each, ax in zip(maps, axes):
        drawn = _signed(ax, each, colours.ACTIVATIONS, largest)
    figure.colorbar(drawn, ax=axes, label="activation", fraction=0.03, aspect=25)
    figure.supxlabel(ENDS, fontsize=SMALL)
    return figure


def _numbered(parts: Tensor, most: int, title: str, columns: int) -> tuple[list[str], int, str]:
    """What `_grid` wants for the first of many parts: their numbers, columns, and the title."""
    numbers = [str(k) for k in range(min(len(parts), most))]
    if len(numbers) < len(parts):
        title = f"{title} (the first {len(numbers)} of {len(parts):,})".strip()
    return numbers, columns, title


def _signed(ax: Axes, values: Tensor, scale: str, largest: float) -> AxesImage:
    """Numbers (height, width) in two colours around 0, with marks that are seen in grey too."""
    drawn = ax.imshow(values.numpy(), cmap=scale, vmin=-largest, vmax=largest)
    for sign, number, place in (("+", values.max(), values.argmax()),
                                ("_", -values.min(), values.argmin())):  # fmt: skip
        if number > 0:
            y, x = divmod(int(place), values.shape[1])
            ax.plot(x, y, "o", color="white", mec="black", ms=8, mew=0.7, clip_on=False)
            ax.plot(x, y, sign, color="black", ms=5, mew=1.2, clip_on=False)
    return drawn


def grad_cam(image: Tensor, heats: dict[str, Tensor], title: str = "") -> Figure:
    """A picture, uint8 (3, H, W), and by name what in it speaks for a class, in amber.

    Heats are (h, w), as `probes.grad_cam` measures them, each divided by its largest value; they
    are stretched over the whole picture, whatever the layer's padding was.
    """
    figure, axes = _grid(["the picture", *heats], 4, title, 0.7)
    _picture(axes[0], image)
    # Lighter than it is, for a colour on black is not seen.
    grey = 0.35 + 0.65 * image.float().mean(dim=0) / 255
    amber = np.tile(to_rgba(colours.SCORES), (257, 1))
    amber[:, 3] = np.linspace(0, 0.9, 257)
    for ax, heat in zip(axes[1:], heats.values()):
        share = heat / heat.max().clamp(min=1e-30)
        stretched = F.interpolate(share[None, None].float(), image.shape[1:], mode="bilinear")[0, 0]
        ax.imshow(grey.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        drawn = ax.imshow(stretched.numpy(), cmap=ListedColormap(amber), vmin=0, vmax=1)
    figure.colorbar(drawn, ax=axes, label="share of the largest", fraction=0.05, shrink=0.85)
    return figure


def dead_taps(record: Record, names: Sequence[str] = (), title: str = "") -> Figure:
    """The kernels of the layers called `names`, a square for each tap, blue if it meets a pixel.

    A grey tap lies on padding wherever the window stands: it is dead, its weights never learn.
    Without `names` it draws each layer that has one. The line below counts those of all layers.
    Raises ValueError for a layer without a window, and KeyError for a name that is not there.
    """
    rows = [record[name] for name in names] or [row for row in record if row.live < 1]
    # A kernel of one or three axes is drawn as lines of its last one.
    kernels = [live.reshape(-1, live.shape[-1]).numpy() for live in map(live_taps, rows)]
    if not rows:
        return _sentence("Every tap of every kernel meets a pixel.", title)
    titles = []
    for row, live in zip(rows, kernels):
        first, *rest = row.name.split(".")[-3:]
        name = "\n".join(filter(None, [first, ".".join(rest)]))
        titles.append(f"{name}\n{live.sum()} of {live.size} taps")
    figure, axes = _grid(titles, 5, title)
    side = max(max(live.shape) for live in kernels)
    for ax, live in zip(axes, kernels):
        ax.pcolormesh(live, cmap=ListedColormap(["#D0D0D0", colours.BLUE]), vmin=0, vmax=1,
                      edgecolors="white", linewidth=1)  # fmt: skip
        height, width = live.shape
        ax.set_xlim((width - side) / 2, (width + side) / 2)
        ax.set_ylim((height + side) / 2, (height - side) / 2)
        ax.set_aspect("equal")
    share = record.dead / max(1, record.parameters)
    figure.supxlabel(
        "blue meets pixels, grey meets only padding\n"
        f"{record.dead:,} of {record.parameters:,} parameters ({share:.1%}) are dead",
        fontsize=SMALL,
    )
    return figure


def shares(record: Record, title: str = "") -> Figure:
    """Each layer's share of the network's parameters (left) and of its MACs (right), as bars.

    Of a network with more than 40 layers, each block's share.
    """
    rows = [row for row in record if row.parameters]
    if len(rows) > 40:
        rows = [row for row in record.fold() if row.parameters]
    figure = _page(7, 0.9 + 0.2 * len(rows), title)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, quantity, colour in zip(axes, ("parameters", "MACs"), (colours.BLUE, colours.ORANGE)):
        whole = max(1, getattr(record, quantity.lower()))
        values = [getattr(row, quantity.lower()) / whole for row in rows]
        bars = ax.barh(range(len(rows)), values, color=colour)
        ax.bar_label(bars, [f" {value:.1%}" for value in values])
        ax.set_xlim(0, 1.3 * max(values, default=1))
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.xaxis.get_major_locator().set_params(nbins=4)
        ax.set_xlabel(f"share of the {quantity}")
    axes[0].set_yticks(range(len(rows)), at_ticks(last_part(row.name) for row in rows))
    axes[0].invert_yaxis()
    return figure


def film_strip(tiles: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Pictures of the steps of a network in reading order, uint8 (height, width, 3) of any size."""
    figure, axes = _grid(titles, 7, "")
    for ax, tile in zip(axes, tiles):
        ax.imshow(tile, interpolation="nearest", gid=MAPS)
    return figure


def receptive_fields(image: Tensor, record: Record, title: str = "") -> Figure:
    """One picture, uint8 (3, H, W), with what the middle unit of each set of maps sees of it.

    Raises ValueError for a record in which no window over a picture has a view that is known.
    """
    rows = [row for row in record if row.window and row.field and len(row.output) == 4]
    if not rows:
        raise ValueError("record must have a window over maps whose view is known; got none")
    ax = _axes(4.6, 3, title)
    _picture(ax, image)
    look = [(colour, line) for line in ("-", "--") for colour in colours.COLOURS[:5]]
    for k, (row, (colour, line)) in enumerate(zip(rows, look)):
        y, x = (f.first + n // 2 * f.stride - 0.5 for f, n in zip(row.field, row.output[2:]))
        height, width = row.receptive_field
        square = Rectangle((x, y), width, height, fill=False, edgecolor=colour, linestyle=line)
        # Earlier ones are thinner and on top, so that edges that coincide can both be seen.
        square.set(linewidth=2 + 1.5 * k, zorder=9 - k)
        square.set_label(f"{legible(last_part(row.name), 20)}: {height}×{width}")
        ax.add_patch(square)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax.figure


def connections(reads: Tensor, title: str = "") -> Figure:
    """Which input maps (rows) each output map (columns) reads, from a boolean (outputs, inputs)."""
    ax = _axes(6, 2.6, title)
    ax.imshow(reads.T.numpy(), cmap="Greys", vmin=0, vmax=1.4)
    for axis, count in zip((ax.xaxis, ax.yaxis), reads.shape):
        axis.set_ticks(np.arange(count))
        axis.set_ticks(np.arange(count) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=2)
    ax.tick_params(which="both", length=0)
    ax.set_xlabel("map of the convolution")
    ax.set_ylabel("map that it reads")
    return ax.figure
