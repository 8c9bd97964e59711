"""The explorers: their numbers are true, and every state of a panel can be shown."""

import base64
import io
import itertools
import re
from collections import OrderedDict
from dataclasses import replace
from html import escape
from xml.etree import ElementTree

import ipywidgets as W
import nbformat
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from nbval.plugin import get_sanitize_patterns
from PIL import Image, ImageColor, ImageFont
from torch import nn
from torch.nn import functional as F

from cnn_lessons.models import AlexNet, LeNet5, ResNet, ResNetCIFAR, googlenet
from cnn_lessons.see import explorers as ex
from cnn_lessons.shapes import on_meta, record
from cnn_lessons.shapes.fields import Field
from tests.store_notebooks import FONT, NBVAL, without_view
from tests.test_plots import contrast

SETTINGS = list(itertools.product((5, 7, 10, 13), (1, 2, 3, 5), (1, 2, 3, 7), (0, 1, 3), (1, 2, 3)))
LENET = record(LeNet5(), (3, 32, 32))
RESNET = on_meta(lambda: ResNet(18), (3, 224, 224))
IMAGE = torch.randint(256, (3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()


def cells(view, name=""):
    """The cells of a line of the table by their headings: of the one so called, else of the first.

    Whole numbers are numbers.
    """
    line = next(line for line in view.table.lines if name in line[0])
    return {
        heading: int(cell.replace(",", "")) if re.fullmatch(r"[\d,]+", cell) else cell
        for heading, cell in zip(view.table.heading, line)
    }


# --- convolution arithmetic ---------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_output_sizes_and_rests_are_those_of_torch(kernel):
    for input, k, stride, padding, dilation in SETTINGS:
        sizes = ex.Sizes(input, k, stride, padding, dilation)
        if k != kernel or not sizes.output:
            continue
        padded = torch.zeros(1, 1, sizes.padded, requires_grad=True)
        output = F.conv1d(padded, torch.ones(1, 1, k), stride=stride, dilation=dilation)
        output.sum().backward()
        read = padded.grad[0, 0].nonzero().flatten()
        assert sizes.output == output.shape[-1], sizes
        assert sizes.rest == sizes.padded - 1 - read.max(), sizes
        assert sizes.formula.endswith(f"= {output.shape[-1]}")


def test_a_kernel_that_does_not_fit_is_the_one_that_torch_refuses():
    refused = 0
    for input, kernel, stride, padding, dilation in SETTINGS:
        try:
            F.conv2d(torch.zeros(1, 1, input, input), torch.zeros(1, 1, kernel, kernel),
                     None, stride, padding, dilation)  # fmt: skip
        except RuntimeError:
            refused += 1
            view = ex.convolution(input, kernel, stride, padding, dilation)
            assert cells(view)["output"] == 0 and "does not fit" in view.sentence
        else:
            assert ex.Sizes(input, kernel, stride, padding, dilation).output > 0
    assert refused > 20


def test_a_position_reads_the_pixels_that_torch_reads():
    settings = {"stride": 2, "padding": 1, "dilation": 2}
    image = torch.zeros(1, 1, 7, 7, requires_grad=True)
    output = F.conv2d(image, torch.ones(1, 1, 3, 3), **settings).flatten()
    for position in range(len(output)):
        image.grad = None
        output[position].backward(retain_graph=True)
        rows, columns = (set(axis.tolist()) for axis in image.grad[0, 0].nonzero(as_tuple=True))
        words = ex.convolution(7, 3, position=position, **settings).sentence.replace("−", "-")
        found = re.search(r"reads rows (.*) and columns (.*) of the input", words)
        told = [[int(k) for k in part.split(", ")] for part in found.groups()]
        assert [len(places) for places in told] == [3, 3], position
        assert rows == {k for k in told[0] if 0 <= k < 7}, position
        assert columns == {k for k in told[1] if 0 <= k < 7}, position


@pytest.mark.parametrize(
    ("kernel", "words"), [(1, "row 2 and column 1"), (3, "rows 2 to 4 and columns 1 to 3")]
)
def test_neighbouring_pixels_are_told_in_short(kernel, words):
    side = ex.Sizes(7, kernel).output
    assert f"reads {words} of" in ex.convolution(7, kernel, position=2 * side + 1).sentence


def test_a_kernel_that_does_not_fit_shows_its_formula_too():
    assert "1·(5 − 1) − 1) / 1) + 1 = −1. The kernel does not fit" in ex.convolution(3, 5).sentence


def test_the_rest_and_the_gaps_are_said():
    assert "The division leaves 1: the last row and column" in ex.convolution(8, 3, 2).sentence
    assert "leaves 2: the last 2 rows and columns" in ex.convolution(8, 3, 3).sentence
    assert "Nothing is left over" in ex.convolution(7, 3, 2).sentence
    assert "Between two windows 2 are skipped" in ex.convolution(7, 1, 3).sentence


def test_settings_that_no_convolution_has_are_refused():
    with pytest.raises(ValueError, match=r"stride must be a whole number of at least 1; got 0"):
        ex.convolution(stride=0)
    with pytest.raises(ValueError, match=r"padding must be a whole number of at least 0; got -1"):
        ex.ConvolutionArithmetic(padding=-1)
    with pytest.raises(ValueError, match=r"position must be 0 to 24; got 25"):
        ex.convolution(position=25)


# --- a kernel with its numbers ------------------------------------------------------------------


def _result(view):
    """The number of the unit, before the ReLU, as the sentence has it."""
    return float(re.search(r"= ([−\d.]+), and ReLU", view.sentence)[1].replace("−", "-"))


@pytest.mark.parametrize("name", ex.KERNELS)
def test_a_kernel_gives_what_torch_gives_and_shows_its_numbers(name):
    weights, divisor = ex.KERNELS[name]
    kernel = torch.tensor(weights, dtype=torch.float64).reshape(1, 1, 3, 3) / divisor
    grey = IMAGE.double().mean(dim=0).round()
    truth = F.conv2d(grey[None, None], kernel, torch.tensor([7.0]).double())[0, 0]
    for row, column in ((0, 0), (29, 29), (4, 17)):
        view = ex.filtering(IMAGE, weights, divisor, 7, row, column)
        assert _result(view) == pytest.approx(float(truth[row, column]), abs=0.006)
        told = [[float(n.replace("−", "-")) for n in line] for line in view.table.lines]
        for (y, x, pixel, weight, product), given in zip(told, weights, strict=True):
            assert pixel == grey[int(y), int(x)] and weight == given and product == pixel * weight
        total = sum(line[-1] for line in told)
        assert f"add up to {total:g};".replace("-", "−") in view.sentence
        after = max(0, total / divisor + 7)
        assert view.sentence.endswith(f"ReLU makes it {round(after, 2):g}.")


def test_the_sobel_kernel_finds_the_edges_of_the_disc_on_both_sides():
    away = (torch.arange(16) - 7.5) ** 2
    disc = (40 + 180 * (away[:, None] + away < 30)).byte()[None]
    kernel = ex.KERNELS["Sobel, vertical edges"]
    values = [ex.filtering(disc, *kernel, 0, 6, c) for c in range(14)]
    values = [_result(view) for view in values]
    assert min(values) == -max(values) == -720 and values[6] == 0
    assert values.index(720) < 6 < values.index(-720)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": (1,) * 8}, "weights must be nine numbers; got 8"),
        ({"divisor": 0}, "divisor must be a whole number of at least 1; got 0"),
        ({"row": 30}, "row must be 0 to 29; got 30"),
        ({"column": -1}, "column must be 0 to 29; got -1"),
        ({"image": IMAGE.float()}, "image must be uint8"),
        ({"image": IMAGE[:2]}, "image must be uint8"),
        ({"image": IMAGE[:, :2]}, "image must be at least 3×3"),
    ],
)
def test_kernels_and_pictures_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ex.filtering(**{"weights": (1,) * 9, "image": IMAGE} | settings)


