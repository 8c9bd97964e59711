"""Drawings as text (SVG): crisp at every size, and made in far less than a frame.

Lengths are in pixels of the screen. A function returns an element as a string.
"""

import base64
import io
from html import escape

import numpy as np
from PIL import Image
from torch import Tensor


def drawing(width: float, height: float, label: str, *shapes: str) -> str:
    """The shapes on a white ground, for light and dark themes alike.

    `label` is what a screen reader says of them.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'width="{width:g}" viewBox="0 0 {width:g} {height:g}" style="max-width: 100%" '
        f'font-family="sans-serif" font-size="13">'
        f"{rect(0, 0, width, height, 'white', 'none')}{''.join(shapes)}</svg>"
    )


def rect(
    x: float, y: float, width: float, height: float, fill: str = "none", stroke: str = "black",
    line: float = 1, more: str = "",
) -> str:  # fmt: skip
    """A rectangle; `more` takes further attributes."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="{line:g}" {more}/>'
    )


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Black words; `anchor` says which part of them is at x: start, middle or end."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="black">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, words: str, fill: str) -> str:
    """A rectangle with words in its middle."""
    return rect(x, y, width, height, fill) + text(
        x + width / 2, y + height / 2 + 5, words, "middle"
    )


def legend(x: float, y: float, apart: float, fills: dict[str, str]) -> str:
    """Squares with their words, so far from each other."""
    return "".join(
        rect(x + k * apart, y, 14, 14, fill) + text(x + k * apart + 20, y + 12, words)
        for k, (words, fill) in enumerate(fills.items())
    )


def path(steps: str, stroke: str = "black", line: float = 1, more: str = "") -> str:
    """A line along SVG's own steps, such as "M0 0h10v5"."""
    return f'<path d="{steps}" fill="none" stroke="{stroke}" stroke-width="{line:g}" {more}/>'


def dot(x: float, y: float, fill: str, radius: float = 4) -> str:
    """A round mark with a black line round it."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}" stroke="black"/>'


def grid(x: float, y: float, rows: int, columns: int, cell: float) -> str:
    """The lines between square cells; cells too small to be told apart have none."""
    if cell < 5:
        return ""
    across = "".join(f"M{x:g} {y + k * cell:g}h{columns * cell:g}" for k in range(rows + 1))
    down = "".join(f"M{x + k * cell:g} {y:g}v{rows * cell:g}" for k in range(columns + 1))
    return path(across + down, "#8C8C8C", 0.6)


def picture(array: np.ndarray) -> str:
    """Pixels, uint8 (height, width, 3), as squares of one unit that are not blurred."""
    height, width, _ = array.shape
    size = f'width="{width}" height="{height}" style="image-rendering: pixelated"'
    return f'<image {size} href="{png(array)}"/>'


def pixels(image: Tensor) -> np.ndarray:
    """A picture, uint8 (1 or 3, H, W), as (H, W, 3)."""
    return image.cpu().expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()


def png(array: np.ndarray) -> str:
    """The address of a PNG, quickly made."""
    return address(array, "png", compress_level=1)


def address(array: np.ndarray, kind: str, **settings: object) -> str:
    """Pixels, uint8 (height, width, 3) or (height, width), as an address that holds them itself."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **settings)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
