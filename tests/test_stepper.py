"""The stepper: every sentence and pixel of a step is what the network did."""

import base64
import html
import io
import re
from collections import OrderedDict
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
import torchvision
from jupyter_client.manager import start_new_kernel
from matplotlib import colormaps
from PIL import Image
from torch import nn

from cnn_lessons.models import (
    GoogLeNet,
    GoogLeNetCIFAR,
    LeNet5,
    LeNet5Original,
    ResNet,
    ResNetCIFAR,
)
from cnn_lessons.see import colours, plots
from cnn_lessons.see.panels import CLOSED
from cnn_lessons.see.stepper import Stepper, film_strip, step_html, table_lines
from cnn_lessons.see.steps import Step, branch_lines, given, mosaic
from cnn_lessons.shapes import Record, ShapeError, record
from cnn_lessons.shapes.fields import Field, Window

NAMES = [f"class {k}" for k in range(10)]
PICTURES = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
IMAGES = PICTURES.float() / 127.5 - 1


@pytest.fixture
def lenet():
    torch.manual_seed(0)
    return LeNet5()


@pytest.fixture
def panel(lenet):
    return Stepper(lenet, IMAGES, PICTURES, torch.tensor([3, 5, 7]), NAMES)


def facts(model, size, name):
    recorded = record(model, size)
    return dict(Step(recorded, recorded.number(name)).facts)


# --- the arithmetic -----------------------------------------------------------------------------


def test_the_arithmetic_of_a_convolution_is_shown_with_its_numbers():
    shown = facts(LeNet5(), (3, 32, 32), "features.c3")
    assert shown["Output"].startswith("floor((14 + 2·0 − 5) / 1) + 1 = 10")
    assert shown["Parameters"] == "16 kernels of 6·5·5 weights + 16 biases = 2,416"
    assert shown["MACs"] == "16·10·10 numbers, each 6·5·5: 240,000"
    assert shown["Sees"].startswith("14×14 pixels of the input; the first view")
    assert shown["Reads"] == "step 1 (features.s2)"


@pytest.mark.parametrize(
    ("layer", "size", "formula"),
    [
        (nn.Conv2d(3, 4, 3, stride=2, padding=1), (3, 9, 9), "floor((9 + 2·1 − 3) / 2) + 1 = 5"),
        (nn.Conv2d(3, 4, 3, dilation=2), (3, 9, 9), "floor((9 + 2·0 − 2·(3 − 1) − 1) / 1) + 1 = 5"),
        (nn.MaxPool2d(3, 2, ceil_mode=True), (3, 8, 8), "ceil((8 + 2·0 − 3) / 2) + 1 = 4"),
        (nn.Conv2d(3, 4, (3, 1)), (3, 9, 9), "height floor((9 + 2·0 − 3) / 1) + 1 = 7; width"),
    ],
    ids=["stride", "dilation", "ceil", "two sizes"],
)
def test_the_size_formula_gives_the_size(layer, size, formula):
    recorded = record(layer, size)
    shown = dict(Step(recorded, 0).facts)["Output"]
    assert shown.startswith(formula)
    for text, result in re.findall(r"((?:floor|ceil)\(.*?\) \+ 1) = (\d+)", shown):
        value = eval(text.replace("·", "*").replace("−", "-"), {"floor": np.floor, "ceil": np.ceil})
        assert value == int(result)


@pytest.mark.parametrize(
    ("build", "size"),
    [(LeNet5, 32), (GoogLeNetCIFAR, 32), (lambda: ResNet(18), 64), (lambda: GoogLeNet(), 224)],
)
def test_every_product_in_the_arithmetic_comes_out(build, size):
    """Parameters and MACs are shown as a product with its result, for each layer that has some."""
    with torch.device("meta"):
        recorded = record(build(), (3, size, size))
    for number, row in enumerate(recorded):
        shown = dict(Step(recorded, number).facts)
        assert ("MACs" in shown) == (row.macs > 0)
        if row.macs:
            product, result = re.fullmatch(r"(.*): ([\d,]+)", shown["MACs"]).groups()
            factors = [int(n) for n in re.findall(r"\d+", product)]
            assert np.prod(factors, dtype=object) == row.macs == int(result.replace(",", ""))
        if row.weights:
            assert shown["Parameters"].endswith(f"= {row.parameters:,}")


def test_branches_and_shortcuts_say_what_they_read():
    shown = facts(ResNet(18), (3, 64, 64), "conv3_x.0.add")
    assert " and " in shown["Reads"] and "element by element" in shown["Output"]
    shown = facts(GoogLeNetCIFAR(), (3, 32, 32), "features.inception_3a.cat")
    assert shown["Output"] == "64 + 128 + 32 + 32 = 256 channels of 4×4"
    assert shown["Sees"].startswith("59×59 pixels of the input, which is more than there are")