def test_a_kernel_is_chosen_or_written():
    panel = ex.Filtering(IMAGE)
    panel.controls["kernel"].value = "blur"
    assert [panel.controls[name].value for name in ex.PLACES] == [1] * 9
    assert panel.controls["divisor"].value == 9
    panel.controls["kernel"].value = "sharpen"
    assert [panel.controls[name].value for name in ex.PLACES] == [0, -1, 0, -1, 5, -1, 0, -1, 0]
    panel.controls["w11"].value = 1
    assert panel.controls["kernel"].value == ex.OWN
    panel.controls["w11"].value = 5
    assert panel.controls["kernel"].value == "sharpen"
    state = " ".join(str(getattr(c, "index", c.value)) for c in panel.controls.values())
    assert f'data-state="{state}"' in panel.shown.value


def test_the_kernel_walks_over_the_output_and_stays_at_its_ends():
    panel = ex.ConvolutionArithmetic(7, 3, 2, 1)
    seen = []
    for _ in range(18):
        seen.append(re.search(r"unit in row (\d), column (\d)", panel.shown.value).groups())
        panel.move(1)
    assert len(set(seen)) == 16 and seen[-1] == ("3", "3")
    panel.controls["stride"].value = 3
    assert panel.controls["position"].max == 8 and panel.controls["position"].value == 8
    panel.move(-100)
    assert "row 0, column 0" in panel.shown.value


