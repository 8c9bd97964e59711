"""Step through a network: one layer at a time, with its arithmetic, its view and its feature maps.

Stepper(model, images, class_names=CLASS_NAMES)
"""

import html
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import ipywidgets as W
import numpy as np
from IPython.display import display
from torch import Tensor, nn

from cnn_lessons.see import colours, plots, predictions, svg
from cnn_lessons.see.fonts import last_part
from cnn_lessons.see.page import save_page
from cnn_lessons.see.panels import CLOSED, Panel
from cnn_lessons.see.steps import (
    MOST_CLASSES,
    Step,
    branch_lines,
    checked,
    followed,
    given,
    grid_of,
    mosaic,
    shape_of,
)
from cnn_lessons.see.units import as_maps
from cnn_lessons.shapes import Record
from cnn_lessons.table import Table, tidy

SIDE, MOSAIC_SIDE, KERNEL_SIDE = 140, 200, 100  # pixels on the screen
SMALLEST = 18  # of a map or number that has its name on it
# The fields that choose a unit, and their width; a click on a map finds them by name.
UNIT = {"Map": 90, "Row": 90, "Column": 112}

DETAILS = "margin-left: 12px; line-height: 1.3"
HEAD = "text-align: left; vertical-align: top; padding: 0 8px 0 0; white-space: nowrap"
# Names on maps: black on a white edge, so that they are read on every colour. Clicks go through.
MARKS = (
    "position: absolute; left: 0; top: 0; overflow: visible; pointer-events: none; "
    "font: 9px sans-serif; stroke: white; stroke-width: 2px; paint-order: stroke"
)

# A list box is a table that can be clicked, walked through with the arrow keys, and read aloud. Its
# columns need letters of one width. The label is read aloud only. The facts flow around the list,
# which must lie above them to be clicked.
LETTERS = "font-family: monospace; font-size: 11px; line-height: 1.3; margin: 0; padding-left: 4px"
STYLE = f"""<style>
  .cnn-steps select {{ {LETTERS} }}
  .cnn-steps option:checked {{ background: #0072B2 linear-gradient(#0072B2, #0072B2);
  color: white }}
  .cnn-steps .widget-label {{ position: absolute; clip-path: inset(50%) }}
  .cnn-panel .cnn-below {{ display: flow-root; overflow: visible }}
  .cnn-panel .cnn-below .cnn-steps {{ float: left; width: auto; z-index: 1 }}
  .cnn-panel .cnn-below .widget-html, .cnn-below .widget-html-content {{ display: block }}
  </style>"""


