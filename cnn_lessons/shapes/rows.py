"""What one forward pass was: its steps as rows, folded into blocks, as a table."""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch
from torch import Tensor, nn

from cnn_lessons.shapes.fields import Field, Window


@dataclass(frozen=True)
class Row:
    """One step of the forward pass: one call of a layer, or of a function between layers.

    Shapes carry the batch axis first, as torch gives them. `parameters` are the layer's own, each
    counted at its first use; `weights` are those of them that multiply (no biases), in a tensor of
    `weight_shape` where they are one. `macs` are for one picture (1 MAC is one multiplication with
    its addition, 2 FLOPs), a lower bound with `at_least`. `memory` is what the output holds for
    one picture, in bytes: 0 where it only looks at memory that was there before. `sources` are the
    numbers of the rows that feed this one: -1 is the network's input, -2 its second one. `window`
    is the one that slid, `transposed` if it spreads each pixel, `ceil` if the map's size is rounded
    up. `field` has one entry an axis of the picture; it is None where it is not known. `taps` says
    for each axis which of the kernel's taps ever meet a pixel, `live` is the share of those that
    do: the others multiply nothing but padding. `path` names the calls of the modules that this
    step is part of, outermost first. A row that stands for a whole block has its steps in `inside`.
    """

    name: str
    kind: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    parameters: int
    macs: int
    sources: tuple[int, ...] = ()
    window: Window | None = None
    field: tuple[Field, ...] | None = None
    live: float = 1.0
    weights: int = 0
    groups: int = 1
    memory: int = 0
    path: tuple[str, ...] = ()
    inside: tuple["Row", ...] = ()
    at_least: bool = False
    taps: tuple[tuple[bool, ...], ...] = ()
    weight_shape: tuple[int, ...] = ()
    transposed: bool = False
    ceil: bool = False

    @property
    def receptive_field(self) -> tuple[int, ...] | None:
        """What one unit sees along each axis, in pixels; None where it is not known."""
        return self.field and tuple(axis.size for axis in self.field)

    @property
    def dead(self) -> int:
        """How many weights never meet a pixel, so that nothing can be learned in them."""
        return self.weights - round(self.weights * self.live)

    @property
    def short_name(self) -> str:
        """The name within the module that it is part of."""
        return self.name.rpartition(".")[2]

    @property
    def is_pool(self) -> bool:
        return "pool" in self.kind.lower() or self.kind == "Subsampling"

    @property
    def is_quiet(self) -> bool:
        """It computes its numbers one by one, or only renames them."""
        same = self.kind == "Flatten" or self.inputs == (self.output,)
        return same and not (self.macs or self.window or self.is_pool)


@dataclass
class Record:
    """The rows of one forward pass; `record["c1"]` and `record[0]` both give a row.

    A layer that is called again has "(2)" after its name, and a step that gives several tensors has
    "[0]", "[1]" and so on. `parameters` counts each parameter of the model once, also those that
    this pass did not use; `batch` is the batch size of the pass; `blocks` gives the class of each
    module on the paths of the rows. `outputs` holds what each step gave for the first picture, on
    the CPU, if it was asked for. `lost` names the layers that ran without a row, because what they
    read could not be followed to the input; with `at_least` there was work that is not counted.
    """

    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    batch: int = 0
    blocks: dict[str, str] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list, repr=False)
    lost: list[str] = field(default_factory=list)
    at_least: bool = False

    @property
    def macs(self) -> int:
        """MACs for one picture; a lower bound with `at_least`."""
        return sum(row.macs for row in self.rows)

    @property
    def memory(self) -> int:
        """Bytes of all outputs for one picture, which training has to keep."""
        return sum(row.memory for row in self.rows)

    @property
    def dead(self) -> int:
        """Weights that never meet a pixel."""
        return sum(row.dead for row in self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | slice | str) -> Row | list[Row]:
        return self.rows[self.number(key) if isinstance(key, str) else key]

    def number(self, name: str) -> int:
        """The number of the row with this name; KeyError lists the names there are."""
        names = [row.name for row in self.rows]
        if name not in names:
            raise KeyError(f"no layer is called {name!r}; there are: {', '.join(names)}")
        return names.index(name)

    def fold(self, *blocks: str) -> "Record":
        """A shorter record: one row for each call of a block, with its steps in `row.inside`.

        `blocks` are names of modules ("features.inception_3a") or of classes ("Inception"). Without
        any, each outermost module of a class of its own is folded, and lists such as nn.Sequential
        stay open. Raises ValueError for a block that is not in the record.
        """
        known = {*self.blocks, *self.blocks.values()}
        if unknown := [block for block in blocks if block not in known]:
            raise ValueError(f"blocks must be among {', '.join(sorted(known))}; got {unknown}")
        return _folded(self, lambda call: _is_chosen(call, self.blocks[call], blocks))

    def to_dicts(self) -> list[dict]:
        """The rows as plain dictionaries of numbers, strings and lists, ready for JSON."""
        return [_as_dict(number, row) for number, row in enumerate(self.rows)]

    def __str__(self) -> str:
        return text_table(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _html_table(self)


def live_taps(row: Row) -> Tensor:
    """Which taps of a row's kernel ever meet a pixel of the map, boolean, such as (height, width).

    The other ones meet nothing but padding, wherever the kernel stands. Raises ValueError for a row
    without a window.
    """
    if row.window is None:
        raise ValueError(f"row must have a window that slides; got {row.name} ({row.kind})")
    axes = [torch.tensor(taps, device="cpu") for taps in row.taps]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).all(dim=0)


