"""Pictures of what networks do. Every function returns a Figure; `show` displays it.

Colours, safe for colour-blind readers: inputs grey, activations red to blue around 0, weights brown
to green around 0, scores orange.
"""

import base64
import io
import re
from collections.abc import Sequence
from itertools import cycle
from math import ceil, inf, nan

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox
from torch import Tensor
from torch.nn import functional as F

from cnn_lessons.see.colours import (
    ACTIVATIONS,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SCORES,
    SKY,
    STYLES,
    WEIGHTS,
)
from cnn_lessons.see.probes import LayerStatistics, principal_axes
from cnn_lessons.shapes import Record, live_taps
from cnn_lessons.training import History, confusion_matrix


def show(figure: Figure, text: str) -> None:
    """Display a figure with its text twin: one sentence for readers who do not see the picture.

    Raises ValueError for a text that is not one sentence.
    """
    if not re.fullmatch(r"(?!.*[.!?]\s+[A-Z])\S.*[.!?]", text, re.DOTALL):
        raise ValueError(f"text must be one sentence with its full stop; got {text!r}")
    from IPython.display import display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor="white")
    picture = base64.b64encode(buffer.getvalue()).decode()
    bundle = {"image/png": picture, "text/plain": text}
    display(bundle, metadata={"image/png": {"alt": text}}, raw=True)
    display({"text/markdown": f"*{text}*", "text/plain": text}, raw=True)


def _axes(width: float, height: float, ax: Axes | None = None) -> Axes:
    """The axes that were given, or those of a new figure of so many inches."""
    if ax is not None:
        return ax
    return Figure((width, height), layout="constrained").add_subplot()