class Stepper(Panel):
    """Step through `model` with a picture: the layer table, and all that `Step` tells of a layer.

    `images` is what the network reads, float (C, H, W) or (N, C, H, W) to choose from; `pictures`
    the same to look at, uint8 (N, 1 or 3, H, W), made from `images` where not given. `labels` (N,)
    names the pictures by `class_names`, which also name the answers. `forward` is as in
    `shapes.record`.

    With `quiz` the size of an output, its maps and what a unit sees are hidden until the size is
    guessed, or asked for; a box in the panel turns it on and off.

    Map, row and column choose a unit, by keys or by a click on the maps; its number, what made it,
    and what it sees are shown. Below, a strip has the first maps of each step.

    In a stored notebook the reader finds the table and the strip, with `quiz` without sizes and
    maps. Raises ValueError for images or pictures of another shape, and for a network
    that does nothing with them, and ShapeError, with the layers that ran, if a layer fails.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        pictures: Tensor | None = None,
        labels: Tensor | None = None,
        class_names: Sequence[str] = (),
        forward: Callable | None = None,
        quiz: bool = False,
    ):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise ValueError(f"model must be a network, a torch.nn.Module; got {model!r}")
        self.images, self.pictures = checked(images, pictures)
        self.model, self.forward, self.class_names = model, forward, class_names
        self._record_picture(0)
        if not len(self.record):
            raise ValueError("model must do something with the images; not one step was seen")
        last = len(self.record) - 1
        self.number = W.BoundedIntText(0, 0, last, **_labelled("Step", 95))
        names = [(self._name_of(k, labels), k) for k in range(len(self.images))]
        self.picture = W.Dropdown(options=names, **_labelled("Picture", 160))
        self.unit = [
            W.BoundedIntText(0, 0, 0, **_labelled(name, width)) for name, width in UNIT.items()
        ]
        self.quiz = W.Checkbox(quiz, indent=False, **_labelled("Quiz", 70))
        self.begins_as_quiz, self.hidden, self.asking, self.verdict = bool(quiz), set(), -1, ""
        self.guessed: dict[int, bool] = {}  # of each step that is known: whether at the first try
        self.tried: set[int] = set()
        controls = {"number": self.number, "picture": self.picture, "quiz": self.quiz}
        controls |= dict(zip(UNIT, self.unit))
        self.sides, self.in_strip = (), None
        self.build(controls, self._children())

    def _record_picture(self, number: int) -> None:
        self.recorded, self.image = number, self.images[number : number + 1].cpu()
        self.record = followed(self.model, self.image, self.forward)
        self.pixels = svg.pixels(self.pictures[number])

    def _name_of(self, picture: int, labels: Tensor | None) -> str:
        if labels is None or picture >= len(labels):
            return str(picture)
        label = int(labels[picture])
        known = 0 <= label < len(self.class_names)
        return f"{picture}: {tidy(self.class_names[label], 30) if known else f'class {label}'}"

    def _children(self) -> list[W.Widget]:
        """Above what goes from step to step, all linked to `number`; below table and details."""
        back = W.Button(description="◀ Previous", layout=W.Layout(width="100px"))
        forth = W.Button(description="Next ▶", layout=W.Layout(width="80px"))
        back.on_click(lambda _: self.go(self.number.value - 1))
        forth.on_click(lambda _: self.go(self.number.value + 1))
        heading, lines = table_lines(self.record)
        self.table = W.Select(
            options=[(line, k) for k, line in enumerate(lines)],
            index=0, rows=min(12, len(lines)), description="Layers",
            layout=W.Layout(width=f"{6.7 * len(heading) + 24:.0f}px"),
        )  # fmt: skip
        self.link(self.table, "index", self.number)
        left = W.VBox([W.HTML(f'{STYLE}<pre style="{LETTERS}">{heading}</pre>'), self.table])
        left.add_class("cnn-steps")
        wrapping = W.Layout(flex_flow="row wrap", align_items="flex-start")
        self.unit_box = W.HBox(self.unit)
        controls = [back, forth, self.number, self.picture, self.quiz, self.unit_box]
        below = W.Box([left, self.shown])
        below.add_class("cnn-below")
        return [W.Box(controls, layout=wrapping), self._question(), self.sign, below]

    def _question(self) -> W.Widget:
        """The field for the size of an output, and a button to be shown it."""
        words = "Size of the output: maps, height, width"
        self.guess = W.Text(continuous_update=False, **_labelled(words, 400))
        self.guess.observe(lambda change: self.judge(change["new"]), "value")
        give_up = W.Button(description="Show me", layout=W.Layout(width="100px"))
        give_up.on_click(lambda _: self._answered(False))
        self.question = W.HBox([self.guess, give_up])
        return self.question

    def go(self, number: int) -> None:
        """Show this step, or the nearest there is."""
        self.set(number=min(max(0, number), len(self.record) - 1))

    def step(self) -> Step:
        """What is shown now."""
        unit = tuple(field.value for field in self.unit)
        about = self.model, self.pixels, unit, self.class_names, self.image
        return Step(self.record, self.number.value, *about)

    def save(self, path: str | Path) -> Path:
        """Write the same as one page for any browser, without a kernel: see `page.save_page`."""
        images, names = self.images, [name for name, _ in self.picture.options]
        how = {"class_names": self.class_names, "forward": self.forward}
        return save_page(path, self.model, images, self.pictures, names, **how)

    def judge(self, guess: str) -> None:
        """Compare a guess such as "6, 28, 28" or "120" with the size of what the step makes."""
        number, wanted = self.number.value, self.record[self.number.value].output[1:]
        if not guess or not self._is_hidden(number):
            pass
        elif (predictions.sizes(guess) or (predictions.number(guess),)) == wanted:
            self._answered(number not in self.tried)
        else:
            self.tried.add(number)
            self.verdict = f"Not yet: {guess}."
            self.set()

    def _answered(self, at_once: bool) -> None:
        if self._is_hidden(self.number.value):
            self.guessed[self.number.value] = at_once
        self.set()

    def _is_hidden(self, number: int) -> bool:
        return self.quiz.value and number not in self.guessed and _has_size(self.record, number)

    def adapt(self) -> None:
        """Another picture is recorded; the maps there are limit the unit to choose."""
        self._adapt_quiz()
        if self.recorded != self.picture.value:
            self._record_picture(self.picture.value)
        hidden = self.number.value in self.hidden
        self.unit_box.layout.display = "none" if hidden else ""
        if not hidden:
            self._adapt_unit(as_maps(self.record.outputs[self.number.value]).shape)

    def _adapt_unit(self, size: Sequence[int]) -> None:
        """It stays at its place in maps of one size, and is the middle one where that changes."""
        for field, side in zip(self.unit, size):
            field.max = max(0, side - 1)
        if self.sides != (sides := size[1:]):
            self.sides = sides
            for field, side in zip(self.unit[1:], sides):
                field.value = side // 2

    def show(self) -> None:
        super().show()
        if self.in_strip not in (None, (self.recorded, self.hidden)):
            self._show_strip(again=True)

    def _show_strip(self, again: bool = False) -> None:
        """The strip of maps, which stays when the kernel is gone; `again` in its old place."""
        self.in_strip = self.recorded, self.hidden
        tiles, titles = film_strip(self.record, self.pixels, self.hidden)
        steps = len(tiles) - 1
        words = f"The picture and maps 0 to 3 of each of {steps} steps, from left to right."
        if not steps:
            words = "The picture; the maps of a step follow when its size is known."
        plots.show(plots.film_strip(tiles, titles), words, self.model_id, again)

    def _adapt_quiz(self) -> None:
        """The list hides what is to be guessed; the field is empty for another step."""
        number = self.number.value
        hidden = {k for k in range(len(self.record)) if self._is_hidden(k)}
        self.question.layout.display = "" if number in hidden else "none"
        if self.asking != number:
            self.asking, self.verdict, self.guess.value = number, "", ""
        if hidden != self.hidden:
            self.hidden, lines = hidden, table_lines(self.record, hidden)[1]
            with self.table.hold_sync():  # new options alone would go to the first step
                self.table.options = [(line, k) for k, line in enumerate(lines)]
                self.table.index = number

    def html(self) -> str:
        number = self.number.value
        if not self._is_hidden(number):
            return self._score() + step_html(self.step())
        row = self.record[number]
        name, kind = html.escape(tidy(row.name)), html.escape(tidy(row.kind))
        said = f'<p aria-live="polite">{html.escape(self.verdict)}</p>'
        facts = _facts_html(given(self.record, number, self.hidden))
        picture = _img(self.pixels, "the picture", SIDE)
        words = f"{self._score()}<b>{number}: {name}</b> ({kind}){facts}{said}{picture}"
        return f'<div style="{DETAILS}">{words}</div>'

    def _score(self) -> str:
        right, asked = sum(self.guessed.values()), len(self.guessed)
        return f"<p>{right} of {asked} at the first try.</p>" if asked else ""

    def static(self) -> tuple[str, str]:
        if not self.begins_as_quiz:
            return self.record._repr_html_(), str(self.record)
        hidden = {k for k in range(len(self.record)) if _has_size(self.record, k)}
        heading, lines = table_lines(self.record, hidden)
        text = "\n".join([heading, *lines])
        return f"<pre>{html.escape(text)}</pre>", text

    def _ipython_display_(self) -> None:
        """The panel, and below it the strip."""
        if not hasattr(self, "shown"):
            return print(CLOSED)
        display(self._repr_mimebundle_(), raw=True)
        return self._show_strip()


def _has_size(recorded: Record, number: int) -> bool:
    """Whether there is anything to guess: more than the number of pictures."""
    return len(recorded[number].output) > 1


def _labelled(text: str, width: int) -> dict:
    """A control with its label close to it, so wide in pixels."""
    style = {"description_width": "initial"}
    return {"description": text, "layout": W.Layout(width=f"{width}px"), "style": style}


def table_lines(recorded: Record, hidden: Container[int] = ()) -> tuple[str, list[str]]:
    """The steps as lines of equal width for a list box: a heading, and a line a row.

    The outputs of the rows in `hidden` are question marks.
    """
    cells = []
    for number, (row, branch) in enumerate(zip(recorded, branch_lines(recorded))):
        name, kind = tidy(row.name, 22), tidy(row.kind, 24)
        output = shape_of(row)
        output = "?".ljust(len(output)) if number in hidden else output
        cells.append((str(number), branch[:16], name, kind, output))
    table = str(Table(("#", "", "layer", "kind", "output"), tuple(cells))).split("\n")
    most = max(map(len, table))
    heading, _, *lines = (line.ljust(most).replace(" ", "\N{NO-BREAK SPACE}") for line in table)
    return heading, lines


def step_html(shown: Step) -> str:
    """A step as HTML: what it is, its arithmetic, and its pictures, each with its text."""
    return (
        f'<div style="{DETAILS}"><div style="display: flow-root; overflow-wrap: anywhere">'
        f"<b>{shown.number}: {html.escape(shown.name)}</b> ({html.escape(shown.kind)})"
        f"{_facts_html(shown.facts)}</div>"
        '<div style="clear: both; display: flex; flex-wrap: wrap; gap: 4px 12px">'
        f"{_pictures(shown)}{_scores_html(shown)}</div>"
        f'<div aria-live="polite" style="font-size: 90%">{html.escape(shown.value)}</div>'
        f'<div aria-live="polite" style="font-size: 85%">{html.escape(shown.text)}</div></div>'
    )


def _facts_html(facts: Sequence[tuple[str, str]]) -> str:
    rows = (
        f'<tr><th scope="row" style="{HEAD}">{name}</th>'
        f'<td style="text-align: left; padding: 0">{html.escape(text)}</td></tr>'
        for name, text in facts
    )
    look = "font-size: 85%; line-height: 1.25; border-spacing: 0 2px"
    return f'<table style="{look}">{"".join(rows)}</table>'


def _pictures(shown: Step) -> str:
    channel, row, column = shown.unit
    _, height, width = shown.size
    drawn, ground = grid_of(len(shown.names)), "red above 0, blue below"
    what = "map" if shown.one_map is not None else "number"
    maps, one = f"0 to {len(shown.names) - 1}", f"{what} {channel}"
    named = [f"{k} {name}" for k, name in enumerate(shown.names) if name != str(k)]
    if 0 < len(named) <= MOST_CLASSES:
        maps = ", ".join(named)
    return "".join(
        [
            _img(shown.picture, shown.sees, SIDE),
            _img(shown.maps, f"{what}s {maps}: {ground}", MOSAIC_SIDE, drawn, channel, shown.names),
            _img(shown.one_map, one, SIDE, (height, width), row * width + column),
            _img(shown.kernel, f"kernel of {one}, green above 0 and brown below", KERNEL_SIDE),
        ]
    )


def _img(
    pixels: np.ndarray | None,
    text: str,
    side: int,
    grid: tuple[int, int] = (1, 1),
    chosen: int = -1,
    names: Sequence[str] = (),
) -> str:
    """A picture with its text. On a grid of squares, the chosen one is framed, and all have names.

    A click on a square is a choice: of the map, where they have names, else of row and column.
    """
    if pixels is None:
        return ""
    text, (rows, columns) = html.escape(text), grid
    width, height = (round(n * side / max(pixels.shape[:2])) for n in pixels.shape[1::-1])
    choice = f'data-rows="{rows}" data-columns="{columns}"' if chosen >= 0 else ""
    choice += ' data-field="Map"' if names else ""
    choice += ' title="click to choose"' if choice else ""
    across, down = width / columns, height / rows
    marks = "".join(
        f'<text x="{k % columns * across + 1:.0f}" y="{k // columns * down + 8:.0f}">'
        f"{html.escape(tidy(name, round(across / 5)))}</text>"
        for k, name in enumerate(names)
        if min(across, down) >= SMALLEST
    )
    if 0 <= chosen < rows * columns:
        x, y = chosen % columns * across, chosen // columns * down
        square = x, y, max(across, 5), max(down, 5)
        marks += svg.rect(*square, line=4) + svg.rect(*square, stroke=colours.SCORES, line=2)
    return (
        f'<figure style="margin: 0; width: min-content; position: relative">'
        f'<img src="{svg.png(pixels)}" alt="{text}" width="{width}" height="{height}" {choice} '
        f'style="image-rendering: pixelated; max-width: none; display: block">'
        f'<svg aria-hidden="true" width="{width}" height="{height}" style="{MARKS}">{marks}</svg>'
        f'<figcaption style="font-size: 85%">{text}</figcaption></figure>'
    )


def _scores_html(shown: Step) -> str:
    if not shown.scores:
        return ""
    rows = "".join(
        f'<tr><td style="text-align: left">{html.escape(name)}</td>'
        f"<td>{round(logit, 2) + 0:.2f}</td><td>{probability:.1%}</td>"
        f'<td style="text-align: left"><div style="background: {colours.SCORES}; height: 10px; '
        f'width: {160 * probability:.0f}px"></div></td></tr>'
        for name, logit, probability in shown.scores
    )
    return (
        '<table style="font-size: 85%; line-height: 1.2; border-spacing: 4px 0"><thead><tr>'
        '<th scope="col" style="text-align: left">class</th>'
        '<th scope="col">logit</th><th scope="col">softmax</th><th></th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def film_strip(
    recorded: Record, picture: np.ndarray, hidden: Container[int] = ()
) -> tuple[list[np.ndarray], list[str]]:
    """The picture, then the first four maps of each step that makes new ones, with their titles.

    Blocks of branches or shortcuts show their output. Those in `hidden`, numbers of rows, are left
    out. Needs a record with outputs.
    """
    folded = recorded.fold()
    tiles, titles, last = [picture], ["the picture"], -1
    for row, output in zip(folded.rows, folded.outputs):
        last += len(row.inside) or 1
        if len(row.output) == 4 and (row.window or row.inside) and last not in hidden:
            channels, height, width = row.output[1:]
            tiles.append(mosaic(as_maps(output)[:4]))
            titles.append(f"{tidy(last_part(row.name), 20)}\n{channels}×{height}×{width}")
    return tiles, titles
