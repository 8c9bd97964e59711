"""The drawings of networks, compared by structure and not by pixels."""

import io
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import matplotlib
import pytest
import torch
import torchvision
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
    labels = [label.replace("@\n", "@ ") for label in texts(figure)]
    names = dict.fromkeys(label.split("\n")[0] for label in labels)
    assert [name for name in names if name in stacks] == stacks
    assert "c3\n16 @ 10×10" in labels and "f6\n84" in labels and "Conv2d\n5×5" in labels


SQUARES = ["lenet5", "lenet5_original", "alexnet", "vgg_a_lrn_32", "vgg_d_bn", "vgg_e"]
CHAINS = ["lenet5", "vgg_d", "resnet_34", "resnet_152", "resnet_article"]
CHAINS += ["resnet_cifar_110", "resnet_cifar_20_b", "resnet_cifar_20_plain"]
GRAPHS = ["lenet5", "lenet5_original", "alexnet", "vgg_e", "googlenet", "googlenet_article"]
GRAPHS += ["resnet_18", "resnet_50", "resnet_152", "resnet_article", "resnet_cifar_110"]
BLOCKS = {
    "basic": (BasicBlock(64, 128, 2), (64, 56, 56)),
    "bottleneck": (Bottleneck(256, 128, 2), (256, 56, 56)),
    "padded": (BasicBlock(16, 32, 2, shortcut="A"), (16, 32, 32)),
}


def with_heads() -> Record:
    model = build_on_meta("googlenet")
    return record(model, (3, 224, 224), forward=model.forward_with_aux)


FIGURES = {
    **{f"graph of {n}": (lambda n=n: diagrams.graph(recorded(n))) for n in GRAPHS},
    **{f"squares of {n}": (lambda n=n: diagrams.stacked_squares(recorded(n))) for n in SQUARES},
    **{f"chain of {n}": (lambda n=n: diagrams.chain(recorded(n))) for n in CHAINS},
    "two_rows": lambda: diagrams.two_rows(recorded("alexnet")),
    "inception": lambda: diagrams.inception(inception_3a()),
    "blocks": diagrams.blocks,
    "graph of the heads": lambda: diagrams.graph(with_heads()),
    "graph of branches of branches": lambda: diagrams.graph(ODD["branches of branches"]()),
    "more blocks": lambda: diagrams.blocks(*[record(*each) for each in BLOCKS.values()]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_can_be_read(name):
    """No two texts overlap, none leaves the figure or its box, all have 10 points on 7 inches."""
    figure = FIGURES[name]()
    figure.canvas.draw()
    page = figure.bbox
    assert figure.get_figwidth() <= 7 and figure.get_figheight() <= 20
    patches = [each for each in figure.axes[0].patches if str(each.get_gid()).startswith("box-")]
    boxes = [patch.get_window_extent() for patch in patches]
    shown = [text for text in figure.axes[0].texts if text.get_text()]
    places = [text.get_window_extent() for text in shown]
    for k, (text, its) in enumerate(zip(shown, places)):
        assert text.get_fontsize() >= 10, text
        assert page.x0 <= its.x0 and its.x1 <= page.x1, text
        assert page.y0 <= its.y0 and its.y1 <= page.y1, text
        assert not any(its.overlaps(other) for other in places[k + 1 :]), text
        middle = ((its.x0 + its.x1) / 2, (its.y0 + its.y1) / 2)
        for box in (box for box in boxes if box.contains(*middle)):
            assert box.x0 <= its.x0 and its.x1 <= box.x1, text
    for k, box in enumerate(boxes if name.startswith(("graph", "blocks", "more")) else ()):
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])


def test_the_graph_of_googlenet_has_its_heads_and_its_modules():
    figure = diagrams.graph(with_heads())
    words, parts = svg(figure)
    assert parts.count("head-aux1") == parts.count("head-aux2") == 1
    # 57 convolutions, 1 linear layer, 9 + 5 pools, 9 joins, the input; 2 heads of 4 layers.
    assert count(parts, "box-") == 57 + 1 + 14 + 9 + 1 + 2 * 4
    # An arrow to each box but the input; a join gets three more.
    assert count(parts, "arrow-") == count(parts, "box-") - 1 + 9 * 3
    assert "inception_4e: 832 @ 14×14" in words and "input: 3 @ 224×224" in words
    # The heads stand apart: on a ground of their own, right of all branches, with dashed arrows.
    arrows = {str(each.get_gid()): each for each in figure.axes[0].patches}
    dashed = {name for name, each in arrows.items() if "-aux" in name and "arrow" in name}
    assert {"arrow-features.inception_4a.cat-aux1.pool", "arrow-aux2.fc1-aux2.fc2"} <= dashed
    for name, arrow in arrows.items():
        if name.startswith("arrow-"):
            assert (arrow.get_linestyle() not in ("-", "solid")) == (name in dashed), name
    ground = arrows["head-aux1"].get_bbox()
    beside = [
        arrows[f"box-features.inception_4b.{b}"].get_bbox() for b in ("branch_pool.proj", "cat")
    ]
    assert all(box.x1 < ground.x0 for box in beside)