def _grid(count: int, columns: int, lines: int = 1, largest: float = 1.2):
    """A figure of equal square axes of at most `largest` inches, the unused ones off, with room
    for so many lines of text in each row."""
    columns = min(columns, count)
    rows, cell = ceil(count / columns), min(largest, 7 / columns)
    height = rows * (cell + 0.06 + 0.15 * lines) + 0.3
    figure = Figure((max(columns * cell, 3.4), height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.07)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes:
        ax.set_axis_off()
    return figure, axes[:count]


# --- pictures and predictions -------------------------------------------------------------------


def pictures(
    images: Tensor, titles: Sequence[str] = (), title: str = "", columns: int = 10
) -> Figure:
    """A grid of pictures, uint8 (N, 3, H, W), each with its own title."""
    lines = 1 + max((text.count("\n") for text in titles), default=0)
    figure, axes = _grid(len(images), columns, lines)
    for k, ax in enumerate(axes):
        ax.imshow(images[k].permute(1, 2, 0).numpy())
        if k < len(titles):
            ax.set_title(titles[k], fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def prediction(
    image: Tensor, probabilities: Tensor, class_names: Sequence[str], label: int, title: str = ""
) -> Figure:
    """One picture, uint8 (3, H, W), beside its probabilities (classes,); the true class in blue."""
    figure = Figure((6.5, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 2])
    left.imshow(image.permute(1, 2, 0).numpy())
    left.set_axis_off()
    left.set_title(f"truth: {class_names[label]}", fontsize=9)
    colours = [BLUE if k == label else SCORES for k in range(len(class_names))]
    bars = right.barh(range(len(class_names)), probabilities.numpy(), color=colours)
    right.bar_label(bars, [f" {p:.1%}" for p in probabilities.tolist()], fontsize=7)
    right.set_yticks(range(len(class_names)), class_names, fontsize=8)
    right.invert_yaxis()
    right.set_xlim(0, 1.15)
    right.set_xlabel("probability (blue: the true class)")
    figure.suptitle(title, fontsize=10)
    return figure


def answers(
    image: Tensor,
    probabilities: dict[str, Tensor],
    class_names: Sequence[str],
    label: int,
    title: str = "",
) -> Figure:
    """One picture, uint8 (3, H, W), and what several networks make of it, side by side.

    `probabilities` are (classes,), by name; the bar of the true class is blue.
    """
    figure = Figure((7.5, 2.6), layout="constrained")
    left, *panels = figure.subplots(1, 1 + len(probabilities))
    left.imshow(image.permute(1, 2, 0).numpy())
    left.set_axis_off()
    left.set_title(f"truth: {class_names[label]}", fontsize=9)
    colours = [BLUE if k == label else SCORES for k in range(len(class_names))]
    for k, (ax, (name, each)) in enumerate(zip(panels, probabilities.items())):
        bars = ax.barh(range(len(class_names)), each.numpy(), color=colours)
        ax.bar_label(bars, [f" {p:.0%}" for p in each.tolist()], fontsize=7)
        ax.set_yticks(range(len(class_names)), class_names if k == 0 else [], fontsize=8)
        ax.invert_yaxis()
        ax.set_xlim(0, 1.25)
        ax.set_xticks([0, 0.5, 1])
        ax.set_title(name, fontsize=9)
    figure.supxlabel("probability (blue: the true class)", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def confusion(
    labels: Tensor,
    predicted: Tensor,
    class_names: Sequence[str],
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Rows are true classes, columns predicted ones, entries numbers of pictures.

    With `ax` it is drawn there, so that several stand in one figure.
    """
    matrix = confusion_matrix(labels, predicted, len(class_names))
    ax = _axes(6.2, 5.6, ax)
    share = matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1)
    ax.imshow(share.numpy(), cmap="Oranges", vmin=0, vmax=1)
    for row, column in torch.cartesian_prod(*[torch.arange(len(class_names))] * 2).tolist():
        colour = "white" if share[row, column] > 0.6 else "black"
        number = int(matrix[row, column])
        ax.text(column, row, number, ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(class_names)), class_names, rotation=45, ha="right")
    ax.set_yticks(range(len(class_names)), class_names)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(title, fontsize=10)
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
    ax = _axes(6, 1.2)
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=10)
    ax.set_title(title, fontsize=10)
    return ax.figure


# --- training -----------------------------------------------------------------------------------


def training_curves(history: History | dict[str, History], title: str = "") -> Figure:
    """Loss (left) and accuracy (right) by epoch, on the training and the validation pictures.

    Several histories, by name, share the axes: solid is validation, dashed is training.
    """
    several = isinstance(history, dict)
    figure = Figure((7, 3.2 if several else 2.8), layout="constrained")
    for ax, name in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        for each, part, label, colour, style in _curves(history):
            values = each.column(f"{part}_{name}")
            ax.plot(each.column("epoch"), values, style, color=colour, ms=4, label=label)
        ax.set_xlabel("epoch (dashed: training pictures)" if several else "epoch")
        ax.set_ylabel("cross-entropy loss" if name == "loss" else "share of correct pictures")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        if not several:
            ax.legend()
    if several:
        _legend_below(figure, ax)
    figure.suptitle(title, fontsize=10)
    return figure


def _curves(history: History | dict[str, History]) -> list[tuple[History, str, str, str, str]]:
    """History, part, label, colour and style of each line; training lines come first."""
    if isinstance(history, History):
        names = ("train", GREY, "o--"), ("validation", BLUE, "o-")
        return [(history, part, part, *style) for part, *style in names]
    named = list(zip(history.items(), cycle(STYLES)))
    training = [(each, "train", "", colour, "--") for (_, each), (colour, _) in named]
    return training + [
        (each, "validation", name, colour, f"{marker}-") for (name, each), (colour, marker) in named
    ]


def _legend_below(figure: Figure, ax: Axes) -> None:
    handles, names = ax.get_legend_handles_labels()
    columns = max(1, min(5, 85 // (6 + max(map(len, names), default=0))))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=9)


# --- several networks ---------------------------------------------------------------------------


def bubbles(
    points: dict[str, tuple[float, float, float]],
    spans: dict[str, tuple[float, float]] | None = None,
    title: str = "",
    xlabel: str = "MACs for one picture",
    ylabel: str = "share of correct pictures",
) -> Figure:
    """Networks by cost and accuracy, after Canziani et al. 2016 (arXiv:1605.07678).

    A point is (x, y, size): x on a log axis, size the area of the bubble. `spans` are the lowest
    and highest y of a name. Names stand where they cover neither each other nor a bubble.
    """
    ax = _axes(7, 4.2)
    largest = max((size for *_, size in points.values()), default=1)
    areas = {name: max(8.0, 1_800 * size / largest) for name, (*_, size) in points.items()}
    for name, (x, y, _) in sorted(points.items(), key=lambda item: -item[1][2]):
        ax.scatter(x, y, s=areas[name], color=SKY, edgecolors="black", linewidths=0.8, alpha=0.8)
    for name, (low, high) in (spans or {}).items():
        ax.plot([points[name][0]] * 2, [low, high], color="black", linewidth=1.2)
    ax.set_xscale("log")
    ax.margins(x=0.15, y=0.2)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.grid(alpha=0.3)
    ax.set_title(title, fontsize=10)
    _name_the_bubbles(ax, {name: point[:2] for name, point in points.items()}, areas)
    return ax.figure


def _name_the_bubbles(ax: Axes, places: dict[str, tuple[float, float]], areas) -> None:
    """A name beside, above or below each bubble: the first place that is free, else the first."""
    ax.figure.draw_without_rendering()
    scale, taken = ax.figure.dpi / 72, []
    radii = {name: (area / np.pi) ** 0.5 for name, area in areas.items()}
    for name, place in places.items():
        x, y = ax.transData.transform(place)
        r = radii[name] * scale
        taken.append(Bbox([[x - r, y - r], [x + r, y + r]]))
    for name, place in places.items():
        gap, words = radii[name] + 4, []
        sides = ((gap, 0, "left", "center"), (-gap, 0, "right", "center"),
                 (0, gap, "center", "bottom"), (0, -gap, "center", "top"))  # fmt: skip
        for right, up, across, along in sides:
            words.append(
                ax.annotate(name, place, (right, up), textcoords="offset points", ha=across,
                            va=along, fontsize=9)
            )  # fmt: skip
        boxes = [each.get_window_extent() for each in words]
        inside = ax.get_window_extent()
        free = [
            k
            for k, box in enumerate(boxes)
            if not any(box.overlaps(other) for other in taken)
            and inside.containsx(box.x0) and inside.containsx(box.x1)
            and inside.containsy(box.y0) and inside.containsy(box.y1)
        ]  # fmt: skip
        chosen = (free or [0])[0]
        taken.append(boxes[chosen])
        for k, each in enumerate(words):
            if k != chosen:
                each.remove()


def timeline(points: dict[str, tuple[float, float, float]], title: str = "") -> Figure:
    """Networks by year; a point is (year, parameters, MACs), and the area of its dot is the MACs.

    A dot too small to be seen is drawn with a cross on it, larger than its share. Names stand where
    they cover neither each other nor a dot.
    """
    ax = _axes(7, 4)
    smallest, most, largest = 14, 2_600, max(macs for *_, macs in points.values())
    places, areas = {}, {}
    for name, (year, parameters, macs) in sorted(points.items(), key=lambda item: -item[1][2]):
        area = max(smallest, most * macs / largest)
        ax.scatter(year, parameters, s=area, color=SKY, edgecolors="black", linewidths=0.8)
        if area == smallest:
            ax.scatter(year, parameters, s=60, color="black", marker="x", linewidths=1, zorder=3)
        digits = 1 if macs < 1e10 else 0
        unit, of = ("G", 1e9) if macs >= 1e8 else ("M", 1e6)
        words = f"{name}\n{macs / of:.{digits}f} {unit} MACs"
        places[words], areas[words] = (year, parameters), max(area, 60)
    ax.set_yscale("log")
    ax.margins(y=0.3)
    years = [year for year, *_ in points.values()]
    ax.set_xlim(min(years) - 2, max(years) + 4)  # room for the names
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("year of the paper")
    ax.set_ylabel("parameters")
    ax.grid(alpha=0.3)
    ax.set_title(title, fontsize=10)
    _name_the_bubbles(ax, places, areas)
    return ax.figure


def number_grids(
    grids: dict[str, Tensor], windows: dict[str, tuple[int, int, int, int]] | None = None
) -> Figure:
    """Small matrices (rows, columns) side by side, their numbers in shades of grey.

    `windows` frames a part of a grid in orange, by its name: (top, left, height, width).
    """
    columns = [grid.shape[1] for grid in grids.values()]
    height = 0.42 * max(len(grid) for grid in grids.values()) + 0.5
    figure = Figure((0.42 * sum(columns) + 0.5 * len(grids), height), layout="constrained")
    axes = figure.subplots(1, len(grids), width_ratios=columns, squeeze=False).flat
    for ax, (name, grid) in zip(axes, grids.items()):
        low, high = float(grid.min()), float(grid.max())
        ax.imshow(grid.numpy(), cmap="Greys", vmin=low, vmax=low + 2.2 * max(high - low, 1e-6))
        for row, column in np.ndindex(*grid.shape):
            words = f"{float(grid[row, column]):g}".replace("-", "−")
            ax.text(column, row, words, ha="center", va="center", fontsize=9)
        ax.set_xticks(np.arange(-0.5, grid.shape[1]), [])
        ax.set_yticks(np.arange(-0.5, grid.shape[0]), [])
        ax.grid(color="white", linewidth=1)
        ax.tick_params(length=0)
        ax.set_title(name, fontsize=9)
        if windows and name in windows:
            top, left, tall, wide = windows[name]
            frame = Rectangle((left - 0.5, top - 0.5), wide, tall, fill=False, zorder=3)
            frame.set(edgecolor=ORANGE, linewidth=3, clip_on=False)
            ax.add_patch(frame)
    return figure


# --- inside a network ---------------------------------------------------------------------------


def filters(weight: Tensor, title: str = "", columns: int = 8, most: int = 64) -> Figure:
    """Kernels (out, in, k, k), each on a scale of its own in which 0 is the middle.

    With 3 inputs they are colour pictures, otherwise the first input's weights are drawn, brown
    below 0 and green above. Of more than `most` kernels the first are drawn, and the title says so.
    """
    weight = weight.detach().cpu()
    figure, axes = _grid(min(len(weight), most), columns, 2)
    colour = weight.shape[1] == 3
    for k, ax in enumerate(axes):
        largest = weight[k].abs().max().clamp(min=1e-30)
        if colour:
            ax.imshow((weight[k] / largest / 2 + 0.5).permute(1, 2, 0).numpy())
        else:
            ax.imshow(weight[k, 0].numpy(), cmap=WEIGHTS, vmin=-largest, vmax=largest)
        ax.set_title(f"{k}", fontsize=8)
    scale = "grey" if colour else "white; brown is below, green above"
    figure.supxlabel(f"each kernel has its own scale, in which 0 is {scale}", fontsize=9)
    figure.suptitle(_limited(title, len(axes), len(weight)), fontsize=10)
    return figure


def feature_maps(maps: Tensor, title: str = "", columns: int = 8, most: int = 64) -> Figure:
    """The maps (channels, height, width) of one picture, red above 0 and blue below, one scale.

    Of more than `most` maps the first are drawn, and the title says so.
    """
    maps = maps.detach().cpu()
    figure, axes = _grid(min(len(maps), most), columns)
    largest = maps[:most].abs().max().clamp(min=1e-30)
    for k, ax in enumerate(axes):
        drawn = ax.imshow(maps[k].numpy(), cmap=ACTIVATIONS, vmin=-largest, vmax=largest)
        ax.set_title(f"{k}", fontsize=8)
    bar = figure.colorbar(drawn, ax=figure.axes, label="activation", fraction=0.03, aspect=25)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(_limited(title, len(axes), len(maps)), fontsize=10)
    return figure


def _limited(title: str, drawn: int, there_are: int) -> str:
    if drawn == there_are:
        return title
    return f"{title} (the first {drawn} of {there_are:,})".strip()


def by_depth(statistics: dict[str, Sequence[LayerStatistics]], title: str = "") -> Figure:
    """Signal (left) and gradient (right) by layer, a line for each network, on log axes.

    What is 0 or not a finite number has no place there and is left out.
    """
    figure = Figure((7, 3.4), layout="constrained")
    quantities = {
        "spread": "spread of a unit over the pictures",
        "gradient": "|gradient of the loss| / |weights|",
    }
    for ax, (quantity, label) in zip(figure.subplots(1, 2), quantities.items()):
        for (name, layers), (colour, marker) in zip(statistics.items(), cycle(STYLES)):
            values = [getattr(layer, quantity) for layer in layers]
            values = [value if 0 < value < inf else nan for value in values]
            numbers = range(1, len(values) + 1)
            ax.plot(numbers, values, f"{marker}-", color=colour, ms=4, linewidth=1.2, label=name)
        ax.set_yscale("log")
        ax.set_xlabel("layer with weights, from the picture on")
        ax.set_ylabel(label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    _legend_below(figure, ax)
    figure.suptitle(title, fontsize=10)
    return figure


def occlusion(image: Tensor, falls: dict[str, Tensor], title: str = "") -> Figure:
    """A picture, uint8 (3, H, W), and by name how far a probability falls when a part is covered.

    Falls are (rows, columns), -1 to 1, as `probes.occlusion` measures them, all on one scale.
    """
    largest = max(0.01, *(float(fall.abs().max()) for fall in falls.values()))
    colours = colormaps[ACTIVATIONS](torch.linspace(0, 1, 257).numpy())
    colours[:, 3] = torch.linspace(-0.9, 0.9, 257).abs().numpy()
    limits = (-largest, largest)
    figure = _over_picture(image, falls, colours, limits, "fall of the probability", title)
    figure.axes[-1].yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def grad_cam(image: Tensor, heats: dict[str, Tensor], title: str = "") -> Figure:
    """A picture, uint8 (3, H, W), and by name what in it speaks for a class, in orange.

    Heats are (h, w), as `probes.grad_cam` measures them, each divided by its largest value; they
    are stretched over the whole picture, whatever the layer's padding was.
    """
    shares = {name: heat / heat.max().clamp(min=1e-30) for name, heat in heats.items()}
    colours = torch.tensor(to_rgba(SCORES)).repeat(257, 1)
    colours[:, 3] = torch.linspace(0, 0.9, 257)
    return _over_picture(image, shares, colours.numpy(), (0, 1), "share of the largest", title)


def _over_picture(
    image: Tensor,
    maps: dict[str, Tensor],
    colours: np.ndarray,
    limits: tuple[float, float],
    meaning: str,
    title: str,
) -> Figure:
    """The picture itself, then each map stretched over it in grey, and the scale of all maps."""
    lines = 1 + max(name.count("\n") for name in maps)
    figure, axes = _grid(1 + len(maps), 4, lines, 1.75)
    axes[0].imshow(image.permute(1, 2, 0).numpy())
    axes[0].set_title("the picture", fontsize=8)
    # Lighter than it is, for a colour on black is not seen.
    grey = 0.35 + 0.65 * image.float().mean(dim=0) / 255
    for ax, (name, each) in zip(axes[1:], maps.items()):
        stretched = F.interpolate(each[None, None].float(), image.shape[1:], mode="bilinear")[0, 0]
        ax.imshow(grey.numpy(), cmap="gray", vmin=0, vmax=1)
        drawn = ax.imshow(stretched.numpy(), cmap=ListedColormap(colours))
        drawn.set_clim(*limits)
        ax.set_title(name, fontsize=8)
    bar = figure.colorbar(drawn, ax=figure.axes, label=meaning, fraction=0.05, shrink=0.85)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def embedding(
    features: Tensor | dict[str, Tensor],
    labels: Tensor,
    class_names: Sequence[str],
    title: str = "",
) -> Figure:
    """Features (N, ...) in the two directions in which they differ most, a point for each picture
    and a large one in the middle of each class.

    Labels are (N,). Features of several layers, by name, are drawn side by side.
    """
    panels = features if isinstance(features, dict) else {"": features}
    figure = Figure((max(7, 3.5 * len(panels)), 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False).flat
    for ax, (name, each) in zip(axes, panels.items()):
        points, shares = principal_axes(each)
        for k, (class_name, (colour, marker)) in enumerate(zip(class_names, cycle(STYLES))):
            own = points[labels == k].numpy()
            if len(own) == 0:
                continue
            ax.scatter(*own.T, s=12, color=colour, marker=marker, linewidths=0, alpha=0.5)
            ax.scatter(*own.mean(axis=0), s=90, color=colour, marker=marker, linewidths=1.2,
                       edgecolors="black", zorder=3, label=class_name)  # fmt: skip
        ax.set_xlabel(f"1st direction: {shares[0]:.0%} of the variance")
        ax.set_ylabel(f"2nd direction: {shares[1]:.0%} of the variance")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(name, fontsize=9)
    _legend_below(figure, ax)
    figure.suptitle(title, fontsize=10)
    return figure


def dead_taps(record: Record, names: Sequence[str] = (), title: str = "") -> Figure:
    """The kernels of the layers called `names`, a square for each tap, blue if it meets a pixel.

    A grey tap lies on padding wherever the window stands: it is dead, its weights never learn.
    Without `names` it draws each layer that has one. The line below counts those of all layers.
    Raises ValueError for a layer without a window, and KeyError for a name that is not there.
    """
    rows = [record[name] for name in names] or [row for row in record if row.live < 1]
    kernels = [live.reshape(-1, live.shape[-1]) for live in map(live_taps, rows)]  # as two axes
    if not rows:
        return _sentence("Every tap of every kernel meets a pixel.", title)
    figure, axes = _grid(len(rows), 5, 6)
    side = max(max(live.shape) for live in kernels)
    for ax, row, live in zip(axes, rows, kernels):
        ax.pcolormesh(live.numpy(), cmap=ListedColormap(["#D0D0D0", BLUE]), vmin=0, vmax=1,
                      edgecolors="white", linewidth=1)  # fmt: skip
        height, width = live.shape
        ax.set_xlim((width - side) / 2, (width + side) / 2)
        ax.set_ylim((height + side) / 2, (height - side) / 2)
        ax.set_aspect("equal")
        first, *rest = row.name.split(".")[-3:]
        name = "\n".join(filter(None, [first, ".".join(rest)]))
        ax.set_title(f"{name}\n{int(live.sum())} of {live.numel()} taps", fontsize=8)
    figure.supxlabel(
        f"blue meets pixels, grey meets only padding\n{record.dead:,} of {record.parameters:,}"
        f" parameters ({record.dead / record.parameters:.1%}) are dead",
        fontsize=9,
    )
    figure.suptitle(title, fontsize=10)
    return figure


def shares(record: Record, title: str = "") -> Figure:
    """Each layer's share of the network's parameters (left) and of its MACs (right), as bars."""
    rows = [row for row in record if row.parameters]
    figure = Figure((7, 0.9 + 0.19 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    quantities = {"parameters": record.parameters, "macs": record.macs}
    for ax, (quantity, whole), colour in zip(axes, quantities.items(), (BLUE, ORANGE)):
        values = [getattr(row, quantity) / max(1, whole) for row in rows]
        bars = ax.barh(range(len(rows)), values, color=colour)
        ax.bar_label(bars, [f" {value:.1%}" for value in values], fontsize=7)
        ax.set_xlim(0, 1.2 * max(values, default=1))
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.tick_params(labelsize=8)
        ax.set_xlabel(f"share of the {quantity.replace('macs', 'MACs')}", fontsize=9)
    axes[0].set_yticks(range(len(rows)), [row.name.split(".")[-1] for row in rows])
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=10)
    return figure


def film_strip(tiles: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Pictures of the steps of a network in reading order, uint8 (height, width, 3) of any size."""
    figure, axes = _grid(len(tiles), columns=7, lines=2)
    for ax, tile, title in zip(axes, tiles, titles):
        ax.imshow(tile, interpolation="nearest")
        ax.set_title(title, fontsize=7)
    return figure


def receptive_fields(
    image: Tensor, record: Record, title: str = "", ax: Axes | None = None
) -> Figure:
    """One picture, uint8 (3, H, W), with what the middle unit of each set of maps sees of it.

    With `ax` it is drawn there, so that several stand in one figure.
    """
    ax = _axes(4.6, 3, ax)
    ax.imshow(image.permute(1, 2, 0).numpy())
    rows = [row for row in record if row.window and row.field and len(row.output) == 4]
    styles = [(colour, style) for style in ("-", "--") for colour in (ORANGE, BLUE, GREEN, "black")]
    for k, (row, (colour, style)) in enumerate(zip(rows, styles)):
        y, x = (f.first + n // 2 * f.stride - 0.5 for f, n in zip(row.field, row.output[2:]))
        height, width = row.receptive_field
        square = Rectangle((x, y), width, height, fill=False, edgecolor=colour, linestyle=style)
        # Earlier ones are thinner and on top, so that edges that coincide can both be seen.
        square.set(linewidth=2 + 1.5 * k, zorder=9 - k)
        square.set_label(f"{row.name.split('.')[-1]}: {height}×{width}")
        ax.add_patch(square)
    ax.set_axis_off()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    ax.set_title(title, fontsize=10)
    return ax.figure


def connections(reads: Tensor, title: str = "", ax: Axes | None = None) -> Figure:
    """Which input maps (rows) each output map (columns) reads, from a boolean (outputs, inputs).

    With `ax` it is drawn there, so that several stand in one figure.
    """
    ax = _axes(6, 2.6, ax)
    ax.imshow(reads.T.numpy(), cmap="Greys", vmin=0, vmax=1.4)
    outputs, inputs = reads.shape
    ax.set_xticks(range(outputs))
    ax.set_yticks(range(inputs))
    ax.set_xticks([k - 0.5 for k in range(outputs)], minor=True)
    ax.set_yticks([k - 0.5 for k in range(inputs)], minor=True)
    ax.grid(which="minor", color="white", linewidth=2)
    ax.tick_params(which="both", length=0)
    ax.set_xlabel("map of the convolution")
    ax.set_ylabel("map that it reads")
    ax.set_title(title, fontsize=10)
    return ax.figure
