"""The curve that grows while a network trains."""

import base64

import pytest

from cnn_lessons.see import curve
from cnn_lessons.training import Epoch, History


def history(epochs):
    return History([Epoch(k, 2.0 / k, 0.1 * k, 1.9 / k, 0.12 * k, 1.0, 100.0) for k in epochs])


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(curve, "display", found.append)
    return found


def test_one_widget_is_shown_once_and_drawn_anew_each_epoch(monkeypatch, shown):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "cpu")
    draw = curve.curve("LeNet-5")
    (place,) = shown
    draw(history([1]))
    first = place.value
    draw(history([1, 2]))
    assert len(shown) == 1 and place.value != first
    assert 'alt="epoch 2: validation accuracy 24.0%"' in place.value
    picture = base64.b64decode(place.value.split("base64,")[1].split('"')[0])
    assert picture.startswith(b"\x89PNG")


def test_the_test_profile_shows_nothing(monkeypatch, shown):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "test")
    curve.curve()(history([1]))
    assert shown == []
