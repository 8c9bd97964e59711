"""One picture that every reader has: a ship, drawn by code."""

import numpy as np
import torch
from torch import Tensor

# The parts from back to front: a colour (red, green, blue) and the corners (x, y) of a convex form,
# clockwise, in hundredths of the picture's side, counted from its upper left corner.
SKY, SEA = (176, 206, 232), (52, 92, 132)
PARTS = (
    ((28, 34, 46), ((8, 56), (94, 56), (84, 74), (17, 74))),  # the hull
    ((140, 40, 36), ((15, 70), (86, 70), (84, 74), (17, 74))),  # the red of its bottom
    ((238, 238, 232), ((22, 44), (58, 44), (58, 56), (22, 56))),  # the cabin
    ((60, 70, 84), ((27, 47), (53, 47), (53, 50), (27, 50))),  # its windows
    ((200, 60, 44), ((40, 28), (50, 28), (50, 44), (40, 44))),  # the funnel
    ((30, 30, 34), ((40, 28), (50, 28), (50, 32), (40, 32))),  # its black top
    ((70, 60, 50), ((74, 22), (76, 22), (76, 56), (74, 56))),  # the mast
)
FINE = 4  # points a pixel in each direction, for smooth edges


def ship(size: int = 32) -> Tensor:
    """A ship at sea, uint8 (3, size, size): a dark hull under a light sky, cabin, funnel and mast.

    The same at every call and on every machine. Raises ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1; got {size}")
    y, x = (np.mgrid[: FINE * size, : FINE * size] + 0.5) * 100 / (FINE * size)
    picture = np.where(y[..., None] < 68, SKY, SEA) + 0.25 * (50 - y[..., None])
    for colour, corners in PARTS:
        inside = np.full(x.shape, True)
        for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1]):
            inside &= (x2 - x1) * (y - y1) >= (y2 - y1) * (x - x1)
        picture[inside] = colour
    fine = picture.reshape(size, FINE, size, FINE, 3).mean(axis=(1, 3))
    return torch.from_numpy(fine.round().clip(0, 255).astype(np.uint8)).permute(2, 0, 1)