def test_dead_weights_are_told():
    shown = facts(GoogLeNetCIFAR(), (3, 32, 32), "features.inception_5a.branch5x5.conv")
    assert shown["Dead"] == "98,304 of 102,400 weights only ever meet padding"


# --- branches as lines --------------------------------------------------------------------------


def test_a_chain_is_one_line_of_dots():
    assert set(branch_lines(record(LeNet5(), (3, 32, 32)))) == {"●"}


def test_the_lines_of_an_inception_module():
    recorded = record(GoogLeNetCIFAR(), (3, 32, 32))
    lines = dict(zip((row.name for row in recorded), branch_lines(recorded)))
    module = "features.inception_3a"
    assert lines[f"{module}.branch1x1.conv"] == "├─●"
    assert lines[f"{module}.branch3x3.reduce"] == "├─┼─●"
    assert lines[f"{module}.branch5x5.conv"] == "│ │ │ ●"
    assert lines[f"{module}.branch_pool.pool"] == "● │ │ │"
    assert lines[f"{module}.cat"] == "●─┴─┴─╯"


@pytest.mark.parametrize("name", ["densenet121", "shufflenet_v2_x1_0", "mobilenet_v3_small"])
def test_every_row_has_one_dot_and_ends_in_one_line(name):
    with torch.device("meta"):
        recorded = record(torchvision.models.get_model(name), (3, 64, 64))
    lines = branch_lines(recorded)
    assert all(line.count("●") == 1 for line in lines)
    assert lines[-1].strip() == "●"


def test_the_lines_of_the_list_have_one_width():
    heading, lines = table_lines(record(GoogLeNetCIFAR(), (3, 32, 32)))
    assert {len(line) for line in lines} == {len(heading)} and " " not in heading
    words = [line.replace("\N{NO-BREAK SPACE}", " ").strip() for line in lines]
    assert words[0].endswith("[N, 64, 16, 16]") and words[-1].endswith("[N, 10]")


# --- pixels -------------------------------------------------------------------------------------


def test_the_maps_are_those_of_the_network_in_its_colours(lenet):
    recorded = record(lenet, IMAGES[:1], keep=True)
    shown = Step(recorded, 0, lenet, unit=(2, 0, 0))
    maps = lenet.features.c1(IMAGES[:1])[0].detach()
    share = maps[2] / maps.abs().max() / 2 + 0.5
    expected = colormaps[colours.ACTIVATIONS](share.numpy(), bytes=True)[..., :3]
    assert (shown.one_map == expected).all()
    assert shown.maps.shape == (2 * 28 + 1, 3 * 28 + 2, 3)
    assert (shown.maps[:28, 58:86] == expected).all()


def test_a_map_of_nought_is_white_and_signs_have_their_colours():
    class Signs(nn.Module):
        def forward(self, images):
            return torch.cat([images, -images, 0 * images], dim=1)

    recorded = record(Signs(), torch.ones(1, 1, 30, 30), keep=True)
    maps = Step(recorded, len(recorded) - 1).maps
    red, blue, nought = maps[5, 5], maps[5, 40], maps[40, 5]
    assert red[0] > red[2] and blue[2] > blue[0] and nought.min() > 240


def test_the_kernel_of_the_chosen_map_is_shown(lenet):
    recorded = record(lenet, IMAGES[:1], keep=True)
    shown = Step(recorded, 2, lenet, unit=(3, 0, 0))  # c3 reads six maps: a grid of three by two
    scale = 24 // 5
    assert shown.kernel.shape == (2 * 5 * scale + 1, 3 * 5 * scale + 2, 3)
    assert Step(recorded, 1, lenet).kernel is None  # a pool has none


def test_the_view_of_the_middle_unit_is_framed_on_the_picture(lenet):
    recorded = record(lenet, IMAGES[:1], keep=True)
    black = np.zeros((32, 32, 3), np.uint8)
    framed = (Step(recorded, 2, picture=black).picture == (230, 159, 0)).all(axis=2)
    rows, columns = framed.any(axis=1).nonzero()[0], framed.any(axis=0).nonzero()[0]
    first, scale = 5 * 2, 7  # unit 5 of c3 is five strides of 2 from the edge and sees 14 pixels
    assert (rows.min(), rows.max()) == (first * scale + 1, (first + 14) * scale - 2)
    assert (columns.min(), columns.max()) == (rows.min(), rows.max())


