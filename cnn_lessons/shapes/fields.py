"""Windows that slide, what a unit sees of the input, and which taps of a kernel are alive."""

from collections.abc import Sequence
from typing import NamedTuple


class Field(NamedTuple):
    """What the first unit of a feature map sees along one axis of the input, in pixels.

    `first` and `last` are the outermost pixels, counted from 0 at the picture's edge (padding is
    below 0), `stride` is how far the next unit's view is moved: 0 where all units see the same.
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
        ends = -padding * self.stride, ((kernel - 1) * dilation - padding) * self.stride
        return Field(self.first + min(ends), self.last + max(ends), self.stride * stride)


class Window(NamedTuple):
    """A sliding window's settings, each with one number an axis, such as (height, width)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def taps(self, read: Sequence[int], made: Sequence[int]) -> tuple[tuple[bool, ...], ...]:
        """For each axis which taps ever meet a unit: from maps of shape `read` to maps `made`."""
        axes = len(self.kernel)
        return tuple(
            tuple(
                any(0 <= k * stride - padding + tap * dilation < n for k in range(m))
                for tap in range(kernel)
            )
            for n, m, kernel, stride, padding, dilation in zip(read[-axes:], made[-axes:], *self)
        )