# --- pooling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "pool"), [("max", F.max_pool2d), ("average", F.avg_pool2d)])
def test_pooling_gives_what_torch_gives(mode, pool):
    numbers = torch.tensor(ex.POOLED, dtype=torch.float32)[None]
    for kernel, stride in itertools.product(range(1, 7), range(1, 7)):
        truth = pool(numbers, kernel, stride).flatten()
        views = [ex.pooling(mode, kernel, stride, k) for k in range(len(truth))]
        assert f"36 numbers become {len(truth)}." in views[0].sentence
        units = [float(cells(view, mode)["this unit"]) for view in views]
        assert torch.allclose(torch.tensor(units), truth, atol=0.0051)  # two decimals are shown


def test_pooling_says_what_it_computes():
    assert "the largest of 1, 3, 0, 2: 3." in ex.pooling().sentence
    assert "(1 + 3 + 0 + 2) / 4 = 1.5." in ex.pooling("average").sentence
    assert "/ 36 = " in ex.pooling("average", kernel=6).sentence
    assert [line[0] for line in ex.pooling("average").table.lines] == ["max", "▶ average"]


def test_pooling_refuses_what_cannot_be():
    for settings in ({"mode": "min"}, {"kernel": 7}, {"stride": 0}, {"position": 9}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            ex.pooling(**settings)


def test_a_larger_window_takes_positions_away():
    panel = ex.Pooling()
    panel.controls["position"].value = 8
    panel.controls["kernel"].value = 5
    assert panel.controls["position"].value == 0 and "position must" not in panel.shown.value


# --- receptive field ----------------------------------------------------------------------------


def test_the_fields_of_lenet_are_the_papers():
    layers = ("features.c1", "features.s2", "features.c3", "features.s4", "classifier.c5")
    sizes = [cells(ex.receptive_field(LENET, layer, 0, 0))["sees"] for layer in layers]
    assert sizes == ["5×5", "6×6", "14×14", "16×16", "32×32"]


def test_the_pixels_in_the_picture_are_those_with_a_gradient():
    convs = [nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 5, 1, 2), nn.Conv2d(1, 1, 3, 1, 1)]
    model = nn.Sequential(*convs)
    for conv in convs:
        nn.init.ones_(conv.weight)
    image = torch.zeros(1, 1, 12, 16, requires_grad=True)
    recorded, output = record(model, (1, 12, 16)), model(image)
    for row, column in itertools.product(range(6), range(8)):
        image.grad = None
        output[0, 0, row, column].backward(retain_graph=True)
        view = ex.receptive_field(recorded, 2, row, column)
        ys, xs = image.grad[0, 0].nonzero(as_tuple=True)
        assert cells(view)["pixels in the picture"].split()[0] == str(len(ys))
        top, left = re.findall(r"(?:rows|columns) (\S+) to", view.sentence.replace("−", "-"))
        assert (ys.min(), xs.min()) == (max(0, int(top)), max(0, int(left)))


def test_the_picture_is_drawn_under_the_field():
    view = ex.receptive_field(LENET, "features.c3", 2, 9, IMAGE)
    assert 'href="data:image/png;base64,' in view.svg
    assert '<rect x="18" y="4" width="14" height="14"' in view.svg
    assert "href" not in ex.receptive_field(LENET, "features.c3", 2, 9, None).svg


def test_the_picture_stays_where_it_is_while_the_unit_moves():
    drawings = [ex.receptive_field(RESNET, "conv4_x.0.conv1", k, k).svg for k in range(14)]
    assert len({re.search("<svg x=.*?>", drawing).group() for drawing in drawings}) == 1
    assert len(set(drawings)) == 14
    assert '<rect x="-41" y="-41" width="115" height="115"' in drawings[1]


