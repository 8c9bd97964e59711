"""One kind of table for everything: as text for a console, as HTML for a notebook, as Markdown."""

import html
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from numbers import Integral, Real

# What stands for our signs where the console has no letters for them: redirected on Windows, say.
PLAIN = {
    "×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "─": "-", "…": "...", "✓": "[ok]",
    "✗": "[no]", "▶": ">", "→": "->", "≥": ">=", "√": "sqrt ", "²": "^2", "⁵": "^5", "⁹": "^9",
}  # fmt: skip
# Signs that turn the direction of what stands behind them; letters do so by themselves.
TURNING = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
# How the cells of a column begin that is set to the right: a number, or why there is none.
NUMBER = re.compile(r"(at least |[-−*≥])?\.?\d|(nan|-?inf|[?—]|not \w+)?$")
# Jupyter looks at the style alone, GitHub removes it and keeps the attribute.
SIDES = {True: ' align="left" style="text-align: left"', False: ' align="right"'}


def printable(text: str) -> str:
    """The text as the console can print it: signs that it has not give way to plain ones."""
    text = text.translate(TURNING)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    plain = {ord(sign): PLAIN[sign] for sign in PLAIN if not sign.encode(encoding, "ignore")}
    return text.translate(plain).encode(encoding, "replace").decode(encoding)


def tidy(name: object, most: int = 60) -> str:
    """What a learner calls it, without signs that turn or break a line; its end if it is long."""
    name = "".join(sign for sign in str(name) if unicodedata.category(sign)[0] != "C")
    return name if len(name) <= most else "…" + name[1 - most :]


def width(text: str) -> int:
    """The columns that a text fills on a console: a Chinese letter fills two."""
    return len(text) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)


@dataclass(frozen=True)
class Table:
    """A heading and lines of as many cells, all of them text; a cell may have several lines.

    What is written *so* stands out. A line of one cell stands across the table. A line that is a
    `Table` belongs to the one before it: in HTML it opens with a click on its `title`, elsewhere it
    is left out. The last `foot` lines are set apart, as totals are. `title` is the caption. Raises
    ValueError for a line that does not fit the heading.
    """

    heading: tuple[str, ...]
    lines: tuple["tuple[str, ...] | Table", ...]
    foot: int = 0
    title: str = ""

    def __post_init__(self):
        for line in self.lines:
            if not isinstance(line, Table) and len(line) not in (1, len(self.heading)):
                raise ValueError(f"a line must have 1 or {len(self.heading)} cells; got {line}")

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, object]], *, foot: int = 0, title: str = "") -> "Table":
        """From rows of named values; what is None, or missing in a row, is left empty.

        Numbers get their thousands and two decimals: give a year as a str.
        """
        rows = list(rows)
        names = tuple(dict.fromkeys(name for row in rows for name in row)) or ("nothing yet",)
        lines = tuple(tuple(_cell(row.get(name)) for name in names) for row in rows)
        return cls(names, lines, foot, title)

    def __repr__(self) -> str:
        grid = [[cell.split("\n") for cell in line] for line in self._grid(printable)]
        whole = [line for line in grid if len(line) == len(self.heading)]
        widths = [max(width(part) for cell in column for part in cell) for column in zip(*whole)]
        head, *body = [self._text(line, widths) for line in grid]
        rule = printable("─") * max(map(width, "\n".join([head, *body]).split("\n")))
        if self.foot:
            body.insert(-self.foot, rule)
        return "\n".join([*filter(None, [printable(self.title)]), head, rule, *body])

    def markdown(self) -> str:
        """As Markdown writes it."""
        heading, *lines = self._grid(lambda cell: _escape(cell).replace("|", "\\|"))
        rule = ["---" if k in self._words else "---:" for k in range(len(heading))]
        rows = [f"| {' | '.join(line)} |" for line in (heading, rule, *lines)]
        return "\n".join([f"{_plain(self.title)}\n", *rows] if self.title else rows)

    def _repr_html_(self) -> str:
        caption = f"<caption>{_plain(self.title)}</caption>" if self.title else ""
        rows, end = [self._html(line) for line in self.lines], len(self.lines) - self.foot
        body = (
            f"<thead>{self._html(self.heading, 'col')}</thead><tbody>{''.join(rows[:end])}</tbody>"
        )
        foot = f'<tfoot style="border-top: 1px solid">{"".join(rows[end:])}</tfoot>'
        return f'<table cellpadding="4">{caption}{body}{foot if self.foot else ""}</table>'

    def _grid(self, write: Callable[[str], str]) -> list[list[str]]:
        """Heading and lines with each cell as `write` puts it, without what needs a click."""
        lines = [line for line in self.lines if not isinstance(line, Table)]
        return [[write(cell) for cell in line] for line in (self.heading, *lines)]

    @cached_property
    def _words(self) -> set[int]:
        """The columns that are set to the left: those that hold more than numbers."""
        lines = [line for line in self._grid(str)[1:] if len(line) == len(self.heading)]
        return {k for k, cells in enumerate(zip(*lines)) if not all(map(NUMBER.match, cells))}

    def _text(self, line: list[list[str]], widths: list[int]) -> str:
        if len(line) < len(widths):
            return "\n".join(line[0])
        rows, left = zip_longest(*line, fillvalue=""), [k in self._words for k in range(len(line))]
        return "\n".join("  ".join(map(_padded, row, widths, left)).rstrip() for row in rows)

    def _html(self, line: "tuple[str, ...] | Table", scope: str = "row") -> str:
        """A row; all cells of the heading, and the first of each line, say what the others are."""
        across = f'<tr><td colspan="{len(self.heading)}"{SIDES[True]}>'
        if isinstance(line, Table):
            title, inside = _plain(line.title), replace(line, title="")._repr_html_()
            return f"{across}<details><summary>{title}</summary>{inside}</details></td></tr>"
        if len(line) < len(self.heading):
            return f"{across}{_escape(line[0])}</td></tr>"
        cells = ""
        for k, cell in enumerate(line):
            tag = f'th scope="{scope}"' if cell and (scope == "col" or k == 0) else "td"
            cells += f"<{tag}{SIDES[k in self._words]}>{_escape(cell, '&#160;')}</{tag[:2]}>"
        return f"<tr>{cells}</tr>"


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, Real):
        return "" if value is None else str(value)
    if isinstance(value, Integral):
        return f"{value:,}"
    number = float(value)
    return f"{number:,.2f}" if abs(number) >= 0.01 or number == 0 else f"{number:.2g}"


def _padded(text: str, size: int, left: bool) -> str:
    spaces = " " * (size - width(text))
    return text + spaces if left else spaces + text


def _plain(title: str) -> str:
    return html.escape(title.translate(TURNING))


def _escape(cell: str, space: str = " ") -> str:
    """As HTML, which may stand in Markdown; `space` keeps [N, 6, 28, 28] and the like together."""
    lines = html.escape(cell.translate(TURNING), quote=False).split("\n")
    lines = [line.replace(" ", space) if len(line) < 32 else line for line in lines]
    return re.sub(r"(?m)^\*(.+)\*$", r"<strong>\1</strong>", "\n".join(lines)).replace(
        "\n", "<br/>"
    )
