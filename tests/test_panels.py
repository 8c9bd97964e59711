"""Panels: what they show follows their controls, and a stored notebook keeps tables and words."""

import ipywidgets as W
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from cnn_lessons.see import panels, svg


class TwoSentences(panels.Panel):
    """It shows its number and keeps one sentence; some numbers it cannot show."""

    def __init__(self):
        super().__init__()
        self.tensor = torch.ones(3)
        self.build({"number": W.IntText(2)}, [self.sign, self.shown])

    def html(self):
        if self.controls["number"].value == 3:
            raise RuntimeError("no <3>")
        return f"Number {self.controls['number'].value}."

    def static(self):
        return "<p>One.</p>", "One."


def square(side, colour="grey"):
    if side == 3:
        raise ValueError("side must not be <3>")
    area = str(side * side)
    shape = svg.drawing(9, 9, f"a {colour} square", svg.rect(0, 0, side, side, colour))
    table = [("side", "area"), (str(side), area)]
    return panels.View(f"A {colour} square of {area}.", shape, table, {"area": side * side})


def explorer():
    colours = {"grey": "light & grey", "red": "red"}
    controls = {
        "side": panels.number("Side", 2, 1, 5),
        "colour": panels.choice("Colour", colours, "grey"),
    }
    return panels.Explorer(square, controls)


def test_a_panel_is_shown_as_widget_and_stored_as_html_and_text():
    panel = TwoSentences()
    data, _ = DisplayFormatter().format(panel)
    assert data.pop(panels.VIEW)["model_id"] == panel.model_id
    assert data == {"text/html": "<p>One.</p>", "text/plain": "One."}


def test_a_panel_without_a_static_view_says_so():
    with pytest.raises(NotImplementedError):
        panels.Panel()._repr_mimebundle_()


def test_an_explorer_shows_what_its_controls_say():
    panel = explorer()
    assert "A grey square of 4." in panel.shown.value
    panel.controls["side"].value = 5
    panel.controls["colour"].value = "red"
    assert "A red square of 25." in panel.shown.value and 'fill="red"' in panel.shown.value


def test_several_controls_are_set_at_once():
    panel, shown = explorer(), []
    panel.shown.observe(lambda change: shown.append(change["new"]), "value")
    panel.set(side=4, colour="red")
    assert len(shown) == 1 and "A red square of 16." in shown[0]


def test_what_cannot_be_shown_is_said_and_nothing_is_raised():
    panel = explorer()
    panel.controls["side"].value = 3
    assert "side must not be &lt;3&gt;" in panel.shown.value and "<svg" not in panel.shown.value
    panel.controls["side"].value = 4
    assert "of 16" in panel.shown.value


def test_a_new_limit_holds_for_the_field_and_its_slider():
    panel = explorer()
    panel.controls["side"].value = 5
    panel.limit("side", 2)
    assert panel.controls["side"].value == 2 and panel.sliders["side"].max == 2
    assert "of 4" in panel.shown.value


def test_the_static_view_is_the_state_at_the_start():
    panel = explorer()
    panel.controls["side"].value = 5
    assert panel.static()[1] == "A grey square of 4."
    assert panel.static()[0] == (
        '<p>A grey square of 4.</p><table><thead><tr><th scope="col">side</th>'
        '<th scope="col">area</th></tr></thead><tbody><tr><th scope="row">2</th><td>4</td></tr>'
        "</tbody></table>"
    )


def test_a_wrong_value_at_the_start_is_named():
    with pytest.raises(ValueError, match=r"side must be a whole number of at least 1; got 0"):
        panels.number("Side", 0, 1, 5)
    with pytest.raises(ValueError, match=r"colour must be one of grey, red; got 'blue'"):
        panels.choice("Colour", {"grey": "", "red": ""}, "blue")
    assert panels.number("Side", 9, 1, 5).max == 9
