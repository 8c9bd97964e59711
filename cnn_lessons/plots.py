"""Pictures of what networks do. Every function returns a Figure; `show` displays it.

Colours, safe for colour-blind readers: inputs grey, activations red to blue around 0, weights brown
to green around 0, scores orange.
"""

import base64
import io
from collections.abc import Sequence
from math import ceil

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from cnn_lessons.shapes import Record
from cnn_lessons.training import History

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#8C8C8C"
ACTIVATIONS, WEIGHTS, SCORES = "RdBu_r", "BrBG", ORANGE


def show(figure: Figure, text: str) -> None:
    """Display a figure with its text twin: one sentence for readers who do not see the picture."""
    from IPython.display import display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor="white")
    picture = base64.b64encode(buffer.getvalue()).decode()
    bundle = {"image/png": picture, "text/plain": text}
    display(bundle, metadata={"image/png": {"alt": text}}, raw=True)
    display({"text/markdown": f"*{text}*", "text/plain": text}, raw=True)


def _axes(width: float, height: float) -> Axes:
    return Figure((width, height), layout="constrained").add_subplot()


def _grid(count: int, columns: int, cell: float = 1.0, title_room: float = 0.3):
    """A figure of equal square axes, the unused ones off."""
    rows = ceil(count / columns)
    figure = Figure((columns * cell, rows * (cell + title_room) + 0.3), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes:
        ax.set_axis_off()
    return figure, axes[:count]


# --- pictures and predictions -------------------------------------------------------------------


def pictures(
    images: Tensor, titles: Sequence[str] = (), title: str = "", columns: int = 10
) -> Figure:
    """A grid of pictures, uint8 (N, 3, H, W), each with its own title."""
    figure, axes = _grid(len(images), min(columns, len(images)))
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


def confusion(labels: Tensor, predicted: Tensor, class_names: Sequence[str], title="") -> Figure:
    """Rows are true classes, columns predicted ones, entries numbers of pictures."""
    matrix = confusion_matrix(labels, predicted, len(class_names))
    ax = _axes(6.2, 5.6)
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


def confusion_matrix(labels: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Counts (num_classes, num_classes), int64: entry [t, p] is how often true t was called p."""
    pairs = labels * num_classes + predicted
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


# --- training -----------------------------------------------------------------------------------


def training_curves(history: History, title: str = "") -> Figure:
    """Loss (left) and accuracy (right) by epoch, on the training and the validation pictures."""
    figure = Figure((7, 2.8), layout="constrained")
    epochs = history.column("epoch")
    for ax, name in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        for part, colour, style in (("train", GREY, "o--"), ("validation", BLUE, "o-")):
            ax.plot(epochs, history.column(f"{part}_{name}"), style, color=colour, ms=3, label=part)
        ax.set_xlabel("epoch")
        ax.set_ylabel("cross-entropy loss" if name == "loss" else "share of correct pictures")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend()
    figure.suptitle(title, fontsize=10)
    return figure


# --- inside a network ---------------------------------------------------------------------------


def filters(weight: Tensor, title: str = "", columns: int = 8) -> Figure:
    """First-layer kernels (out, in, k, k), each one scaled so that 0 is grey, for 3 input channels
    in colour, otherwise one brown-green picture per kernel (its first input)."""
    weight = weight.detach().cpu()
    figure, axes = _grid(len(weight), min(columns, len(weight)))
    for k, ax in enumerate(axes):
        largest = weight[k].abs().max()
        if weight.shape[1] == 3:
            ax.imshow((weight[k] / largest / 2 + 0.5).permute(1, 2, 0).numpy())
        else:
            ax.imshow(weight[k, 0].numpy(), cmap=WEIGHTS, vmin=-largest, vmax=largest)
        ax.set_title(f"{k}", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def feature_maps(maps: Tensor, title: str = "", columns: int = 8) -> Figure:
    """The maps (channels, height, width) of one picture, red above 0 and blue below, one scale."""
    maps = maps.detach().cpu()
    figure, axes = _grid(len(maps), min(columns, len(maps)))
    largest = maps.abs().max()
    for k, ax in enumerate(axes):
        ax.imshow(maps[k].numpy(), cmap=ACTIVATIONS, vmin=-largest, vmax=largest)
        ax.set_title(f"{k}", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def receptive_fields(image: Tensor, record: Record, title: str = "") -> Figure:
    """One picture, uint8 (3, H, W), with what the middle unit of each set of maps sees of it."""
    ax = _axes(4.6, 3)
    ax.imshow(image.permute(1, 2, 0).numpy())
    rows = [row for row in record if row.window and len(row.output) == 4]
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


def connections(reads: Tensor, title: str = "") -> Figure:
    """Which input maps (rows) each output map (columns) reads, from a boolean (outputs, inputs)."""
    ax = _axes(6, 2.6)
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
