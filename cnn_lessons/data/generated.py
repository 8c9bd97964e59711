"""Generated pictures of ten simple forms, for where CIFAR-10 cannot be had."""

import numpy as np
import torch

from cnn_lessons.data.batches import Dataset, Split, with_validation

# Each form is a function of coordinates x, y that gives the signed distance to its outline,
# negative inside. No turn makes one of them another.


def _box(x, y, width, height):
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _polygon(x, y, corners, tip, notch):
    """A star: tips at radius `tip`, notches at radius `notch` between them; straight sides."""
    angle = np.abs((np.arctan2(y, x) % (2 * np.pi / corners)) - np.pi / corners)
    radius, half = np.hypot(x, y), np.pi / corners
    ends = np.array([notch, 0.0]), np.array([tip * np.cos(half), tip * np.sin(half)])
    side = (ends[1] - ends[0]) / np.hypot(*(ends[1] - ends[0]))
    return (radius * np.cos(angle) - notch) * side[1] - radius * np.sin(angle) * side[0]


FORMS = {
    "disc": lambda x, y: np.hypot(x, y) - 0.85,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.2,
    "half disc": lambda x, y: np.maximum(np.hypot(x, y + 0.4) - 1, -y - 0.4),
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 0.95, 0.8 - np.hypot(x - 0.5, y)),
    "triangle": lambda x, y: _polygon(x, y, 3, 1.05, 0.525),
    "square": lambda x, y: _box(x, y, 0.75, 0.75),
    "bar": lambda x, y: _box(x, y, 1.05, 0.25),
    "cross": lambda x, y: np.minimum(_box(x, y, 0.95, 0.25), _box(x, y, 0.25, 0.95)),
    "corner": lambda x, y: np.minimum(_box(x + 0.6, y, 0.25, 0.85), _box(x, y + 0.6, 0.85, 0.25)),
    "star": lambda x, y: _polygon(x, y, 5, 1.1, 0.45),
}


def generate(train: int = 10_000, test: int = 2_000, seed: int = 0) -> Dataset:
    """Generated colour pictures of ten simple forms, for where CIFAR-10 cannot be had.

    Each form has a random place, size, turn and colour, over a background of random colour,
    gradient, blotches and grain; classes are equally frequent. `train` pictures are split 9:1 into
    training and validation. The same seed gives the same pictures.

    How hard it is: the article's LeNet-5 reaches 59 to 63 % on the 2,000 test pictures (3 seeds)
    after 8 epochs of the 9,000 training pictures, without augmentation: SGD with Nesterov momentum
    0.9, weight decay 5e-4, batches of 128, rate rising to 0.05 and falling again. Chance is 10 %.
    """
    if train < 10 or test < 1 or seed < 0:
        raise ValueError(f"needs train >= 10, test >= 1, seed >= 0; got {train}, {test}, {seed}")
    return with_validation(
        "generated pictures (not CIFAR-10)",
        _draw(train, np.random.default_rng([seed, 0])),
        _draw(test, np.random.default_rng([seed, 1])),
        tuple(FORMS),
        f"cnn_lessons.data.generate, seed {seed}",
    )


def _draw(count: int, rng: np.random.Generator) -> Split:
    labels = rng.permutation(np.arange(count) % len(FORMS))
    images = np.empty((count, 3, 32, 32), np.uint8)
    for start in range(0, count, 1_000):  # so that the floats of all pictures never exist at once
        part = slice(start, start + 1_000)
        cover = _cover(labels[part], rng)[:, None]
        ground, ink = _ground_and_ink(len(cover), rng)
        picture = ground + cover * (ink - ground)
        picture += GRAIN * rng.standard_normal(picture.shape, dtype=np.float32)
        images[part] = (255 * picture).clip(0, 255).astype(np.uint8)
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


SIZES = (5.0, 12.0)  # half the width of a form, in pixels
CONTRAST = (0.25, 0.6)  # between form and ground, in each channel, of 1
BLOTCHES, SLOPE, GRAIN = 0.12, 0.15, 0.06  # strengths of the disturbances, of 1


def _cover(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel its form covers, 0 to 1: float32 (N, 32, 32), edges smoothed."""
    size, turn, x0, y0 = rng.random((4, len(labels), 1, 1), dtype=np.float32)
    size = SIZES[0] + size * (SIZES[1] - SIZES[0])
    x0, y0 = ((31 - 2 * size) * place + size for place in (x0, y0))
    y, x = np.mgrid[:32, :32].astype(np.float32)
    x, y = (x - x0) / size, (y - y0) / size
    sin, cos = np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)
    x, y = cos * x - sin * y, sin * x + cos * y
    distance = np.empty_like(x)
    for label, outline in enumerate(FORMS.values()):
        mine = labels == label
        distance[mine] = outline(x[mine], y[mine])
    return (0.5 - distance * size).clip(0, 1)


def _ground_and_ink(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Backgrounds (N, 3, 32, 32), and for each a form's colour (N, 3, 1, 1) that stands out."""
    colour = rng.random((count, 3, 1, 1), dtype=np.float32)
    step = rng.uniform(*CONTRAST, (count, 3, 1, 1)).astype(np.float32)
    ink = colour + np.where(colour > 0.5, -step, step)
    along = np.linspace(-1, 1, 32, dtype=np.float32)
    slope = SLOPE * rng.standard_normal((2, count, 3, 1, 1), dtype=np.float32)
    # Blotches: 5 x 5 random numbers, drawn out to 32 x 32 by linear interpolation.
    stretch = np.maximum(0, 1 - np.abs(np.linspace(0, 4, 32)[:, None] - np.arange(5)))
    blotches = rng.standard_normal((count, 3, 5, 5), dtype=np.float32)
    stretch = stretch.astype(np.float32)
    texture = stretch @ blotches @ stretch.T * BLOTCHES
    return colour + texture + slope[0] * along + slope[1] * along[:, None], ink
