"""In which numbers a training computes: float32, or bfloat16 where that is faster."""

import time
from collections.abc import Callable
from copy import deepcopy
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.training.state import kept

Loss = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of a batch, and the logits (N, classes) it was computed from."""
    logits = model(images)
    return F.cross_entropy(logits.float(), labels), logits


def forward(
    precision: str, loss: Loss, model: nn.Module, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss and logits of a batch; with "bfloat16", layers of products compute in that.

    It sets what torch.autocast sets, but for the count of its depth, which an interrupt at the
    wrong moment would leave behind; the caller has `kept`.
    """
    kind = images.device.type
    torch.set_autocast_cache_enabled(False)
    torch.set_autocast_dtype(kind, torch.bfloat16)
    torch.set_autocast_enabled(kind, precision == "bfloat16")
    try:
        return loss(model, images, labels)
    finally:
        torch.set_autocast_enabled(kind, False)


def faster_precision(
    model: nn.Module, images: Tensor, labels: Tensor, loss: Loss = cross_entropy, seconds: float = 1
) -> str:
    """ "bfloat16" if a training step is at least 1.1 times as fast with it here, else "float32".

    Tried on a copy, both in turn, for about `seconds` or one step of each; weights and random
    numbers are left as they were. A machine that cannot do bfloat16 gets "float32". So does one
    that only imitates it: a step of VGG-16 can take a minute there, so 2, 8 and 32 pictures go
    first, and twice the time of float32 is enough to stop at.
    """
    trial = deepcopy(model).train()
    times: dict[str, list[float]] = {"float32": [], "bfloat16": []}

    def step(precision: str, number: int) -> float:
        start = time.perf_counter()
        value, _ = forward(precision, loss, trial, images[:number], labels[:number])
        value.backward()
        value.item()  # waits until the device has finished
        return time.perf_counter() - start

    with kept(random=True), kept(random=True):
        try:
            for number in (2, 8, 32):  # the faster of two: the first step also sets things up
                few = {kind: min(step(kind, number), step(kind, number)) for kind in times}
                if few["bfloat16"] > 2 * few["float32"]:
                    return "float32"
            for kind in times:
                step(kind, len(images))
            end = time.perf_counter() + seconds
            while not times["bfloat16"] or time.perf_counter() < end:
                for kind, found in times.items():
                    found.append(step(kind, len(images)))
        except RuntimeError:
            return "float32"
    gain = median(times["float32"]) / median(times["bfloat16"])
    return "bfloat16" if gain >= 1.1 else "float32"
