"""Follow a picture through a network: one row a step, read off one real forward pass.

    print(record(LeNet5(), (3, 32, 32)))

Every shape, count and receptive field in the lessons comes from here. Nothing is typed by hand,
so nothing can be out of date.
"""

import re
from collections.abc import Callable
from math import prod
from numbers import Integral
from reprlib import repr as shortened

import torch
from torch import Tensor, nn, overrides
from torch.overrides import TorchFunctionMode
from torch.utils import _python_dispatch as dispatch
from torch.utils.weak import WeakTensorKeyDictionary

from cnn_lessons.shapes.fields import Field, Window
from cnn_lessons.shapes.follower import Follower, Slide, for_each_axis, whole_of
from cnn_lessons.shapes.rows import Record, Row, shape_text
from cnn_lessons.shapes.sights import fields_of


class ShapeError(RuntimeError):
    """A layer failed: the message names it, what reached it, and every layer that ran before."""


class _Refused(ValueError):
    """Nothing is wrong with the network, but it cannot be recorded."""


Inputs = tuple[int, int, int] | Tensor | tuple[Tensor, ...]
# What watches torch's functions and operations: ask which do, end the last one, begin another.
WATCHERS = (
    (overrides._get_current_function_mode_stack, overrides._pop_mode, overrides._push_mode),
    (dispatch._get_current_dispatch_mode_stack, dispatch._pop_mode, dispatch._push_mode),
)
HOOKS = ("_hooks", "_hooks_with_kwargs", "_pre_hooks", "_pre_hooks_with_kwargs")


def record(
    model: nn.Module, inputs: Inputs, forward: Callable | None = None, keep: bool = False
) -> Record:
    """Run `model` once and note every step.

    `inputs` is the size of one picture, (channels, height, width), of which a batch of two zeros
    is made on the model's own device, or a tensor (N, ...) that is used as it is, or several
    tensors for a network with several inputs. `forward` is another of the model's methods to run,
    such as `model.forward_with_aux`. With `keep` the record holds the output of every step for the
    first picture.

    The pass runs in evaluation mode without gradients; afterwards the inputs and the model's mode,
    buffers, gradients and hooks are as they were, and nothing of the pass is kept alive.

    Raises ValueError for a model or inputs that cannot be recorded, with the reason, and ShapeError
    if a layer fails, with the shape that reached it and the table of those that ran.
    """
    _check_model(model)
    given, forward = _as_tensors(model, inputs), forward or model
    if keep and any(tensor.is_meta for tensor in (*given, *model.parameters())):
        raise ValueError("keep must be False on the meta device, whose tensors have no numbers")
    recorder, kept = _Recorder(model, [tensor.clone() for tensor in given], keep), _Kept(model)
    with kept, kept:
        try:
            model.eval()
            recorder.run(forward)
        except _Refused:
            raise
        except Exception as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # torch's own `with` broke on it
                raise error.__context__ from error
            kept.stop_watching()
            if _runs_by_itself(forward, given):
                reason = f"{type(error).__name__}: {error}"
                raise ValueError(f"model runs but cannot be recorded, because {reason}") from error
            raise ShapeError(recorder.explain(error)) from error
    return recorder.record


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module; got {model!r}")
    if isinstance(model, torch.jit.ScriptModule) or any(
        hasattr(module, "_orig_mod") for module in model.modules()
    ):
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
    if given and len(tensors) == len(given):
        return tensors
    sizes = [int(n) for n in given if isinstance(n, Integral) and int(n) > 0]
    if not len(sizes) == len(given) == 3:
        raise ValueError(
            "inputs must be a tensor, several tensors, or three positive whole numbers (channels, "
            f"height, width); got {shortened(inputs)}"
        )
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return (torch.zeros(2, *sizes, dtype=like.dtype, device=like.device),)


class _Kept:
    """`with kept, kept:` leaves modes, buffers, gradients and hooks as they were.

    Twice, because Ctrl-C comes at any instruction: should it come while one of the two puts things
    back, the other does it again.
    """

    def __init__(self, model: nn.Module):
        self.gradients = torch.is_grad_enabled()
        self.watching = [now() for now, _, _ in WATCHERS]
        self.modes = [(module, module.training) for module in model.modules()]
        own = [m for m, _ in self.modes if not isinstance(m, torch.jit.ScriptModule)]
        self.buffers = [
            (module, name, tensor, tensor.clone())
            for module in own
            for name, tensor in module._buffers.items()
            if tensor is not None
        ]
        hooks = [getattr(module, f"_forward{kind}") for module in own for kind in HOOKS]
        self.hooks = [(each, {*each}) for each in hooks]

    def __enter__(self) -> None:
        pass

    def stop_watching(self) -> None:
        for hooks, there in self.hooks:
            for number in {*hooks} - there:
                del hooks[number]
        for before, (now, end, begin) in zip(self.watching, WATCHERS):
            while now() != before[: len(now())]:
                end()
            for mode in before[len(now()) :]:
                begin(mode)

    def __exit__(self, *_: object) -> None:
        self.stop_watching()
        torch.set_grad_enabled(self.gradients)
        for module, mode in self.modes:
            module.training = mode
        for module, name, tensor, numbers in self.buffers:
            module._buffers[name] = tensor
            if not (tensor.is_meta or torch.equal(tensor, numbers)):
                with torch.no_grad():
                    tensor.copy_(numbers)


