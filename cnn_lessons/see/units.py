"""How one number of a step came about, as a sentence with all the numbers that matter filled in."""

from collections.abc import Callable, Iterable, Sequence
from math import ceil, floor, isnan, log10, prod

import numpy as np
from torch import Tensor, nn

from cnn_lessons.shapes import Record, Row
from cnn_lessons.shapes.rows import times
from cnn_lessons.table import tidy

MOST_TERMS, MOST_SEEN = 6, 9  # how many are told one by one, of a sum and of what a pool sees

Place = tuple[int, ...]


def as_maps(output: Tensor) -> Tensor:
    """Whatever a step gave for one picture, as float maps (number, height, width)."""
    numbers = _first(output)
    if numbers.dim() < 2 or not numbers.numel():
        return numbers.reshape(-1, 1, 1)
    return numbers[None].flatten(0, -3)


def _first(output: Tensor) -> Tensor:
    """The numbers of the first picture; of complex ones their size."""
    output = (output.abs() if output.is_complex() else output).float()
    return output[0] if output.dim() and len(output) else output


def layer_of(model: nn.Module, row: Row) -> nn.Module | None:
    """The layer that a row is a call of; None for a function between layers."""
    name = row.name.split(" (")[0]
    try:
        return model.get_submodule(name)
    except AttributeError:
        return model if name == type(model).__name__ else None


def weights_of(layer: nn.Module | None) -> Tensor | None:
    """The kernels of a convolution (maps made, maps read, ...), on the CPU; None of other steps."""
    weight = getattr(layer, "kernel", getattr(layer, "weight", None))
    # A transposed convolution has its weights the other way round: by the maps that it reads.
    if not isinstance(weight, Tensor) or weight.dim() < 3 or getattr(layer, "transposed", False):
        return None
    return weight.detach().cpu()


@np.errstate(invalid="ignore", over="ignore")
def unit_words(
    recorded: Record,
    number: int,
    unit: tuple[int, ...],
    model: nn.Module | None = None,
    image: Tensor | None = None,
    names: Sequence[str] = (),
) -> str:
    """Which unit (map, row, column) of a step this is, its value, and what made it.

    `recorded` holds outputs, `image` (1, C, H, W) is what the network read, `names` are those of
    the numbers of a vector. What made it is told where a layer or a window does, and only if it
    gives the network's own number.
    """
    row, output = recorded[number], recorded.outputs[number]
    maps = as_maps(output)
    value = maps[unit].item()
    shape = tuple(_first(output).shape)
    place = tuple(map(int, np.unravel_index(int(np.ravel_multi_index(unit, maps.shape)), shape)))
    given = [image if s == -1 else recorded.outputs[s] if s >= 0 else None for s in row.sources]
    read = [_first(tensor).numpy() for tensor in given if tensor is not None]
    told = ""
    if len(read) == len(given):
        rules = (_convolved, _weighted, _pooled, _carried)
        layer = None if model is None else layer_of(model, row)
        tries = (_tried(rule, row, layer, read, place, value) for rule in rules)
        told = next(filter(None, tries), "")
    where = f"Map {unit[0]}, row {unit[1]}, column {unit[2]}"
    if maps.shape[1:] == (1, 1):
        name = f" ({tidy(names[unit[0]], 30)})" if unit[0] < len(names) else ""
        where = f"Number {unit[0]}{name}" if len(place) < 2 else f"Map {unit[0]}{name}"
    return f"{where}: {told or _digits(value)}"


# --- one rule for each kind of step: what it tells, or "" where it does not apply ---------------


def _tried(rule: Callable[..., str], *about: object) -> str:
    """Where shapes are none that a rule expects, as in a mean over all maps, it does not apply."""
    try:
        return rule(*about)
    except (IndexError, ValueError):
        return ""


def _convolved(row: Row, layer: nn.Module | None, read: list, place: Place, value: float) -> str:
    """The products of window and kernel, summed for each map that is read."""
    weight = weights_of(layer)
    if weight is None or not row.window or weight.dim() != read[0].ndim + 1:
        return ""
    kernels, each = weight.float().numpy(), weight.shape[1]
    first = place[0] // max(1, len(kernels) // row.groups) * each
    taps, pixels = zip(*_under(row, read[0].shape[1:], place[1:]))
    seen = read[0][(slice(first, first + each), *np.ix_(*pixels))]
    products = seen * kernels[place[0]][(slice(None), *np.ix_(*taps))].astype(float)
    sums = products.reshape(each, -1).sum(axis=1)
    bias, size = _bias(layer, place[0]), np.abs(products).sum()
    text = _added(sums, lambda k: f"map {first + k}", bias, value, size)
    return text and f"{times(row.window.kernel)} window times kernel, added up for each map: {text}"


def _weighted(row: Row, layer: nn.Module | None, read: list, place: Place, value: float) -> str:
    """The weighted sum of a linear layer."""
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2 or len(place) != read[0].ndim:
        return ""
    weights, numbers = weight.detach().cpu().float().numpy()[place[-1]], read[0][place[:-1]]
    if weights.shape != numbers.shape:
        return ""
    products = weights.astype(float) * numbers
    text = _added(
        products,
        lambda k: f"number {k}: {_digits(numbers[k])}·{_digits(weights[k])}",
        _bias(layer, place[-1]),
        value,
        np.abs(products).sum(),
    )
    return text and f"each number that it reads times its weight: {text}"


