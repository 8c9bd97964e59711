"""Follow a picture through a network: one row a step, read off one real forward pass.

    print(record(LeNet5(), (3, 32, 32)))

Every shape, count and receptive field in the lessons comes from here. Nothing is typed by hand,
so nothing can be out of date.
"""

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakTensorKeyDictionary


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

    @property
    def centre(self) -> float:
        """The middle of the first unit's view; unit k is `k * stride` pixels further."""
        return (self.first + self.last) / 2

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

    Shapes carry the batch axis first, as torch gives them. `parameters` are the layer's own, each
    counted at its first use; `weights` are those of them that multiply (no biases). `macs` are for
    one picture (1 MAC is one multiplication with its addition, 2 FLOPs), `memory` is what the
    output holds for one picture, in bytes: 0 where it only looks at memory that was there before.
    `sources` are the numbers of the rows that feed this one: -1 is the network's input, -2 its
    second one. `live` is the share of the kernel's taps that ever meet a pixel: below 1 the others
    multiply nothing but padding. `path` names the calls of the modules that this step is part of,
    outermost first. A row that stands for a whole block has the block's steps in `inside`.
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
    weights: int = 0
    groups: int = 1
    memory: int = 0
    path: tuple[str, ...] = ()
    inside: tuple["Row", ...] = ()

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """Height and width of what one unit sees, in input pixels; None where it is not known."""
        return self.field and (self.field[0].size, self.field[1].size)

    @property
    def dead(self) -> int:
        """How many weights never meet a pixel, so that nothing can be learned in them."""
        return self.weights - round(self.weights * self.live)