def _runs_by_itself(forward: Callable, given: tuple[Tensor, ...]) -> bool:
    try:
        with torch.no_grad():
            forward(*(tensor.clone() for tensor in given))
    except Exception:
        return False
    return True


class _Recorder(TorchFunctionMode):
    """Sees each leaf module through hooks, and each torch function called between them."""

    def __init__(self, model: nn.Module, arguments: list[Tensor], keep: bool):
        super().__init__()
        self.model, self.arguments, self.keep = model, arguments, keep
        self.follower = Follower(arguments, self.on_operation)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        self.batch = len(arguments[0]) if arguments[0].dim() else 1
        self.record = Record(parameters=parameters, batch=self.batch)
        self.names = {module: name for name, module in model.named_modules()}
        self.calls: dict[str, int] = {}
        # By their memory, so that a view of a parameter is known as well.
        self.by_memory = {p.untyped_storage()._cdata: p for p in model.parameters()}
        self.counted: set[int] = set()
        # What runs now, outermost first, as (module, name of this call, what reached it); and the
        # function that runs in it. They tell where it broke.
        self.running: list[tuple[nn.Module, str, tuple]] = []
        self.function: tuple[str, tuple] | None = None
        # Which row made a tensor. Weak: the pass keeps no more alive than it would without us.
        self.made = WeakTensorKeyDictionary()
        for number, tensor in enumerate(arguments, start=1):
            self.made[tensor] = -number

    def run(self, forward: Callable) -> None:
        for name, module in self.model.named_modules():
            # What is scripted takes no hooks.
            if ".parametrizations." in f".{name}." or isinstance(module, torch.jit.ScriptModule):
                continue
            module.register_forward_pre_hook(self.enter, with_kwargs=True, prepend=True)
            module.register_forward_hook(self.leave, with_kwargs=True)
        with torch.inference_mode(False), torch.no_grad(), self.follower, self:
            forward(*self.arguments)

    def in_leaf(self) -> bool:
        return bool(self.running) and _is_leaf(self.running[-1][0])

    def call_name(self, name: str) -> str:
        """The name itself for the first call, then "name (2)" and so on."""
        self.calls[name] = self.calls.get(name, 0) + 1
        return name if self.calls[name] == 1 else f"{name} ({self.calls[name]})"

    def enter(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        name, leaf = self.names[module], _is_leaf(module)
        if not self.in_leaf():  # a leaf that runs inside another one is a part of that
            self.follower.start()
            name = self.call_name(name or _kind(module)) if name or leaf else ""
        self.running.append((module, name, (args, kwargs)))
        if not leaf:
            self.record.blocks[name] = type(module).__name__

    def leave(self, module: nn.Module, args: tuple, kwargs: dict, output: object) -> object:
        _, name, inputs = self.running[-1]
        if _is_leaf(module) and not any(_is_leaf(outer) for outer, *_ in self.running[:-1]):
            with torch._C.DisableTorchFunction():  # what we do here is no step of the network
                output = self.as_its_own(inputs, output)
                if not self.add(name, module, inputs, output):
                    self.record.lost.append(name)
        self.running.pop()
        return output

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, _function_name(function)
        inputs = args, kwargs
        if name.startswith("conv"):
            self.check_batch(name, _tensors(inputs))
        if self.in_leaf():
            return function(*args, **kwargs)
        self.function = name, inputs
        self.follower.start()
        output = function(*args, **kwargs)
        if not (name.endswith("_like") or name.startswith("new_")):  # which ask only for a shape
            output = self.as_its_own(inputs, output)
            self.add("", name, inputs, output)
        self.function = None
        return output

    def on_operation(self, name: str, inputs: object, output: object) -> None:
        """One that no function has called is scripted, a step of its own."""
        if not self.function and not self.in_leaf():
            self.add("", name, inputs, output)
            self.follower.start()

    def check_batch(self, name: str, tensors: list[Tensor]) -> None:
        axes = re.search("([123])d", name)
        if axes and tensors[0].dim() == self.arguments[0].dim() == int(axes[1]) + 1:
            raise _Refused(
                "model cannot be recorded, because its input has no batch axis: "
                f"{name} got {list(tensors[0].shape)}; give images[None]"
            )

    def row_of(self, tensor: Tensor) -> int | None:
        """The row that made a tensor or, later, wrote into its memory through whatever view."""
        rows = [self.made[each] for each in (tensor, whole_of(tensor)) if each in self.made]
        return max(rows, default=None)

    def as_its_own(self, inputs: object, output: object) -> object:
        """What is given on unchanged, as by dropout in evaluation, as an object of its own.

        So a shortcut around this step is not taken for a way through it.
        """
        same = [tensor for tensor in _tensors(inputs) if tensor is output]
        if same and self.row_of(same[0]) is not None and not self.follower.has_written(same[0]):
            return same[0].view_as(same[0])
        return output

    def parameters_of(self, step: nn.Module | str, inputs: object) -> list[nn.Parameter]:
        if isinstance(step, nn.Module):
            return list(step.parameters())
        places = [tensor.untyped_storage()._cdata for tensor in _tensors(inputs)]
        return [self.by_memory[place] for place in places if place in self.by_memory]

    def add(self, name: str, step: nn.Module | str, inputs: object, output: object) -> bool:
        """Append a row for each tensor that this step made out of the network's input, if any."""
        done, rows, read = self.follower, self.record.rows, _tensors(inputs)
        sources = [(number, t) for t in read if (number := self.row_of(t)) is not None]
        changed = [t for t in read if done.has_written(t)]
        results = _tensors(output) or changed[:1]
        followed = bool(sources and results)
        # Work without a row is not in the sum of the rows, even where it was counted.
        self.record.at_least |= not done.counted or (not followed and done.macs > 0)
        if not followed:
            return False
        if isinstance(step, str):
            within = [self.running[-1][1]] if self.running else []
            name = self.call_name(".".join([*filter(None, within), step]))
        parameters = self.parameters_of(step, inputs)
        news = [p for p in parameters if id(p) not in self.counted]
        self.counted |= set(map(id, news))
        slide = self.slide_of(step, sources[0][1], results[0])
        path = tuple(call for module, call, _ in self.running if call and not _is_leaf(module))
        live = prod(sum(alive) / len(alive) for alive in slide.taps) if news else 1.0
        for k, result in enumerate(results):
            row = Row(
                name if len(results) == 1 else f"{name}[{k}]",
                step if isinstance(step, str) else _kind(step),
                tuple(tuple(tensor.shape) for _, tensor in sources),
                tuple(result.shape),
                parameters=0 if k else sum(p.numel() for p in news),
                macs=0 if k else done.macs // self.batch,
                at_least=not (k or done.counted),
                sources=tuple(number for number, _ in sources),
                field=self.field_of(result),
                live=live,
                weights=0 if k else sum(p.numel() for p in news if p.dim() > 1),
                memory=self.memory_of(result, [tensor for _, tensor in sources]),
                path=path,
                **slide._asdict(),
            )  # fmt: skip
            self.made[result] = len(rows)
            rows.append(row)
            if self.keep:
                picture = result[:1] if row.output[:1] == (self.batch,) else result
                self.record.outputs.append(picture.detach().cpu().clone())
        for whole in done.written:
            self.made[whole] = len(rows) - 1
        return True

    def field_of(self, tensor: Tensor) -> tuple[Field, ...] | None:
        return fields_of(self.follower.sights_of(tensor), tensor.shape)

    def slide_of(self, step: nn.Module | str, read: Tensor, made: Tensor) -> Slide:
        """The one window that slid, or one that the layer says it has and its field bears out."""
        slid = self.follower.slid
        if len(slid) == 1 and len(slid[0].taps) == made.dim() - 2:
            return slid[0]
        if hasattr(step, "kernel_size") and (before := self.field_of(read)):
            names = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
            settings = [getattr(step, name, default) for name, default in names.items()]
            window = Window(*(for_each_axis(setting, len(before)) for setting in settings))
            after = tuple(field.through(*axis) for field, axis in zip(before, zip(*window)))
            if after == self.field_of(made):
                return Slide(window, window.taps(read.shape, made.shape))
        return Slide()

    def memory_of(self, result: Tensor, sources: list[Tensor]) -> int:
        """Bytes for one picture; none where the result lies in the memory of a source."""
        if any(whole_of(result) is whole_of(source) for source in sources):
            return 0
        return result.numel() * result.element_size() // self.batch

    def explain(self, error: Exception) -> str:
        """Say where it broke; `running` still holds the modules that were entered and not left."""
        module, call, inputs = self.running[-1] if self.running else (self.model, "", ())
        where = f"{call or 'the network itself'} ({_kind(module)})"
        if self.function:
            function, inputs = self.function
            where = f"{function} in {where}"
        tensors = [t for t in _tensors(inputs) if not isinstance(t, nn.Parameter)]
        reached = " and ".join(shape_text(tuple(t.shape), self.batch) for t in tensors)
        ran = "No layer ran before it."
        if self.record.rows:
            ran = f"These layers ran:\n{self.record}\n"
        what = f"{where} failed. What reached it: {reached or 'no tensor'}."
        return f"{what}\n{ran}\n{type(error).__name__}: {error}"


def _function_name(function: Callable) -> str:
    name = getattr(function, "__name__", str(function))
    if name == "__get__":  # a property, such as images.T
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    return {"__iadd__": "add", "__radd__": "add"}.get(name, name.strip("_"))


def _is_leaf(module: nn.Module) -> bool:
    return all(name == "parametrizations" for name, _ in module.named_children())


def _kind(module: nn.Module) -> str:
    """The class; that of a layer with parametrized weights as it was before."""
    name = type(module).__name__
    return name.removeprefix("Parametrized") if hasattr(module, "parametrizations") else name


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
