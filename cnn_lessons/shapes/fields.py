"""Windows that slide, what a unit sees of the input, and which taps of a kernel are alive."""

from math import prod
from typing import Any, NamedTuple


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


def window_of(step: Any) -> Window | None:
    """The sliding window of a layer: anything with a kernel_size, our own layers included."""
    padding, dilation = getattr(step, "padding", 0), getattr(step, "dilation", 1)
    if _pads(step):  # a window of one pixel on a larger map; `padding` begins with left, right, top
        left, _, top, _ = step.padding
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


def _pads(step: Any) -> bool:
    name = getattr(step, "name", type(step).__name__)
    return (name == "pad" or name.endswith("Pad2d")) and len(step.padding) == 4


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    first, second, *_ = (value, value) if isinstance(value, int) else tuple(value) * 2
    return first, second


def field_after(
    sources: list[tuple[Field, Field] | None],
    inputs: tuple[tuple[int, ...], ...],
    output: tuple[int, ...],
    window: Window | None,
) -> tuple[Field, Field] | None:
    """What a unit of the output sees: the union over all sources, widened by the window."""
    sources = [s for s, shape in zip(sources, inputs) if is_map(shape) or len(output) == 2]
    known = [source for source in sources if source is not None]
    if not known or len(known) < len(sources):
        return None
    seen = []
    for axis in (0, 1):
        fields = [source[axis] for source in known]
        # A globally pooled map that is spread over a larger one has the longer stride.
        stride = min(f.stride for f in fields)
        seen.append(Field(min(f.first for f in fields), max(f.last for f in fields), stride))
    if window:
        down, across = (seen[a].through(*(setting[a] for setting in window)) for a in (0, 1))
        return down, across
    if len(output) == 3:  # a sequence of vectors has no height and width any more
        return None
    before = max((shape[-2:] for shape in inputs if is_map(shape)), default=(1, 1))
    after = output[-2:] if is_map(output) else (1, 1)
    if any(1 < b < a for b, a in zip(before, after)):  # enlarged, in a way that is not known
        return None
    down, across = (_resized(*each) for each in zip(seen, before, after))
    return down, across


def is_map(shape: tuple[int, ...]) -> bool:
    """Height and width are the last two axes, also where the channels are split in groups."""
    return len(shape) >= 4


def _resized(seen: Field, before: int, after: int) -> Field:
    """A step without a window: elementwise where the size stays, else pooling over equal parts."""
    return seen.through(-(-before // after), max(1, before // after), padding=0, dilation=1)


def live_by_axis(window: Window, shape: tuple[int, ...]) -> list[list[bool]]:
    return [
        [_meets_map(tap, size, *setting) for tap in range(setting[0])]
        for size, setting in zip(shape[-2:], zip(*window))
    ]


def live_share(window: Window | None, shape: tuple[int, ...]) -> float:
    if window is None:
        return 1.0
    return prod(sum(flags) / len(flags) for flags in live_by_axis(window, shape))


def _meets_map(tap: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    positions = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    starts = range(-padding, -padding + positions * stride, stride)
    return any(0 <= start + tap * dilation < size for start in starts)
