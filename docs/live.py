"""The explorers of the lessons as pages that need no kernel: all their views are stored.

A view is what the explorer itself shows for these values of its controls. The page, `live.html`,
only picks one of them.
"""

import base64
import gzip
import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from html import escape
from itertools import takewhile
from pathlib import Path

import ipywidgets as W
from torch import nn

from cnn_lessons import data
from cnn_lessons.models.googlenet import TABLE_1
from cnn_lessons.see import explorers
from cnn_lessons.see.explorers import KERNELS, PLACES, Explorer, inception_rows
from cnn_lessons.shapes import Record, record

TEMPLATE = Path(__file__).with_name("live.html")
MOST = 10_000  # above all numbers that a page has
# How the lessons call their explorers, and the values that a page has of their controls where it
# has not all of them. A control without values is left out of the page.
CALLS: dict[str, dict[str, Sequence]] = {
    "explorers.Filtering(data.ship(32))": {
        "kernel": tuple(KERNELS), "row": range(1, 30, 2), "column": range(0, 30, 2),
        "divisor": (), "bias": (), **dict.fromkeys(PLACES, ()),
    },
    "explorers.ConvolutionArithmetic(input=8, kernel=3, stride=2, padding=1)": {
        "input": (5, 6, 7, 8), "kernel": (1, 2, 3, 4, 5), "stride": (1, 2, 3),
        "padding": (0, 1, 2), "dilation": (),
    },
    "explorers.Pooling()": {},
    "explorers.ReceptiveField(table, drawn)": {},
    "explorers.Groups()": {},
    "explorers.ConvolutionArithmetic(input=227, kernel=11, stride=4)": {
        "input": (224, 227), "kernel": (3, 7, 11), "stride": (1, 2, 4), "padding": (0, 1, 2, 3),
        "dilation": (), "position": (0, 1, 2, 54, 55, 1512, 3024),
    },
    "explorers.VGGColumns()": {},
    'explorers.InceptionCost("4e")': {
        "row": tuple(TABLE_1), **dict.fromkeys(list(inception_rows()["3a"]), ()),
    },
    "explorers.ShortcutSwitch(depth=44)": {},
    "explorers.Budget()": {
        "width1": (8, 16, 32), "width2": (32, 64), "width3": (64, 128),
        "blocks1": (1, 3), "blocks2": (1, 3), "blocks3": (1, 3),
    },
}  # fmt: skip


def name_of(call: str) -> str:
    """The name of an explorer's page: "ConvolutionArithmetic-input-8-kernel-3" and so on."""
    return "-".join(re.findall(r"\w+", call)[1:])


def call_in(cell: dict) -> str:
    """The call of CALLS in a lesson's cell, or nothing."""
    lines = "".join(cell["source"]).splitlines()
    return next((call for call in CALLS for line in lines if line.startswith(call)), "")


def small() -> Record:
    """The record of lesson 00's small network, whose numbers do not depend on its weights."""
    layers = OrderedDict(
        conv1=nn.Conv2d(3, 4, 3, padding=1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(4, 8, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        conv3=nn.Conv2d(8, 16, 3, padding=1), relu3=nn.ReLU(), average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(), linear=nn.Linear(16, 10),
    )  # fmt: skip
    return record(nn.Sequential(layers), (3, 32, 32))


def explorer(call: str) -> Explorer:
    """What the lesson's cell makes; `call` is one of CALLS."""
    known = {"explorers": explorers, "data": data, "drawn": data.ship(32)}
    if "table" in call:
        known["table"] = small()
    return eval(call, known)


def grid_of(panel: Explorer, call: str) -> dict[str, Sequence]:
    """The values of each control on the page; what lies beyond its limit comes out in `views`."""
    grid = {name: CALLS[call].get(name, [*words_of(c)]) for name, c in panel.controls.items()}
    return {name: values for name, values in grid.items() if values}


def words_of(control: W.Widget) -> dict[object, str]:
    """All values of a control, and how the page calls them; a number may have any limit."""
    if isinstance(control, W.Dropdown):
        return {value: words for words, value in control.options}
    if isinstance(control, W.Checkbox):
        return {True: "on", False: "off"}
    return {value: str(value) for value in range(control.min, MOST)}


def views(panel: Explorer, grid: dict[str, Sequence]) -> list | str:
    """What the explorer shows for all values of its controls: lists in lists, in their order.

    The controls are set as a reader sets them, so that one may change the limits of the next.
    """
    if not grid:
        return panel.html()
    (name, values), *rest = grid.items()
    control, found = panel.controls[name], []
    for value in takewhile(lambda value: value <= getattr(control, "max", value), values):
        control.value = value
        found.append(views(panel, dict(rest)))
    return found


def longest(stored: list | str, level: int) -> int:
    """How many values a control has at most, the first of them on level 0."""
    return max(longest(part, level - 1) for part in stored) if level else len(stored)


def write_explorer(call: str, folder: Path) -> None:
    """The page of an explorer: its first view as it is, and all of them packed."""
    panel = explorer(call)
    grid, title = grid_of(panel, call), type(panel).__name__
    start, first = panel.state(), panel.html()
    panel.show = panel.adapt  # a view is made where all controls are set, not before
    stored = views(panel, grid)
    controls = [
        {
            "name": panel.controls[name].description,
            "slider": isinstance(panel.controls[name], W.BoundedIntText),
            "words": [*map(words_of(panel.controls[name]).get, values[: longest(stored, level)])],
            "start": values.index(start[name]),
        }
        for level, (name, values) in enumerate(grid.items())
    ]
    missing = [c.description for name, c in panel.controls.items() if name not in grid]
    note = "In the notebook it takes other values too. " if CALLS[call] else ""
    note += f"Only there it has these: {', '.join(missing)}." if missing else ""
    # Neighbours are much alike, so gzip leaves a fortieth; mtime=0: the same views, the same file.
    text = json.dumps({"controls": controls, "views": stored}, ensure_ascii=False)
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    page = TEMPLATE.read_text(encoding="utf-8")
    for place, words in (("TITLE", escape(title)), ("NOTE", escape(note)), ("FIRST", first)):
        page = page.replace(f"__{place}__", words)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name_of(call)}.html").write_text(page.replace("__DATA__", packed), "utf-8")
    panel.close()
