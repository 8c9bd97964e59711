"""Panels: what they show follows their controls, and a stored notebook keeps tables and words."""

import base64
import gc
import weakref
from types import SimpleNamespace

import ipywidgets as W
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from cnn_lessons.see import panels, svg
from cnn_lessons.table import Table, tidy


class TwoSentences(panels.Panel):
    """It shows its number and keeps one sentence; some numbers it cannot show."""

    def __init__(self):
        super().__init__()
        self.tensor = torch.ones(3)
        number = W.IntText(2)
        self.build({"number": number}, [number, self.sign, self.shown])

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
    table = Table(("side", "area"), ((str(side), str(area)),))
    return panels.View(f"A {colour} square of {area}.", shape, table)


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


def test_what_is_shown_tells_the_page_for_which_values_it_was_made():
    panel = explorer()
    assert panel.shown.value.startswith('<div data-state="2 0" data-answer="1">')
    panel.set(side=4, colour="red")
    assert panel.shown.value.startswith('<div data-state="4 1" data-answer="2">')
    before = panel.shown.value
    panel.set(side=4)  # the page waits for an answer: it must differ from the one before
    assert panel.shown.value == before.replace('answer="2"', 'answer="3"')


def test_an_error_is_shown_in_the_panel_and_the_next_state_again():
    panel = TwoSentences()
    panel.controls["number"].value = 3
    assert "RuntimeError: no &lt;3&gt;</p>" in panel.shown.value
    panel.controls["number"].value = 4
    assert ">Number 4.<" in panel.shown.value


# --- how long a panel lives ---------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch):
    """Says which cell of a notebook runs now, and the how manieth run of it this is."""
    request = {}
    kernel = SimpleNamespace(get_parent=lambda: request)
    monkeypatch.setattr(panels, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setattr(panels, "OPEN", {})

    def now(cell, number, named=True):
        request["header"] = {"msg_id": f"{cell} {number}"}
        request["content"] = {"code": f"explorer()  # {cell}"}
        request["metadata"] = {"cellId": cell} if named else {}

    return now


def is_open(panel):
    return hasattr(panel, "shown")


def widgets():
    """How many widgets ipywidgets keeps alive."""
    gc.collect()
    module = W.widgets.widget  # ipywidgets 7 has them in the class
    return len(module._instances if hasattr(module, "_instances") else W.Widget.widgets)


def test_a_closed_panel_keeps_no_widget_and_nothing_that_it_held(run):
    run("a", 1)
    before = widgets()
    panel, other = TwoSentences(), explorer()
    held = [weakref.ref(thing) for thing in (panel.tensor, panel.shown, other.sliders["side"])]
    panel.close()
    other.close()
    assert widgets() == before
    assert [thing() for thing in held] == [None] * 3
    panel.close()


def test_a_cell_that_runs_again_closes_the_panels_of_its_last_run(run):
    run("b", 1)
    elsewhere, before = TwoSentences(), widgets()
    for number in range(20):
        run("a", number)
        two = TwoSentences(), explorer()
        assert all(map(is_open, two)) and is_open(elsewhere)
        assert len(panels.OPEN) == 3
    for panel in two:
        panel.close()
    assert widgets() == before


def test_without_a_cells_name_its_code_stands_for_it_and_two_equal_cells_have_both(run):
    made = []
    for number in range(5):
        run("a", number, named=False)
        made.append(TwoSentences())
    assert [is_open(panel) for panel in made] == [False] * 3 + [True] * 2


def test_the_oldest_of_too_many_is_closed_and_says_so(run):
    made = []
    for number in range(panels.MOST + 2):
        run(f"cell {number}", 1)
        made.append(TwoSentences())
    assert [is_open(panel) for panel in made] == [False] * 2 + [True] * panels.MOST
    (words,) = made[0].children
    assert words.value == panels.CLOSED == made[0]._repr_mimebundle_()["text/plain"]
    assert "closed" in panels.CLOSED and panels.CLOSED.count(".") == 2
    before = widgets()
    run("cell 0", 2)  # its place is taken, and the third one is closed for it
    again = TwoSentences()
    assert is_open(again) and not is_open(made[2]) and made[0] not in panels.OPEN
    again.close()
    assert widgets() < before


def test_outside_a_notebook_there_is_a_limit_too():
    made, before = [TwoSentences() for _ in range(panels.MOST)], widgets()
    made += [TwoSentences() for _ in range(30)]
    assert widgets() == before and [is_open(panel) for panel in made].count(True) == panels.MOST


# --- explorers ----------------------------------------------------------------------------------


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
    panel.limits = lambda **_: {"side": 2}
    panel.set()
    assert panel.controls["side"].value == 2 and panel.sliders["side"].max == 2
    assert "of 4" in panel.shown.value


def test_the_static_view_is_the_state_at_the_start():
    panel = explorer()
    panel.controls["side"].value = 5
    table = Table(("side", "area"), (("2", "4"),))
    words = "A grey square of 4."
    drawing, html = panel.static()[0].split("/>", 1)
    assert (html, panel.static()[1]) == (f"<p>{words}</p>{table._repr_html_()}", words)
    address = drawing.removeprefix('<img alt="" src="data:image/svg+xml;base64,').rstrip('"')
    assert base64.b64decode(address).decode() == square(2).svg


def test_names_are_cut_and_cannot_turn_a_line():
    assert tidy("conv\u202e1\n\x00") == "conv1" and tidy(3) == "3"
    assert tidy("a" * 10_000 + "end", 10) == "…aaaaaaend"


def test_a_wrong_value_at_the_start_is_named():
    with pytest.raises(ValueError, match=r"side must be a whole number of at least 1; got 0"):
        panels.number("Side", 0, 1, 5)
    with pytest.raises(ValueError, match=r"colour must be one of grey, red; got 'blue'"):
        panels.choice("Colour", {"grey": "", "red": ""}, "blue")
    assert panels.number("Side", 9, 1, 5).max == 9
