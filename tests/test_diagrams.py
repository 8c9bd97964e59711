"""The drawings of networks, compared by structure and not by pixels."""

import io
from functools import cache
from xml.etree import ElementTree

import matplotlib
import pytest
import torch
from torch import nn

from cnn_lessons.models import (
    BasicBlock,
    Bottleneck,
    Inception,
    LeNet5,
    LeNet5Original,
)
from cnn_lessons.see import diagrams
from cnn_lessons.shapes import Record, record
from tests.networks import CASES, build_on_meta


@cache
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


def with_heads() -> Record:
    model = build_on_meta("googlenet")
    return record(model, (3, 224, 224), forward=model.forward_with_aux)


RESIDUAL = [name for name in CASES if name.startswith("resnet")]
FIGURES = {
    **{f"graph of {n}": (lambda n=n: diagrams.graph(recorded(n))) for n in CASES},
    **{f"squares of {n}": (lambda n=n: diagrams.stacked_squares(recorded(n))) for n in PLAIN},
    **{f"chain of {n}": (lambda n=n: diagrams.chain(recorded(n))) for n in [*PLAIN, *RESIDUAL]},
    "two_rows": lambda: diagrams.two_rows(recorded("alexnet")),
    "inception": lambda: diagrams.inception(inception_3a()),
    "blocks": diagrams.blocks,
    "graph of the heads": lambda: diagrams.graph(with_heads()),
    "more blocks": lambda: diagrams.blocks(*[record(*each) for each in BLOCKS.values()]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_can_be_read(name):
    """No two texts overlap, none leaves the figure or its box, all have 5.5 points on 7 inches.

    Nor do two boxes of a graph overlap.
    """
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    page, shrink = figure.bbox, min(1, 7 / figure.get_size_inches()[0])
    patches = [each for each in figure.axes[0].patches if str(each.get_gid()).startswith("box-")]
    boxes = [patch.get_window_extent() for patch in patches]
    shown = [text for text in figure.axes[0].texts if text.get_text()]
    places = [text.get_window_extent() for text in shown]
    for k, (text, its) in enumerate(zip(shown, places)):
        assert text.get_fontsize() * shrink >= 5.5, text
        assert page.x0 <= its.x0 and its.x1 <= page.x1, text
        assert page.y0 <= its.y0 and its.y1 <= page.y1, text
        assert not any(its.overlaps(other) for other in places[k + 1 :]), text
        middle = ((its.x0 + its.x1) / 2, (its.y0 + its.y1) / 2)
        for box in (box for box in boxes if box.contains(*middle)):
            assert box.x0 <= its.x0 and its.x1 <= box.x1, text
    if name.startswith("graph"):
        assert len(boxes) > 5
        for k, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[k + 1 :])


def test_the_graph_of_googlenet_has_its_heads_and_its_modules():
    figure = diagrams.graph(with_heads())
    words, parts = svg(figure)
    # 57 convolutions, 1 linear layer, 9 + 5 pools, 9 joins, the input; 2 heads of 4 layers.
    assert count(parts, "box-") == 57 + 1 + 14 + 9 + 1 + 2 * 4
    # An arrow to each box but the input; a join gets three more.
    assert count(parts, "arrow-") == count(parts, "box-") - 1 + 9 * 3
    assert "inception_4e: 832 @ 14×14" in words and "input: 3 @ 224×224" in words
    assert {"arrow-features.inception_4a.cat-aux1.pool", "arrow-aux2.fc1-aux2.fc2"} <= {*parts}


def test_the_graph_of_a_resnet_has_its_shortcuts():
    _, parts = svg(diagrams.graph(recorded("resnet_18")))
    assert count(parts, "box-") == 1 + 1 + 1 + 8 * 2 + 8 + 3 + 1 + 1
    assert {"arrow-pool1-conv2_x.0.add", "arrow-conv3_x.0.shortcut.conv-conv3_x.0.add"} <= {*parts}


def test_a_graph_has_one_input():
    class Two(nn.Module):
        def forward(self, a, b):
            return a + b

    two = record(Two(), (torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)))
    with pytest.raises(ValueError, match="one input"):
        diagrams.graph(two)


