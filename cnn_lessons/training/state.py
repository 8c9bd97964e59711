"""What a training and a measurement change outside of themselves, and how it is put back."""

import torch
from torch import Tensor, nn

# What on CUDA decides how float32 is multiplied: fp32_precision is "ieee", "tf32" or "none".
PRODUCTS = (
    torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    torch.backends.cuda.matmul,
)


class kept:
    """`with kept(model), kept(model):` leaves the modes of its layers, gradients, autocast, and on
    CUDA the products of float32 and the stream as they were; with random=True the random numbers
    as well.

    Twice, because Ctrl-C comes at any instruction: should it come while one of the two puts things
    back, the other does it again.
    """

    def __init__(self, model: nn.Module | None = None, random: bool = False):
        layers = [] if model is None else model.modules()  # an empty Sequential is not None
        self.modes = [(layer, layer.training) for layer in layers]
        self.gradients, self.cache = torch.is_grad_enabled(), torch.is_autocast_cache_enabled()
        self.autocast = [
            (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
            for kind in ("cpu", "cuda", "mps")
        ]
        self.products = [(product, product.fp32_precision) for product in PRODUCTS]
        self.stream = torch.cuda.current_stream() if torch.cuda.is_initialized() else None
        self.random = rng_states() if random else None

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        for layer, mode in self.modes:
            layer.training = mode
        torch.set_grad_enabled(self.gradients)
        torch.set_autocast_cache_enabled(self.cache)
        for kind, enabled, dtype in self.autocast:
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)
        for product, precision in self.products:
            if product.fp32_precision != precision:
                product.fp32_precision = precision
        if self.stream is not None:
            torch.cuda.set_stream(self.stream)
        if self.random:
            set_rng_states(self.random)


def rng_states() -> dict[str, Tensor]:
    """The states of PyTorch's random generators (uint8): "cpu", and those of the GPU, if any."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{k}": state for k, state in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_rng_states(states: dict[str, Tensor]) -> None:
    """Put them back; those of devices that are not here are left out."""
    torch.set_rng_state(states["cpu"])
    for k in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda{k}" in states:
            torch.cuda.set_rng_state(states[f"cuda{k}"], k)
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
