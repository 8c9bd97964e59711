"""Names that a learner or a stranger gives are shown as they are, and do nothing, wherever shown.

Whatever makes markup is in MARKUP, whatever makes a figure in FIGURES: what is new must be added.
"""

import inspect
import io
import json
import re
from collections import OrderedDict
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from cnn_lessons import see
from cnn_lessons.see import diagrams, explorers, panels, plots, svg, tables
from cnn_lessons.see.page import save_page
from cnn_lessons.see.probes import depth_statistics
from cnn_lessons.shapes import record
from cnn_lessons.table import Table
from cnn_lessons.training import History
from cnn_lessons.training.history import Epoch

PACKAGE = Path(see.__file__).parents[1]
SHORT = "<script>alert('1')</script><img src=x onerror=alert(1)>\" onload='x' &\u202e$\\frac{$"
EVIL = SHORT + "x" * 10_000 + SHORT  # what is cut keeps its end


class Found(HTMLParser):
    """The tags and attributes of a text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {each for each in attributes if tag != "style"}  # ours runs panels.js


def network(name=EVIL):
    """Layers, classes and a block with this name."""
    layer = type(name, (nn.Conv2d,), {})(3, 4, 3)
    block = type(name, (nn.Sequential,), {})(nn.Conv2d(4, 4, 3), nn.ReLU())
    parts = {name: layer, "block": block, "flat": nn.Flatten(), "last": nn.Linear(64, 4)}
    return nn.Sequential(OrderedDict({key.replace(".", ""): part for key, part in parts.items()}))


def html_of(shown) -> str:
    bundle = shown._repr_mimebundle_()
    return (bundle[0] if isinstance(bundle, tuple) else bundle)["text/html"]


def a_table(_):
    inside = Table((EVIL, "n"), ((EVIL, "1"),), title=EVIL)
    table = Table((EVIL, "n"), ((EVIL, "1"), inside, (EVIL,), (EVIL, "2")), 1, EVIL)
    return [table._repr_html_(), table.markdown()]


def a_layer_table(_):
    recorded = record(network(), (3, 8, 8))
    compared = tables.compare({EVIL: recorded, "b": recorded}, EVIL)
    return [recorded._repr_html_(), recorded.fold()._repr_html_(), compared._repr_html_()]


def drawings(_):
    shapes = (
        svg.text(0, 0, EVIL),
        svg.box(0, 0, 9, 9, EVIL, "red"),
        svg.legend(0, 0, 9, {EVIL: "red"}),
    )
    return [svg.drawing(9, 9, EVIL, *shapes)]


def a_panel(_):
    class Broken(panels.Panel):
        def html(self):
            if hasattr(self, "built"):
                raise ValueError(EVIL)
            return ""

    panel = Broken()
    panel.build({}, [])
    panel.built = True
    panel.show()
    assert "ValueError" not in panel.shown.value and "alert" in panel.shown.value
    return [panel.shown.value]


def an_explorer(_):
    panel = explorers.ReceptiveField(record(network(), (3, 8, 8)))
    return [panel.shown.value, html_of(panel)]


def a_stepper(_):
    images, names = torch.rand(1, 3, 8, 8), [EVIL] * 4
    panel = see.Stepper(network(), images, labels=[0], class_names=names, quiz=True)
    shown = [panel.shown.value, html_of(panel), panel._question().children[0].value]
    panel.judge(EVIL.replace("\u202e", ""))
    for number in range(len(panel.record)):
        panel.go(number)
        shown.append(panel.shown.value)
    return shown


def a_prediction(_):
    asked = see.predict(EVIL, choices=[EVIL, "b"])
    asked._tell(EVIL)
    values = [child.value for child in asked.panel.children if hasattr(child, "value")]
    return [html_of(asked), *values]


def a_page(folder):
    path = folder / "page.html"
    save_page(path, network(), torch.rand(1, 3, 8, 8), None, [EVIL], [EVIL] * 4, title=EVIL)
    page = path.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data[1])["title"] == EVIL  # the page's script puts it there as text
    template = (PACKAGE / "see/page.html").read_text(encoding="utf-8")
    assert page.replace(data[1], "__DATA__") == template and "<" not in data[1]
    assert not re.search("innerHTML|outerHTML|insertAdjacent|document.write", template)
    return []


MARKUP = {
    "table.py": a_table,
    "shapes/rows.py": a_layer_table,
    "see/svg.py": drawings,
    "see/panels.py": a_panel,
    "see/explorers.py": an_explorer,
    "see/stepper.py": a_stepper,
    "see/predictions.py": a_prediction,
    "see/page.html": a_page,
}


@pytest.mark.parametrize("file", MARKUP)
def test_no_name_becomes_markup(tmp_path, file):
    for text in MARKUP[file](tmp_path):
        found = Found(text)
        assert not found.tags & {"script", "iframe", "object"}
        assert not {name for name, _ in found.attributes if name.startswith("on")}
        assert ("src", "x") not in found.attributes
        assert "\u202e" not in text or file in ("see/svg.py", "see/panels.py", "see/predictions.py")


def test_whatever_makes_markup_is_tested_here():
    tag = re.compile(r"""["'}>]</?[a-z]+[ >{]|_repr_html_""")
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".html")]
    makes = {path for path in files if tag.search(path.read_text(encoding="utf-8"))}
    assert {path.relative_to(PACKAGE).as_posix() for path in makes} == set(MARKUP)


