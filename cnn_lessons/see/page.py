"""A stepper as one file: a page that needs no kernel, no network and no installation.

    save_page("my_network.html", model, images, class_names=CLASS_NAMES)

The page is `page.html`, beside this file; what is shown comes from `steps.Step`, as in a notebook.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.files import write_whole
from cnn_lessons.see import colours
from cnn_lessons.see.steps import Step, branch_lines, checked, followed, given, shape_of, tiled
from cnn_lessons.see.svg import address, pixels
from cnn_lessons.see.units import as_maps, layer_of, weights_of
from cnn_lessons.shapes import Record, Row

TEMPLATE = Path(__file__).with_name("page.html")
LEVELS = 42  # shades on each side of 0 that are kept of a map: all 127 would double the file
# How much of each step is kept, from all to little: maps, pixels a side. The first that fits is it.
KEPT = ((4096, 4096), (256, 112), (64, 56), (32, 56), (16, 48), (8, 32), (4, 24))
PICTURE = 224  # pixels a side that a large picture is made smaller to


def save_page(
    path: str | Path,
    model: nn.Module,
    images: Tensor,
    pictures: Tensor | None = None,
    labels: Sequence[str] = (),
    class_names: Sequence[str] = (),
    forward: Callable | None = None,
    title: str = "",
    megabytes: float = 10,
) -> Path:
    """Write the page that steps through `model` with `images`; all of it is in this one file.

    `images` (N, C, H, W) are what the network reads, `pictures` uint8 (N, C, H, W) the same to look
    at, `labels` their names. Maps are kept with 85 shades between the largest value of a step and
    its negative. Where that is more than `megabytes`, fewer and smaller maps are kept, and the page
    says so. Raises what `Stepper` raises.
    """
    images, pictures = checked(images, pictures)
    records = [followed(model, one[None], forward) for one in images]
    steps = [
        _step(records, number, model, class_names, images) | {"branch": branch}
        for number, branch in enumerate(branch_lines(records[0]))
    ]
    about = {
        "title": title or type(model).__name__,
        "size": list(images.shape[2:]),
        "pictures": [_small(picture) for picture in pictures],
        "labels": [str(label) for label in labels] or [f"picture {k}" for k in range(len(images))],
        "colours": {"maps": _scale(colours.ACTIVATIONS), "kernels": _scale(colours.WEIGHTS)},
        "totals": {"parameters": records[0].parameters, "macs": records[0].macs},
    }
    limit, encoded, page = megabytes * 1_000_000, {}, b""
    for kept in KEPT:
        sheets = _Sheets(encoded, inf if kept == KEPT[-1] else limit)
        with suppress(_TooLarge):
            page = _filled(about | _with_maps(steps, records, model, kept, sheets))
            if len(page) <= limit:
                break
    write_whole(path, page)
    return Path(path)


def _with_maps(
    steps: list[dict], records: list[Record], model: nn.Module, kept: tuple[int, int], sheets
) -> dict:
    """The steps with their maps and kernels, all sheets, and what was left out of them."""
    left_out: list[str] = []
    with_maps = [
        shown
        | _maps(records, number, *kept, sheets, left_out)
        | {"kernel": _kernel(model, records[0][number], sheets)}
        for number, shown in enumerate(steps)
    ]
    addresses = [sheets.encoded[key] for key in sheets.numbers]
    return {"steps": with_maps, "left_out": left_out, "sheets": addresses}


def _scale(name: str) -> list[list[int]]:
    """The colour of each shade that is kept, from the lowest to the highest."""
    return colormaps[name](np.linspace(0, 1, 2 * LEVELS + 1), bytes=True)[:, :3].tolist()


def _filled(about: dict) -> bytes:
    """The template with the data; `<` is written as \\u003c, so no name can end the script."""
    data = json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return TEMPLATE.read_text(encoding="utf-8").replace("__DATA__", data).encode()


def _step(
    records: list[Record], number: int, model: nn.Module, class_names: Sequence[str], images: Tensor
) -> dict:
    """The words and numbers of a step: what does not depend on how many maps are kept."""
    first, row = records[0], records[0][number]
    shown = [
        Step(each, number, model, None, None, class_names, image[None])
        for each, image in zip(records, images.cpu())
    ]
    names = [name for k, name in enumerate(shown[0].names) if name != str(k)]
    return {
        "name": row.name, "kind": row.kind, "output": shape_of(row), "names": names,
        "facts": shown[0].facts, "given": given(first, number),
        "masked": given(first, number, range(number)),
        "sources": row.sources, "example": [each.value for each in shown],
        "field": row.field if row.field and len(row.field) == 2 else None,
        "grid": list(row.output[-2:]) if len(row.output) >= 4 else [1, 1],
        "scores": [[[n, round(z, 3), round(p, 4)] for n, z, p in each.scores] for each in shown],
    }  # fmt: skip


class _TooLarge(Exception):
    """The sheets so far are more than may be kept."""


class _Sheets:
    """The grey pictures of the page, each kept once: a step that gives on what it got adds none.

    `encoded` has those of other tries, by what they show. Raises _TooLarge beyond `limit` bytes.
    """

    def __init__(self, encoded: dict[bytes, str], limit: float):
        self.encoded, self.room = encoded, limit
        self.numbers: dict[bytes, int] = {}

    def add(self, maps: Tensor) -> dict:
        """Maps (n, height, width) side by side in shades of grey; 128 is 0, and what it takes."""
        largest = float(maps.abs().nan_to_num(0, 0, 0).max()) or 1.0
        shades = (maps / largest * LEVELS).nan_to_num(0).clamp(-LEVELS, LEVELS).round() * 3 + 128
        count, height, width = maps.shape
        sheet = tiled(shades.to(torch.uint8).numpy(), ground=128)
        key = hashlib.sha256(sheet.tobytes() + str(sheet.shape).encode()).digest()
        if key not in self.numbers:
            if key not in self.encoded:
                # More effort than 20 of 100 takes three times as long, for 1 % less.
                self.encoded[key] = address(sheet, "webp", lossless=True, quality=20)
            self.numbers[key] = len(self.numbers)
            self.room -= len(self.encoded[key])
            if self.room < 0:
                raise _TooLarge
        size = {"count": count, "height": height, "width": width}
        size["columns"] = sheet.shape[1] // width
        return size | {"sheet": self.numbers[key], "largest": float(f"{largest:.4g}")}


def _maps(
    records: list[Record], number: int, most: int, side: int, sheets: _Sheets, left_out: list[str]
) -> dict:
    """The maps of a step for every picture, and a note where some were left out or made smaller."""
    found = []
    for each in records:
        maps = as_maps(each.outputs[number])
        count, height, width = maps.shape
        maps = maps[:most] if count else maps.new_zeros(1, 1, 1)
        if max(height, width) > side:
            maps = F.adaptive_avg_pool2d(maps[None], [min(side, height), min(side, width)])[0]
        found.append(sheets.add(maps))
    note = [] if count else ["one for none, the output is empty"]
    if len(maps) < count:
        note.append(f"the first {len(maps)} of {count:,} maps")
    if maps.shape[1:] != (height, width):
        note.append(f"averaged from {height}×{width} to {maps.shape[1]}×{maps.shape[2]}")
    if note:
        left_out.append(f"{records[0][number].name}: {', '.join(note)}")
    return {"maps": found, "note": ", ".join(note)}


def _kernel(model: nn.Module, row: Row, sheets: _Sheets) -> dict | None:
    """The kernels of a convolution: for each map the squares over the first maps that it reads."""
    weight = weights_of(layer_of(model, row))
    if weight is None or weight.dim() != 4 or max(weight.shape[2:]) < 2:
        return None
    weight = weight.float()[:64, :3]
    return sheets.add(weight.flatten(0, 1)) | {"reads": weight.shape[1]}


def _small(picture: Tensor) -> str:
    """The address of a picture, uint8 (1 or 3, H, W); large ones are made smaller."""
    image = Image.fromarray(pixels(picture))
    image.thumbnail((PICTURE, PICTURE))
    return address(np.asarray(image), "png" if max(image.size) <= 64 else "webp", quality=85)
