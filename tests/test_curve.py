"""The curve that grows while a network trains."""

import base64

import pytest

from cnn_lessons import data, networks, training
from cnn_lessons.see import curve
from cnn_lessons.training import Epoch, History


def history(epochs):
    return History([Epoch(k, 2.0 / k, 0.1 * k, 1.9 / k, 0.12 * k, 1.0, 100.0) for k in epochs])


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr("IPython.display.display", lambda data, **how: found.append((data, how)))
    return found


def test_one_figure_is_shown_and_replaced_after_each_epoch(monkeypatch, shown):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "cpu")
    draw = curve.live_curve("LeNet-5")
    assert shown == []
    draw(history([1]))
    draw(history([1, 2]))
    (first, how), (_, below), (second, again), (words, _) = shown
    assert how["display_id"] == again["display_id"] != below["display_id"]
    assert [each["update"] for _, each in shown] == [False, False, True, True]
    text = (
        "After epoch 2 the training loss is 1.00, from 2.00 in epoch 1, and the validation "
        "accuracy 24.0%."
    )
    assert second["text/plain"] == again["metadata"]["image/png"]["alt"] == text
    assert words["text/markdown"] == f"*{text}*"
    assert first["image/png"] != second["image/png"]
    assert base64.b64decode(second["image/png"]).startswith(b"\x89PNG")


def test_two_curves_do_not_replace_each_other(monkeypatch, shown):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "cpu")
    for _ in range(2):
        curve.live_curve()(history([1]))
    assert len({how["display_id"] for _, how in shown}) == 4


def test_the_test_profile_shows_nothing(monkeypatch, shown):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "test")
    curve.live_curve()(history([1]))
    assert shown == []


def test_with_a_network_its_kernels_and_what_it_says_are_shown_and_replaced(monkeypatch, shown):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "cpu")
    net = networks.load_trained("LeNet5").train()
    dataset = data.generate(train=100, test=10)
    draw = curve.live_curve("LeNet-5", net, dataset)
    draw(history([1]))
    draw(history([1, 2]))
    assert net.training
    first, second = shown[:8], shown[8:]
    assert len(second) == 8 and all(how["update"] for _, how in second)
    assert [how["display_id"] for _, how in first] == [how["display_id"] for _, how in second]
    words = [each["text/plain"] for each, _ in second[::2]]
    assert words[1].startswith("Each kernel")
    logits, _ = training.predict(net, dataset.batches("validation", 1))
    sure, name = logits[0].softmax(dim=0).max(), dataset.class_names[logits[0].argmax()]
    assert words[2] == f"It is called {name}, with a probability of {sure:.0%}."
    assert words[3].startswith("Of 10 validation pictures ")


def test_a_network_without_a_data_set_is_refused():
    with pytest.raises(ValueError, match="net and dataset go together"):
        curve.live_curve("LeNet-5", networks.load_trained("LeNet5"))
