"""Follow a picture through a network: one row a step, read off one real forward pass.

    print(record(LeNet5(), (3, 32, 32)))

Every shape, count and receptive field in the lessons comes from here. Nothing is typed by hand,
so nothing can be out of date.
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode


class ShapeError(RuntimeError):
    """A layer failed: the message names it, what reached it, and every layer that ran before."""


class Field(NamedTuple):
    """What the first unit of a feature map sees along one axis of the input, in pixels.

    `first` and `last` are the outermost pixels, counted from 0 at the picture's edge (padding is
    below 0), `stride` is how far the next unit's view is moved.
    """

    first: int
    last: int
    stride: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def through(self, kernel: int, stride: int, padding: int, dilation: int) -> "Field":
        """The field after a sliding window: it grows by whole strides and the stride multiplies."""
        before, after = padding, (kernel - 1) * dilation - padding
        return Field(
            self.first - before * self.stride,
            self.last + after * self.stride,
            self.stride * stride,
        )


class Window(NamedTuple):
    """A sliding window's settings, each as (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One step of the forward pass: one call of a layer, or of a function between layers.

    Shapes carry the batch axis first, as torch gives them. `parameters` are the layer's own, `macs`
    are for one picture (1 MAC is one multiplication with its addition, 2 FLOPs), `sources` are the
    numbers of the rows that feed this one (-1 is the network's input). `live` is the share of the
    kernel's taps that ever meet a pixel: below 1 the others multiply nothing but padding.
    """

    name: str
    kind: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    parameters: int
    macs: int
    sources: tuple[int, ...] = ()
    window: Window | None = None
    field: tuple[Field, Field] | None = None
    live: float = 1.0

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """Height and width of what one unit sees, in input pixels; None where it is not known."""
        return self.field and (self.field[0].size, self.field[1].size)


@dataclass
class Record:
    """The rows of one forward pass; `record["c1"]` and `record[0]` both give a row.

    `parameters` counts each parameter of the model once, `batch` is the batch size of the pass.
    """

    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    batch: int = 0

    @property
    def macs(self) -> int:
        """MACs for one picture."""
        return sum(row.macs for row in self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> Row:
        if isinstance(key, int):
            return self.rows[key]
        for row in self.rows:
            if row.name == key:
                return row
        names = ", ".join(row.name for row in self.rows)
        raise KeyError(f"no layer is called {key!r}; there are: {names}")

    def __str__(self) -> str:
        return _text_table(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _html_table(self)


def record(model: nn.Module, inputs: tuple[int, int, int] | Tensor) -> Record:
    """Run `model` once and note every step.

    `inputs` is the size of one picture, (channels, height, width), of which a batch of two zeros
    is made on the model's own device, or a tensor (N, ...) that is used as it is. The pass runs in
    evaluation mode without gradients; afterwards the model's mode and hooks are as they were.

    Raises ValueError for any other `inputs`, and ShapeError if a layer fails.
    """
    images = _as_images(model, inputs)
    modes = {module: module.training for module in model.modules()}
    recorder = _Recorder(model, images)
    model.eval()
    try:
        with torch.no_grad(), recorder.flops, recorder:
            model(images)
    except Exception as error:
        raise ShapeError(recorder.explain(error)) from error
    finally:
        recorder.remove_hooks()
        for module, mode in modes.items():
            module.training = mode
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Record(recorder.rows, parameters, len(images))


def _as_images(model: nn.Module, inputs: tuple[int, int, int] | Tensor) -> Tensor:
    if isinstance(inputs, Tensor):
        return inputs
    size = tuple(inputs) if isinstance(inputs, (tuple, list)) else ()
    if len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(
            "inputs must be a tensor or three positive whole numbers (channels, height, width); "
            f"got {inputs!r}"
        )
    like = next(model.parameters(), torch.empty(0))
    return torch.zeros(2, *size, dtype=like.dtype, device=like.device)


class _Recorder(TorchFunctionMode):
    """Sees each leaf module through hooks, and each torch function called between them."""

    def __init__(self, model: nn.Module, images: Tensor):
        super().__init__()
        self.rows: list[Row] = []
        self.flops = FlopCounterMode(display=False)
        self.batch = len(images)
        self.names = {module: name for name, module in model.named_modules()}
        self.running: list[nn.Module] = []
        self.flops_at_entry = 0
        # The tensors themselves are kept, so that an id is not given to another one meanwhile.
        self.made: dict[int, tuple[int, Tensor]] = {id(images): (-1, images)}
        start = Field(0, 0, 1)
        self.start = (start, start) if images.dim() == 4 else None
        self.hooks = []
        for module in model.modules():
            self.hooks.append(module.register_forward_pre_hook(self.enter))
            self.hooks.append(module.register_forward_hook(self.leave))

    def remove_hooks(self) -> None:
        for hook in self.hooks:
            hook.remove()

    def in_leaf(self) -> bool:
        return bool(self.running) and _is_leaf(self.running[-1])

    def enter(self, module: nn.Module, inputs: tuple) -> None:
        self.running.append(module)
        self.flops_at_entry = self.flops.get_total_flops()

    def leave(self, module: nn.Module, inputs: tuple, output: object) -> None:
        self.running.pop()
        if _is_leaf(module):
            first_time = all(row.name != self.names[module] for row in self.rows)
            flops = self.flops.get_total_flops() - self.flops_at_entry
            parameters = sum(p.numel() for p in module.parameters()) if first_time else 0
            name = self.names[module] or type(module).__name__
            self.add(name, module, inputs, output, flops, parameters)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if self.in_leaf():
            return function(*args, **(kwargs or {}))
        before = self.flops.get_total_flops()
        output = function(*args, **(kwargs or {}))
        flops = self.flops.get_total_flops() - before
        path = [self.names[self.running[-1]]] if self.running else []
        name = ".".join([*filter(None, path), function.__name__.strip("_")])
        self.add(name, function, (args, kwargs), output, flops)
        return output

    def add(
        self, name: str, step: object, inputs: object, output: object, flops: int, parameters=0
    ) -> None:
        """Append a row for each tensor that this step made out of the network's input."""
        known = [self.made[id(t)] for t in _tensors(inputs) if id(t) in self.made]
        if not known:
            return
        macs = flops // (2 * self.batch)
        for result in _tensors(output):
            shapes = tuple(tuple(tensor.shape) for _, tensor in known)
            window, sources = _window(step), tuple(number for number, _ in known)
            seen = _field([self.field_of(n) for n in sources], shapes, tuple(result.shape), window)
            kind = type(step).__name__ if isinstance(step, nn.Module) else step.__name__.strip("_")
            live = _live_taps(window, shapes[0]) if hasattr(step, "weight") else 1.0
            self.made[id(result)] = (len(self.rows), result)
            self.rows.append(
                Row(name, kind, shapes, tuple(result.shape), parameters, macs, sources,
                    window, seen, live)
            )  # fmt: skip
            parameters = macs = 0

    def field_of(self, number: int) -> tuple[Field, Field] | None:
        return self.start if number < 0 else self.rows[number].field

    def explain(self, error: Exception) -> str:
        """Say where it broke; `running` still holds the modules that were entered and not left."""
        names = [self.names[module] for module in self.running if self.names[module]]
        where = names[-1] if names else "the network's own forward"
        kind = type(self.running[-1]).__name__ if self.running else ""
        last = _shape(self.rows[-1].output, self.batch) if self.rows else "the input itself"
        ran = f"These layers ran:\n{_text_table(Record(self.rows, 0, self.batch))}\n"
        return (
            f"{where} ({kind}) failed. What came out of the step before it: {last}.\n"
            f"{ran if self.rows else 'No layer ran before it.'}\n{type(error).__name__}: {error}"
        )


def _is_leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


# --- windows, receptive fields, live taps -------------------------------------------------------


def _window(step: object) -> Window | None:
    """The sliding window of a layer: anything with a kernel_size, our own layers included."""
    if getattr(step, "kernel_size", None) is None or getattr(step, "transposed", False):
        return None
    stride = step.stride if step.stride is not None else step.kernel_size
    padding, dilation = getattr(step, "padding", 0), getattr(step, "dilation", 1)
    if padding == "same":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(_pair(dilation), _pair(step.kernel_size)))
    if padding == "valid":
        padding = 0
    return Window(_pair(step.kernel_size), _pair(stride), _pair(padding), _pair(dilation))


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (tuple(value) * 2)[:2]