def test_large_and_many_maps_are_reduced_and_said_so():
    recorded = record(nn.Conv2d(3, 100, 1), torch.zeros(1, 3, 224, 224), keep=True)
    shown = Step(recorded, 0)
    assert shown.maps.shape == (8 * 48 + 7, 8 * 48 + 7, 3)
    assert "the first 64 of 100 maps of 224×224" in shown.text


def test_the_last_steps_show_logits_and_probabilities(lenet):
    recorded = record(lenet, IMAGES[:1], keep=True)
    logits = lenet.eval()(IMAGES[:1])[0].detach()
    shown = Step(recorded, len(recorded) - 1, class_names=NAMES)
    names, values, probabilities = zip(*shown.scores)
    assert values == tuple(sorted(values, reverse=True)) and sum(probabilities) == pytest.approx(1)
    assert names[0] == NAMES[logits.argmax()] and values[0] == pytest.approx(logits.max().item())
    assert Step(recorded, len(recorded) - 2).scores == ()


def test_a_record_without_outputs_still_has_its_arithmetic():
    shown = Step(record(LeNet5(), (3, 32, 32)), 0)
    assert shown.maps is None and shown.scores == () and shown.facts


def test_a_number_outside_the_record_is_refused():
    with pytest.raises(ValueError, match="number must be from 0 to 9; got 10"):
        Step(record(LeNet5(), (3, 32, 32)), 10)


# --- the panel ----------------------------------------------------------------------------------


def test_stepping_marks_the_row_and_changes_what_is_shown(panel):
    seen = set()
    for number in range(len(panel.record)):
        panel.number.value = number
        assert f"<b>{number}: {panel.record[number].name}</b>" in panel.shown.value
        assert step_html(panel.step()) in panel.shown.value
        seen.add(panel.shown.value)
    assert len(seen) == len(panel.record)


def test_the_ends_stop_and_the_buttons_move(panel):
    forth = next(w for w in panel.children[0].children if w.description == "Next ▶")
    back = next(w for w in panel.children[0].children if w.description == "◀ Previous")
    back.click()
    assert panel.number.value == 0
    for _ in range(len(panel.record) + 3):
        forth.click()
    assert panel.number.value == len(panel.record) - 1


def test_another_picture_and_another_map_are_shown(panel):
    first = panel.shown.value
    panel.set(Map=4)
    other_map = panel.shown.value
    panel.picture.value = 2
    assert len({first, other_map, panel.shown.value}) == 3
    assert panel.record.outputs[0].shape == (1, 6, 28, 28)
    panel.number.value = 2
    panel.set(Map=15)
    panel.number.value = 0  # only six maps: the last one is taken
    assert panel.state()["Map"] == 5 and panel.controls["Map"].max == 5


def test_each_picture_of_a_step_has_its_text(panel):
    tags = re.findall(r"<img [^>]*>", panel.shown.value)
    assert len(tags) == 4 and all(re.search(r'alt="[^"]+"', tag) for tag in tags)
    data = re.search(r"base64,([^\"]+)", tags[1]).group(1)
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(data))))
    assert (pixels == panel.step().maps).all()
    assert 'aria-live="polite"' in panel.shown.value


def test_all_controls_are_named(panel):
    controls = [w for w in panel.children[0].children if hasattr(w, "description")]
    named = {w.description for w in controls if w.description}
    assert {"◀ Previous", "Next ▶", "Step", "Picture", "Quiz"} <= named
    assert [field.description for field in panel.unit_box.children] == ["Map", "Row", "Column"]


def test_without_a_kernel_the_table_and_the_strip_stay(panel):
    bundle = panel._repr_mimebundle_()
    assert set(bundle) == {
        "application/vnd.jupyter.widget-view+json",
        "text/html",
        "text/plain",
    }
    assert bundle["text/html"] == record(LeNet5(), (3, 32, 32))._repr_html_()
    tiles, titles = film_strip(panel.record, panel.pixels)
    assert titles[1:] == ["c1\n6×28×28", "s2\n6×14×14", "c3\n16×10×10", "s4\n16×5×5"]
    assert len(plots.film_strip(tiles, titles).axes) >= 5


def test_a_display_gives_the_panel_and_then_the_strip(panel, monkeypatch):
    shown = []
    for place in ("cnn_lessons.see.stepper.display", "IPython.display.display"):
        monkeypatch.setattr(place, lambda bundle, **_: shown.append(set(bundle)))
    panel._ipython_display_()
    assert "text/html" in shown[0] and "image/png" in shown[1] and "text/markdown" in shown[2]


def test_a_closed_stepper_says_so_when_it_is_shown_again(panel, capsys):
    panel.close()
    panel._ipython_display_()
    assert capsys.readouterr().out == CLOSED + "\n"


