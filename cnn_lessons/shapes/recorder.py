"""Follow a picture through a network: one row a step, read off one real forward pass.

    print(record(LeNet5(), (3, 32, 32)))

Every shape, count and receptive field in the lessons comes from here. Nothing is typed by hand,
so nothing can be out of date.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakTensorKeyDictionary

from cnn_lessons.shapes.fields import Field, field_after, live_share, window_of
from cnn_lessons.shapes.rows import Record, Row, shape_text, text_table


class ShapeError(RuntimeError):
    """A layer failed: the message names it, what reached it, and every layer that ran before."""


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
    tensors = tuple(item for item in given if isinstance(item, Tensor))
    if tensors and len(tensors) == len(given):
        return tensors
    sizes = [n for n in given if isinstance(n, int) and n > 0]
    if not len(given) == len(sizes) == 3:
        raise ValueError(
            "inputs must be a tensor, several tensors, or three positive whole numbers (channels, "
            f"height, width); got {inputs!r}"
        )
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return (torch.zeros(2, *sizes, dtype=like.dtype, device=like.device),)


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
        same = any(output is tensor for tensor in inputs)
        if same and isinstance(output, Tensor) and not _is_in_place(module):
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
        return " and ".join(shape_text(tuple(t.shape), self.batch) for t in tensors)

    def add(
        self, name: str, step: object, inputs: object, output: object, flops: int,
        parameters: Sequence[Tensor], known: Sequence[tuple[int, Tensor]] = (),
    ) -> None:  # fmt: skip
        """Append a row for each tensor that this step made out of the network's input."""
        known = known or self.sources_of(inputs)
        if not known:
            return
        results, window = _tensors(output), window_of(step)
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
                field=field_after(fields, shapes, shape, window),
                live=live_share(window, shapes[0]) if parameters else 1.0,
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
        ran = f"These layers ran:\n{text_table(Record(self.rows, 0, self.batch, self.blocks))}\n"
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
        name = getattr(getattr(function, "__self__", None), "__name__", name)
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


def on_meta(build: Callable[[], nn.Module], size: tuple[int, int, int]) -> Record:
    """The record of a network that gets no memory for its weights."""
    with torch.device("meta"):
        return record(build(), size)