def _field(
    sources: list[tuple[Field, Field] | None],
    inputs: tuple[tuple[int, ...], ...],
    output: tuple[int, ...],
    window: Window | None,
) -> tuple[Field, Field] | None:
    """What a unit of the output sees: the union over all sources, widened by the window."""
    sources = [s for s, shape in zip(sources, inputs) if len(shape) == 4 or len(output) == 2]
    if not sources or None in sources:
        return None
    seen = []
    for axis in (0, 1):
        fields = [source[axis] for source in sources]
        # A globally pooled map that is spread over a larger one has the longer stride.
        stride = min(f.stride for f in fields)
        seen.append(Field(min(f.first for f in fields), max(f.last for f in fields), stride))
    if window:
        return tuple(seen[a].through(*(setting[a] for setting in window)) for a in (0, 1))
    before = inputs[0][2:] if len(inputs[0]) == 4 else (1, 1)
    after = output[2:] if len(output) == 4 else (1, 1)
    return tuple(_resized(*each) for each in zip(seen, before, after))


def _resized(seen: Field, before: int, after: int) -> Field:
    """A step without a window: elementwise where the size stays, else pooling over equal parts."""
    part = before // after if before % after == 0 else before
    return seen.through(kernel=part, stride=part, padding=0, dilation=1)