def test_grey_pictures_one_picture_and_heads_work():
    grey = Stepper(LeNet5Original(), torch.rand(1, 32, 32))
    assert grey.step().picture.shape[2] == 3
    model = GoogLeNet(num_classes=10)
    with_heads = Stepper(model, torch.rand(3, 224, 224), forward=model.forward_with_aux)
    assert "aux2.fc2" in [row.name for row in with_heads.record]


def test_wrong_images_and_a_broken_network_say_what_is_wrong():
    for images in (torch.zeros(32, 32), torch.zeros(0, 3, 32, 32), "four", [IMAGES[0]]):
        with pytest.raises(ValueError, match=r"images must be a tensor \(C, H, W\)"):
            Stepper(LeNet5(), images)
    for pictures in (IMAGES, PICTURES[:2], PICTURES[:, :, 1:], PICTURES[:, :2]):
        with pytest.raises(ValueError, match=r"pictures must be uint8, \(3, 1 or 3, 32, 32\)"):
            Stepper(LeNet5(), IMAGES, pictures)
    for model in (LeNet5, "LeNet5"):
        with pytest.raises(ValueError, match="model must be a network"):
            Stepper(model, IMAGES)
    with pytest.raises(ValueError, match="model must do something with the images"):
        Stepper(Own(lambda images: 3), IMAGES)
    with pytest.raises(ShapeError, match=r"2 \(Linear\) failed"):
        Stepper(nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(9, 9)), torch.zeros(3, 4, 4))


def test_any_unit_is_chosen_and_shown_with_its_value_and_its_view(panel, lenet):
    maps = lenet.features.c1(IMAGES[:1])[0].detach()
    assert panel.state() | {"Map": 0, "Row": 14, "Column": 14} == panel.state()
    panel.set(Map=4, Row=2, Column=27)
    shown = panel.step()
    assert shown.value.startswith("Map 4, row 2, column 27: ")
    value = float(shown.value.rsplit("= ")[1].replace("−", "-"))
    assert value == pytest.approx(maps[4, 2, 27].item(), abs=0.01)
    assert shown.sees == "what the unit sees: rows 2 to 6, columns 27 to 31"
    framed = (shown.picture == (230, 159, 0)).all(axis=2).nonzero()
    assert [(axis.min(), axis.max()) for axis in framed] == [(15, 47), (190, 222)]
    assert html.escape(shown.value) in panel.shown.value and shown.sees in panel.shown.value


def test_a_unit_stays_at_its_place_in_maps_of_one_size_and_is_the_middle_one_of_others():
    panel = Stepper(ResNetCIFAR(20), IMAGES)
    panel.set(Map=3, Row=1, Column=30)
    panel.number.value = 2
    assert [panel.state()[name] for name in ("Map", "Row", "Column")] == [3, 1, 30]
    panel.number.value = panel.record.number("conv3_x.0.conv1")
    assert [panel.state()[name] for name in ("Map", "Row", "Column")] == [3, 8, 8]


def overlays(panel):
    """Of each picture what is on it: the squares to choose from, names, the middle of the frame."""
    found = []
    for tag, marks in re.findall(r"(<img.*?>)<svg.*?>(.*?)</svg>", panel.shown.value):
        grid = re.search(r'data-rows="(\d+)" data-columns="(\d+)"( data-field="Map")?', tag)
        frame = re.search(
            r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', marks
        )
        found.append((grid and grid.groups(), re.findall("<text.*?>(.*?)</text>", marks), frame))
    return found


def test_maps_carry_their_numbers_and_the_chosen_ones_a_frame(panel):
    panel.number.value = 2
    panel.set(Map=6, Row=9, Column=0)
    picture, maps, one_map, kernel = overlays(panel)
    assert picture == kernel == (None, [], None)
    assert maps[0] == ("4", "4", ' data-field="Map"') and maps[1] == [str(k) for k in range(16)]
    assert [*map(float, maps[2].groups())] == [100, 50, 50, 50]
    assert one_map[:2] == (("10", "10", None), [])
    assert [*map(float, one_map[2].groups())] == [0, 126, 14, 14]
    assert 'alt="maps 0 to 15' in panel.shown.value and "map 6<" in panel.shown.value


def test_the_last_numbers_carry_the_names_of_their_classes():
    panel = Stepper(LeNet5(), IMAGES, class_names=[f"kind{k}" for k in range(10)])
    panel.set(number=9, Map=3)
    _, numbers = overlays(panel)
    assert numbers[1] == [f"kind{k}" for k in range(10)]
    assert 'alt="numbers 0 kind0, 1 kind1' in panel.shown.value
    assert panel.step().value.startswith("Number 3 (kind3): ")
    many = Stepper(LeNet5(num_classes=300), IMAGES, class_names=[f"kind{k}" for k in range(300)])
    many.number.value = 9
    many.set(Map=299)
    assert 'alt="numbers 0 to 299: ' in many.shown.value
    assert many.step().value.startswith("Number 299 (kind299): ")


