"""The drawings and tables of networks, compared by structure and not by pixels."""

import io
from xml.etree import ElementTree

import matplotlib
import pytest
from torch import nn

from cnn_lessons import diagrams
from cnn_lessons.models import (
    BasicBlock,
    Bottleneck,
    Inception,
    LeNet5,
    LeNet5Original,
)
from cnn_lessons.shapes import Record, record
from tests.networks import CASES, build_on_meta


def recorded(name: str) -> Record:
    return record(build_on_meta(name), CASES[name].size)


def svg(figure) -> tuple[list[str], list[str]]:
    """The texts of a figure and the names of its parts, read from the SVG that it is saved as."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    elements = list(ElementTree.fromstring(file.getvalue()).iter())
    words = ["".join(each.itertext()) for each in elements if each.tag.endswith("}text")]
    return words, [each.get("id") for each in elements if each.get("id")]


def count(names: list[str], start: str) -> int:
    return sum(name.startswith(start) for name in names)


def inception_3a():
    return record(Inception(192, 64, 96, 128, 16, 32, 32), (192, 28, 28))


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


@pytest.mark.parametrize(
    ("model", "size", "stacks"),
    [
        (LeNet5(), (3, 32, 32), ["input", "c1", "s2", "c3", "s4", "c5", "f6", "output"]),
        (LeNet5(activation=nn.ReLU), (3, 32, 32), ["input", "c1", "s2", "c3", "s4", "c5"]),
        (LeNet5Original(), (1, 32, 32), ["input", "c1", "s2", "c3", "s4", "c5", "f6", "output"]),
    ],
)
def test_the_drawing_has_a_stack_for_each_change_of_shape(model, size, stacks):
    table = record(model, size)
    figure = diagrams.stacked_squares(table, "title")
    labels = texts(figure)
    names = [label.split("\n")[0] for label in labels]
    assert [name for name in names if name in stacks][: len(stacks)] == stacks
    assert "c3\n16 @ 10×10" in labels and "f6\n84" in labels and "Conv2d\n5×5" in labels


PLAIN = ["lenet5", "lenet5_original", "alexnet_cifar", "alexnet_half", "alexnet", "vgg_d_bn"]
PLAIN += [name for name in CASES if name.startswith("vgg") and name != "vgg_d_bn"]
BLOCKS = {
    "basic": (BasicBlock(64, 128, 2), (64, 56, 56)),
    "bottleneck": (Bottleneck(256, 128, 2), (256, 56, 56)),
    "padded": (BasicBlock(16, 32, 2, shortcut="A"), (16, 32, 32)),
}
RESIDUAL = [name for name in CASES if name.startswith("resnet")]
FIGURES = {
    **{f"graph of {n}": (lambda n=n: diagrams.graph(recorded(n))) for n in CASES},
    **{f"squares of {n}": (lambda n=n: diagrams.stacked_squares(recorded(n))) for n in PLAIN},
    **{f"chain of {n}": (lambda n=n: diagrams.chain(recorded(n))) for n in [*PLAIN, *RESIDUAL]},
    **{f"vgg_table {c}": (lambda c=c: diagrams.vgg_table(c)) for c in ("A", "E")},
    "vgg_table for CIFAR-10": lambda: diagrams.vgg_table("D", 32, 10),
    "googlenet_table": lambda: diagrams.googlenet_table(recorded("googlenet")),
    "googlenet_table of 32": lambda: diagrams.googlenet_table(recorded("googlenet_article")),
    "resnet_table": diagrams.resnet_table,
    "two_rows": lambda: diagrams.two_rows(recorded("alexnet")),
    "inception": lambda: diagrams.inception(inception_3a()),
    "blocks": diagrams.blocks,
    "more blocks": lambda: diagrams.blocks(*[record(*each) for each in BLOCKS.values()]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_can_be_read(name):
    """No two texts overlap, none leaves the figure, none is below 5.5 points on 7 inches."""
    figure = FIGURES[name]()
    figure.canvas.draw()
    page = figure.bbox
    shrink = min(1, 7 / figure.get_size_inches()[0])
    shown = [text for ax in figure.axes for text in ax.texts if text.get_text()]
    boxes = [text.get_window_extent() for text in shown]
    for k, (text, box) in enumerate(zip(shown, boxes)):
        assert text.get_fontsize() * shrink >= 5.5
        assert page.x0 <= box.x0 and box.x1 <= page.x1, text
        assert page.y0 <= box.y0 and box.y1 <= page.y1, text
        for other, its in zip(shown[k + 1 :], boxes[k + 1 :]):
            assert not box.overlaps(its), (text, other)


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_in_a_box_fits_it(name):
    """A text whose middle is in a box does not stand out of that box to left or right."""
    figure = FIGURES[name]()
    figure.canvas.draw()
    boxes = [
        patch.get_window_extent()
        for patch in figure.axes[0].patches
        if str(patch.get_gid()).startswith("box")
    ]
    for text in figure.axes[0].texts:
        place = text.get_window_extent()
        x, y = (place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2
        for box in (box for box in boxes if box.contains(x, y)):
            assert box.x0 <= place.x0 and place.x1 <= box.x1, text
