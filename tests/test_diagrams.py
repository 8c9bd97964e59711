"""The drawings and tables of networks, compared by structure and not by pixels."""

import pytest
from torch import nn

from cnn_lessons import diagrams
from cnn_lessons.models import LeNet5, LeNet5Original
from cnn_lessons.shapes import record


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


def test_no_two_labels_of_the_drawing_overlap():
    figure = diagrams.stacked_squares(record(LeNet5Original(), (1, 32, 32)))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    pairs = [(a, b) for k, a in enumerate(boxes) for b in boxes[k + 1 :]]
    assert not any(a.overlaps(b) for a, b in pairs)