def test_alexnet_has_two_rows_that_read_each_other_three_times():
    words, parts = svg(diagrams.two_rows(recorded("alexnet")))
    crossing = sorted(part.split("-")[1] for part in parts if part.startswith("cross-"))
    assert crossing == ["conv3", "conv3", "fc6", "fc6", "fc7", "fc7"]
    # Input and output once, five convolutions, three pools and two linear layers twice.
    assert count(parts, "box-") == 2 + 2 * 10
    assert words.count("GPU 1") == 1 and words.count("192 @") == 4 and words.count("2048") == 4


@pytest.mark.parametrize("name", ["alexnet_one_group", "alexnet_cifar", "lenet5", "resnet_18"])
def test_two_rows_need_two_groups(name):
    with pytest.raises(ValueError, match=r"groups|branches"):
        diagrams.two_rows(recorded(name))


def test_stacked_squares_refuse_branches():
    with pytest.raises(ValueError, match=r"without branches .* conv2_x.0.shortcut reads"):
        diagrams.stacked_squares(recorded("resnet_18"))


def test_inception_compares_the_naive_module_with_the_reduced_one():
    words, parts = svg(diagrams.inception(inception_3a()))
    assert f"{163_328 + 368:,} parameters, 128,049,152 MACs" in words
    naive = [192 * 64, 192 * 128 * 9, 192 * 32 * 25]
    assert f"{sum(naive) + 64 + 128 + 32:,} parameters, {sum(naive) * 28**2:,} MACs" in words
    assert "filter concatenation: 416 @ 28×28" in words and "reduce 1×1, 96" in words
    # Previous layer, four branches of one layer or of up to two, concatenation.
    assert count(parts, "box-") == (1 + 4 + 1) + (1 + 7 + 1)
    assert count(parts, "arrow-") == 8 + 11
    with pytest.raises(ValueError, match="one Inception module"):
        diagrams.inception(recorded("googlenet_cifar"))


def dashed(figure) -> list[bool]:
    arrows = [each for each in figure.axes[0].patches if "shortcut-" in str(each.get_gid())]
    return [each.get_linestyle() != "-" for each in arrows]


def test_blocks_are_those_of_figure_5():
    figure = diagrams.blocks()
    words, _ = svg(figure)
    assert words.count("3×3, 64") == 3 and words.count("1×1, 256") == 1
    assert words.count("64-d") == 2 and words.count("256-d") == 2 and words.count("identity") == 2
    assert dashed(figure) == [False, False]
    with pytest.raises(ValueError, match="one residual block each; got 8"):
        diagrams.blocks(recorded("resnet_18"))


def test_blocks_that_change_the_shape_have_dashed_shortcuts():
    figure = diagrams.blocks(*[record(*each) for each in BLOCKS.values()])
    words, _ = svg(figure)
    assert dashed(figure) == [True, True, True]
    assert {"1×1 /2, 128", "1×1 /2, 512", "zero maps", "added"} <= {*words}


@pytest.mark.parametrize(
    ("name", "shortcuts", "changes"),
    [
        ("resnet_18", 8, 3), ("resnet_34", 16, 3), ("resnet_50", 16, 4), ("resnet_152", 50, 4),
        ("resnet_cifar_20", 9, 2), ("resnet_cifar_20_b", 9, 2), ("resnet_cifar_20_plain", 0, 0),
        ("resnet_article", 4, 4), ("vgg_e", 0, 0),
    ],
)  # fmt: skip
def test_a_chain_has_its_solid_and_dashed_shortcuts(name, shortcuts, changes):
    figure = diagrams.chain(recorded(name))
    lines = dashed(figure)
    assert len(lines) == shortcuts and sum(lines) == changes
    words, parts = svg(figure)
    assert any(word.startswith(f"{CASES[name].layers} layers with weights") for word in words)
    pools = {"vgg_e": 5, "resnet_article": 1}.get(name, 1 if "cifar" in name else 2)
    assert count(parts, "box-") == CASES[name].layers + pools


def test_chains_stand_one_above_the_other():
    one, two = (diagrams.chain(*[recorded("resnet_18")] * n) for n in (1, 2))
    assert len(dashed(two)) == 16
    assert two.get_size_inches()[1] > 1.8 * one.get_size_inches()[1]
