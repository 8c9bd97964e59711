"""One kind of table for everything: as text for a console, as HTML for a notebook, as Markdown."""

import html
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

# What stands for our signs where the console has no letters for them: redirected on Windows, say.
PLAIN = str.maketrans({
    "×": "x", "·": "*", "−": "-", "–": "-", "─": "-", "…": "...", "✓": "[ok]", "✗": "[no]",
    "▶": ">", "●": "o", "│": "|", "├": "|", "┤": "|", "┼": "+", "╯": "'", "┴": "'", "²": "^2",
})  # fmt: skip


def printable(text: str) -> str:
    """The text with what the console can print: its own signs, or plain ones in their place."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)


@dataclass(frozen=True)
class Table:
    """A heading and lines of as many cells, all of them text; a cell may have several lines.

    A line of one cell stands across the table. A line that is a `Table` belongs to the one before
    it: in HTML it opens with a click on its `title`, as text it is left out. The columns in `left`
    are set to the left, all others, numbers mostly, to the right. With `total` the last line is
    set apart. `strong` holds cells (line, column) to be read first. `title` is the caption.
    """

    heading: tuple[str, ...]
    lines: tuple["tuple[str, ...] | Table", ...]
    left: tuple[int, ...] = (0,)
    total: bool = False
    title: str = ""
    strong: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, object]], **settings) -> "Table":
        """From rows with the same names: numbers get their thousands, and two decimals."""
        rows = list(rows)
        heading = tuple(rows[0]) if rows else ()
        return cls(heading, tuple(tuple(map(_cell, row.values())) for row in rows), **settings)

    def __str__(self) -> str:
        lines = [line for line in self.lines if not isinstance(line, Table)]
        grid = [[cell.split("\n") for cell in line] for line in (self.heading, *lines)]
        widths = [0] * len(self.heading)
        for line in grid:
            if len(line) == len(widths):
                widths = [max(w, *map(len, cell)) for w, cell in zip(widths, line)]
        head, *body = [self._text(line, widths) for line in grid]
        rule = "─" * max(len(row) for text in (head, *body) for row in text.split("\n"))
        if self.total:
            body.insert(-1, rule)
        title = [self.title] if self.title else []
        return printable("\n".join([*title, head, rule, *body]))

    __repr__ = __str__

    def _text(self, line: list[list[str]], widths: list[int]) -> str:
        if len(line) < len(widths):
            return "\n".join(line[0])
        rows = zip_longest(*line, fillvalue="")
        return "\n".join("  ".join(self._set(cells, widths)).rstrip() for cells in rows)

    def _set(self, cells: tuple[str, ...], widths: list[int]) -> list[str]:
        return [
            cell.ljust(width) if column in self.left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths))
        ]

    def _repr_html_(self) -> str:
        """Without style sheets: where styles are removed, as on GitHub, only its alignment goes."""
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        head = "".join(self._html("th", "col", cell, k) for k, cell in enumerate(self.heading))
        body = "".join(map(self._html_line, range(len(self.lines)), self.lines))
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _html_line(self, number: int, line: "tuple[str, ...] | Table") -> str:
        across = f'<td colspan="{len(self.heading)}" style="text-align: left">'
        if isinstance(line, Table):
            inner = f"<summary>{html.escape(line.title)}</summary>"
            table = Table(line.heading, line.lines, line.left, line.total, strong=line.strong)
            return f"<tr>{across}<details>{inner}{table._repr_html_()}</details></td></tr>"
        if len(line) < len(self.heading):
            return f"<tr>{across}{_escape(line[0])}</td></tr>"
        first = self._html("th", "row", line[0], 0)
        rest = [
            self._html("td", "", f"{cell}", k, strong=(number, k) in self.strong)
            for k, cell in enumerate(line[1:], start=1)
        ]
        return f"<tr>{first}{''.join(rest)}</tr>"

    def _html(self, tag: str, scope: str, cell: str, column: int, strong: bool = False) -> str:
        side = "left" if column in self.left else "right"
        words = f"<b>{_escape(cell)}</b>" if strong else _escape(cell)
        scope = f' scope="{scope}"' if scope else ""
        return f'<{tag}{scope} style="text-align: {side}">{words}</{tag}>'

    def markdown(self) -> str:
        """As Markdown writes it; what opens with a click is left out."""
        lines = [line for line in self.lines if not isinstance(line, Table)]
        rules = tuple("---" if k in self.left else "---:" for k in range(len(self.heading)))
        cells = [[_escape(cell).replace("|", "\\|") for cell in line] for line in lines]
        grid = [list(self.heading), list(rules), *cells]
        return "\n".join(f"| {' | '.join(line)} |" for line in grid)


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _escape(cell: str) -> str:
    return html.escape(cell).replace("\n", "<br>")