@dataclass
class Record:
    """The rows of one forward pass; `record["c1"]` and `record[0]` both give a row.

    A layer that is called again has "(2)" after its name, and a step that gives several tensors has
    "[0]", "[1]" and so on. `parameters` counts each parameter of the model once, also those that
    this pass did not use; `batch` is the batch size of the pass; `blocks` gives the class of each
    module on the paths of the rows. `outputs` holds what each step gave for the first picture, on
    the CPU, if it was asked for.
    """

    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    batch: int = 0
    blocks: dict[str, str] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list, repr=False)

    @property
    def macs(self) -> int:
        """MACs for one picture."""
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
        return _text_table(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _html_table(self)


Inputs = tuple[int, int, int] | Tensor | tuple[Tensor, ...]


def record(
    model: nn.Module, inputs: Inputs, forward: Callable | None = None, keep: bool = False
) -> Record:
    """Run `model` once and note every step.

    `inputs` is the size of one picture, (channels, height, width), of which a batch of two zeros
    is made on the model's own device, or a tensor (N, ...) that is used as it is, or several
    tensors for a network with several inputs. `forward` is another of the model's methods to run,
    such as `model.forward_with_aux`. With `keep` the record holds the output of every step for the
    first picture.

    The pass runs in evaluation mode without gradients; afterwards the model's mode, gradients and
    hooks are as they were, and nothing of the pass is kept alive.

    Raises ValueError for a model or inputs that cannot be recorded, and ShapeError if a layer
    fails, with the shape that reached it and the table of those that ran.
    """
    _check_model(model)
    arguments = _as_tensors(model, inputs)
    modes = {module: module.training for module in model.modules()}
    recorder = _Recorder(model, arguments, keep)
    model.eval()
    try:
        with torch.no_grad(), recorder.flops, recorder:
            (forward or model)(*arguments)
    except Exception as error:
        raise ShapeError(recorder.explain(error)) from error
    finally:
        recorder.remove_hooks()
        for module, mode in modes.items():
            module.training = mode
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Record(recorder.rows, parameters, recorder.batch, recorder.blocks, recorder.outputs)


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module; got {model!r}")
    if isinstance(model, torch.jit.ScriptModule) or hasattr(model, "_orig_mod"):
        raise ValueError(
            "model must be plain Python; got one that torch.jit or torch.compile has made: "
            "record the network that it was made of"
        )
    lazy = [name for name, p in model.named_parameters() if nn.parameter.is_lazy(p)]
    if lazy:
        raise ValueError(
            f"model must have its sizes; got lazy layers ({', '.join(lazy)}): "
            "run it on one picture first"
        )


def _as_tensors(model: nn.Module, inputs: Inputs) -> tuple[Tensor, ...]:
    if isinstance(inputs, Tensor):
        return (inputs,)
    given = tuple(inputs) if isinstance(inputs, (tuple, list)) else ()
    if given and all(isinstance(item, Tensor) for item in given):
        return given
    if len(given) != 3 or not all(isinstance(n, int) and n > 0 for n in given):
        raise ValueError(
            "inputs must be a tensor, several tensors, or three positive whole numbers (channels, "
            f"height, width); got {inputs!r}"
        )
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return (torch.zeros(2, *given, dtype=like.dtype, device=like.device),)


class _Recorder(TorchFunctionMode):
    """Sees each leaf module through hooks, and each torch function called between them."""

    def __init__(self, model: nn.Module, arguments: tuple[Tensor, ...], keep: bool):
        super().__init__()
        self.rows: list[Row] = []
        self.outputs: list[Tensor] = []
        self.keep = keep
        self.blocks: dict[str, str] = {}
        self.flops = FlopCounterMode(display=False)
        self.flops_at_entry = 0
        self.batch = len(arguments[0]) if arguments[0].dim() else 1
        self.names = {module: name for name, module in model.named_modules()}
        self.calls: dict[str, int] = {}
        self.counted: set[int] = set()
        # What runs now, outermost first, as (module, name of this call); it tells where it broke.
        self.running: list[tuple[nn.Module, str]] = []
        self.function, self.reached = "", ""
        # Which row made a tensor. Weak: the pass keeps no more alive than it would without us.
        self.made = WeakTensorKeyDictionary()
        for number, tensor in enumerate(arguments, start=1):
            self.made[tensor] = -number
        self.starts = [(Field(0, 0, 1),) * 2 if t.dim() == 4 else None for t in arguments]
        self.hooks = []
        for module in model.modules():
            self.hooks.append(module.register_forward_pre_hook(self.enter))
            self.hooks.append(module.register_forward_hook(self.leave))

    def remove_hooks(self) -> None:
        for hook in self.hooks:
            hook.remove()

    def in_leaf(self) -> bool:
        return bool(self.running) and _is_leaf(self.running[-1][0])

    def call_name(self, name: str) -> str:
        """The name itself for the first call, then "name (2)" and so on."""
        self.calls[name] = self.calls.get(name, 0) + 1
        return name if self.calls[name] == 1 else f"{name} ({self.calls[name]})"

    def enter(self, module: nn.Module, inputs: tuple) -> None:
        name = self.names[module]
        if _is_leaf(module):
            name = name or type(module).__name__
        call = self.call_name(name) if name else ""
        self.running.append((module, call))
        self.reached = self.shapes_of(inputs)
        self.flops_at_entry = self.flops.get_total_flops()
        if not _is_leaf(module):
            self.blocks[call] = type(module).__name__

    def leave(self, module: nn.Module, inputs: tuple, output: object) -> object:
        if not _is_leaf(module):
            self.running.pop()
            return None
        # What is given on unchanged, as by dropout in evaluation, gets an object of its own, so
        # that a shortcut around this layer is not taken for a way through it.
        if any(output is tensor for tensor in inputs) and not _is_in_place(module):
            output = output.view_as(output)
        flops = self.flops.get_total_flops() - self.flops_at_entry
        parameters = [p for p in module.parameters() if self.is_new(p)]
        self.add(self.running[-1][1], module, inputs, output, flops, parameters)
        self.running.pop()  # not before: what we do in between is no step of the network
        return output

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.in_leaf():
            return function(*args, **kwargs)
        self.function, self.reached = _function_name(function), self.shapes_of((args, kwargs))
        before = self.flops.get_total_flops()
        sources = self.sources_of((args, kwargs))
        output = function(*args, **kwargs)
        self.function = ""
        if sources and _tensors(output):
            flops = self.flops.get_total_flops() - before
            step = _Function(function, args, kwargs)
            name = ".".join(
                [*filter(None, [self.running[-1][1]] if self.running else []), step.name]
            )
            parameters = [p for p in _tensors((args, kwargs)) if self.is_new(p)]
            self.add(self.call_name(name), step, (args, kwargs), output, flops, parameters, sources)
        return output

    def is_new(self, tensor: Tensor) -> bool:
        """Whether a parameter is met for the first time; from now on it is not."""
        new = isinstance(tensor, nn.Parameter) and id(tensor) not in self.counted
        self.counted.add(id(tensor))
        return new

    def sources_of(self, inputs: object) -> list[tuple[int, Tensor]]:
        return [(self.made[t], t) for t in _tensors(inputs) if t in self.made]

    def shapes_of(self, inputs: object) -> str:
        tensors = [t for t in _tensors(inputs) if not isinstance(t, nn.Parameter)]
        return " and ".join(_shape(tuple(t.shape), self.batch) for t in tensors)

    def add(self, name, step, inputs, output, flops, parameters, known=None) -> None:
        """Append a row for each tensor that this step made out of the network's input."""
        known = known or self.sources_of(inputs)
        if not known:
            return
        results, window = _tensors(output), _window(step)
        kind = step.name if isinstance(step, _Function) else type(step).__name__
        shapes, sources = tuple(tuple(t.shape) for _, t in known), tuple(n for n, _ in known)
        fields = [self.field_of(number) for number in sources]
        weights = [p for p in parameters if p.dim() > 1]
        for k, result in enumerate(results):
            shape = tuple(result.shape)
            row = Row(
                name if len(results) == 1 else f"{name}[{k}]", kind, shapes, shape,
                parameters=0 if k else sum(p.numel() for p in parameters),
                macs=0 if k else flops // (2 * self.batch),
                sources=sources, window=window,
                field=_field(fields, shapes, shape, window),
                live=_live_share(window, shapes[0]) if parameters else 1.0,
                weights=0 if k else sum(p.numel() for p in weights),
                groups=getattr(step, "groups", 1),
                memory=self.memory_of(result, [t for _, t in known]),
                path=tuple(call for module, call in self.running if call and not _is_leaf(module)),
            )  # fmt: skip
            self.made[result] = len(self.rows)
            self.rows.append(row)
            if self.keep:
                picture = result[:1] if shape[:1] == (self.batch,) else result
                self.outputs.append(picture.detach().cpu().clone())

    def memory_of(self, result: Tensor, sources: list[Tensor]) -> int:
        """Bytes for one picture; none where the result lies in the memory of a source."""
        place = result.untyped_storage()._cdata
        if any(source.untyped_storage()._cdata == place for source in sources):
            return 0
        return result.numel() * result.element_size() // self.batch

    def field_of(self, number: int) -> tuple[Field, Field] | None:
        return self.starts[-number - 1] if number < 0 else self.rows[number].field

    def explain(self, error: Exception) -> str:
        """Say where it broke; `running` still holds the modules that were entered and not left."""
        module, call = self.running[-1] if self.running else (None, "")
        where = f"{call or 'the network itself'} ({type(module).__name__})"
        if self.function:
            where = f"{self.function} in {where}"
        reached = f"What reached it: {self.reached or 'no tensor'}."
        ran = f"These layers ran:\n{_text_table(Record(self.rows, 0, self.batch, self.blocks))}\n"
        return (
            f"{where} failed. {reached}\n"
            f"{ran if self.rows else 'No layer ran before it.'}\n{type(error).__name__}: {error}"
        )


class _Function:
    """A call of a torch function between layers, its settings named as those of a layer."""

    def __init__(self, function: Callable, args: tuple, kwargs: dict):
        self.name = _function_name(function)
        settings = dict(zip(ARGUMENTS.get(self.name, ()), args[1:])) | kwargs
        for setting in ("kernel_size", "stride", "padding", "dilation", "groups"):
            if setting in settings:
                setattr(self, setting, settings[setting])
        if self.name == "conv2d":
            self.kernel_size = tuple(settings["weight"].shape[2:])
        elif "kernel_size" in settings and not getattr(self, "stride", None):
            self.stride = self.kernel_size  # as pooling has it where none is given
        if self.name == "pad":
            self.padding = settings["pad"]


# Which arguments follow the first one, for the functions that slide a window.
ARGUMENTS = {
    "conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation"),
    "avg_pool2d": ("kernel_size", "stride", "padding"),
    "pad": ("pad",),
}


