"""Panels of controls, and what they show.

They use the core of ipywidgets alone, so that they run in Jupyter and in Colab.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import ipywidgets as W

from cnn_lessons.table import Table

VIEW = "application/vnd.jupyter.widget-view+json"


class View(NamedTuple):
    """What an explorer shows: a sentence, the same as a drawing (SVG), a table, its numbers.

    The table's first line is its heading. The drawing brings its own white ground.
    """

    sentence: str
    svg: str
    table: Sequence[tuple[str, ...]]
    numbers: dict[str, float]


class Panel(W.VBox):
    """Controls and what they show, with a static view for readers without a kernel.

    A subclass says in `static_html` and `static_text` what a stored notebook keeps of it, GitHub's
    view of it included: plain tables and sentences, the same at each run.
    """

    # ipywidgets 7 would display through this method and drop the static view.
    _ipython_display_ = None

    def static_html(self) -> str:
        """The state at the start as HTML without styles and pictures."""
        raise NotImplementedError

    def static_text(self) -> str:
        """The same in one or two sentences."""
        raise NotImplementedError

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        return {
            VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.model_id},
            "text/html": self.static_html(),
            "text/plain": self.static_text(),
        }


class Explorer(Panel):
    """Controls over one view. Their values are the whole state: `compute` makes the rest of them.

    `controls` are named as the arguments of `compute`. A number field gets a slider, which has no
    name for a screen reader and is linked to the field in the browser.
    """

    def __init__(
        self, compute: Callable[..., View], controls: dict[str, W.Widget], extras: Sequence = ()
    ):
        self.compute, self.controls, self.sliders = compute, controls, {}
        self.shown, self.adapting = W.HTML(), False
        self.start = compute(**self.state())
        self.shown.value = _html(self.start)
        for name, control in controls.items():
            if isinstance(control, W.BoundedIntText):
                limits = {"min": control.min, "max": control.max}
                slider = W.IntSlider(control.value, **limits, readout=False)
                slider.layout.width = "150px"
                self.sliders[name] = slider
                W.jslink((slider, "value"), (control, "value"))
            control.observe(self.changed, "value")
        rows = [W.HBox([c, *filter(None, [self.sliders.get(n)])]) for n, c in controls.items()]
        wrap = W.Layout(display="flex", flex_flow="row wrap")
        super().__init__([W.Box([*rows, *extras], layout=wrap), self.shown])

    def state(self) -> dict[str, object]:
        """The arguments of `compute`, as the controls stand."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: object) -> None:
        """Set several controls and show the result once."""
        self.adapting = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
            self.adapt()
        finally:
            self.adapting = False
        self.show()

    def limit(self, name: str, largest: int) -> None:
        """Give a number field another maximum; a value above it becomes the maximum."""
        self.controls[name].max = largest
        self.sliders[name].max = largest

    def adapt(self) -> None:
        """Make the controls fit each other before a view is computed."""

    def changed(self, change: object) -> None:
        """Answer to a control; what `adapt` and `set` change themselves is not answered again."""
        if not self.adapting:
            self.set()

    def show(self) -> None:
        """Show the view of the present state, or why there is none."""
        try:
            self.shown.value = _html(self.compute(**self.state()))
        except ValueError as error:
            self.shown.value = f'<p aria-live="polite">{escape(str(error))}</p>'

    def static_html(self) -> str:
        return f"<p>{escape(self.start.sentence)}</p>{_table(self.start)}"

    def static_text(self) -> str:
        return self.start.sentence


def _html(view: View) -> str:
    words = f'<p aria-live="polite" style="max-width: 700px">{escape(view.sentence)}</p>'
    return f'<div style="line-height: 1.4">{view.svg}{words}{_table(view)}</div>'


def _table(view: View) -> str:
    heading, *lines = map(tuple, view.table)
    return Table(heading, tuple(lines))._repr_html_()


def number(name: str, value: int, least: int, most: int) -> W.BoundedIntText:
    """A field for a whole number; a value at the start may be above `most`.

    Raises ValueError for one below `least`.
    """
    check(least, **{name.lower(): value})
    field = W.BoundedIntText(value, min=least, max=max(most, value), description=name)
    field.layout.width, field.style.description_width = "180px", "110px"
    return field


def choice(name: str, options: dict[object, str], value: object) -> W.Dropdown:
    """A list of values, each with its words. Raises ValueError for a value that is not one."""
    if value not in options:
        allowed = ", ".join(map(str, options))
        raise ValueError(f"{name.lower()} must be one of {allowed}; got {value!r}")
    pairs = [(words, key) for key, words in options.items()]
    field = W.Dropdown(options=pairs, value=value, description=name)
    field.style.description_width = "110px"
    return field


def check(least: int, **counts: int) -> None:
    """Raise ValueError for a count that is no whole number of at least `least`."""
    for name, value in counts.items():
        if type(value) is not int or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")
