"""A picture of one's own, made as small as those of CIFAR-10."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor


def read_picture(path: str | Path, size: int = 32) -> Tensor:
    """A picture file as uint8 (3, size, size), as all pictures of the course: `Dataset.normalise`
    makes of it what a network reads.

    The largest square in its middle is made smaller by a bicubic filter that is as wide as the
    shrinking needs, so that fine patterns do not turn into false ones. A photograph is turned as
    its camera says; where it is transparent, it is white. Raises FileNotFoundError where there is
    no file, and ValueError for one that is no picture, and for a size below 1.
    """
    path = Path(path).expanduser()
    if size < 1:
        raise ValueError(f"size must be 1 or more; got {size}")
    if not path.exists():
        raise FileNotFoundError(f"path must be a picture file; there is none at {path.absolute()}")
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"path must be a picture such as PNG or JPEG; {path}: {error}") from error
    white = Image.new("RGBA", image.size, "white")
    small = ImageOps.fit(Image.alpha_composite(white, image).convert("RGB"), (size, size))
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).contiguous()
