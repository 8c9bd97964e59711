"""Panels of controls, and what they show.

They use the core of ipywidgets alone, so that they run in Jupyter and in Colab. `panels.js` is what
the page does for them by itself: keys, names, and a sign while the kernel is busy or gone.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import ipywidgets as W
from IPython import get_ipython

from cnn_lessons.table import Table

VIEW = "application/vnd.jupyter.widget-view+json"
SCRIPT = Path(__file__).with_name("panels.js").read_text(encoding="utf-8")
SIGN = f"""<style onload="{escape(SCRIPT)}">
  .cnn-panel {{ position: relative }}
  .cnn-waits [data-state] {{ opacity: 0.4 }}
  .cnn-sign {{ position: absolute; z-index: 1; margin: 4px 12px;
    background: #FBE5B8; color: black }}
  .cnn-sign:not(:empty) {{ padding: 2px 8px }}</style><p class="cnn-sign" role="status"></p>"""


class View(NamedTuple):
    """What an explorer shows: a sentence, the same as a drawing (SVG), and a table of its numbers.

    The drawing brings its own white ground.
    """

    sentence: str
    svg: str
    table: Table


class Panel(W.VBox):
    """Controls and what they show, with a static view for readers without a kernel.

    A subclass gives its `controls` to `build`, makes what is shown of their values in `html`, and
    says in `static` what a stored notebook keeps of it, GitHub's view of it included: plain tables
    and sentences, the same at each run, and perhaps one drawing.

    A panel is open until its cell is run again; of all only the newest ones are, MOST of them.
    """

    # ipywidgets 7 would display through this method and drop the static view.
    _ipython_display_ = None

    def __init__(self):
        OPEN[self] = _make_room()
        self.controls: dict[str, W.Widget] = {}
        self.links, self.answers, self.adapting = [], 0, True
        self.sign, self.shown = W.HTML(SIGN), W.HTML()
        super().__init__()
        self.add_class("cnn-panel")

    def build(self, controls: dict[str, W.Widget], children: Sequence[W.Widget]) -> None:
        """Show the controls, in the order in which the page has them, and watch them."""
        self.controls, self.children = controls, children
        for control in controls.values():
            control.add_class("cnn-field")
            control.observe(self.changed, "value")
        self.adapt()
        self.tell(self.html())
        self.adapting = False

    def link(self, control: W.Widget, trait: str, field: W.Widget) -> None:
        """Let the page keep a control and the value of a field the same."""
        self.links.append(W.jslink((control, trait), (field, "value")))

    def state(self) -> dict[str, object]:
        """The values of the controls."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: object) -> None:
        """Set several controls and show the result once, also where nothing changes: the page
        waits for an answer to each button."""
        self.adapting = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
            self.show()
        finally:
            self.adapting = False

    def changed(self, change: dict) -> None:
        """Answer to a control; what `adapt` and `set` change themselves is not answered again."""
        if not self.adapting:
            self.set()

    def adapt(self) -> None:
        """Make the controls fit each other before a view is computed."""

    def html(self) -> str:
        """What is shown of the present state."""
        raise NotImplementedError

    def show(self) -> None:
        """Show the present state, or why it cannot be shown: a notebook hides what is raised."""
        try:
            self.adapt()
            self.tell(self.html())
        except Exception as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            words = escape(kind + str(error))
            self.tell(f'<p aria-live="polite" style="white-space: pre-wrap">{words}</p>')

    def tell(self, words: str) -> None:
        """Show this, and for which values it was made: the page compares them with its fields."""
        fields = self.controls.values()
        state = " ".join(str(int(getattr(f, "index", f.value))) for f in fields)
        self.answers += 1
        about = f'data-state="{state}" data-answer="{self.answers}"'
        self.shown.value = f"<div {about}>{words}</div>"

    def close(self, words: str = "") -> None:
        """Let go of all widgets and of all that they showed; `words` may stay in their place."""
        parts = [*self.children, *vars(self).get("links", ())]
        gone = [part for widget in parts for part in _parts(widget)]
        self.children = [W.HTML(words)] if words else []
        for name in [name for name in vars(self) if not name.startswith("_")]:
            delattr(self, name)
        for part in gone if words else [*gone, self.layout]:
            part.unobserve_all()
            part.close()
        if not words:
            OPEN.pop(self, None)
            super().close()
            # ipywidgets 7 takes away from a closed widget how it is shown: ours then says why.
            vars(self).pop("_ipython_display_", None)

    def static(self) -> tuple[str, str]:
        """The state at the start as HTML without styles, and in a sentence or two."""
        raise NotImplementedError

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        html, text = self.static() if hasattr(self, "shown") else (CLOSED, CLOSED)
        return {VIEW: view, "text/html": html, "text/plain": text}


# --- which panels are open ------------------------------------------------------------------------

MOST = 8
CLOSED = "This panel was closed, to make room for newer ones. Run its cell again to have it back."
OPEN: dict[Panel, tuple[str, str]] = {}  # with the cell and the run that made it, oldest first


def _make_room() -> tuple[str, str]:
    """Close what an earlier run of the present cell has opened, and the oldest of too many panels.

    Returns the cell and this run of it, both empty outside a notebook. Where the page does not tell
    which cell it is, its code must do: of other runs of the same code one keeps its panels then, so
    that two equal cells have both.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    request = getattr(kernel, "get_parent", dict)()
    name = request.get("metadata", {}).get("cellId", "")
    cell = name or request.get("content", {}).get("code", "")
    run = request.get("header", {}).get("msg_id", "")
    runs = list(dict.fromkeys(r for c, r in OPEN.values() if c == cell and r != run))
    gone = runs if name else runs[:-1]
    for panel in [panel for panel, (_, r) in OPEN.items() if r in gone]:
        panel.close()
    living = [panel for panel in OPEN if hasattr(panel, "shown")]
    for panel in living[: max(0, len(living) + 1 - MOST)]:
        panel.close(CLOSED if cell else "")
    return cell, run


def _parts(widget: W.Widget) -> Iterator[W.Widget]:
    """A widget and all that it is made of: its children, layout and style."""
    yield widget
    for name in widget.keys:
        value = getattr(widget, name)
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, W.Widget):
                yield from _parts(part)


# --- explorers ------------------------------------------------------------------------------------


class Explorer(Panel):
    """Controls over one view. Their values are the whole state: `compute` makes the rest of them.

    `controls` are named as the arguments of `compute`. A number field gets a slider, which has no
    name for a screen reader and is linked to the field in the browser. The numbers named in
    `beside` follow each other among the controls; they stand three by three, without sliders.
    """

    def __init__(
        self,
        compute: Callable[..., View],
        controls: dict[str, W.Widget],
        extras: Sequence = (),
        beside: Sequence[str] = (),
    ):
        super().__init__()
        self.compute, self.sliders, rows = compute, {}, []
        if beside:
            square = W.GridBox([controls[name] for name in beside])
            square.layout.grid_template_columns = "repeat(3, max-content)"
        for name, control in controls.items():
            if name in beside:
                control.layout.width, control.style.description_width = "130px", "70px"
                if name == beside[0]:
                    rows.append(square)
                continue
            rows.append(W.HBox([control]))
            if isinstance(control, W.BoundedIntText):
                limits = {"min": control.min, "max": control.max}
                slider = W.IntSlider(control.value, **limits, readout=False)
                slider.layout.width = "150px"
                self.link(slider, "value", control)
                self.sliders[name], rows[-1].children = slider, [control, slider]
        wrap = W.Layout(display="flex", flex_flow="row wrap")
        self.build(controls, [W.Box([*rows, *extras], layout=wrap), self.sign, self.shown])

    def limits(self, **state: object) -> dict[str, int]:
        """How large some of the numbers may be, beside what the others are now."""
        return {}

    def adapt(self) -> None:
        """A value above its limit becomes the limit."""
        for name, largest in self.limits(**self.state()).items():
            self.controls[name].max = self.sliders[name].max = max(0, largest)

    def html(self) -> str:
        view = self.compute(**self.state())
        self.start = vars(self).get("start", view)
        words = f'<p aria-live="polite" style="max-width: 700px">{escape(view.sentence)}</p>'
        return f'<div style="line-height: 1.4">{view.svg}{words}{view.table._repr_html_()}</div>'

    def static(self) -> tuple[str, str]:
        """With its drawing as a picture: where only plain HTML is allowed it goes as a whole.

        `tests/store_notebooks.py` puts a PNG in its place, which GitHub shows too.
        """
        drawing, text = base64.b64encode(self.start.svg.encode()).decode(), self.start.sentence
        picture = f'<img alt="" src="data:image/svg+xml;base64,{drawing}"/>'
        return f"{picture}<p>{escape(text)}</p>{self.start.table._repr_html_()}", text


def number(name: str, value: int, least: int, most: int) -> W.BoundedIntText:
    """A field for a whole number; a value at the start may be above `most`.

    Raises ValueError for one below `least`.
    """
    check(least, **{name.lower(): value})
    field = W.BoundedIntText(value, min=least, max=max(most, value), description=name)
    field.layout.width, field.style.description_width = "180px", "110px"
    return field


def choice(name: str, options: Iterable | Mapping[object, str], value: object) -> W.Dropdown:
    """A list of values, some with words of their own. Raises ValueError for a value not in it."""
    words = options if isinstance(options, Mapping) else {each: each for each in options}
    if value not in words:
        allowed = ", ".join(map(str, words))
        raise ValueError(f"{name.lower()} must be one of {allowed}; got {value!r}")
    pairs = [(text, each) for each, text in words.items()]
    field = W.Dropdown(options=pairs, value=value, description=name)
    field.style.description_width = "110px"
    return field


def check(least: int, **counts: int) -> None:
    """Raise ValueError for a count that is no whole number of at least `least`."""
    for name, value in counts.items():
        if type(value) is not int or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")