def _function_name(function: Callable) -> str:
    name = getattr(function, "__name__", str(function))
    if name == "__get__":  # a property, such as images.T
        name = function.__self__.__name__
    return {"__iadd__": "add", "__radd__": "add"}.get(name, name.strip("_"))


def _is_leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _is_in_place(module: nn.Module) -> bool:
    return bool(getattr(module, "inplace", False))


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
    padding, dilation = getattr(step, "padding", 0), getattr(step, "dilation", 1)
    if _pads(step):  # a window of one pixel on a larger map; `padding` begins with left, right, top
        left, _, top, _ = padding
        return Window((1, 1), (1, 1), (top, left), (1, 1))
    kernel = getattr(step, "kernel_size", None)
    if kernel is None or getattr(step, "transposed", False):
        return None
    if padding == "same":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(_pair(dilation), _pair(kernel)))
    if padding == "valid":
        padding = 0
    stride = getattr(step, "stride", 1) or kernel
    return Window(_pair(kernel), _pair(stride), _pair(padding), _pair(dilation))


def _pads(step: object) -> bool:
    name = getattr(step, "name", type(step).__name__)
    return (name == "pad" or name.endswith("Pad2d")) and len(step.padding) == 4


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (tuple(value) * 2)[:2]


def _field(
    sources: list[tuple[Field, Field] | None],
    inputs: tuple[tuple[int, ...], ...],
    output: tuple[int, ...],
    window: Window | None,
) -> tuple[Field, Field] | None:
    """What a unit of the output sees: the union over all sources, widened by the window."""
    sources = [s for s, shape in zip(sources, inputs) if _is_map(shape) or len(output) == 2]
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
    if len(output) == 3:  # a sequence of vectors has no height and width any more
        return None
    before = max((shape[-2:] for shape in inputs if _is_map(shape)), default=(1, 1))
    after = output[-2:] if _is_map(output) else (1, 1)
    if any(1 < b < a for b, a in zip(before, after)):  # enlarged, in a way that is not known
        return None
    return tuple(_resized(*each) for each in zip(seen, before, after))


