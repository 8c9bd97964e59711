"""What each unit of a tensor sees of the picture, through views, unions and writes.

Only what is known is said: a sight of None means "not known".
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from cnn_lessons.shapes.fields import Field

# How many pixels the view moves from one unit of an axis to the next; for an axis that was merged
# from several, (units, pixels) of each, the outermost first. None: places are lost.
Step = int | tuple[tuple[int, int | None], ...] | None


class Sight(NamedTuple):
    """What each unit of a tensor sees along one axis of the picture, in pixels.

    The unit (i, j, ...) sees from `first + i * steps[0] + j * steps[1] + ...` on, and `last` moves
    with it. Where places are lost, `first` and `last` span all units of that axis of the tensor.
    `side` is the picture's length.
    """

    first: int
    last: int
    steps: tuple[Step, ...]
    side: int

    def over(self, axes: Iterable[int], shape: Sequence[int], step: Step = 0) -> "Sight":
        """What the units along these axes of the tensor see together."""
        first, last, steps = self.first, self.last, list(self.steps)
        for axis in axes:
            for units, pixels in _parts(steps[axis], shape[axis]):
                first += min(0, (units - 1) * (pixels or 0))
                last += max(0, (units - 1) * (pixels or 0))
            steps[axis] = step
        return Sight(first, last, tuple(steps), self.side)

    def through(self, axis: int, *setting: int) -> "Sight | None":
        """After a window, as in `Field.through`, that slides along this axis of the tensor.

        None where the view does not move by the same number of pixels from unit to unit.
        """
        if not isinstance(pixels := self.steps[axis], int):
            return None
        first, last, step = Field(self.first, self.last, pixels).through(*setting)
        return Sight(first, last, (*self.steps[:axis], step, *self.steps[axis + 1 :]), self.side)

    def moved(self, pixels: int) -> "Sight":
        return self._replace(first=self.first + pixels, last=self.last + pixels)


def _parts(step: Step, units: int) -> tuple[tuple[int, int | None], ...]:
    return step if isinstance(step, tuple) else ((units, step),)


def together(sights: Sequence[Sight], shape: Sequence[int]) -> Sight:
    """What units see that read several tensors of one shape.

    With something global all is global. Where views move differently, places are lost.
    """
    steps = [{sight.steps[k] for sight in sights} for k in range(len(shape))]
    apart = [k for k, n in enumerate(shape) if n > 1 and len(steps[k]) > 1]
    wide = [sight.over(apart, shape, None) for sight in sights]
    first, last = min(sight.first for sight in wide), max(sight.last for sight in wide)
    same = [None if k in apart else max(each, key=bool) for k, each in enumerate(steps)]
    result = Sight(first, last, tuple(same), sights[0].side)
    if apart:
        first, last, nowhere, side = result.over(range(len(shape)), shape)
        first, last = max(0, first), min(side - 1, last)
        for sight in sights:
            if not any(sight.steps) and sight.first <= first <= last <= sight.last:
                return Sight(first, last, nowhere, side)
    return result


def fields_of(sights: Sequence[Sight] | None, shape: Sequence[int]) -> tuple[Field, ...] | None:
    """Of maps, whose last axes are those of the picture, with all channels of a place together.

    Of a vector all units together. None where that is not known.
    """
    if not sights:
        return None
    fields = []
    for axis, sight in enumerate(sights):
        step: Step
        step, others, units = 0, list(sight.steps), 0
        if len(shape) <= 2:
            sight, others = sight.over(range(1, len(shape)), shape), others[:1]
        elif len(shape) >= len(sights) + 2:
            place = len(shape) - len(sights) + axis
            step, units = others.pop(place), shape[place]
        # Channels that were put side by side may have lost what each of them sees.
        channels = {0, None} if step or units == 1 else {0}
        if not isinstance(step, int) or {*others[:1]} - {0} or {*others[1:]} - channels:
            return None
        first, last = sight.first, sight.last
        if step == 0 and units != 1 and len(shape) > 2:  # the same for all units of a map
            first, last = max(0, first), min(sight.side - 1, last)
        fields.append(Field(first, last, step))
    return tuple(fields)


def through_view(sight: Sight, whole: Tensor, view: Tensor) -> Sight | None:
    """Cut, turned, split or merged axes: what a unit sees follows from where it lies in memory."""
    parts = []  # of the whole's axes: numbers in memory from one unit to the next, units, pixels
    for n, stride, step in zip(whole.shape, whole.stride(), sight.steps):
        for units, pixels in reversed(_parts(step, n)):
            if units > 1 and stride:
                parts.append((stride, units, pixels))
            stride *= units
    parts.sort(key=lambda part: -part[0])

    def pixels_along(distance: int) -> int | None:
        pixels = 0
        for stride, _, step in parts:
            count, distance = divmod(distance, stride)
            if count and step is None:
                return None
            pixels += count * (step or 0)
        return pixels

    steps = []
    for n, stride in zip(view.shape, view.stride()):
        merged: list[tuple[int, int | None]] = []
        while n > 1 and stride:
            memory, units = next(((m, u) for m, u, _ in parts if m <= stride), (stride, 1))
            run = min(n, (units - 1) * memory // stride + 1)
            if run == 1 or n % run:
                return None
            merged.insert(0, (run, pixels_along(stride)))
            n, stride = n // run, stride * run
        steps.append(_merged(merged))
    corner = pixels_along(int(view.storage_offset() - whole.storage_offset()))
    return sight._replace(steps=tuple(steps)).moved(corner or 0)


def _merged(parts: list[tuple[int, int | None]]) -> Step:
    """In its shortest form: parts that run on evenly are one."""
    short: list[tuple[int, int | None]] = []
    for units, pixels in parts:
        if short and short[-1][1] == (pixels and units * pixels):
            units *= short.pop()[0]
        short.append((units, pixels))
    return tuple(short) if len(short) > 1 else short[0][1] if short else 0


def through_write(sight: Sight, view: Tensor, old: Sight | None, whole: Tensor) -> Sight | None:
    """What the whole sees after a view of it was written; None if that is not simple."""
    axes = {stride: (n, step) for n, stride, step in zip(view.shape, view.stride(), sight.steps)
            if n > 1}  # fmt: skip
    found = [axes.get(stride, (1, 0)) for stride in whole.stride()]
    new = sight._replace(steps=tuple(step for _, step in found))
    if (seen := through_view(new, whole, view)) is None:
        return None
    new = new.moved(sight.first - seen.first)
    if through_view(new, whole, view) != sight:
        return None
    cut = [k for k, (n, _) in enumerate(found) if n < whole.shape[k]]
    if old is None or not cut or new == old:
        return new
    if any(new.steps[k] or old.steps[k] for k in cut):  # pieces that are put side by side
        return None
    return together([new, old], whole.shape)