def test_a_field_that_is_not_drawn_to_its_end_is_said_so():
    words = "goes on outside this drawing"
    assert words not in ex.receptive_field(RESNET, "conv4_x.0.conv1", 0, 0).svg
    assert words in ex.receptive_field(RESNET, "conv5_x.1.conv2", 0, 0).svg


def test_what_a_vector_sees_is_told_of_all_its_units():
    """One unit of the flattened maps sees 16×16 pixels, as one of s4 does."""
    view = ex.receptive_field(LENET, "classifier.flatten", 0, 0)
    assert view.sentence.startswith("The 400 units of classifier.flatten (Flatten) together see 32")
    assert cells(view)["stride"] == "—"


def test_units_and_pictures_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"column must be 0 to 9 in features.c3; got 10"):
        ex.receptive_field(LENET, "features.c3", 0, 10)
    with pytest.raises(ValueError, match=r"image must be uint8 \(1 or 3, 32, 32\).*float32"):
        ex.receptive_field(LENET, 0, 0, 0, torch.zeros(3, 32, 32))
    with pytest.raises(ValueError, match=r"receptive field is known; got 'Linear'"):
        ex.receptive_field(record(nn.Linear(4, 2), torch.zeros(1, 4)), 0, 0, 0)
    with pytest.raises(ValueError, match=r"record must have a layer"):
        ex.ReceptiveField(record(nn.Linear(4, 2), torch.zeros(1, 4)))


def with_fields(*fields):
    """A record of one convolution, 3×3 with 30×30 units, said to see something else."""
    recorded = record(nn.Conv2d(3, 4, 3), (3, 32, 32))
    return replace(recorded, rows=[replace(recorded[0], field=fields or None)])


def test_every_unit_may_see_all_of_the_picture():
    recorded = with_fields(Field(0, 31, 0), Field(0, 31, 0))
    one, other = (ex.receptive_field(recorded, 0, k, k) for k in (0, 29))
    assert cells(one) == cells(other) and cells(one)["stride"] == "—"
    assert cells(one)["pixels in the picture"] == "1,024 of 1,024"
    assert "All of them are in the picture" in one.sentence
    assert '<rect x="0" y="0" width="32" height="32" fill="none" stroke="#0072B2"' in one.svg


def test_a_flipped_map_is_followed_from_its_other_end():
    recorded = with_fields(Field(29, 31, -1), Field(0, 2, 1))
    view = ex.receptive_field(recorded, 0, 29, 29)
    assert "rows 0 to 2, columns 29 to 31" in view.sentence
    assert 'viewBox="-0.32 -0.32 32.64 32.64"' in view.svg


@pytest.mark.parametrize("fields", [(), (Field(0, 2, 1),)])
def test_what_is_not_known_on_both_axes_of_a_picture_is_not_drawn(fields):
    with pytest.raises(ValueError, match="receptive field is known; got 'Conv2d'"):
        ex.receptive_field(with_fields(*fields), 0, 0, 0)
    with pytest.raises(ValueError, match="record must have a layer"):
        ex.ReceptiveField(with_fields(*fields))


def test_names_of_layers_are_escaped_and_cut():
    name = '<script>&\u202e"' + "x" * 10_000
    panel = ex.ReceptiveField(
        record(nn.Sequential(OrderedDict({name: nn.Conv2d(3, 4, 3)})), (3, 9, 9))
    )
    for text in (panel.shown.value, *panel._repr_mimebundle_().values()):
        assert "<script" not in str(text) and "\u202e" not in str(text) and len(text) < 4_000
    ElementTree.fromstring(panel.shown.value)


def test_another_layer_has_other_units():
    panel = ex.ReceptiveField(LENET, IMAGE)
    panel.set(row=27, column=3)
    panel.controls["layer"].value = LENET.number("features.s4")
    assert panel.state() == {"layer": 3, "row": 4, "column": 3}
    assert panel.sliders["row"].max == 4 and "features.s4 (MaxPool2d) sees 16×16" in (
        panel.shown.value
    )