def _is_map(shape: tuple[int, ...]) -> bool:
    """Height and width are the last two axes, also where the channels are split in groups."""
    return len(shape) >= 4


def _resized(seen: Field, before: int, after: int) -> Field:
    """A step without a window: elementwise where the size stays, else pooling over equal parts."""
    return seen.through(-(-before // after), max(1, before // after), padding=0, dilation=1)


def live_taps(row: Row) -> Tensor:
    """Which taps of a row's kernel ever meet a pixel of the map, boolean (height, width).

    The other ones meet nothing but padding, wherever the kernel stands. Raises ValueError for a row
    without a window.
    """
    if row.window is None:
        raise ValueError(f"row must have a window that slides; got {row.name} ({row.kind})")
    rows, columns = _live_by_axis(row.window, row.inputs[0])
    return torch.tensor([[down and across for across in columns] for down in rows], device="cpu")


def _live_by_axis(window: Window, shape: tuple[int, ...]) -> list[list[bool]]:
    return [
        [_meets_map(tap, size, *setting) for tap in range(setting[0])]
        for size, setting in zip(shape[-2:], zip(*window))
    ]


def _live_share(window: Window | None, shape: tuple[int, ...]) -> float:
    if window is None:
        return 1.0
    return prod(sum(flags) / len(flags) for flags in _live_by_axis(window, shape))


def _meets_map(tap: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    positions = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    starts = range(-padding, -padding + positions * stride, stride)
    return any(0 <= start + tap * dilation < size for start in starts)


# --- folding ------------------------------------------------------------------------------------


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
    return Record(rows, record.parameters, record.batch, record.blocks, outputs)


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
    lines = [_row_cells(row, record.batch) for row in record.rows]
    left = record.parameters - sum(row.parameters for row in record.rows)
    if left > 0:
        lines.append(("(in no row)", *[""] * 5, f"{left:,}", *[""] * 4))
    counts = [f"{n:,}" for n in (record.parameters, record.macs, record.memory)]
    table = [HEADINGS, *lines, ("total", *[""] * 5, *counts, "", "")]
    if all(row.live == 1 for row in record.rows):
        without = (*without, "live")
    kept = [k for k, name in enumerate(HEADINGS) if name not in without]
    return [tuple(line[k] for k in kept) for line in table]


def _row_cells(row: Row, batch: int) -> tuple[str, ...]:
    settings = ["", "", ""]
    if row.window:
        kernel, stride, padding, dilation = row.window
        extra = f" g{row.groups}" if row.groups > 1 else ""
        extra += f" d{_short(dilation)}" if dilation != (1, 1) else ""
        settings = [_times(kernel) + extra, _short(stride), _short(padding)]
    sees = _short(row.receptive_field) if row.receptive_field else ""
    counts = [f"{n:,}" for n in (row.parameters, row.macs, row.memory)]
    output = _shape(row.output, batch)
    return (row.name, row.kind, *settings, output, *counts, sees, _share(row.live))


def _share(live: float) -> str:
    """Rounded down, so that 100% means every tap."""
    return f"{int(live * 1000 + 1e-6) / 10:.3g}%"


def _shape(shape: tuple[int, ...], batch: int) -> str:
    """[N, 6, 28, 28]: the batch axis as N, unless a slip has changed it."""
    first = ["N"] if shape[:1] == (batch,) else [str(n) for n in shape[:1]]
    return f"[{', '.join(first + [str(n) for n in shape[1:]])}]"


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"


def _short(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _times(pair)


def _text_table(record: Record) -> str:
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
        body += f"<tr>{_html_cells('td', line, heading)}</tr>"
        if row and row.inside:
            inside = Record(list(row.inside), row.parameters, record.batch, record.blocks)
            body += (
                f'<tr><td colspan="{len(heading)}" style="text-align: left"><details><summary>'
                f"the {len(row.inside)} steps of {html.escape(row.name)}</summary>"
                f"{_html_table(inside)}</details></td></tr>"
            )
    head = _html_cells('th scope="col"', heading, heading)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cells(tag: str, line: tuple[str, ...], heading: tuple[str, ...]) -> str:
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


# --- several networks side by side --------------------------------------------------------------


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
        head = _html_cells('th scope="col"', self.heading, WORDS[:1] * len(self.heading))
        rows = [_html_cells("td", line, WORDS[:1] * len(line)) for line in self.lines]
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
        (_times(size) if size else "vectors", *("\n".join(c.get(size, ())) for c in columns))
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
        size = row.output[-2:] if _is_map(row.output) else ()
        if row.weights or row.inside or (row.window and row.inputs[0] != row.output):
            entries.setdefault(size, []).append(_entry(row))
    return {
        size: [f"{n} × {text}" if n > 1 else text for text, n in _runs(texts)]
        for size, texts in entries.items()
    }


def _entry(row: Row) -> str:
    stride = f"/{_short(row.window.stride)}" if row.window and row.window.stride != (1, 1) else ""
    window = f" {_times(row.window.kernel)}{stride}" if row.window else ""
    return f"{row.kind}{window}, {row.output[1]}"


def _runs(texts: list[str]) -> list[tuple[str, int]]:
    return [(text, len(list(group))) for text, group in groupby(texts)]


def _aligned(line: tuple[str, ...], widths: list[int]) -> str:
    parts = [cell.split("\n") for cell in line]
    height = max(map(len, parts))
    padded = [part + [""] * (height - len(part)) for part in parts]
    rows = zip(*padded)
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)