def test_the_graph_of_a_resnet_has_its_shortcuts():
    _, parts = svg(diagrams.graph(recorded("resnet_18")))
    assert count(parts, "box-") == 1 + 1 + 1 + 8 * 2 + 8 + 3 + 1 + 1
    assert {"arrow-pool1-conv2_x.0.add", "arrow-conv3_x.0.shortcut.conv-conv3_x.0.add"} <= {*parts}


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
    reduced = f"{163_328 + 368:,} parameters, 128,049,152 MACs"
    assert f"with reductions (Figure 2b): {reduced}" in words
    naive = [192 * 64, 192 * 128 * 9, 192 * 32 * 25]
    more = f"{sum(naive) + 64 + 128 + 32:,} parameters, {sum(naive) * 28**2:,} MACs"
    assert f"naive (Figure 2a): {more}" in words
    assert "filter concatenation: 416 @ 28×28" in words and "reduce 1×1, 96" in words
    # Previous layer, four branches of one layer or of up to two, concatenation.
    assert count(parts, "box-") == (1 + 4 + 1) + (1 + 7 + 1)
    assert count(parts, "arrow-") == 8 + 11
    with pytest.raises(ValueError, match="one Inception module"):
        diagrams.inception(recorded("googlenet_cifar"))


def test_blocks_are_those_of_figure_5():
    figure = diagrams.blocks()
    words, parts = svg(figure)
    assert words.count("3×3, 64") == 3 and words.count("1×1, 256") == 1
    assert words.count("batch norm, ReLU") == 3 and words.count("batch norm") == 2
    assert {"+  64 @ 56×56", "+  256 @ 56×56"} <= {*words} and words.count("ReLU") == 2
    assert parts.count("arrow-input-add") == 2  # the shortcuts
    with pytest.raises(ValueError, match="one residual block each; got 8"):
        diagrams.blocks(recorded("resnet_18"))


def test_blocks_that_change_the_shape_have_their_shortcuts_as_boxes():
    words, parts = svg(diagrams.blocks(*[record(*each) for each in BLOCKS.values()]))
    assert {"1×1 /2, 128", "1×1 /2, 512"} <= {*words} and "arrow-input-add" not in parts
    assert parts.count("arrow-shortcut.conv-add") == 2 and "arrow-shortcut-add" in parts


def dashed(figure) -> list[bool]:
    arrows = [each for each in figure.axes[0].patches if "shortcut-" in str(each.get_gid())]
    return [each.get_linestyle() != "-" for each in arrows]


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


def scalar(images):
    return images.mean()