# --- figures: a name is no formula, and does not press the drawing out of the page ----------------

IMAGE = torch.arange(192, dtype=torch.uint8).reshape(3, 8, 8)
EPOCHS = [Epoch(k, 1.0, 0.5, 1.0, 0.5, 1.0, 1.0) for k in (1, 2)]
HALF = torch.tensor([0.5, 0.5])


def recorded():
    return record(network(), (3, 8, 8))


def statistics():
    return depth_statistics(network(), torch.rand(4, 3, 8, 8), torch.arange(4))


def in_two_groups():
    layers = {EVIL: nn.Conv2d(2, 4, 3, groups=2), "b": nn.Conv2d(4, 4, 3, groups=2)}
    return record(nn.Sequential(OrderedDict(layers)), (2, 8, 8))


FIGURES = {
    "pictures": lambda: plots.pictures(IMAGE[None], [EVIL], EVIL),
    "prediction": lambda: plots.prediction(IMAGE, {EVIL: HALF}, [EVIL, "b"], 0, EVIL),
    "by_batch": lambda: plots.by_batch({EVIL: {1: 0.1, 8: 0.2}}, EVIL),
    "confusion": lambda: plots.confusion(HALF.long(), HALF.long(), [EVIL, "b"], EVIL),
    "corners": lambda: plots.corners(HALF.repeat(2, 1), HALF.long(), [EVIL, "b"], EVIL),
    "worst_mistakes": lambda: plots.worst_mistakes(
        IMAGE[None], torch.tensor([0]), torch.tensor([[0.0, 1.0]]), [EVIL, "b"], title=EVIL
    ),
    "training_curves": lambda: plots.training_curves({EVIL: History(EPOCHS)}, EVIL),
    "errors_by_epoch": lambda: plots.errors_by_epoch({EVIL: [0.5, 0.4]}, 0.45, EVIL),
    "by_depth": lambda: plots.by_depth({EVIL: statistics()}, EVIL),
    "depth_curves": lambda: plots.depth_curves(
        {f"{EVIL.replace(' ', '')} 20": ([[0.5, 0.4]], [[0.5, 0.4]])}, EVIL
    ),
    "bubbles": lambda: plots.bubbles({EVIL: (1e6, 0.5, 2.0)}, None, EVIL),
    "timeline": lambda: plots.timeline({EVIL: (1998, 1e6, 2e6)}, EVIL),
    "number_grids": lambda: plots.number_grids({EVIL: torch.ones(2, 2)}),
    "filters": lambda: plots.filters(torch.rand(4, 3, 3, 3), EVIL),
    "feature_maps": lambda: plots.feature_maps(torch.rand(4, 3, 3), EVIL),
    "grad_cam": lambda: plots.grad_cam(IMAGE, {EVIL: torch.rand(8, 8)}, EVIL),
    "dead_taps": lambda: plots.dead_taps(recorded(), title=EVIL),
    "shares": lambda: plots.shares(recorded(), EVIL),
    "receptive_fields": lambda: plots.receptive_fields(IMAGE, recorded(), EVIL),
    "connections": lambda: plots.connections(torch.ones(3, 4).bool(), EVIL),
    "film_strip": lambda: plots.film_strip([IMAGE.permute(1, 2, 0).numpy()], [EVIL]),
    "stacked_squares": lambda: diagrams.stacked_squares(recorded(), EVIL),
    "graph": lambda: diagrams.graph(recorded(), EVIL),
    "chain": lambda: diagrams.chain(recorded(), title=EVIL),
    "two_rows": lambda: diagrams.two_rows(in_two_groups(), EVIL),
}
OTHERS = {"ways", "inception", "blocks"}  # takes no name; draw modules of the course's own names


@pytest.mark.parametrize("name", FIGURES)
def test_no_name_is_a_formula_or_presses_the_figure_out_of_the_page(name):
    drawn = io.BytesIO()
    figure = FIGURES[name]()
    figure.savefig(drawn, bbox_inches="tight", dpi=20)
    assert figure.get_size_inches()[0] <= 7.5


def test_every_figure_is_tested_here():
    made = {
        name
        for room in (plots, diagrams)
        for name, function in inspect.getmembers(room, inspect.isfunction)
        if function.__module__ == room.__name__ and not name.startswith("_")
        if inspect.signature(function).return_annotation is Figure
    }
    assert made == set(FIGURES) | OTHERS


def test_console_lines_are_not_turned(capsys):
    print(recorded(), recorded().fold(), Table((SHORT,), ((SHORT,),), title=SHORT), sep="\n")
    out = capsys.readouterr().out
    assert "\u202e" not in out and max(map(len, out.splitlines())) <= 100