# --- VGG, Inception, ResNet ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "layers", "parameters", "macs", "sees"),
    [
        ("A", 11, 132_863_336, 7_609_090_048, 150),
        ("A-LRN", 11, 132_863_336, 7_609_090_048, 150),
        ("B", 13, 133_047_848, 11_308_466_176, 156),
        ("C", 16, 133_638_952, 11_770_888_192, 156),
        ("D", 16, 138_357_544, 15_470_264_320, 212),
        ("E", 19, 143_667_240, 19_632_062_464, 268),
    ],
)
def test_the_columns_of_vgg(column, layers, parameters, macs, sees):
    panel = ex.VGGColumns()
    panel.controls["column"].value = column
    marked = [line for line in ex.vgg_column(column).table.lines if line[0].startswith("▶")]
    numbers = [f"{number:,}" for number in (layers, parameters, macs, sees)]
    assert marked == [(f"▶ {column}", *numbers)]
    assert f"{parameters:,} parameters, {macs:,} MACs" in panel.shown.value


def test_what_a_column_has_and_the_one_before_has_not():
    assert "Against" not in ex.vgg_column("A").sentence
    assert "Against A: block 1: LRN more; 0 parameters" in ex.vgg_column("A-LRN").sentence
    assert "block 1: conv3-64 for LRN; block 2: conv3-128 more" in ex.vgg_column("B").sentence
    assert "block 5: conv3-512 for conv1-512; 4,718,592" in ex.vgg_column("D").sentence
    assert ex.vgg_column("D").svg.count(ex.ORANGE) == 3 + 1  # a layer a block, and the legend


def test_a_column_that_vgg_has_not_is_refused():
    with pytest.raises(ValueError, match="column must be one of A, A-LRN"):
        ex.vgg_column("F")


WEIGHTS = [163328, 388096, 375552, 448512, 509440, 604672, 867328, 1042432, 1442816]


@pytest.mark.parametrize(("row", "weights"), [*zip(googlenet.TABLE_1, WEIGHTS)])
def test_the_weights_of_the_nine_modules(row, weights):
    arguments = ex.inception_rows()[row]
    module = googlenet.Inception(arguments["in_channels"], *googlenet.TABLE_1[row])
    view = ex.inception_cost(**arguments)
    assert weights == sum(p.numel() for p in module.parameters() if p.dim() > 1)
    assert cells(view, "module")["weights"] == weights
    assert cells(view, "module")["MACs"] == weights * arguments["size"] ** 2
    parameters = sum(p.numel() for p in module.parameters())
    assert f"({parameters:,} parameters with the biases)" in view.sentence
    assert f"make {module.out_channels} maps" in view.sentence


def test_the_naive_module_costs_more():
    view = ex.inception_cost(**ex.inception_rows()["3a"])
    assert cells(view, "module")["naive: weights"] == 387_072
    assert "gives 416 maps and needs 387,072 weights, 2.4 times as many" in view.sentence
    assert "5.1 times as many" in ex.inception_cost(**ex.inception_rows()["5a"]).sentence
    # Of weights alone: with the biases of so small a module it would be 1.7.
    assert "206 weights, 1.9 times as many" in ex.inception_cost(2, 4, 1, 1, 3, 1, 3, 1).sentence
    *branches, module = (int(line[1].replace(",", "")) for line in view.table.lines)
    assert sum(branches) == module == 163_328


def test_a_row_sets_the_widths_and_other_widths_leave_the_row():
    panel = ex.InceptionCost("4e")
    row = panel.controls["row"]
    assert panel.state() == {"row": "4e", **ex.inception_rows()["4e"]}
    row.value = "5b"
    assert panel.state() == {"row": "5b", **ex.inception_rows()["5b"]}
    assert "1,442,816 weights" in panel.shown.value
    panel.controls["ch3x3_reduce"].value = 182
    assert row.value == "" and "1,442,816" not in panel.shown.value
    panel.controls["ch3x3_reduce"].value = 192
    assert row.value == "5b"
    row.value = ""  # the widths are still those of 5b
    assert row.value == "5b"
    with pytest.raises(ValueError, match="in_channels"):
        ex.inception_cost(in_channels=0)


@pytest.mark.parametrize(
    ("depth", "kind", "on", "parameters"),
    [
        (20, "A", True, 269_722),
        (20, "A", False, 269_722),
        (20, "B", True, 272_474),
        (44, "A", True, 658_586),
    ],
)
def test_the_parameters_of_residual_and_plain_networks(depth, kind, on, parameters):
    view = ex.shortcut_switch(depth, kind, on)
    assert cells(view, "residual" if on else "plain")["parameters"] == parameters
    assert ("plain" if not on else "residual") in view.sentence.split()[0].lower()


