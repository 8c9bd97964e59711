"""The figures: what they draw is what they were given, and every picture is really drawn."""

import pytest
import torch

from cnn_lessons import plots
from cnn_lessons.models import LeNet5, LeNet5Original
from cnn_lessons.shapes import record
from cnn_lessons.training import Epoch, History

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


def test_feature_maps_share_one_scale_around_zero():
    maps = torch.randn(5, 3, 3)
    figure = plots.feature_maps(maps)
    limits = {ax.images[0].get_clim() for ax in figure.axes if ax.images}
    largest = maps.abs().max().item()
    assert len(drawn(figure)) == 5 and limits == {(-largest, largest)}


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
    matrix = plots.confusion_matrix(labels, predicted, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    figure = plots.confusion(labels, predicted, NAMES[:3])
    assert texts(figure) == list("110010100")
    assert figure.axes[0].get_ylabel() == "true class"


def test_prediction_bars_are_the_probabilities():
    probabilities = torch.softmax(torch.arange(10.0), 0)
    figure = plots.prediction(IMAGES[0], probabilities, NAMES, label=3)
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx(probabilities.tolist())
    assert len({bar.get_facecolor() for bar in bars}) == 2


def test_training_curves_show_the_history():
    history = History([Epoch(k, 3 / k, 0.1 * k, 2 / k, 0.2 * k, 1.0, 10.0) for k in (1, 2, 3)])
    loss, accuracy = plots.training_curves(history, "title").axes
    assert list(loss.lines[0].get_ydata()) == [3.0, 1.5, 1.0]
    assert list(accuracy.lines[1].get_ydata()) == pytest.approx([0.2, 0.4, 0.6])
    assert plots.training_curves(History()).axes  # stopped before the first epoch was finished


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


def test_show_gives_the_picture_and_its_text_twin(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    plots.show(plots.pictures(IMAGES), "Six small pictures.")
    (bundle,), options = shown[0]
    assert bundle["text/plain"] == "Six small pictures." and len(bundle["image/png"]) > 100
    assert options["metadata"]["image/png"]["alt"] == "Six small pictures."
    assert shown[1][0][0]["text/markdown"] == "*Six small pictures.*"
