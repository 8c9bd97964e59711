"""What one forward pass was: its steps as rows, folded into blocks, as a table."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby, zip_longest

import torch
from torch import Tensor, nn

from cnn_lessons.shapes.fields import Field, Window
from cnn_lessons.table import Table, tidy, width


@dataclass(frozen=True)
class Row:
    """One step of the forward pass: one call of a layer, or of a function between layers.

    Shapes carry the batch axis first, as torch gives them. `parameters` are the layer's own, each
    counted at its first use; `weights` are those of them that multiply (no biases). `macs` are for
    one picture (1 MAC is one multiplication with its addition, 2 FLOPs), a lower bound with
    `at_least`. `memory` is what the output holds for one picture, in bytes: 0 where it only looks
    at memory that was there before. `sources` are the numbers of the rows that feed this one: -1 is
    the network's input, -2 its second one. `window` is the one that slid, `ceil` if the map's size
    is rounded up. `field` has one entry an axis of the picture; it is None where it is not known.
    `taps` says for each axis which of the kernel's taps ever meet a pixel, `live` is the share of
    those that do: the others multiply nothing but padding. `path` names the calls of the modules
    that this step is part of, outermost first. A row that stands for a whole block has its steps in
    `inside`.
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
    ceil: bool = False

    @property
    def receptive_field(self) -> tuple[int, ...] | None:
        """What one unit sees along each axis, in pixels; None where it is not known."""
        return None if self.field is None else tuple(axis.size for axis in self.field)

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

    def __str__(self) -> str:
        return text_table(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return layer_table(self)._repr_html_()


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
    place = {number: k for k, (_, numbers) in enumerate(groups) for number in numbers}
    rows, outputs = [], []
    for call, numbers in groups:
        steps = [record.rows[n] for n in numbers]
        row = _block_row(call, record.blocks[call], steps, numbers) if call else steps[0]
        # A network's input, a number below 0, has no place; a block reads each of its inputs once.
        sources = [place.get(source, source) for source in row.sources]
        sources = list(dict.fromkeys(sources)) if call else sources
        rows.append(replace(row, sources=tuple(sources)))
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


# --- the layer table ----------------------------------------------------------------------------

HEADINGS = (
    "layer", "kind", "kernel", "stride", "pad", "output",
    "parameters", "MACs", "bytes", "sees", "live",
)  # fmt: skip
NARROW, WIDTH = {"stride": "s", "pad": "p"}, 100  # as text, where the bytes are left out


def layer_table(record: Record) -> Table:
    """A line a step, and the totals; a block that was folded opens to the table of its steps."""
    headings = _headings(record)
    lines: list[tuple[str, ...] | Table] = []
    for row, line in zip_longest(record.rows, _lines(record)):
        cells = tuple(line.get(heading, "") for heading in headings)
        lines.append(cells if len(line) > 1 else (line["layer"],))
        if row and row.inside:
            inside = Record(list(row.inside), row.parameters, record.batch, record.blocks)
            title = f"the {len(row.inside)} steps of {tidy(row.name)}"
            lines.append(replace(layer_table(inside), title=title))
    return Table(headings, tuple(lines), foot=1)


def text_table(record: Record) -> str:
    """At most WIDTH columns: names that would be cut stand indented under that of their block."""
    names = [name for name in _headings(record) if name != "bytes"]
    heading, lines = tuple(NARROW.get(name, name) for name in names), _lines(record)
    whole = [line for line in lines if len(line) > 1]
    columns = zip(heading, *([line.get(name, "") for name in names] for line in whole))
    layer, kind, *others = (max(map(width, column)) for column in columns)
    room = WIDTH - sum(others) - 2 * len(others) - 2  # for layer and kind
    if layer + kind > room:
        lines = _under_their_blocks(record, lines)
        layer = max(width(line["layer"]) for line in lines if len(line) > 1)
        kind = max(8, min(kind, room - layer))
    rows: list[tuple[str, ...]] = []
    for line in lines:
        if len(line) == 1:
            rows.append((_cut(line["layer"], WIDTH),))
            continue
        line["layer"] = _cut(line["layer"], room - kind)
        line["kind"] = _cut(line.get("kind", ""), kind, at_the_end=True)
        rows.append(tuple(line.get(name, "") for name in names))
    return str(Table(heading, tuple(rows), foot=1))


def _headings(record: Record) -> tuple[str, ...]:
    """The column "live" only where some tap is not."""
    dead = any(row.live < 1 for row in record.rows)
    return HEADINGS if dead else HEADINGS[:-1]


def _lines(record: Record) -> list[dict[str, str]]:
    """The cells of each row by their headings, of what no row has, and of the total."""
    # Where there are maps, what is not known is marked.
    unknown = "?" if any(len(shape) > 2 for row in record.rows for shape in row.inputs) else ""
    lines = [_cells(row, record.batch, unknown) for row in record.rows]
    lost = "(ran, but its input could not be followed: {})".format
    lines += [{"layer": lost(tidy(name))} for name in record.lost]
    left = record.parameters - sum(row.parameters for row in record.rows)
    if left > 0:
        lines.append({"layer": "(in no row)", "parameters": f"{left:,}"})
    return [*lines, {"layer": "total", **_counts(record)}]


def _cells(row: Row, batch: int, unknown: str) -> dict[str, str]:
    name, kind = tidy(row.name, 2 * WIDTH), tidy(row.kind, WIDTH)
    cells = {"layer": name, "kind": kind, "output": shape_text(row.output, batch)}
    if row.window:
        sizes, stride, padding, dilation = row.window
        kernel = times(sizes) + (f" g{row.groups}" if row.groups > 1 else "")
        kernel += f" d{short(dilation)}" if set(dilation) != {1} else ""
        cells |= {"kernel": kernel, "stride": short(stride), "pad": short(padding)}
    cells["sees"] = short(row.receptive_field) if row.receptive_field else unknown
    # Rounded down, so that 100% means every tap.
    live = f"{int(row.live * 1000 + 1e-6) / 10:.3g}%"
    return {**cells, **_counts(row), "live": live}


def _counts(of: Row | Record) -> dict[str, str]:
    return {"parameters": f"{of.parameters:,}", "MACs": macs_text(of), "bytes": f"{of.memory:,}"}


def macs_text(of: Row | Record) -> str:
    """Work that is not counted is not shown as 0."""
    if not of.at_least:
        return f"{of.macs:,}"
    return f"at least {of.macs:,}" if of.macs else "not counted"


def shape_text(shape: tuple[int, ...], batch: int) -> str:
    """[N, 6, 28, 28]: the batch axis as N, unless a slip has changed it."""
    first = ["N"] if shape[:1] == (batch,) else [str(n) for n in shape[:1]]
    return f"[{', '.join(first + [str(n) for n in shape[1:]])}]"


def times(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def short(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else times(sizes)


def _cut(text: str, size: int, at_the_end: bool = False) -> str:
    while width(text) > max(size, 1):
        text = text[:-2] + "…" if at_the_end else "…" + text[2:]
    return text


def _under_their_blocks(record: Record, lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """A line of its own for the module that a run of rows shares, and their names without it."""
    result, rows = [], list(zip(record.rows, lines))
    for block, group in groupby(rows, lambda pair: pair[0].name.rpartition(".")[0]):
        result += [{"layer": f"{tidy(block, WIDTH)}:"}] if block else []
        for row, line in group:
            name = "  " + row.name.rpartition(".")[2] if block else row.name
            result.append(line | {"layer": tidy(name, WIDTH)})
    return result + lines[len(rows) :]
