"""The figures: what they draw is what they were given, and every picture is really drawn."""

import base64
import io
from dataclasses import replace
from math import nan

import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from cnn_lessons.models import VGG, LeNet5, LeNet5Original
from cnn_lessons.see import colours, plots
from cnn_lessons.see.probes import LayerStatistics
from cnn_lessons.shapes import Record, on_meta, record
from cnn_lessons.training import Epoch, History, confusion_matrix
from tests.networks import CASES, build_on_meta

NAMES = [f"class {k}" for k in range(10)]
IMAGES = torch.arange(6 * 3 * 4 * 4, dtype=torch.uint8).view(6, 3, 4, 4)


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def drawn(figure):
    return [ax.images[0].get_array() for ax in figure.axes if ax.images]


def test_every_picture_is_drawn_with_its_title():
    figure = plots.pictures(IMAGES, NAMES[:6], "some", columns=4)
    assert len(drawn(figure)) == 6
    assert (drawn(figure)[5] == IMAGES[5].permute(1, 2, 0).numpy()).all()
    assert [ax.get_title() for ax in figure.axes][:6] == NAMES[:6]


def test_where_there_is_no_picture_a_sentence_says_so():
    assert texts(plots.pictures(IMAGES[:0])) == ["There is no picture to show."]


def test_feature_maps_share_one_scale_around_zero():
    maps = torch.randn(5, 3, 3)
    figure = plots.feature_maps(maps)
    limits = {ax.images[0].get_clim() for ax in figure.axes if ax.images}
    largest = maps.abs().max().item()
    assert len(drawn(figure)) == 5 and limits == {(-largest, largest)}


def marks(ax):
    """Where a map says that it is highest and lowest: sign and place."""
    return {
        line.get_marker(): (int(line.get_ydata()[0]), int(line.get_xdata()[0]))
        for line in ax.lines
        if line.get_marker() in "+_"
    }


def test_the_ends_of_signed_maps_are_marked_for_those_who_see_no_colour():
    maps = torch.zeros(3, 4, 4)
    maps[0, 1, 2], maps[0, 3, 0], maps[1, 2, 2] = 5, -5, 3
    axes = plots.feature_maps(maps).axes
    assert [marks(ax) for ax in axes[:3]] == [{"+": (1, 2), "_": (3, 0)}, {"+": (2, 2)}, {}]
    assert marks(plots.filters(-maps[:2, None]).axes[0]) == {"+": (3, 0), "_": (1, 2)}


def test_the_picture_stands_beside_its_maps():
    figure = plots.feature_maps(torch.randn(6, 5, 5), image=IMAGES[2])
    figure.draw_without_rendering()
    (photo,) = [ax for ax in figure.axes if ax.get_title() == "the picture"]
    assert (photo.images[0].get_array() == IMAGES[2].permute(1, 2, 0).numpy()).all()
    assert photo.get_position().x1 < min(ax.get_position().x0 for ax in figure.axes[:6])