def strips(monkeypatch):
    """What is shown as a strip from now on: its titles, and whether in the old place."""
    seen = []
    monkeypatch.setattr("cnn_lessons.see.stepper.display", lambda *_, **__: None)
    monkeypatch.setattr(plots, "film_strip", lambda tiles, titles: (tiles, titles))
    monkeypatch.setattr(plots, "show", lambda figure, *about: seen.append((*figure, about)))
    return seen


def test_the_strip_follows_the_chosen_picture(panel, monkeypatch):
    seen = strips(monkeypatch)
    panel.picture.value = 1
    assert not seen  # it is not on the page yet
    panel._ipython_display_()
    panel.number.value = 3
    panel.picture.value = 2
    (before, _, (_, name, again)), (after, titles, (words, same, anew)) = seen
    assert (again, anew) == (False, True) and name == same and "of 4 steps" in words
    assert (after[0] == PICTURES[2].permute(1, 2, 0).numpy()).all()
    with torch.no_grad():
        maps = panel.model.features.c1(IMAGES[2:])[0, :4]
    assert titles[1].startswith("c1") and (after[1] == mosaic(maps)).all()
    assert (before[1] != after[1]).any()


# --- networks of a learner's own ------------------------------------------------------------------


class Own(nn.Module):
    """A network made of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


def walked(panel):
    """Each step of a panel as it is shown; an error would be shown in its place."""
    shown = []
    for number in range(len(panel.record)):
        panel.number.value = number
        assert step_html(panel.step()) in panel.shown.value
        shown.append(panel.step())
    return shown


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.mean(), "output [N]; 1 number"),
        (lambda x: x.mean((1, 2, 3)), "output [N]; 1 number"),
        (lambda x: x.mean((2, 3)), "output [N, 3]; 3 numbers"),
        (lambda x: x.flatten(2).transpose(1, 2), "output [N, 1024, 3]; 1 map of 1024×3"),
        (lambda x: x.unflatten(1, (1, 3)), "output [N, 1, 3, 32, 32]; 3 maps of 32×32"),
        (lambda x: x > 0, "output [N, 3, 32, 32]; 3 maps of 32×32"),
        (lambda x: torch.fft.fft2(x), "output [N, 3, 32, 32]; 3 maps of 32×32"),
        (lambda x: x.repeat(1, 1366, 1, 1)[:, :4096], "the first 64 of 4,096 maps of 32×32"),
        (lambda x: x.repeat(1, 3, 1, 1).flatten(1), "the first 4,096 of 9,216 numbers"),
    ],
)
def test_outputs_with_any_number_of_axes_are_shown(function, words):
    last = walked(Stepper(Own(function), IMAGES[0]))[-1]
    assert words in last.text and last.maps is not None and max(last.maps.shape) < 700


@pytest.mark.parametrize("function", [lambda x: x[:, :0], lambda x: x[x > 9]])
def test_an_output_without_numbers_has_no_picture(function):
    last = walked(Stepper(Own(function), IMAGES[0]))[-1]
    assert last.maps is last.one_map is None and "0 numbers" in last.text


def test_a_picture_of_one_pixel_is_shown():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, 2))
    first, _, last = walked(Stepper(model, IMAGES[0, :, :1, :1], class_names="ab"))
    assert first.picture.shape == (224, 224, 3) and len(last.scores) == 2


def test_what_is_no_number_is_told_and_has_a_colour_of_its_own():
    values = torch.tensor([[1.0, float("nan"), -2.0, float("-inf"), float("inf"), 0.0]])
    recorded = record(Own(lambda x: x * 1), values[None, None], keep=True)
    shown = Step(recorded, 0)
    odd = (shown.one_map == colours.NOT_FINITE).all(axis=2)
    assert odd.tolist() == [[False, True, False, True, True, False]]
    # The scale of the others is theirs alone: −2 has the end of the colours, 0 their middle.
    blue, white = colormaps[colours.ACTIVATIONS]([0.0, 0.5], bytes=True)[:, :3]
    assert (shown.one_map[0, 2] == blue).all() and (shown.one_map[0, 5] == white).all()
    assert shown.text.endswith("; 3 of 6 numbers are NaN or infinite, in yellow.")
    for name in (colours.ACTIVATIONS, colours.WEIGHTS):
        scale = colormaps[name](np.linspace(0, 1, 256), bytes=True)[:, :3].astype(int)
        assert abs(scale - colours.NOT_FINITE).max(axis=1).min() > 60


def test_logits_that_are_no_numbers_have_no_probabilities(lenet):
    nn.init.constant_(lenet.classifier.output.bias, float("nan"))
    last = walked(Stepper(lenet, IMAGES[:1]))[-1]
    assert last.scores == () and "10 of 10 numbers are NaN" in last.text


def test_what_a_unit_sees_is_said_for_any_number_of_axes():
    recorded = record(nn.Conv2d(3, 4, 3), (3, 9, 9))

    def sees(output, *fields):
        row = replace(recorded[0], output=(2, *output), field=fields or None)
        return dict(Step(Record([row]), 0).facts)["Sees"]

    known, everything = Field(-1, 3, 2), Field(0, 8, 0)
    assert sees((4, 4, 4), known, known) == (
        "5×5 pixels of the input; the first view is centred on pixel (1, 1), the next one is "
        "2 further"
    )
    assert sees((4, 4), known).startswith("5 pixels of the input; the first view is centred on")
    assert "(1, 1, 1), the next one is 2 further" in sees((4, 4, 4, 4), known, known, known)
    assert "is 2×1 further" in sees((4, 4, 4), known, Field(0, 2, 1))
    assert sees((4, 4, 4), everything, everything) == (
        "9×9 pixels of the input: all of it, for every unit"
    )
    assert sees((4, 4, 4)).startswith("not known")


def test_the_size_of_a_window_is_told_for_any_number_of_axes():
    row = record(nn.Conv2d(3, 4, 3), (3, 9, 9))[0]

    def size(read, made, kernel):
        ones, zeros = (1,) * len(kernel), (0,) * len(kernel)
        window = Window(kernel, ones, zeros, ones)
        row_ = replace(row, inputs=((2, 3, *read),), output=(2, 4, *made), window=window)
        return dict(Step(Record([row_]), 0).facts)["Output"]

    nine = "floor((9 + 2·0 − 3) / 1) + 1 = 7"
    assert size((9,), (7,), (3,)) == f"{nine}, for width; 4 channels"
    assert size((9, 9), (7, 7), (3, 3)) == f"{nine}, for height and width; 4 channels"
    assert size((9, 9, 9), (7, 7, 7), (3, 3, 3)).startswith(f"{nine}, for depth and height and")
    assert size((5, 9, 9), (5, 7, 7), (1, 3, 3)).startswith(
        "depth floor((5 + 2·0 − 1) / 1) + 1 = 5"
    )


def test_a_view_is_framed_only_where_it_is_known(lenet):
    recorded, black = record(lenet, (3, 32, 32)), np.zeros((32, 32, 3), np.uint8)

    def framed(*fields):
        row = replace(recorded[0], field=fields or None)
        return (Step(Record([row]), 0, picture=black).picture == (230, 159, 0)).all(axis=2)

    everything = Field(0, 31, 0)
    assert not framed().any() and not framed(everything).any()
    rows, columns = framed(everything, everything).nonzero()
    assert {rows.min(), columns.min()} == {1} and {rows.max(), columns.max()} == {7 * 32 - 2}


def test_of_thousands_of_maps_each_can_be_chosen():
    panel = Stepper(Own(lambda x: x.repeat(1, 1366, 1, 1)[:, :4096]), IMAGES[0])
    last = panel.record.number("Own") if len(panel.record) == 1 else len(panel.record) - 1
    panel.set(number=last, Map=4095, Row=31, Column=31)
    shown = panel.step()
    assert shown.value.startswith("Map 4095, row 31, column 31: ")
    assert float(shown.value.split(": ")[1].split()[-1].replace("−", "-")) == pytest.approx(
        IMAGES[0, 0, 31, 31].item(), abs=0.006
    )
    _, maps, one_map = overlays(panel)
    assert len(maps[1]) == 64 and maps[2] is None and one_map[2] is not None


EVIL = "<script>alert('1')</script>&\"\u202e" + "x" * 10_000


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found |= {tag, *(name for name, _ in attributes)}


def test_names_from_a_learners_code_are_escaped_and_cut():
    layer = type(EVIL, (nn.Conv2d,), {})(3, 4, 3)
    model = nn.Sequential(OrderedDict({f"$a$ {EVIL.replace('.', '')}": layer, "2": nn.Flatten()}))
    panel = Stepper(model, IMAGES[:1, :, :4, :4], labels=[0], class_names=[EVIL] * 16)
    walked(panel)
    tags = Tags(panel.shown.value).found
    assert not tags & {"script", "onclick"} and "img" in tags and "table" in tags
    assert all(len(line) < 120 for line in table_lines(panel.record)[1])
    assert len(panel.picture.options[0][0]) < 40
    for text in (panel.shown.value, str(panel.picture.options), str(panel.children)):
        assert "\u202e" not in text and "x" * 100 not in text
    tiles, titles = film_strip(panel.record, panel.pixels)
    plots.film_strip(tiles, titles).savefig(io.BytesIO())
    assert all(len(line) < 30 for title in titles for line in title.split("\n"))


# --- a panel under stress -------------------------------------------------------------------------


def test_a_hundred_clicks_are_all_answered():
    panel = Stepper(ResNetCIFAR(20), IMAGES)
    forth = next(w for w in panel.children[0].children if w.description == "Next ▶")
    for _ in range(100):
        forth.click()
    last = len(panel.record) - 1
    assert panel.number.value == last and f"<b>{last}: fc</b>" in panel.shown.value
    assert 'data-answer="101"' in panel.shown.value


def test_two_steppers_of_one_network_do_not_disturb_each_other(lenet):
    lenet.train()
    one, two = (Stepper(lenet, IMAGES, PICTURES) for _ in range(2))
    one.number.value, two.number.value = 3, 1
    one.picture.value, two.picture.value = 1, 2
    alone = Stepper(lenet, IMAGES, PICTURES)
    alone.set(number=3, picture=1)
    assert alone.shown.value.partition(">")[2] == one.shown.value.partition(">")[2]
    assert lenet.training and not any(module._forward_hooks for module in lenet.modules())


def test_a_picture_that_cannot_be_recorded_is_told_in_the_panel():
    def not_bright(images):
        if images.mean() > 5:
            raise RuntimeError("too <bright>")
        return images * 2

    panel = Stepper(Own(not_bright), torch.stack([IMAGES[0], IMAGES[1] + 9]))
    panel.picture.value = 1
    assert "too &lt;bright&gt;" in panel.shown.value and "<img" not in panel.shown.value
    panel.picture.value = 0
    assert "<img" in panel.shown.value


KERNEL = """import gc, torch
from ipywidgets.widgets import widget
from cnn_lessons.see import Stepper
model, images = torch.nn.Conv2d(3, 4, 3), torch.rand(2, 3, 8, 8)
def count():
    gc.collect()
    widgets = getattr(widget, '_instances', None) or widget.Widget.widgets
    return len(widgets), sum(type(thing) is torch.Tensor for thing in gc.get_objects())
