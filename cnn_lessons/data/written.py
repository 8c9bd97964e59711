"""Digits as if written by hand, drawn by code: what LeNet-5 was made to read."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cnn_lessons.data.batches import Split

Stroke = Sequence[tuple[float, float]]

# Ways of writing each digit: strokes of a pen, each through points (x, y) in hundredths of the box
# around the digit, counted from its upper left corner. The pen rounds the corners off.
_OVAL = (50, 0), (8, 15), (0, 50), (10, 88), (50, 100), (90, 86), (100, 50), (90, 12), (50, 0)
WAYS: tuple[tuple[Sequence[Stroke], ...], ...] = (
    ([_OVAL],),
    ([[(50, 0), (50, 50), (50, 100)]], [[(30, 22), (55, 0), (55, 50), (55, 100)]]),
    (
        [[(5, 22), (20, 2), (70, 0), (92, 25), (65, 58), (5, 100), (5, 100), (98, 100)]],
        [
            [(8, 20), (45, 0), (90, 18), (70, 55), (30, 90), (8, 92), (12, 76), (40, 82), (98, 94)]
        ],
    ),
    (
        [[(8, 12), (50, 0), (90, 14), (85, 40), (42, 48), (42, 48), (92, 58), (60, 100), (4, 86)]],
        [[(10, 0), (90, 0), (90, 0), (48, 42), (48, 42), (95, 55), (90, 92), (45, 100), (4, 88)]],
    ),
    (
        [[(28, 0), (4, 60), (4, 60), (98, 60)], [(72, 25), (70, 100)]],
        [[(68, 100), (70, 0), (70, 0), (2, 66), (2, 66), (98, 66)]],
    ),
    (
        [[(88, 0), (18, 2), (18, 2), (10, 44), (10, 44), (65, 38), (98, 68), (65, 98), (4, 92)]],
        [[(20, 4), (14, 46), (60, 40), (94, 66), (66, 98), (6, 94)], [(20, 4), (90, 2)]],
    ),
    ([[(78, 0), (25, 30), (4, 72), (30, 100), (80, 96), (92, 70), (60, 50), (12, 66)]],),
    (
        [[(4, 2), (96, 0), (96, 0), (50, 45), (34, 100)]],
        [[(4, 2), (96, 0), (96, 0), (50, 45), (34, 100)], [(22, 52), (82, 50)]],
    ),
    (
        [[(85, 12), (40, 0), (12, 20), (85, 70), (70, 98), (25, 98), (12, 72), (88, 22), (85, 12)]],
        [[(50, 0), (18, 10), (18, 38), (50, 46), (82, 38), (82, 10), (50, 0)],
         [(50, 46), (8, 58), (8, 92), (50, 100), (92, 92), (92, 58), (50, 46)]],
    ),
    ([[(92, 28), (60, 2), (14, 12), (10, 42), (50, 52), (90, 30), (94, 10), (84, 60), (66, 100)]],),
)  # fmt: skip
SIZE, BOX, MARGIN = 28, 20, 2  # pixels: as MNIST's pictures, the digit in them, LeNet-5's margin


def digits(count: int = 10, seed: int = 0) -> Split:
    """Digits 0 to 9 in turn, each written another way: uint8 (count, 1, 32, 32), ink is 255.

    As in MNIST, the digit fits into 20x20 pixels of 28x28, its centre of mass in the middle; a
    margin of 2 pixels makes 32x32, as for LeNet-5 (section III.A of doi:10.1109/5.726791). They
    are no MNIST, and easier. The same seed gives the same pictures. Raises ValueError for a count
    below 1 or a seed below 0.
    """
    if count < 1 or seed < 0:
        raise ValueError(f"needs count >= 1 and seed >= 0; got {count}, {seed}")
    rng = np.random.default_rng(seed)
    labels = torch.arange(count) % 10
    pictures = [_written(WAYS[label], rng) for label in labels.tolist()]
    return Split(torch.stack(pictures), labels)


def write_digit(strokes: Sequence[Stroke], thickness: float = 2.0) -> Tensor:
    """A digit of one's own, as those of `digits`: uint8 (1, 32, 32), in the middle, ink is 255.

    strokes: each a list of two or more points (x, y), in any unit, y downwards; thickness of the
    pen in pixels. Raises ValueError for anything else.
    """
    lines = [np.array(stroke, dtype=float) for stroke in strokes]
    if not lines or any(line.ndim != 2 or line.shape[1] != 2 or len(line) < 2 for line in lines):
        raise ValueError(f"strokes must be lists of two or more points (x, y); got {strokes!r}")
    points = np.concatenate(lines)
    if not np.isfinite(points).all() or not 0 < thickness <= BOX:
        raise ValueError(
            f"points must be finite, thickness in 0..{BOX}; got {thickness}, {strokes}"
        )
    low, extent = points.min(axis=0), np.ptp(points, axis=0).max() or 1.0
    lines = [_smooth((line - low) * BOX / extent) for line in lines]
    pieces = np.concatenate([np.diff(line, axis=0) for line in lines])
    middles = np.concatenate([(line[1:] + line[:-1]) / 2 for line in lines])
    mass = np.hypot(*pieces.T) + 1e-6  # ink is as long as the line
    move = (SIZE - 1) / 2 - np.average(middles, axis=0, weights=mass)
    ink = _ink([line + move for line in lines], thickness)
    return torch.from_numpy(np.pad((255 * ink).astype(np.uint8), MARGIN)[None])


def _written(ways: Sequence[Sequence[Stroke]], rng: np.random.Generator) -> Tensor:
    """One of the ways, by an unsteady hand: slanted, turned, narrow or wide, thin or thick."""
    turn, slant = rng.normal(0, 0.12), rng.normal(0, 0.2)
    slanted = np.array([[rng.uniform(0.4, 0.85), slant], [0, 1]])
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    strokes = ways[int(rng.integers(len(ways)))]
    moved = [np.array(stroke) + rng.normal(0, 5, (len(stroke), 2)) for stroke in strokes]
    return write_digit([points @ (turned @ slanted).T for points in moved], rng.uniform(1.5, 3.5))


def _smooth(line: np.ndarray) -> np.ndarray:
    """Cuts the corners of a line, twice (Chaikin's way); its ends stay."""
    for _ in range(2):
        a, b = line[:-1], line[1:]
        cut = np.stack((0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b), axis=1).reshape(-1, 2)
        line = np.concatenate((line[:1], cut, line[-1:]))
    return line


def _ink(lines: list[np.ndarray], thickness: float) -> np.ndarray:
    """How much of each pixel is covered, 0 to 1: by its distance to the nearest piece of a line."""
    start = np.concatenate([line[:-1] for line in lines]).astype(np.float32)[:, :, None, None]
    end = np.concatenate([line[1:] for line in lines]).astype(np.float32)[:, :, None, None]
    way, offset = end - start, np.mgrid[:SIZE, :SIZE][::-1].astype(np.float32) - start
    length = np.maximum((way**2).sum(axis=1), 1e-9)
    along = ((offset * way).sum(axis=1) / length).clip(0, 1)
    distance = np.hypot(*np.moveaxis(offset - along[:, None] * way, 1, 0)).min(axis=0)
    return (0.5 + thickness / 2 - distance).clip(0, 1)