def _is_chosen(call: str, kind: str, blocks: tuple[str, ...]) -> bool:
    if blocks:
        return kind in blocks or call.split(" (")[0] in blocks
    return bool(call) and not hasattr(nn, kind)


def _folded(record: Record, chosen: Callable[[str], bool]) -> Record:
    groups: list[tuple[str, list[int]]] = []
    for number, row in enumerate(record.rows):
        call = next((call for call in row.path if chosen(call)), "")
        if groups and call and groups[-1][0] == call:
            groups[-1][1].append(number)
        else:
            groups.append((call, [number]))
    place = {-k: -k for k in range(1, len(record.rows) + 2)}
    place |= {number: k for k, (_, numbers) in enumerate(groups) for number in numbers}
    rows, outputs = [], []
    for k, (call, numbers) in enumerate(groups):
        steps = [record.rows[n] for n in numbers]
        row = _block_row(call, record.blocks[call], steps, numbers) if call else steps[0]
        sources = dict.fromkeys(place[s] for s in row.sources if place[s] != k)
        # A step may read one tensor twice, as x + x does; a block counts each of its inputs once.
        kept = tuple(sources) if call else tuple(place[s] for s in row.sources)
        rows.append(replace(row, sources=kept))
        outputs += [record.outputs[numbers[-1]]] if record.outputs else []
    return replace(record, rows=rows, outputs=outputs)


def _block_row(call: str, kind: str, steps: list[Row], numbers: list[int]) -> Row:
    """One row in place of the steps of one call of a block."""
    entering = {s: shape for row in steps for s, shape in zip(row.sources, row.inputs)
                if s not in numbers}  # fmt: skip
    weights = sum(row.weights for row in steps)
    live = sum(row.weights * row.live for row in steps) / weights if weights else 1.0
    return Row(
        call, kind, tuple(entering.values()), steps[-1].output,
        parameters=sum(row.parameters for row in steps),
        macs=sum(row.macs for row in steps),
        sources=tuple(entering),
        field=steps[-1].field,
        live=live,
        weights=weights,
        memory=sum(row.memory for row in steps),
        path=steps[0].path[: steps[0].path.index(call)],
        inside=tuple(steps),
        at_least=any(row.at_least for row in steps),
    )  # fmt: skip


# --- tables -------------------------------------------------------------------------------------

HEADINGS = (
    "layer", "kind", "kernel", "stride", "pad", "output",
    "parameters", "MACs", "bytes", "sees", "live",
)  # fmt: skip
WORDS = ("layer", "kind", "output")  # these columns are set to the left, numbers to the right
WIDTH = 100