def test_shortcuts_keep_the_gradients_alike():
    firsts = [(ex.gradients(44, kind)[0], ex.gradients(44, kind)[-1]) for kind in (None, "A")]
    plain, residual = (first / last for first, last in firsts)
    assert plain > 300 and residual < 40
    assert len(ex.gradients(44, "A")) == 21 and min(ex.gradients(44, "A")) > 0
    # In float32 processors differ in the second digit, which the lesson shows.
    assert ex.gradients(44, None)[0] == pytest.approx(94.328, rel=1e-4)


def test_the_gradients_are_the_same_each_time_and_leave_the_random_state():
    state = torch.random.get_rng_state()
    first = ex.gradients(8, "B")
    ex.gradients.cache_clear()
    with torch.no_grad():
        assert ex.gradients(8, "B") == first
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(ValueError, match="depth must be 6n"):
        ex.shortcut_switch(9)


def test_a_block_loses_its_addition_with_its_shortcut():
    panel = ex.ShortcutSwitch()
    assert ">+</text>" in panel.shown.value and "zero maps are added" in panel.shown.value
    panel.controls["on"].value = False
    assert ">+</text>" not in panel.shown.value and "zero maps" not in panel.shown.value
    panel.set(on=True, kind="B")
    assert "1×1 convolution" in panel.shown.value


# --- a convolution in groups --------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
def test_groups_cost_what_alexnet_costs(groups):
    truth = on_meta(lambda: AlexNet(groups=groups), (3, 224, 224))
    for layer in ex.GROUPED:
        view = ex.grouped(layer, groups)
        for name, counted in (("whole network", truth), (layer, truth[f"features.{layer}"])):
            found = cells(view, name)
            assert (found["parameters"], found["MACs"]) == (counted.parameters, counted.macs)
    assert cells(ex.grouped("conv2", 8), "conv2")["a map reads"] == "12 of 96 maps"