def test_a_grey_picture_is_drawn_in_grey():
    (ax,) = plots.pictures(IMAGES[:1, :1]).axes
    assert ax.images[0].get_cmap().name == "gray" and ax.images[0].get_clim() == (0, 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_show_zero_in_the_middle(channels):
    weight = torch.randn(6, channels, 5, 5)
    weight[:, :, 2, 2] = 0
    for ax in plots.filters(weight).axes[:6]:
        picture = ax.images[0].get_array()
        low, high = ax.images[0].get_clim() if channels == 1 else (0, 1)
        assert (abs(picture[2, 2] - (low + high) / 2) < 1e-6).all()
        assert picture.min() >= low and picture.max() <= high


def test_the_confusion_matrix_counts():
    labels, predicted = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0])
    matrix = confusion_matrix(labels, predicted, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    figure = plots.confusion(labels, predicted, NAMES[:3])
    assert texts(figure) == list("110010100")
    assert figure.axes[0].get_ylabel() == "true class"


def test_a_picture_lies_where_its_probabilities_pull_it():
    sure, torn, empty = torch.eye(4)[1], torch.tensor([0.0, 0.5, 0.5, 0.0]), torch.full((4,), 0.25)
    names = ["north", "east", "south", "west"]
    figure = plots.corners(torch.stack((sure, torn, empty)), torch.tensor([1, 2, 3]), names)
    (ax,) = figure.axes
    found = {}
    for line in ax.lines:
        if line.get_marker() in ("o", "x"):
            for x, y in zip(*map(list, line.get_data())):
                found[round(float(x), 4), round(float(y), 4)] = line.get_marker()
    assert {(x + 0.0, y + 0.0): marker for (x, y), marker in found.items()} == {
        (1, 0): "o",  # surely east, and so it is
        (0.5, -0.5): "x",  # between east and south, called east, and is south
        (0, 0): "x",  # it could be anything, and is west
    }
    assert texts(figure) == names


def test_a_picture_of_no_class_has_no_true_one():
    figure = plots.prediction(IMAGES[0], torch.full((10,), 0.1), NAMES, None)
    left, right = figure.axes
    assert left.get_title() == "truth: none of them"
    assert len({bar.get_facecolor() for bar in right.patches}) == 1


def test_prediction_bars_are_the_probabilities():
    probabilities = torch.softmax(torch.arange(10.0), 0)
    figure = plots.prediction(IMAGES[0], probabilities, NAMES, label=3)
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx(probabilities.tolist())
    assert len({bar.get_facecolor() for bar in bars}) == 2


def test_answers_of_several_networks_stand_side_by_side():
    several = {"a": torch.softmax(torch.arange(10.0), 0), "b": torch.full((10,), 0.1)}
    figure = plots.prediction(IMAGES[0], several, NAMES, label=3)
    picture, *panels = figure.axes
    assert picture.get_title() == "truth: class 3"
    assert [ax.get_title() for ax in panels] == ["a", "b"]
    for ax, each in zip(panels, several.values()):
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(each.tolist())
        assert len({bar.get_facecolor() for bar in ax.patches}) == 2


def test_bubbles_are_named_without_one_name_on_another():
    points = {"left": (1e6, 0.7, 1e5), "large": (3e7, 0.82, 8e6), "near it": (3.1e7, 0.8, 7e6)}
    figure = plots.bubbles(points, {"left": (0.6, 0.8)}, "title")
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    areas = {tuple(c.get_offsets()[0]): c.get_sizes()[0] for c in ax.collections}
    assert areas[3.1e7, 0.8] == pytest.approx(areas[3e7, 0.82] * 7 / 8)
    assert list(ax.lines[0].get_ydata()) == [0.6, 0.8]
    assert sorted(texts(figure)) == sorted(points)
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert plots.bubbles({}).axes  # before the first record is there


def history(epochs: int, rate: float = 3) -> History:
    return History(
        [Epoch(k, rate / k, 0.1 * k, 2 / k, 0.2 * k, 1.0, 10.0) for k in range(1, epochs + 1)]
    )


def test_training_curves_show_the_history():
    loss, accuracy = plots.training_curves(history(3), "title").axes
    assert list(loss.lines[0].get_ydata()) == [3.0, 1.5, 1.0]
    assert list(accuracy.lines[1].get_ydata()) == pytest.approx([0.2, 0.4, 0.6])
    assert plots.training_curves(History()).axes  # stopped before the first epoch was finished


def test_several_histories_stand_in_one_figure_solid_for_validation():
    figure = plots.training_curves({"ReLU": history(2), "none": history(2, 5)}, "title")
    loss = figure.axes[0]
    assert [list(line.get_ydata()) for line in loss.lines[:2]] == [[3.0, 1.5], [5.0, 2.5]]
    assert [line.get_linestyle() for line in loss.lines] == ["--", "--", "-", "-"]
    assert len({line.get_color() for line in loss.lines}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ReLU", "none"]


def test_no_panel_has_more_than_six_lines():
    figure = plots.training_curves({name: history(2) for name in LONG[:8]})
    panels = [(ax.get_title(), len(ax.lines)) for ax in figure.axes]
    assert panels[::2] == [
        ("cross-entropy loss, validation", 6),
        ("cross-entropy loss, validation", 2),
        ("cross-entropy loss, training", 6),
        ("cross-entropy loss, training", 2),
    ]
    assert len(figure.legends[0].get_texts()) == 8
    assert {line.get_linestyle() for line in figure.axes[4].lines} == {"--"}
    figure = plots.by_depth(dict.fromkeys(LONG[:7], LAYERS))
    assert [len(ax.lines) for ax in figure.axes] == [6, 6, 1, 1]


def test_a_name_has_one_look_in_every_figure_and_every_line_a_marker():
    look = {}
    for draw, values in ((plots.training_curves, history(2)), (plots.by_depth, LAYERS)):
        for names in (["He", "Glorot"], ["Glorot", "batch norm"], ["zero", "He"]):
            figure = draw(dict.fromkeys(names, values))
            handles = figure.legends[0].legend_handles
            for name, handle in zip(names, handles):
                mine = (handle.get_color(), handle.get_marker())
                assert look.setdefault(name, mine) == mine
            assert all(line.get_marker() != "None" for ax in figure.axes for line in ax.lines)
    assert len({*look.values()}) == len(look) == 4


def test_of_lines_that_coincide_the_markers_take_turns():
    spread, _ = plots.by_depth(dict.fromkeys(LONG[:3], LAYERS)).axes
    shown = [
        set(range(16)[line.get_markevery()[0] :: line.get_markevery()[1]]) for line in spread.lines
    ]
    assert set.union(*shown) == {*range(16)} and not set.intersection(*shown)
    loss, _ = plots.training_curves({name: history(2) for name in LONG[:3]}).axes
    assert {line.get_markevery() for line in loss.lines} == {(0, 1)}  # too short for turns
    widths = [line.get_linewidth() for line in spread.lines]
    assert widths == sorted(widths, reverse=True) and len({*widths}) == 3


def luminance(colour) -> float:
    """Of a colour after WCAG 2, from 0 for black to 1 for white."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_lines_and_marks_stand_out_from_white():
    assert contrast("white", "black") == pytest.approx(21)
    for colour in (*colours.COLOURS, colours.GREY, colours.ORANGE):
        assert contrast(colour, "white") >= 3, colour


def test_there_are_more_looks_than_names():
    looks = colours.styles([f"name {k}" for k in range(60)])
    assert len({*looks}) == 60 and colours.styles(["name 7"]) == [looks[7]]


def test_signal_and_gradient_by_depth_leave_out_what_a_log_axis_cannot_show():
    layers = [
        LayerStatistics("a", 2.0, 0.1),
        LayerStatistics("b", 0.0, float("inf")),
        LayerStatistics("c", 1e-9, float("nan")),
    ]
    spread, gradient = plots.by_depth({"plain": layers, "residual": layers[:1]}).axes
    assert list(spread.lines[0].get_ydata()) == pytest.approx([2.0, nan, 1e-9], nan_ok=True)
    assert list(gradient.lines[0].get_ydata()) == pytest.approx([0.1, nan, nan], nan_ok=True)
    assert list(spread.lines[1].get_xdata()) == [1] and spread.get_yscale() == "log"


def test_errors_are_drawn_from_before_the_first_epoch_on_with_the_mark_across():
    (ax,) = plots.errors_by_epoch({"ReLU": [0.9, 0.5, 0.2], "tanh": [0.9, 0.6]}, 0.25).axes
    relu, tanh, mark = ax.lines
    assert list(relu.get_xdata()) == [0, 1, 2] and list(tanh.get_ydata()) == [0.9, 0.6]
    assert set(mark.get_ydata()) == {0.25}


def test_the_time_of_a_step_is_drawn_beside_a_line_that_grows_with_its_pictures():
    (ax,) = plots.by_batch({"flat": {1: 0.004, 8: 0.004}, "steep": {1: 0.001, 8: 0.008}}).axes
    flat, steep, *dotted = (list(line.get_ydata()) for line in ax.lines)
    assert flat == [4, 4] and dotted[0] == [0.5, 4] and steep == dotted[1] == [1, 8]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_a_dead_network_has_an_empty_panel():
    plots.by_depth({"dead": [LayerStatistics("a", 0.0, 0.0)] * 3}).draw_without_rendering()
    plots.by_depth({}).draw_without_rendering()


def test_the_worst_mistake_is_the_surest_wrong_answer():
    probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.05, 0.95], [0.6, 0.4], [0.3, 0.7]])
    labels = torch.tensor([0, 1, 0, 1, 1])  # pictures 1, 2 and 3 are wrong
    figure = plots.worst_mistakes(IMAGES, labels, probabilities, ["cat", "dog"], count=2)
    assert [ax.get_title() for ax in figure.axes] == [
        "dog 95.0%\ntruth: cat",
        "cat 80.0%\ntruth: dog",
    ]
    assert (drawn(figure)[0] == IMAGES[2].permute(1, 2, 0).numpy()).all()
    right = probabilities.argmax(dim=1)
    assert texts(plots.worst_mistakes(IMAGES, right, probabilities, ["cat", "dog"])) == [
        "None of 5 pictures is wrong."
    ]


@pytest.mark.parametrize("draw", [plots.filters, plots.feature_maps])
def test_of_many_maps_the_first_are_drawn_and_the_title_says_so(draw):
    figure = draw(torch.randn(70, 1, 3, 3) if draw is plots.filters else torch.randn(70, 3, 3), "C")
    assert figure.get_suptitle() == "C (the first 64 of 70)"
    assert len([ax for ax in figure.axes if ax.images]) == 64


def test_heat_lies_where_it_was_measured():
    image = torch.full((3, 8, 8), 128, dtype=torch.uint8)
    heat = torch.zeros(4, 4)
    heat[0, 3] = 0.2
    cam = plots.grad_cam(image, {"one": heat, "two": 3 * heat}, "title")
    for ax in cam.axes[1:3]:
        over = ax.images[1].get_array()
        assert over.argmax() == 7 and over[0, 7] == pytest.approx(1) and over[3:, :5].max() == 0
    assert [ax.get_title() for ax in cam.axes[:3]] == ["the picture", "one", "two"]


def test_dead_taps_of_the_articles_resnet():
    """Its fourth block reads maps of 2×2 with a stride of 2, then maps of 1×1."""
    figure = plots.dead_taps(record(build_on_meta("resnet_article"), (3, 32, 32)))
    first, second = (ax.collections[0].get_array() for ax in figure.axes)
    assert first.tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert second.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert figure.axes[0].get_title() == "block4\nconv1\n4 of 9 taps"
    assert "3,407,872 of 7,497,418 parameters (45.5%) are dead" in figure.get_supxlabel()


def test_dead_taps_of_chosen_layers_and_of_a_network_without_any():
    table = record(LeNet5(), (3, 32, 32))
    figure = plots.dead_taps(table, ["features.c1"])
    assert figure.axes[0].get_title() == "features\nc1\n25 of 25 taps"
    assert "0 of 62,006 parameters (0.0%) are dead" in figure.get_supxlabel()
    assert texts(plots.dead_taps(table)) == ["Every tap of every kernel meets a pixel."]
    with pytest.raises(ValueError, match=r"must have a window that slides; got classifier.c5"):
        plots.dead_taps(table, ["classifier.c5"])


def overlapping(figure):
    """The pairs of texts that lie on one another once the figure is drawn."""
    figure.draw_without_rendering()
    shown = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for ax in figure.axes:
        shown += [ax.title, *ax.texts] + [ax.xaxis.label, ax.yaxis.label] * ax.axison
    shown = [text for text in shown if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown]
    pairs = [(a, b) for k, a in enumerate(boxes) for b in boxes[k + 1 :]]
    return [(a[0], b[0]) for a, b in pairs if a[1].overlaps(b[1])]


WIDE = torch.zeros(3, 32, 32, dtype=torch.uint8)
LONG = [f"automobile {k}" for k in range(10)]
LAYERS = [LayerStatistics("a", 10.0**-k, 10.0**-k) for k in range(16)]
FIGURES = {
    "pictures": lambda: plots.pictures(WIDE.expand(20, 3, 32, 32), ["automobile"] * 20, "title"),
    "worst_mistakes": lambda: plots.worst_mistakes(
        WIDE.expand(10, 3, 32, 32),
        torch.ones(10).long(),
        torch.eye(10)[[0] * 10],
        ["automobile"] * 10,
        10,
        "t",
    ),
    "filters": lambda: plots.filters(torch.randn(20, 3, 5, 5), "title"),
    "feature_maps": lambda: plots.feature_maps(torch.randn(100, 5, 5), "title"),
    "by_depth": lambda: plots.by_depth(dict.fromkeys(LONG[:6], LAYERS), "title"),
    "by_batch": lambda: plots.by_batch({name: {1: 0.1, 512: 2.0} for name in LONG[:6]}, "title"),
    "errors_by_epoch": lambda: plots.errors_by_epoch({"ReLU": [0.9], "tanh": [0.9, 0.3]}, 0.2),
    "grad_cam": lambda: plots.grad_cam(
        WIDE, {f"GoogLeNetCIFAR\n{name}": torch.rand(8, 8) for name in LONG[:3]}, "title"
    ),
    "one_picture": lambda: plots.pictures(WIDE[None], title="title"),
    "prediction": lambda: plots.prediction(WIDE, torch.full((10,), 0.1), LONG, 3, "title"),
    "answers": lambda: plots.prediction(
        WIDE, {name: torch.full((10,), 0.1) for name in LONG[:3]}, LONG, 3, "title"
    ),
    "confusion": lambda: plots.confusion(*torch.randint(10, (2, 9_000)), LONG, "title"),
    "training_curves": lambda: plots.training_curves({n: history(2) for n in LONG}, "title"),
    "maps_beside": lambda: plots.feature_maps(torch.randn(20, 5, 5), "title", image=WIDE),
    "number_grids": lambda: plots.number_grids({n: torch.ones(4, 3) / 4 for n in "abc"}),
    "shares": lambda: plots.shares(on_meta(VGG, (3, 224, 224)), "title"),
    "film_strip": lambda: plots.film_strip([WIDE.permute(1, 2, 0)] * 9, ["conv2_reduce\n9"] * 9),
    "receptive_fields": lambda: plots.receptive_fields(WIDE, record(LeNet5(), (3, 32, 32))),
    "dead_taps": lambda: plots.dead_taps(
        record(build_on_meta("googlenet_article"), (3, 32, 32)), title="title"
    ),
    "one_dead_layer": lambda: plots.dead_taps(
        record(LeNet5(), (3, 32, 32)), ["features.c1"], "title"
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_can_be_read(name):
    """No two lie on one another, and all have 10 points on a page that is 7 inches wide."""
    figure = FIGURES[name]()
    assert overlapping(figure) == []
    assert figure.get_figwidth() <= 7
    assert all(text.get_fontsize() >= 10 for text in figure.findobj(Text) if text.get_text())


@pytest.mark.parametrize(
    "name", ["pictures", "worst_mistakes", "grad_cam", "one_picture", "answers", "film_strip"]
)
def test_a_photograph_has_200_pixels_or_more(name):
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    photos = [ax for ax in figure.axes if ax.images and ax.images[0].get_array().ndim == 3]
    assert photos
    for ax in photos:
        assert ax.get_window_extent().width / figure.dpi * 2 * plots.DOTS >= 200


def test_connections_show_the_table():
    reads = LeNet5Original().c3.reads
    assert (drawn(plots.connections(reads))[0] == reads.T.numpy()).all()


def test_receptive_fields_are_squares_around_the_middle_unit():
    table = record(LeNet5(), (3, 32, 32))
    squares = (
        plots.receptive_fields(torch.zeros(3, 32, 32, dtype=torch.uint8), table).axes[0].patches
    )
    assert [square.get_width() for square in squares] == [5, 6, 14, 16]
    assert squares[0].get_xy() == (14 - 0.5, 14 - 0.5)  # the unit 14 of 28 sees pixels 14 to 18
    assert squares[3].get_xy() == (8 - 0.5, 8 - 0.5)  # the unit 2 of 5, in steps of 4
    assert squares[2].get_label() == "c3: 14×14"


def test_receptive_fields_need_a_known_view():
    table = record(LeNet5(), (3, 32, 32))
    unknown = Record([replace(row, field=None) for row in table])
    with pytest.raises(ValueError, match="record must have a window over maps whose view is known"):
        plots.receptive_fields(WIDE, unknown)


def test_show_gives_the_picture_and_its_text_twin(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    plots.show(plots.pictures(IMAGES), "Six small pictures.")
    (bundle,), options = shown[0]
    assert bundle["text/plain"] == "Six small pictures." and len(bundle["image/png"]) > 100
    metadata = options["metadata"]["image/png"]
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert metadata == {"alt": "Six small pictures.", "width": picture.width // 2}
    assert metadata["width"] == pytest.approx(plots.DOTS * 7, rel=0.05)
    assert shown[1][0][0]["text/markdown"] == "*Six small pictures.*"


def test_a_drawing_is_stored_small_and_a_photograph_with_all_its_colours():
    def colours_of(figure):
        return len(Image.open(io.BytesIO(plots._png(figure)[0])).convert("RGB").getcolors(10**6))

    noise = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8)
    assert colours_of(plots.pictures(noise)) > 900
    assert colours_of(plots.training_curves(history(2))) <= 256
    assert colours_of(plots.film_strip([noise[0].permute(1, 2, 0)], ["maps"])) <= 256


@pytest.mark.parametrize("text", ["", " ", "No full stop", "Two maps. Three more."])
def test_show_refuses_a_text_that_is_not_one_sentence(text):
    with pytest.raises(ValueError, match="text must be one sentence with its full stop; got"):
        plots.show(plots.pictures(IMAGES), text)


def test_a_timeline_has_the_areas_of_its_macs():
    points = {"old": (1998, 6e4, 4e5), "small": (2012, 6e7, 1e9), "big": (2014, 1e8, 1e10)}
    (ax,) = plots.timeline(points, "years").axes
    dots = [each for each in ax.collections if len(each.get_paths()[0].vertices) > 10]
    areas = [float(each.get_sizes()[0]) for each in dots]  # the largest first
    assert areas[0] == pytest.approx(10 * areas[1]) and areas[2] < areas[1]
    assert [tuple(each.get_offsets()[0]) for each in dots] == [
        (2014, 1e8),
        (2012, 6e7),
        (1998, 6e4),
    ]
    assert "old\n0.4 M MACs" in texts(ax.figure) and "big\n10 G MACs" in texts(ax.figure)
    assert ax.get_yscale() == "log" and len(ax.collections) == 4  # one cross


def test_number_grids_show_each_number_and_the_window():
    grids = {"a": torch.tensor([[1.0, -2], [3, 4.5]]), "b": torch.tensor([[7.0]])}
    figure = plots.number_grids(grids, {"a": (1, 0, 1, 2)})
    assert texts(figure) == ["1", "−2", "3", "4.5", "7"]
    first, second = figure.axes
    (frame,) = first.patches
    assert not second.patches and second.get_title() == "b"
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((-0.5, 0.5), 2, 1)


def test_larger_numbers_are_lighter_and_signed_ones_have_two_colours():
    grid = torch.tensor([[-2.0, 0, 1], [9, 3, 5]])
    signed = {"kernel": colours.WEIGHTS, "result": colours.ACTIVATIONS}
    figure = plots.number_grids(dict.fromkeys(["picture", *signed], grid), signed=signed)
    picture, kernel, result = (ax.images[0] for ax in figure.axes)
    shades = [luminance(picture.to_rgba(number)[:3]) for number in (-2.0, 0, 1, 3, 5, 9)]
    assert shades == sorted(shades)
    for drawn in (kernel, result):
        assert luminance(drawn.to_rgba(0.0)[:3]) > 0.9
        assert drawn.to_rgba(2.0) != drawn.to_rgba(-2.0)
    assert result.to_rgba(9.0)[0] > result.to_rgba(9.0)[2]  # red above 0
    assert kernel.to_rgba(9.0)[1] > kernel.to_rgba(9.0)[0]  # green above 0
    for ax in figure.axes:
        for text, number in zip(ax.texts, grid.flatten().tolist()):
            assert contrast(text.get_color(), ax.images[0].to_rgba(number)[:3]) >= 4.5


def test_shares_of_a_deep_network_are_those_of_its_blocks():
    names = [
        text.get_text()
        for text in plots.shares(record(build_on_meta("resnet_50"), CASES["resnet_50"].size))
        .axes[0]
        .get_yticklabels()
    ]
    assert names[:5] == ["conv1", "bn1", "conv2_x.0", "conv2_x.1", "conv2_x.2"] and len(names) == 19


def test_shares_are_of_the_whole_network():
    table = record(LeNet5(), (3, 32, 32))
    figure = plots.shares(table, "LeNet-5")
    parameters, macs = ([bar.get_width() for bar in ax.patches] for ax in figure.axes)
    assert len(parameters) == 5 and sum(parameters) == pytest.approx(1) == sum(macs)
    assert parameters[2] == table["classifier.c5"].parameters / table.parameters
    assert figure.axes[0].get_yticklabels()[0].get_text() == "c1"


def test_two_layers_of_3x3_read_5x5_pixels_those_in_the_middle_in_the_most_ways():
    first, picture = plots.ways(2).axes
    grids = [ax.images[0].get_array() for ax in (first, picture)]
    assert [int((grid > 0).sum()) for grid in grids] == [3 * 3, 5 * 5]
    rows = [1, 2, 3, 2, 1]  # the ways along one axis; both axes are independent
    assert grids[1][1:-1, 1:-1].tolist() == [[a * b for a in rows] for b in rows]
    assert [ax.get_title() for ax in (first, picture)] == [
        "ways from layer 1", "ways from the picture",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="layers must be 1 or more; got 0"):
        plots.ways(0)


def test_depth_curves_have_a_panel_a_kind_a_band_a_line_and_no_spike():
    train, spike = [[0.2, 0.6], [0.4, 0.8]], [[0.3, 0.01], [0.3, 0.7]]
    curves = {f"{kind} {depth}": (train, spike) for depth in (8, 56) for kind in ("plain", "res")}
    figure = plots.depth_curves(curves, "errors")
    assert [ax.get_title() for ax in figure.axes] == ["plain", "res"]
    for ax in figure.axes:
        assert len(ax.lines) == 4 and len(ax.collections) == 4
        bold, thin = ax.lines[:2]
        assert bold.get_linewidth() > 2 * thin.get_linewidth()
        assert bold.get_color() == thin.get_color() != ax.lines[2].get_color()
        assert list(bold.get_ydata()) == pytest.approx([0.7, 0.3])
        assert ax.get_ylim() == pytest.approx((0.9 * 0.2, 1.05 * 0.8))
    with pytest.raises(ValueError, match="at most three depths; got 8, 20, 44, 56"):
        plots.depth_curves({f"plain {depth}": (train, train) for depth in (8, 20, 44, 56)})