def _live_taps(window: Window | None, shape: tuple[int, ...]) -> float:
    """The share of a kernel's taps that ever meet a pixel of the map and not only padding."""
    if window is None:
        return 1.0
    return prod(
        sum(_meets_map(tap, size, *setting) for tap in range(setting[0])) / setting[0]
        for size, setting in zip(shape[2:], zip(*window))
    )


def _meets_map(tap: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    positions = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    starts = range(-padding, -padding + positions * stride, stride)
    return any(0 <= start + tap * dilation < size for start in starts)


# --- tables -------------------------------------------------------------------------------------

HEADINGS = ("layer", "kind", "kernel", "stride", "pad", "output", "parameters", "MACs", "sees")
WORDS = ("layer", "kind", "output")  # these columns are set to the left, numbers to the right
WIDTH = 100


def _cells(record: Record) -> list[tuple[str, ...]]:
    """Heading, one line a row, and the total; a column "live" only where some tap is not."""
    lines = [(*_row_cells(row, record.batch), f"{row.live:.0%}") for row in record.rows]
    total = ("total", *[""] * 5, f"{record.parameters:,}", f"{record.macs:,}", "", "")
    table = [(*HEADINGS, "live"), *lines, total]
    return table if any(row.live < 1 for row in record.rows) else [line[:-1] for line in table]


def _row_cells(row: Row, batch: int) -> tuple[str, ...]:
    settings = ["", "", ""]
    if row.window:
        kernel, stride, padding, _ = row.window
        settings = [_times(kernel), _short(stride), _short(padding)]
    sees = _short(row.receptive_field) if row.receptive_field else ""
    counts = [f"{row.parameters:,}", f"{row.macs:,}"]
    return (row.name, row.kind, *settings, _shape(row.output, batch), *counts, sees)


def _shape(shape: tuple[int, ...], batch: int) -> str:
    """[N, 6, 28, 28]: the batch axis as N, unless a slip has changed it."""
    first = ["N"] if shape[:1] == (batch,) else [str(n) for n in shape[:1]]
    return f"[{', '.join(first + [str(n) for n in shape[1:]])}]"


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"


def _short(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _times(pair)


def _text_table(record: Record) -> str:
    lines = _cells(record)
    lines[0] = tuple({"stride": "s", "pad": "p"}.get(heading, heading) for heading in lines[0])
    widths = [max(map(len, column)) for column in zip(*lines)]
    widths[0] -= max(0, sum(widths) + 2 * len(widths) - 2 - WIDTH)

    def text(line: tuple[str, ...]) -> str:
        name = line[0] if len(line[0]) <= widths[0] else "…" + line[0][1 - widths[0] :]
        cells = zip(lines[0], (name, *line[1:]), widths)
        return "  ".join(c.ljust(w) if h in WORDS else c.rjust(w) for h, c, w in cells).rstrip()

    heading, *rows, total = map(text, lines)
    rule = "─" * max(map(len, (heading, *rows, total)))
    return "\n".join([heading, rule, *rows, rule, total])


def _html_table(record: Record) -> str:
    """A plain table: where styles are removed, as on GitHub, it loses its alignment and no more."""
    heading, *lines = _cells(record)
    left = [' style="text-align: left"' if name in WORDS else "" for name in heading]
    head = "".join(f'<th scope="col"{style}>{name}</th>' for name, style in zip(heading, left))
    body = "".join(
        "<tr>"
        + "".join(f"<td{style}>{html.escape(cell)}</td>" for cell, style in zip(line, left))
        + "</tr>"
        for line in lines
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
