"""In which numbers a training computes: float32, or with fewer digits where that is faster."""

import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.training.captured import captured, wait
from cnn_lessons.training.state import PRODUCTS, kept

Loss = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of a batch, and the logits (N, classes) it was computed from."""
    logits = model(images)
    return F.cross_entropy(logits.float(), labels), logits


def precisions(device: torch.device) -> list[str]:
    """Those that a device computes in, from the most digits to the fewest.

    tf32 has the range of float32 (8 bits of exponent) and the digits of float16 (10 bits). NVIDIA's
    cards have it from Ampere on, and bfloat16 as well; before, they can only imitate that.
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return ["float32", "bfloat16"]
    ampere = torch.cuda.get_device_capability(device) >= (8, 0)
    return ["float32", "tf32", "bfloat16"] if ampere else ["float32"]


def forward(
    precision: str, loss: Loss, model: nn.Module, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss and logits of a batch; with "bfloat16", layers of products compute in that.

    It sets what torch.autocast sets, but for the count of its depth, which an interrupt at the
    wrong moment would leave behind; the caller has `kept`. So it has on CUDA for the products of
    float32: they are in tf32 where that is the precision and in none else, in backward too, though
    PyTorch by itself takes tf32 for convolutions.
    """
    kind = images.device.type
    if kind == "cuda":
        for product in PRODUCTS:
            product.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    torch.set_autocast_cache_enabled(False)
    torch.set_autocast_dtype(kind, torch.bfloat16)
    torch.set_autocast_enabled(kind, precision == "bfloat16")
    try:
        return loss(model, images, labels)
    finally:
        torch.set_autocast_enabled(kind, False)


def faster_precision(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss: Loss = cross_entropy,
    seconds: float = 1,
    graph: bool = True,
) -> str:
    """The fastest precision for a training step here; "float32" unless another clearly is.

    "tf32", where there is that, and "bfloat16", in this order, must be at least 1.1 times as fast
    as the best before. Each is tried on a copy, in turn, for about `seconds` or one step of each,
    and as the training will take it: with `graph` captured and replayed, where the device can.
    Weights and random numbers are left as they were. A machine that cannot do bfloat16 gets
    "float32". So does one that only imitates it: a step of VGG-16 can take a minute there, so 2, 8
    and 32 pictures go first, and twice the time of float32 is enough to stop at.
    """
    trial, device = deepcopy(model).train(), images.device
    kinds = precisions(device)

    def step(kind: str, number: int) -> None:
        value, _ = forward(kind, loss, trial, images[:number], labels[:number])
        value.backward()

    def timed(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        wait(device)
        return time.perf_counter() - start

    with kept(random=True), kept(random=True):
        try:
            for number in (2, 8, 32):  # the faster of two: the first step also sets things up
                few = {k: min(timed(partial(step, k, number)) for _ in range(2)) for k in kinds}
                kinds = [kind for kind in kinds if few[kind] <= 2 * few["float32"]]
                if kinds == ["float32"]:
                    return "float32"
            runs = {kind: partial(step, kind, len(images)) for kind in kinds}
            ready = {k: captured(run, device) if graph else run for k, run in runs.items()}
            for run in ready.values():
                timed(run)
            times: dict[str, list[float]] = {kind: [] for kind in kinds}
            end = time.perf_counter() + seconds
            while not times[kinds[-1]] or time.perf_counter() < end:
                for kind, found in times.items():
                    found.append(timed(ready[kind]))
        except RuntimeError:
            return "float32"
    best = "float32"
    for kind in kinds[1:]:
        if median(times[best]) >= 1.1 * median(times[kind]):
            best = kind
    return best