class Through(nn.Module):
    """A network that is one function."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.Sequential(*layers)

    def forward(self, *images):
        return self.function(*(self.layers(each) for each in images))


class Sum(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, images):
        return images + self.layer(images)


def unknown_fields(found: Record) -> Record:
    return replace(found, rows=[replace(row, field=None) for row in found])


ODD = {
    "empty": lambda: Record(),
    "unchanged": lambda: record(nn.Identity(), (3, 8, 8)),
    "one number for all": lambda: record(Through(torch.mean, nn.Conv2d(3, 4, 3)), (3, 8, 8)),
    "one number each": lambda: record(Through(lambda x: x.sum(dim=(1, 2, 3))), (3, 8, 8)),
    "a number with a shortcut": lambda: record(Through(lambda x: x.sum() + x.mean()), (3, 8, 8)),
    "vectors": lambda: record(nn.Sequential(nn.Linear(5, 4), nn.ReLU()), torch.zeros(2, 5)),
    "vectors to maps": lambda: record(
        nn.Sequential(nn.Linear(5, 64), nn.Unflatten(1, (4, 4, 4)), nn.Conv2d(4, 2, 3)),
        torch.zeros(2, 5),
    ),
    "one axis": lambda: record(
        nn.Sequential(nn.Conv1d(3, 8, 5, stride=2), nn.MaxPool1d(2), nn.Conv1d(8, 4, 3)),
        torch.zeros(2, 3, 40),
    ),
    "one axis, a block": lambda: record(Sum(nn.Conv1d(3, 3, 3, padding=1)), torch.zeros(2, 3, 40)),
    "three axes": lambda: record(
        nn.Sequential(nn.Conv3d(3, 8, (1, 3, 3)), nn.MaxPool3d(2), nn.Conv3d(8, 4, 3)),
        torch.zeros(2, 3, 8, 16, 16),
    ),
    "three axes, a block": lambda: record(
        Sum(nn.Conv3d(3, 3, 3, padding=1)), torch.zeros(2, 3, 8, 8, 8)
    ),
    "a block of vectors": lambda: record(Sum(nn.Linear(5, 5)), torch.zeros(2, 5)),
    "two inputs": lambda: record(
        Through(torch.add, nn.Conv2d(3, 4, 3)), (torch.zeros(2, 3, 8, 8),) * 2
    ),
    "two groups on one axis": lambda: record(
        nn.Sequential(nn.Conv1d(4, 4, 3, groups=2), nn.Conv1d(4, 4, 3)), torch.zeros(2, 4, 9)
    ),
    "unknown fields": lambda: unknown_fields(record(LeNet5(), (3, 32, 32))),
    "folded": lambda: record(nn.Sequential(BasicBlock(3, 3)), (3, 8, 8)).fold("0"),
    "in a list": lambda: record(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (3, 8, 8)),
    "one after another 200 times": lambda: record(
        nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(200)]), (3, 8, 8)
    ),
    "under one shortcut": lambda: record(
        Sum(nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(40)])), (3, 8, 8)
    ),
    "branches": lambda: record(Inception(8, 4, 4, 4, 4, 4, 4), (8, 8, 8)),
}


class Nested(nn.Module):
    """A branch that branches, beside another one, and layers with long names."""

    def __init__(self):
        super().__init__()
        names = ["one", "two_with_a_long_name", "three", "four_with_a_long_name", "five"]
        self.layers = nn.ModuleDict({name: nn.Linear(4, 4) for name in names})

    def forward(self, numbers):
        one, two, three, four, five = self.layers.values()
        left, right = one(numbers), two(numbers)
        return torch.cat([three(left), four(left), five(right)], dim=1)


ODD["branches of branches"] = lambda: record(Nested(), torch.zeros(2, 4))
DRAWN = {  # which of them each function draws; the others it refuses with a sentence
    diagrams.graph: {*ODD} - {"empty", "two inputs", "one after another 200 times"},
    diagrams.stacked_squares: {
        "unchanged", "one number for all", "one number each", "vectors", "vectors to maps",
        "one axis", "three axes", "two groups on one axis", "unknown fields", "folded",
        "in a list", "one after another 200 times",
    },
    diagrams.chain: {*ODD} - {
        "empty", "unchanged", "two inputs", "under one shortcut", "branches", "branches of branches"
    },
    diagrams.blocks: {
        "a number with a shortcut", "one axis, a block", "three axes, a block",
        "a block of vectors", "under one shortcut",
    },
    diagrams.two_rows: {"two groups on one axis"},
    diagrams.inception: {"branches"},
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_network_is_drawn_or_refused_with_a_sentence(name):
    found = ODD[name]()
    for function, draws in DRAWN.items():
        if name in draws:
            function(found).draw_without_rendering()
        else:
            with pytest.raises(ValueError, match=r"^records? must .*; got "):
                function(found)


def test_some_odd_networks_in_words():
    words, _ = svg(diagrams.graph(ODD["three axes"]()))
    assert words[0] == "input: 3 @ 8×16×16"
    words, _ = svg(diagrams.graph(ODD["one number for all"]()))
    assert words[-1] == "mean, 1"
    words, _ = svg(diagrams.chain(ODD["a block of vectors"]()))
    assert "layer, 5" in words
    with pytest.raises(ValueError, match="records must be one or more; got none"):
        diagrams.chain()


DEEP = {
    "resnet152": "layer3.35",
    "densenet121": "features.denseblock4",
    "shufflenet_v2_x0_5": "stage3.7",
}


@pytest.mark.parametrize("name", DEEP)
def test_a_deep_network_is_drawn_by_its_blocks(name):
    with torch.device("meta"):
        found = record(torchvision.models.get_model(name), (3, 224, 224))
    figure = diagrams.graph(found, name)
    width, height = figure.get_size_inches()
    assert width <= 7 and height <= 20
    words, parts = svg(figure)
    assert any("(thick frames: blocks" in word for word in words)
    assert f"box-{DEEP[name]}" in parts and count(parts, "box-") < 70
