"""A card that is not there: tensors in ordinary memory that behave as if they lay on a GPU.

`with pretended():` moves nothing. A storage is noted as lying on the card once its tensor went
there; what is computed of it lies there too. Reading it as NumPy, or one operation on tensors of
both sides, raises the error that CUDA raises. And it has no float64, as Apple's have not.
"""

from contextlib import contextmanager

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cnn_lessons import training
from cnn_lessons.training import captured, loop, precision

CARD = torch.device("cuda")
DEVICE, TO, NUMPY = torch.Tensor.device.__get__, torch.Tensor.to, torch.Tensor.numpy
DEEPCOPY, AUTOCAST = torch.Tensor.__deepcopy__, torch.autocast
BETWEEN = ("copy_", "_to_copy", "set_")  # these may have a tensor on each side
INDEXED = ("index", "index_put_", "_unsafe_index", "index_put", "_index_put_impl_")


def tensors(values):
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


class Sides(TorchDispatchMode):
    """Knows which storages lie on the card, and follows each operation, backward as well."""

    def __init__(self):
        super().__init__()
        self.there: dict[int, StorageWeakRef] = {}  # so no other storage comes to its address

    def holds(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.there

    def put(self, tensor: torch.Tensor, there: bool) -> None:
        storage = tensor.untyped_storage()
        self.there.pop(storage._cdata, None)
        if there:
            if tensor.dtype == torch.float64:
                raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
            self.there[storage._cdata] = StorageWeakRef(storage)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, given = func.overloadpacket.__name__, tensors((args, kwargs))
        there = any(self.holds(tensor) for tensor in given)
        # A number on the CPU may meet a tensor of the card, and so may its places.
        free = args[:1] if name in INDEXED and there and self.holds(args[0]) else given
        here = [tensor for tensor in free if tensor.dim() and not self.holds(tensor)]
        if there and here and name not in BETWEEN:
            raise RuntimeError(f"Expected all tensors to be on the same device: {name}")
        found = func(*args, **(kwargs or {}))
        if there and name != "copy_":  # which leaves its first tensor where it is
            for tensor in tensors(found):
                self.put(tensor, True)
        return found


class Made(TorchFunctionMode):
    """What is made with `device=...` lies there."""

    def __init__(self, sides: Sides):
        super().__init__()
        self.sides = sides

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is None:
            return func(*args, **kwargs)
        there = torch.device(kwargs["device"]).type == "cuda"
        if there:
            kwargs["device"] = "cpu"
            generator = kwargs.get("generator")
            if generator is not None and generator.device.type == "cpu":
                raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        found = func(*args, **kwargs)
        for tensor in tensors(found):
            self.sides.put(tensor, there)
        return found


def methods(sides: Sides) -> dict[str, object]:
    """Those of a tensor that ask for its device, or move it."""

    def to(tensor, *args, device=None, other=None, non_blocking=False, **kwargs):
        left = []
        for value in (*args, device, other):
            if isinstance(value, torch.Tensor):
                device = CARD if sides.holds(value) else DEVICE(value)
                left.append(value.dtype)
            elif isinstance(value, (str, torch.device)):
                device = torch.device(value)
            elif isinstance(value, torch.dtype):
                left.append(value)
        if device is None or device.type == "meta":
            return TO(tensor, *([] if device is None else [device]), *left, **kwargs)
        moved, there = TO(tensor, *left, **kwargs) if left or kwargs else tensor, device == CARD
        if there != sides.holds(tensor):
            moved = moved.clone() if moved is tensor else moved
            sides.put(moved, there)
        return moved

    def numpy(tensor, *args, **kwargs):
        if sides.holds(tensor):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return NUMPY(tensor, *args, **kwargs)

    def deepcopy(tensor, memo):
        copy = DEEPCOPY(tensor, memo)
        sides.put(copy, sides.holds(tensor))
        return copy

    return {
        "device": property(lambda tensor: CARD if sides.holds(tensor) else DEVICE(tensor)),
        "to": to,
        "cpu": lambda tensor: to(tensor, "cpu"),
        "cuda": lambda tensor: to(tensor, "cuda"),
        "numpy": numpy,
        "__array__": lambda tensor, *args, **kwargs: numpy(tensor).__array__(*args, **kwargs),
        "__deepcopy__": deepcopy,
    }


@contextmanager
def pretended(monkeypatch):
    """Within, `tensor.to("cuda")` works, the course takes the card, and who forgot it is told.

    It has no graphs and no tf32; its `torch.autocast` is the CPU's, whatever device it is given.
    """
    with monkeypatch.context() as patch, Sides() as sides, Made(sides):
        for name, method in methods(sides).items():
            patch.setattr(torch.Tensor, name, method)
        patch.setattr(training, "device", lambda: torch.device("cuda"))
        for module in (captured, loop):
            patch.setattr(module, "has_graphs", lambda device: False)
        for module in (precision, loop):
            patch.setattr(module, "precisions", lambda device: ["float32", "bfloat16"])
        for module in (captured, precision):
            patch.setattr(module, "wait", lambda device: None)
        patch.setattr(torch, "autocast", lambda device, *how, **more: AUTOCAST("cpu", *how, **more))
        yield