def _cells(record: Record, without: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Heading, one line a row, and the total; a column "live" only where some tap is not."""
    # Where there are maps, what is not known is marked.
    unknown = "?" if any(len(shape) > 2 for row in record.rows for shape in row.inputs) else ""
    lines = [_row_cells(row, record.batch, unknown) for row in record.rows]
    for name in record.lost:
        lines.append((f"(ran, but its input could not be followed: {name})", *[""] * 10))
    left = record.parameters - sum(row.parameters for row in record.rows)
    if left > 0:
        lines.append(("(in no row)", *[""] * 5, f"{left:,}", *[""] * 4))
    counts = [f"{record.parameters:,}", macs_text(record), f"{record.memory:,}"]
    table = [HEADINGS, *lines, ("total", *[""] * 5, *counts, "", "")]
    if all(row.live == 1 for row in record.rows):
        without = (*without, "live")
    kept = [k for k, name in enumerate(HEADINGS) if name not in without]
    return [tuple(line[k] for k in kept) for line in table]


def _row_cells(row: Row, batch: int, unknown: str) -> tuple[str, ...]:
    settings = ["", "", ""]
    if row.window:
        kernel, stride, padding, dilation = row.window
        extra = f" g{row.groups}" if row.groups > 1 else ""
        extra += f" d{short(dilation)}" if set(dilation) != {1} else ""
        settings = [times(kernel) + extra, short(stride), short(padding)]
    sees = short(row.receptive_field) if row.receptive_field else unknown
    counts = [f"{row.parameters:,}", macs_text(row), f"{row.memory:,}"]
    output = shape_text(row.output, batch)
    return (row.name, row.kind, *settings, output, *counts, sees, _share(row.live))


def macs_text(of: Row | Record) -> str:
    """Work that is not counted is not shown as 0."""
    if not of.at_least:
        return f"{of.macs:,}"
    return f"at least {of.macs:,}" if of.macs else "not counted"


def _share(live: float) -> str:
    """Rounded down, so that 100% means every tap."""
    return f"{int(live * 1000 + 1e-6) / 10:.3g}%"


def shape_text(shape: tuple[int, ...], batch: int) -> str:
    """[N, 6, 28, 28]: the batch axis as N, unless a slip has changed it."""
    first = ["N"] if shape[:1] == (batch,) else [str(n) for n in shape[:1]]
    return f"[{', '.join(first + [str(n) for n in shape[1:]])}]"


def times(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))


def short(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else times(sizes)


def text_table(record: Record) -> str:
    """At most WIDTH columns: names that would be cut stand indented under that of their block."""
    heading, *lines = _cells(record, without=("bytes",))
    heading = tuple({"stride": "s", "pad": "p"}.get(name, name) for name in heading)
    widths = [max(map(len, column)) for column in zip(heading, *lines)]
    room = WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)
    if widths[0] > room:
        lines = _under_their_blocks(record, lines)
    widths[0] = max(len(line[0]) for line in lines if len(line) > 1)
    widths[1] = max(8, widths[1] - max(0, widths[0] - room))
    widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1))

    def text(line: tuple[str, ...]) -> str:
        if len(line) == 1:
            return _cut(line[0], WIDTH)
        cut = (_cut(line[0], widths[0]), _cut(line[1], widths[1], at_the_end=True), *line[2:])
        cells = zip(heading, cut, widths)
        return "  ".join(c.ljust(w) if h in WORDS else c.rjust(w) for h, c, w in cells).rstrip()

    head, *body, total = map(text, [heading, *lines])
    rule = "─" * max(map(len, (head, *body, total)))
    return "\n".join([head, rule, *body, rule, total])


def _cut(text: str, width: int, at_the_end: bool = False) -> str:
    if len(text) <= width:
        return text
    return text[: width - 1] + "…" if at_the_end else "…" + text[1 - width :]


def _under_their_blocks(record: Record, lines: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """A line of its own for the module that a run of rows shares, and their names without it."""
    result, rows = [], list(zip(record.rows, lines))
    for block, group in groupby(rows, lambda pair: pair[0].name.rpartition(".")[0]):
        result += [(f"{block}:",)] if block else []
        for row, line in group:
            result.append(("  " + row.name.rpartition(".")[2] if block else row.name, *line[1:]))
    return result + lines[len(rows) :]


def _html_table(record: Record) -> str:
    """A plain table: where styles are removed, as on GitHub, it loses its alignment and no more.

    A block that was folded opens to the table of its steps.
    """
    heading, *lines = _cells(record)
    rows = [*record.rows, *[None] * (len(lines) - len(record.rows))]
    body = ""
    for row, line in zip(rows, lines):
        body += f"<tr>{html_cells('td', line, heading)}</tr>"
        if row and row.inside:
            inside = Record(list(row.inside), row.parameters, record.batch, record.blocks)
            body += (
                f'<tr><td colspan="{len(heading)}" style="text-align: left"><details><summary>'
                f"the {len(row.inside)} steps of {html.escape(row.name)}</summary>"
                f"{_html_table(inside)}</details></td></tr>"
            )
    head = html_cells('th scope="col"', heading, heading)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_cells(tag: str, line: tuple[str, ...], heading: tuple[str, ...]) -> str:
    left = ' style="text-align: left"'
    return "".join(
        f"<{tag}{left if name in WORDS else ''}>{html.escape(cell)}</{tag.split()[0]}>"
        for cell, name in zip(line, heading)
    )


def _as_dict(number: int, row: Row) -> dict:
    settings = row.window._asdict() if row.window else {}
    return {
        "number": number, "name": row.name, "kind": row.kind,
        **{name: list(settings[name]) if settings else None for name in Window._fields},
        "groups": row.groups,
        "inputs": [list(shape) for shape in row.inputs], "output": list(row.output),
        "sources": list(row.sources),
        "parameters": row.parameters, "macs": row.macs, "memory": row.memory,
        "receptive_field": list(row.receptive_field) if row.field else None,
        "receptive_stride": [f.stride for f in row.field] if row.field else None,
        "receptive_centre": [f.centre for f in row.field] if row.field else None,
        "live": row.live, "dead": row.dead, "path": list(row.path),
    }  # fmt: skip