def test_groups_that_do_not_divide_and_other_layers_are_refused():
    for settings in ({"groups": 0}, {"groups": 3}, {"groups": 64}, {"layer": "conv1"}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            ex.grouped(**settings)


# --- a network within a budget ------------------------------------------------------------------


def test_the_parts_of_a_network_add_up_and_are_held_against_the_budget():
    truth = on_meta(ResNetCIFAR, (3, 32, 32))
    view = ex.budget()
    found = cells(view, "all")
    assert (found["parameters"], found["MACs"]) == (truth.parameters, truth.macs)
    assert view.sentence.startswith("269,722 of 300,000 parameters and 40,551,040 of 50,000,000")
    assert "within the budget. 20 layers with weights" in view.sentence
    for column in (1, 2):
        *parts, total = (int(line[column].replace(",", "")) for line in view.table.lines)
        assert sum(parts) == total
    assert "too many parameters and MACs" in ex.budget(32, 64, 128).sentence
    assert "too many MACs." in ex.budget(32, 32, 32, 4, 1, 1).sentence


def test_a_network_that_cannot_be_built_is_told_in_the_panel():
    panel = ex.Budget()
    panel.controls["width1"].value = 160
    assert "<svg" not in panel.shown.value and "aria-live" in panel.shown.value
    panel.controls["width1"].value = 16
    assert "within the budget" in panel.shown.value


# --- all of them --------------------------------------------------------------------------------

PANELS = {
    "convolution": ex.ConvolutionArithmetic,
    "filtering": lambda: ex.Filtering(IMAGE),
    "pooling": ex.Pooling,
    "field": lambda: ex.ReceptiveField(LENET, IMAGE),
    "vgg": ex.VGGColumns,
    "groups": ex.Groups,
    "inception": ex.InceptionCost,
    "shortcut": ex.ShortcutSwitch,
    "budget": ex.Budget,
}


@pytest.fixture(params=PANELS)
def panel(request):
    return PANELS[request.param]()


def test_every_state_is_a_drawing_with_a_name_and_its_words(panel):
    for control in panel.controls.values():
        start = control.value
        if isinstance(control, W.BoundedIntText):
            values = (control.min, control.max, (control.min + control.max) // 2)
        else:
            values = (
                (True, False) if isinstance(control, W.Checkbox) else dict(control.options).values()
            )
        for value in values:
            control.value = value
            shown = ElementTree.fromstring(panel.shown.value)[0]
            if isinstance(panel, ex.Budget) and "cannot lose maps" in (shown.text or ""):
                continue  # a stage of fewer maps than the one before it
            drawing, words, _ = shown
            assert drawing.get("role") == "img" and len(drawing.get("aria-label")) > 40
            assert drawing[0].get("fill") == "white"  # readable on a dark page
            assert words.get("aria-live") == "polite" and len(words.text) > 40
        control.value = start


def test_every_control_has_a_name_and_no_two_are_alike(panel):
    names = [control.description for control in panel.controls.values()]
    assert all(names) and len(set(names)) == len(names)
    assert {type(c) for c in panel.controls.values()} <= {W.BoundedIntText, W.Dropdown, W.Checkbox}
    assert set(panel.sliders) == {
        name for name, c in panel.controls.items() if isinstance(c, W.BoundedIntText)
    } - {*ex.PLACES}


def test_a_stored_notebook_keeps_a_drawing_a_plain_table_and_a_sentence(panel):
    data, _ = DisplayFormatter().format(panel)
    live, first = data["text/html"], panel.start
    panel.set(**{name: control.value for name, control in panel.controls.items()})
    picture, words = without_view(nbformat.v4.new_output("display_data", data))
    assert set(words.data) == {"text/html", "text/plain"} and set(picture.data) == {"image/png"}
    assert words.data["text/html"] == f"<p>{escape(first.sentence)}</p>{first.table._repr_html_()}"
    assert not re.search(r"<(style|svg|img)|style=(?!.text-align: left)", words.data["text/html"])
    about = {"alt": first.sentence, "width": ex.WIDTH}
    assert picture.metadata == {"image/png": about} and words.data["text/plain"] == about["alt"]
    png = base64.b64decode(picture.data["image/png"])
    drawn = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert drawn.shape[1] == 2 * ex.WIDTH and len(png) < 60_000
    marks, black = {ex.BLUE, ex.ORANGE} & set(re.findall('"(#.*?)"', first.svg)), "black"
    for colour in (*marks, black):  # the marks and the words are there
        assert (drawn == ImageColor.getrgb(colour)).all(axis=2).sum() > 100, colour
    ((pattern, instead),) = get_sanitize_patterns(NBVAL.read_text(encoding="utf-8"))
    assert re.sub(pattern, instead, live) == words.data["text/html"] != live


def test_no_word_of_a_drawing_runs_over_its_edge_or_into_another(panel):
    """Measured with the widest of the usual letters; a group that is turned stands by itself."""
    drawing, font = ElementTree.fromstring(panel.start.svg), ImageFont.truetype(FONT, 13)
    lines = {}
    for element in drawing.findall("./{*}text"):
        width = font.getlength(element.text)
        share = {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor")]
        left = float(element.get("x")) - share * width
        lines.setdefault(element.get("y"), []).append((left, left + width))
    for places in lines.values():
        ends = [0, *(x for place in sorted(places) for x in place), ex.WIDTH]
        assert ends == sorted(ends), ends


def test_words_and_marks_stand_out_in_every_theme(panel):
    """A drawing brings its own ground. Words: 4.5 to 1 on what lies under them; marks: 3 to 1.

    A paler area has a line round it; the white lines between parts are no marks.
    """
    grounds, lined = [], set()
    for element in ElementTree.fromstring(panel.start.svg).iter():
        x, y, width, height = (float(element.get(n, 0)) for n in ("x", "y", "width", "height"))
        fill, stroke = element.get("fill"), element.get("stroke", "none")
        if element.tag.endswith("text"):
            middle = max(0, y - 4)
            under = [c for c, (a, b, w, h) in grounds if a <= x <= a + w and b <= middle <= b + h]
            assert contrast(fill, under[-1]) >= 4.5, element.text
        if stroke not in ("none", "white"):
            assert contrast(stroke, "white") >= 3, stroke
            lined.add((x, y, width, height))
        if element.tag.endswith("rect") and fill != "none" and not element.get("fill-opacity"):
            grounds.append((fill, (x, y, width, height)))
    pale = {place for fill, place in grounds if fill != "white" and contrast(fill, "white") < 3}
    assert pale <= lined


def test_reductions_that_save_nothing_are_called_so():
    row = {**ex.inception_rows()["3a"], "ch3x3_reduce": 512, "ch5x5_reduce": 512}
    assert "save nothing" in ex.inception_cost(**row).sentence