def _pooled(row: Row, layer: nn.Module | None, read: list, place: Place, value: float) -> str:
    """The largest number of a window or their mean; or their sum, times a weight, plus a bias."""
    if not (row.is_pool or "mean" in row.kind.lower()) or read[0].ndim < 2:
        return ""
    sides = read[0].shape[1:]
    _, pixels = zip(*_under(row, sides, place[1:] or (0,) * len(sides)))
    numbers = [float(n) for n in read[0][place[0]][np.ix_(*pixels)].flat]
    if not numbers:
        return ""
    size = sum(map(abs, numbers))
    write, few = _written([*numbers, value]), len(numbers) <= MOST_SEEN
    if "max" in row.kind.lower():
        among = ", ".join(map(write, numbers)) if few else _range(numbers, write)
        same = _agree(np.max(numbers), value)
        return f"the largest of {among} is {write(value)}" if same else ""
    total = f"({_sum(map(write, numbers))})" if few else f"the sum of {_range(numbers, write)}"
    weight = getattr(layer, "weight", None)
    if isinstance(weight, Tensor):
        factor, bias = weight.flatten()[place[0]].item(), _bias(layer, place[0])
        if not _agree(factor * sum(numbers) + bias, value, size):
            return ""
        return f"{total} · {_sum([_digits(factor), write(bias)])} = {write(value)}"
    for divisor in (len(numbers), prod(row.window.kernel) if row.window else len(numbers)):
        if _agree(sum(numbers) / divisor, value, size):
            return f"{total} / {divisor} = {write(value)}"
    return ""


def _carried(row: Row, layer: nn.Module | None, read: list, place: Place, value: float) -> str:
    """What stands at the same place of all inputs, or of the one that this part was joined from."""
    if row.window:
        return ""
    if all(numbers.shape == row.output[1:] for numbers in read):
        numbers = [float(each[place]) for each in read]
        write = _written([*numbers, value])
        size = sum(map(abs, numbers))
        if row.kind == "add" and len(read) > 1 and _agree(sum(numbers), value, size):
            return f"{_sum(map(write, numbers))} = {write(value)}"
        return f"{' and '.join(map(write, numbers))} at this place became {write(value)}"
    channel = place[0] if place else 0
    for source, numbers in zip(row.sources, read):
        if row.kind == "cat" and channel < len(numbers):
            write = _written([value])
            origin = f"map {channel} of step {source}" if source >= 0 else f"map {channel}"
            same = _agree(float(numbers[(channel, *place[1:])]), value)
            return f"{write(value)}, copied from {origin}" if same else ""
        channel -= len(numbers)
    return ""


def _under(row: Row, sides: Place, place: Place) -> Iterable[tuple[list[int], list[int]]]:
    """Of the window over a unit, for each axis: taps of the kernel that meet a pixel, and these.

    Without a window, pixels are shared out among the units in equal parts.
    """
    if row.window:
        for at, side, (size, stride, padding, dilation) in zip(place, sides, zip(*row.window)):
            first = at * stride - padding
            taps = [k for k in range(size) if 0 <= first + k * dilation < side]
            yield taps, [first + k * dilation for k in taps]
        return
    units = row.output[2:] or (1,) * len(sides)
    for at, side, count in zip(place, sides, units):
        part = range(floor(at * side / count), ceil((at + 1) * side / count))
        yield [*range(len(part))], [*part]


# --- sums in words ------------------------------------------------------------------------------


def _bias(layer: nn.Module | None, channel: int) -> float:
    bias = getattr(layer, "bias", None)
    return bias.detach().flatten()[channel].item() if isinstance(bias, Tensor) else 0.0


def _agree(found: float, value: float, size: float = 0) -> bool:
    """Whether both are the same number, up to the rounding of a sum of terms of this size."""
    if isnan(found) or isnan(value):
        return isnan(found) and isnan(value)
    return found == value or abs(found - value) <= 1e-4 * (size + abs(value))


def _added(
    terms: np.ndarray, name: Callable[[int], str], bias: float, value: float, size: float
) -> str:
    """The terms with their names, the largest ones if they are many, the bias and the result."""
    if not _agree(float(terms.sum()) + bias, value, size + abs(bias)):
        return ""
    told, rest = range(len(terms)), np.array(())
    if len(terms) > MOST_TERMS + 1:  # NaN is sorted to the end
        by_size = np.argsort(np.abs(terms))[::-1]
        told, rest = by_size[:MOST_TERMS], terms[by_size[MOST_TERMS:]]
    shown = [(terms[k], name(k)) for k in told]
    shown += [(rest.sum(), f"the other {len(rest):,} together")] if len(rest) else []
    shown += [(bias, "bias")] if bias else []
    write = _written([*(number for number, _ in shown), value])
    return f"{_sum(f'{write(number)} ({name})' for number, name in shown)} = {write(value)}"


def _sum(parts: Iterable[str]) -> str:
    return " + ".join(parts).replace("+ −", "− ")


def _range(numbers: list[float], write: Callable[[float], str]) -> str:
    return f"{len(numbers):,} numbers from {write(np.min(numbers))} to {write(np.max(numbers))}"


def _written(numbers: Iterable[float]) -> Callable[[float], str]:
    """How to write these numbers with equally many decimals: three digits of the largest one."""
    largest = max((abs(n) for n in map(float, numbers) if np.isfinite(n)), default=0)
    decimals = 2 - floor(log10(largest)) if largest else 0
    pattern = f"{{:.{max(0, decimals)}f}}" if decimals <= 6 and largest < 1e6 else "{:.3g}"

    def write(number: float) -> str:
        rounded = pattern.format(float(number))
        sign = "−" if rounded.startswith("-") and rounded.strip("-0.") else ""
        return sign + rounded.lstrip("-").replace("e-", "e−")

    return write


def _digits(number: float) -> str:
    """One number by itself."""
    return _written([number])(number)
