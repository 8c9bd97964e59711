"""Several networks side by side, as the papers' tables have them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from math import prod

from cnn_lessons.shapes.fields import is_map
from cnn_lessons.shapes.rows import WORDS, Record, Row, html_cells, short, times


@dataclass
class Comparison:
    """Networks side by side: what each does at every size of its maps, and what it costs.

    `heading` and `lines` are the cells of the table: a line for each size of map, then the totals.
    """

    heading: tuple[str, ...]
    lines: list[tuple[str, ...]]

    def __str__(self) -> str:
        widths = [
            max(len(part) for line in [self.heading, *self.lines] for part in line[k].split("\n"))
            for k in range(len(self.heading))
        ]
        rule = "─" * (sum(widths) + 2 * len(widths) - 2)
        blocks = [_aligned(line, widths) for line in self.lines]
        return "\n".join([_aligned(self.heading, widths), rule, *blocks])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = html_cells('th scope="col"', self.heading, WORDS[:1] * len(self.heading))
        rows = [html_cells("td", line, WORDS[:1] * len(line)) for line in self.lines]
        body = "".join(f"<tr>{row}</tr>" for row in rows).replace("\n", "<br>")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def compare(records: Mapping[str, Record]) -> Comparison:
    """Two or more records by name, side by side, as the papers' tables have them.

    The layers stand beside each other where their maps have the same size; equal ones that follow
    each other are counted, "2 × Conv2d 3×3, 64". Steps that keep the shape and have no weights are
    left out. Folded records show one entry a block. Raises ValueError for fewer than two records.
    """
    if len(records) < 2:
        raise ValueError(f"records must be two or more, each with a name; got {len(records)}")
    columns = [_by_size(record) for record in records.values()]
    sizes = sorted({size for column in columns for size in column}, key=prod, reverse=True)
    lines = [
        (times(size) if size else "vectors", *("\n".join(c.get(size, ())) for c in columns))
        for size in sizes
    ]
    totals = {
        "layers with weights": lambda r: f"{sum(1 for row in _opened(r) if row.weights):,}",
        "parameters": lambda r: f"{r.parameters:,}",
        "MACs": lambda r: f"{r.macs:,}",
        "outputs in kB": lambda r: f"{r.memory / 1000:,.0f}",
        "dead weights": lambda r: f"{r.dead:,}",
    }
    lines += [(name, *map(count, records.values())) for name, count in totals.items()]
    return Comparison(("map", *records), lines)


def _opened(record: Record) -> list[Row]:
    return [step for row in record.rows for step in (row.inside or (row,))]


def _by_size(record: Record) -> dict[tuple[int, ...], list[str]]:
    """What a network does at each size of map, in order; vectors have the empty size."""
    entries: dict[tuple[int, ...], list[str]] = {}
    for row in record.rows:
        size = row.output[-2:] if is_map(row.output) else ()
        if row.weights or row.inside or (row.window and row.inputs[0] != row.output):
            entries.setdefault(size, []).append(_entry(row))
    return {
        size: [f"{n} × {text}" if n > 1 else text for text, n in _runs(texts)]
        for size, texts in entries.items()
    }


def _entry(row: Row) -> str:
    stride = f"/{short(row.window.stride)}" if row.window and set(row.window.stride) != {1} else ""
    window = f" {times(row.window.kernel)}{stride}" if row.window else ""
    return f"{row.kind}{window}, {row.output[1]}"


def _runs(texts: list[str]) -> list[tuple[str, int]]:
    return [(text, len(list(group))) for text, group in groupby(texts)]


def _aligned(line: tuple[str, ...], widths: list[int]) -> str:
    parts = [cell.split("\n") for cell in line]
    height = max(map(len, parts))
    padded = [part + [""] * (height - len(part)) for part in parts]
    rows = zip(*padded)
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)
