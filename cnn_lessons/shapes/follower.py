"""Follow each operation of a forward pass: what its numbers depend on, and what it costs."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakTensorKeyDictionary

from cnn_lessons.shapes.fields import Window
from cnn_lessons.shapes.sights import Sight, through_view, through_write, together

# What the units of a tensor see, axis by axis of the picture: () is nothing, None is not known.
Sights = tuple[Sight, ...] | None
# How an operation takes a tensor: the name of its argument, or its number in a list of tensors.
Role = str | int


class Slide(NamedTuple):
    """A window that slid, as a row has it."""

    window: Window | None = None
    taps: tuple[tuple[bool, ...], ...] = ()
    groups: int = 1
    ceil: bool = False


class Follower(TorchDispatchMode):
    """Knows what the units of each tensor see, and counts what the operations cost.

    `macs`, `counted` (whether that is all of them), `slid` and `written` (the tensors whose
    numbers were changed) are those since the last `start()`. After each operation `then` is called
    with its name, its arguments and its output.
    """

    def __init__(self, inputs: Sequence[Tensor], then: Callable[[str, object, object], None]):
        super().__init__()
        self.then = then
        # Weak: the pass keeps no more alive than it would without us. Views are not in it: what
        # they see follows from the tensor whose memory they share.
        self.seen = WeakTensorKeyDictionary()
        rank = next((tensor.dim() for tensor in inputs if tensor.dim() > 2), 0)
        for tensor in inputs:
            if tensor.dim() == rank:
                self.seen[tensor] = tuple(
                    Sight(0, 0, tuple(int(k == axis) for k in range(rank)), tensor.shape[axis])
                    for axis in range(2, rank)
                )
        self.start()

    def start(self) -> None:
        self.macs, self.counted = 0, True
        self.slid: list[Slide] = []
        self.written: list[Tensor] = []

    def has_written(self, tensor: Tensor) -> bool:
        return any(whole_of(tensor) is each for each in self.written)

    def sights_of(self, tensor: Tensor) -> Sights:
        whole = whole_of(tensor)
        sights = self.seen.get(whole, ())
        if whole is tensor or not sights:
            return sights
        if whole.dtype != tensor.dtype:
            return None
        return _known(through_view(sight, whole, tensor) for sight in sights)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunction():  # what is done here is no step of the network
            return self.call(_operation(function), function, args, kwargs or {})

    def call(self, operation, function, args, kwargs):
        if operation.is_composite:
            with self:
                return function.decompose(*args, **kwargs)
        output = function(*args, **kwargs)
        settings = dict(zip(operation.arguments, args)) | kwargs
        tensors = list(_tensors_by_role(settings))
        if tensors:
            self.macs += operation.macs(args, kwargs, output)
            self.counted &= operation.is_counted
            results = [tensor for _, tensor in _tensors_by_role({"": output})]
            self.follow(operation, settings, tensors, results)
            self.then(operation.name.strip("_"), (args, kwargs), output)
        return output

    def follow(
        self,
        operation: "_Operation",
        settings: dict[str, Any],
        tensors: list[tuple[Role, Tensor]],
        results: list[Tensor],
    ) -> None:
        targets = [tensor for role, tensor in tensors if role in operation.writes]
        made = targets or results
        if not made:
            return
        call = Call(operation.name, settings, window_of(operation.name, settings), made[0])
        if call.window and operation.name != "constant_pad_nd":
            self.slid.append(_slide(call, call.window, tensors[0][1]))
        read = [(role, tensor, self.sights_of(tensor)) for role, tensor in tensors
                if role not in operation.forgets]  # fmt: skip
        read = [each for each in read if each[2] != ()]
        if targets:
            sights = _sights_after(operation.rule, call, read)
            for target in targets:
                self.write(target, sights)
        elif read:
            for result in results:
                alike = result.shape == made[0].shape or operation.rule is views
                sights = _sights_after(operation.rule, call._replace(output=result), read)
                self.seen[result] = sights if alike else None

    def write(self, target: Tensor, sights: Sights) -> None:
        """The tensor whose memory was written sees it, and with it all its views."""
        whole = whole_of(target)
        self.written.append(whole)
        old = self.seen.get(whole, ())
        if whole is target or sights is None:
            self.seen[whole] = sights
        elif sights and old is not None and sights != self.sights_of(target):
            self.seen[whole] = _known(
                through_write(sight, target, before, whole)
                for sight, before in zip(sights, old or [None] * len(sights))
            )


def whole_of(tensor: Tensor) -> Tensor:
    """The tensor whose memory a view shares; any other tensor itself."""
    return tensor if tensor._base is None else tensor._base


def _known(sights: Iterable[Sight | None]) -> Sights:
    """All of them; None if one is not known."""
    known = []
    for sight in sights:
        if sight is None:
            return None
        known.append(sight)
    return tuple(known)


def _tensors_by_role(values: dict[str, Any]) -> Iterator[tuple[Role, Tensor]]:
    """Each tensor with the name of its argument, or with its number in a list of tensors."""
    for name, value in values.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (list, tuple)):
            yield from ((k, each) for k, each in enumerate(value) if isinstance(each, Tensor))


# --- operations -----------------------------------------------------------------------------------


class Call(NamedTuple):
    """A call of an operation: its arguments by name, its window, and its first result."""

    name: str
    settings: dict[str, Any]
    window: Window | None
    output: Tensor


def window_of(name: str, settings: dict[str, Any]) -> Window | None:
    """The window that a convolution, pooling or padding slides."""
    if name == "constant_pad_nd":  # a window of one pixel on a larger map
        before = tuple(settings["pad"][::2][::-1])
        one = (1,) * len(before)
        return Window(one, one, before, one)
    if "convolution" in name:
        kernel = tuple(settings["weight"].shape[2:])
    elif found := re.fullmatch(r"(?:max|avg)_pool(\d)d.*", name):
        kernel = for_each_axis(settings["kernel_size"], int(found[1]))
    else:
        return None
    rest = settings.get("stride") or kernel, settings.get("padding", 0), settings.get("dilation", 1)
    return Window(kernel, *(for_each_axis(value, len(kernel)) for value in rest))


def for_each_axis(value: int | Sequence[int], number: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * number if len(values) == 1 else values


def _slide(call: Call, window: Window, read: Tensor) -> Slide:
    shapes = [read.shape, call.output.shape]
    if call.settings.get("transposed"):
        shapes.reverse()
    groups, ceil = call.settings.get("groups", 1), call.settings.get("ceil_mode", False)
    return Slide(window, window.taps(*shapes), groups, ceil)


def _sights_after(rule: "Rule", call: Call, read: list[tuple[Role, Tensor, Sights]]) -> Sights:
    """What the result of a call sees, from what it read."""
    known = [(role, tensor, each) for role, tensor, each in read if each is not None]
    if len(known) < len(read):
        return None
    axes = []
    for k in range(len(known[0][2]) if known else 0):
        sights = _known(rule(call, role, tensor, each[k]) for role, tensor, each in known)
        if sights is None:
            return None
        if call.name in ("cat", "stack") and len({*sights}) > 1:  # not the parts of one map
            axis = call.settings.get("dim", 0)
            if any(sight.steps[axis] for sight in sights):
                return None
            sights = tuple(sight.over((axis,), call.output.shape, None) for sight in sights)
        axes.append(together(sights, call.output.shape))
    return tuple(axes)


# A rule: what of a tensor's sight reaches the output of a call that reads the tensor in this role.
Rule = Callable[[Call, Role, Tensor, Sight], Sight | None]


def element_by_element(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight:
    """The last axes fit, and 1 becomes many."""
    sizes = zip(sight.steps[::-1], tensor.shape[::-1], call.output.shape[::-1])
    steps = [step if n == m else 0 for step, n, m in sizes]
    steps += [0] * (call.output.dim() - len(steps))
    return sight._replace(steps=tuple(steps[::-1]))


def slides(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight | None:
    if call.window is None or role not in ("self", "input"):
        return None
    if "convolution" in call.name:
        sight = sight.over((1,), tensor.shape)
    lead = tensor.dim() - len(call.window.kernel)
    for axis, (kernel, stride, padding, dilation) in enumerate(zip(*call.window), start=lead):
        if call.settings.get("transposed"):
            if stride > 1 and sight.steps[axis] != 0:
                return None  # units that stand side by side see the same
            padding = (kernel - 1) * dilation - padding
        through = sight.through(axis, kernel, stride, padding, dilation)
        sight = through or sight.over((axis,), tensor.shape, None)
    return sight


def pools_parts(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight | None:
    """Adaptive pooling, where the parts are equal."""
    for axis, (n, m) in enumerate(zip(tensor.shape, call.output.shape)):
        if n != m and sight.steps[axis] != 0:
            through = sight.through(axis, n // m, n // m, 0, 1)
            if n % m or through is None:
                return None
            sight = through
    return sight


def reduces(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight:
    """Over the axes `dim`; softmax too, whose every number depends on all of them."""
    dim, rank = call.settings.get("dim"), tensor.dim()
    axes = [axis % rank for axis in ([dim] if isinstance(dim, int) else dim or range(rank))]
    sight = sight.over(axes, tensor.shape)
    if call.output.dim() == rank:
        return sight
    return sight._replace(steps=tuple(s for k, s in enumerate(sight.steps) if k not in axes))


def normalises(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight | None:
    if role not in ("self", "input"):
        return None
    axes = tuple(range(1, tensor.dim()))  # of a group norm
    if "batch_norm" in call.name:
        axes = (0, *axes[1:]) if call.settings["training"] else ()
    elif "normalized_shape" in call.settings:
        axes = axes[-len(call.settings["normalized_shape"]) :]
    return sight.over(axes, tensor.shape)


def multiplies(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight:
    """Rows of the left matrix with columns of the right one, and what is added."""
    if role == "self" and "add" in call.name:
        return element_by_element(call, role, tensor, sight)
    return sight.over((-2 if role in ("mat2", "batch2") else -1,), tensor.shape)


def attends(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight | None:
    axes: dict[Role, tuple[int, ...]] = {"query": (-1,), "key": (-2, -1), "value": (-2,)}
    return sight.over(axes[role], tensor.shape) if role in axes else None


def joins(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight | None:
    """Side by side along one axis, as the parts of a map that had been cut."""
    axis = call.settings.get("dim", 0)
    step = sight.steps[axis]
    if not isinstance(step, int):
        return sight.over((axis,), tensor.shape, None)
    before = sum(part.shape[axis] for part in call.settings["tensors"][:role])
    return sight.moved(-before * step)


def stacks(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight:
    axis = call.settings.get("dim", 0) % call.output.dim()
    return sight._replace(steps=(*sight.steps[:axis], 0, *sight.steps[axis:]))


def views(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight | None:
    return through_view(sight, tensor, call.output)


def ignores_places(call: Call, role: Role, tensor: Tensor, sight: Sight) -> Sight | None:
    """Any other operation: where all units see the same, those that it makes do so too."""
    if any(step != 0 for step in sight.steps):
        return None
    return sight._replace(steps=(0,) * call.output.dim())


# By the name in torch's list of operations; what it calls pointwise or a reduction needs no entry.
RULES: dict[str, Rule] = {
    name: rule
    for rule, names in {
        element_by_element: "_to_copy copy hardswish _prelu_kernel log_sigmoid_forward "
        "native_dropout rrelu_with_noise",
        slides: "convolution _convolution constant_pad_nd avg_pool2d avg_pool3d max_pool1d "
        "max_pool2d_with_indices max_pool3d_with_indices",
        pools_parts: "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d "
        "adaptive_max_pool3d",
        reduces: "_softmax _safe_softmax _log_softmax median",
        normalises: "native_batch_norm native_group_norm native_layer_norm _fused_rms_norm",
        multiplies: "mm addmm bmm baddbmm",
        attends: "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention",
        joins: "cat",
        stacks: "stack",
        views: "_unsafe_view",
    }.items()
    for name in names.split()
}
# What overwrites `self`, or asks only for its shape.
FORGETS = re.compile(r".*_like|new_.*|(copy|fill|zero|uniform|normal|bernoulli|exponential)_")
# Operations without a rule that move or compare numbers: no products to count.
FREE = re.compile(
    r"pad|upsample|index|gather|scatter|sort|topk|cum|pool|embedding|shuffle|col|roll|flip|repeat|"
    r"fill|nonzero|unique|bucket|search|(?<!_)tri[ul]|rand|mask|take|put|diag|scalar|one_hot|equal|"
    r"resize|split|glu|weight_norm"
)
# MACs of operations that torch's own list of formulas lacks, from their arguments.
MACS: dict[str, Callable[..., int]] = {
    "mv": lambda matrix, vector: matrix.numel(),
    "dot": lambda vector, other: vector.numel(),
    "vdot": lambda vector, other: vector.numel(),
    "mkldnn_rnn_layer": lambda steps, weight, recurrent, *rest: (
        prod(steps.shape[:-1]) * (weight.numel() + recurrent.numel())
    ),
    "_cudnn_rnn": lambda steps, weights, *rest: (
        prod(steps.shape[:-1]) * sum(weight.numel() for weight in weights if weight.dim() > 1)
    ),
    "_scaled_dot_product_flash_attention_for_cpu": lambda query, key, value, *rest: (
        prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    ),
}


class _Operation:
    """What is known of one of torch's operations before it is called."""

    def __init__(self, function: torch._ops.OpOverload):
        schema, tags = function._schema, function.tags
        room, _, self.name = schema.name.partition("::")
        self.arguments = [argument.name for argument in schema.arguments]
        self.writes = {a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write}
        is_view = any(r.alias_info and not r.alias_info.is_write for r in schema.returns)
        forgets = bool(FORGETS.fullmatch(self.name))
        self.forgets = {"self", "out"} if forgets else {"out"}
        rule = RULES.get(self.name.removesuffix("_") if self.writes else self.name)
        if torch.Tag.pointwise in tags:
            rule = element_by_element
        elif torch.Tag.reduction in tags:
            rule = reduces
        elif is_view:
            rule = views
        self.formula = flop_registry.get(function.overloadpacket)
        known = rule or self.formula or self.name in MACS
        self.is_composite = (is_view or not known) and function._can_decompose()
        free = known or forgets or torch.Tag.inplace_view in tags or FREE.search(self.name)
        self.is_counted = room in ("aten", "prim") and bool(free)
        self.rule = rule or ignores_places

    def macs(self, args: tuple, kwargs: dict, output: object) -> int:
        if self.formula:
            return self.formula(*args, **kwargs, out_val=output) // 2
        return MACS[self.name](*args) if self.name in MACS else 0


_operation = cache(_Operation)