"""


def test_running_a_cell_again_costs_nothing_in_a_kernel():
    """Later runs leave as many widgets and tensors as the second, with a name for the cell or
    without."""
    manager, client = start_new_kernel()

    def run(code, cell="", expression="0"):
        content = {"code": code, "user_expressions": {"it": expression}, "store_history": True}
        about = {"cellId": cell} if cell else {}
        message = client.session.msg("execute_request", content, metadata=about)
        client.shell_channel.send(message)
        reply = client.get_shell_msg(timeout=60)
        while reply["parent_header"]["msg_id"] != message["header"]["msg_id"]:
            reply = client.get_shell_msg(timeout=60)
        assert reply["content"]["status"] == "ok", reply["content"]
        return reply["content"]["user_expressions"]["it"]["data"]["text/plain"]

    try:
        run(KERNEL)
        for cell, runs in ("named", 20), ("", 5):
            expressions = ["0", "count()", *["0"] * (runs - 3), "count()"]
            counts = [run("Stepper(model, images)", cell, it) for it in expressions]
            assert counts[1] == counts[-1]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# --- the quiz -------------------------------------------------------------------------------------


@pytest.fixture
def quiz(lenet):
    return Stepper(lenet, IMAGES, PICTURES, torch.tensor([3, 5, 7]), NAMES, quiz=True)


def button(panel, name):
    widgets = [*panel.children[0].children, *panel.question.children]
    return next(w for w in widgets if getattr(w, "description", "") == name)


def listed(panel):
    return [line for line, _ in panel.table.options]


def test_a_quiz_hides_sizes_fields_and_maps_and_says_what_one_needs(quiz):
    shown = quiz.shown.value
    assert "the input: [N, 3, 32, 32]" in shown
    assert "6 kernels of 5×5, stride 1, padding 0<" in shown
    for told in ("28", "784", "4,704", "MACs", "Sees", "456"):
        assert told not in re.sub('base64,[^"]*', "", shown), told
    assert shown.count("<img") == 1 and not quiz.question.layout.display
    assert not any("[N" in line for line in listed(quiz))
    assert len({len(line) for line in listed(quiz)}) == 1


def test_what_is_guessed_is_shown_and_counted(quiz):
    quiz.guess.value = "6, 28, 28"
    assert step_html(quiz.step()) in quiz.shown.value
    assert "1 of 1 at the first try." in quiz.shown.value
    assert ["[N" in line for line in listed(quiz)] == [True] + [False] * 9
    button(quiz, "Next ▶").click()
    assert quiz.guess.value == "" and "features.s2" in quiz.shown.value
    for wrong in ("6, 28, 28", "6", "x", "14, 14"):
        quiz.guess.value = wrong
        assert f"Not yet: {wrong}." in quiz.shown.value and quiz.shown.value.count("<img") == 1
    quiz.guess.value = "6x14x14"
    assert "1 of 2 at the first try." in quiz.shown.value and quiz.number.value == 1
    assert quiz.table.index == 1 and "[N, 6, 14, 14]" in listed(quiz)[1].replace("\xa0", " ")


def test_a_vector_is_guessed_by_one_number(quiz):
    quiz.number.value = 9
    quiz.guess.value = "10"
    assert "1 of 1 at the first try." in quiz.shown.value and "class 0" in quiz.shown.value


def test_show_me_counts_as_not_guessed(quiz):
    button(quiz, "Show me").click()
    assert "0 of 1 at the first try." in quiz.shown.value
    assert step_html(quiz.step()) in quiz.shown.value
    before = quiz.shown.value
    button(quiz, "Show me").click()  # the page waits for an answer
    assert quiz.shown.value != before and "0 of 1" in quiz.shown.value


def test_the_quiz_is_turned_on_and_off(panel):
    plain = panel.shown.value.partition(">")[2]
    assert panel.question.layout.display == "none"
    panel.number.value = 3
    panel.quiz.value = True
    assert not panel.question.layout.display and panel.table.index == 3
    panel.guess.value = "3"
    assert "Not yet: 3." in panel.shown.value
    panel.quiz.value = False
    assert step_html(panel.step()) in panel.shown.value and panel.number.value == 3
    assert listed(panel) == table_lines(panel.record)[1]
    panel.number.value = 0
    assert panel.shown.value.partition(">")[2] == plain


def test_a_stored_quiz_gives_nothing_away(quiz):
    html, text = quiz.static()
    for twin in (html, text):
        assert "features.c1" in twin and "[N" not in twin and "28" not in twin


def test_a_quiz_hides_what_comes_before_and_its_maps_in_the_strip(quiz, monkeypatch):
    seen = strips(monkeypatch)
    quiz._ipython_display_()
    assert seen[-1][1] == ["the picture"]
    quiz.number.value = 2
    assert "step 1 (features.s2): its size is still to be guessed" in quiz.shown.value
    assert "14" not in re.sub("<.*?>", "", quiz.shown.value)
    assert quiz.unit_box.layout.display == "none"
    quiz.guess.value = "16, 10, 10"
    assert seen[-1][1] == ["the picture", "c3\n16×10×10"] and not quiz.unit_box.layout.display
    quiz.number.value = 1
    button(quiz, "Show me").click()
    assert [title[:2] for title in seen[-1][1][1:]] == ["s2", "c3"]
    quiz.number.value = 3
    assert "features.c3): [N, 16, 10, 10]" in quiz.shown.value
    quiz.quiz.value = False
    assert len(seen[-1][1]) == 5


def test_what_has_no_size_is_not_asked():
    panel = Stepper(Own(lambda x: x.mean((1, 2, 3))), IMAGES, quiz=True)
    walked(panel)
    assert panel.question.layout.display == "none" and "?" not in listed(panel)[-1]


@pytest.mark.parametrize(
    ("layer", "size", "words"),
    [
        (
            nn.MaxPool2d(3, 2, ceil_mode=True),
            (3, 8, 8),
            "a window of 3×3, stride 2, padding 0, rounded up",
        ),
        (nn.Conv2d(4, 6, 3, (2, 1)), (4, 9, 9), "6 kernels of 3×3, stride 2×1, padding 0"),
        (
            nn.Conv2d(4, 6, (3, 1), dilation=2),
            (4, 9, 9),
            "6 kernels of 3×1, stride 1, padding 0, dilation 2",
        ),
        (nn.Linear(9, 5), (9,), "5 units"),
        (nn.ReLU(), (3, 4, 4), None),
    ],
)
def test_the_settings_of_a_layer_are_given(layer, size, words):
    told = dict(given(record(layer, torch.zeros(1, *size)), 0))
    assert told["Reads"].startswith("the input: [N, ")
    assert words in told["Layer"] if words else "Layer" not in told
