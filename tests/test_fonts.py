"""Signs that our font lacks: another font of the system's draws them, or one warning says so."""

import io
import warnings

import matplotlib
import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cnn_lessons.models import LeNet5
from cnn_lessons.see import diagrams, fonts, plots
from cnn_lessons.shapes import record
from tests.networks import CASES

NAMES = ["飞机", "汽车", "猫"]
IMAGE = torch.zeros(3, 8, 8, dtype=torch.uint8)


def make_font(path, name: str, signs: str) -> str:
    """A font whose glyphs are all one square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 700), (900, 700), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    font, glyphs = FontBuilder(1000, isTTF=True), [".notdef", *(f"u{ord(s):x}" for s in signs)]
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap({ord(sign): f"u{ord(sign):x}" for sign in signs})
    font.setupGlyf(dict.fromkeys(glyphs, square))
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return str(path)


@pytest.fixture
def system(monkeypatch, tmp_path):
    """A system with no fonts but matplotlib's own and those that the test makes."""
    own = matplotlib.get_data_path()
    listed = [font for font in font_manager.fontManager.ttflist if font.fname.startswith(own)]
    paths = []
    monkeypatch.setattr(font_manager.fontManager, "ttflist", listed)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *a, **k: paths)
    monkeypatch.setattr(fonts, "_told", [])

    def add(name: str, signs: str) -> None:
        paths.append(make_font(tmp_path / f"{name}.ttf", name, signs))

    return add


def drawn_with(figure) -> set[str]:
    """The families of the texts that are not plain, once the figure is drawn."""
    figure.savefig(io.BytesIO(), format="png")
    texts = [text for text in figure.findobj(fonts.Text) if not text.get_text().isascii()]
    return {name for text in texts for name in text.get_fontfamily()}


FIGURES = {
    "ticks": lambda: plots.prediction(IMAGE, torch.full((3,), 0.3), NAMES, 1),
    "titles": lambda: plots.pictures(IMAGE.expand(3, 3, 8, 8), NAMES, "飞机"),
    "legends": lambda: plots.by_depth({"飞机": []}),
    "bubbles": lambda: plots.bubbles({name: (10.0**k, 0.5, 1) for k, name in enumerate(NAMES)}),
    "drawings": lambda: diagrams.graph(record(LeNet5(), (3, 32, 32)), "飞机"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_font_of_the_system_draws_what_ours_lacks(name, system):
    system("Some Chinese", "飞机汽车猫")
    assert drawn_with(FIGURES[name]()) == {"sans-serif", "Some Chinese"}  # and no warning


def test_the_signs_are_really_drawn(system):
    """The sign of our font is a full square: its middle is black, that of a missing one is not."""
    system("Some Chinese", "飞")

    def dark(sign: str) -> int:
        figure = fonts.Page((1, 1))
        figure.text(0.5, 0.5, sign, fontsize=40, ha="center", va="center")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return (canvas.buffer_rgba().tobytes()[::4]).count(0)

    with pytest.warns(UserWarning, match="signs 机"):
        assert dark("飞") > 2 * dark("机") > 0


def test_several_fonts_share_the_work_and_the_best_one_comes_first(system):
    system("A few", "汽")
    system("Most", "飞机汽")
    system("Cat", "猫")
    assert fonts._fonts_with(frozenset("飞机汽猫")) == (["Most", "Cat"], frozenset())


def test_no_font_is_taken_that_has_a_box_for_everything(system):
    system("Last Resort", "飞机汽车猫")
    assert fonts._fonts_with(frozenset("飞")) == ([], frozenset("飞"))


def test_a_broken_font_is_passed_over(system, tmp_path, monkeypatch):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    paths = [str(tmp_path / "broken.ttf"), make_font(tmp_path / "good.ttf", "Good", "飞")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *a, **k: paths)
    assert fonts._fonts_with(frozenset("飞")) == (["Good"], frozenset())


def test_without_any_font_one_warning_says_what_to_install(system):
    with pytest.warns(UserWarning, match=r"signs .*飞.*install .* Noto Sans CJK") as warned:
        drawn_with(FIGURES["ticks"]())
    assert len(warned) == 1
    assert drawn_with(FIGURES["titles"]()) == {"sans-serif"}  # not a second time
    system("Some Chinese", "飞机汽车猫")  # installed meanwhile
    assert "Some Chinese" in drawn_with(FIGURES["titles"]())


def test_show_finds_fonts_for_figures_of_others(system, monkeypatch):
    system("Some Chinese", "飞机")
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: None)
    ax = plots.Figure().add_subplot(title="飞机")
    plots.show(ax.figure, "A figure.")
    assert ax.title.get_fontfamily() == ["sans-serif", "Some Chinese"]


def test_our_own_figures_need_no_other_font(system, monkeypatch):
    """Our signs, from × to ⊕, are in the font that comes with matplotlib."""
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *a, **k: pytest.fail("not needed"))
    figures = [diagrams.graph(record(CASES["lenet5"].build(), (3, 32, 32)), "C3: 16 − 6 … ² ⁹ ·")]
    figures.append(plots.number_grids({"−1 × 2": -torch.ones(2, 2)}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in figures:
            drawn_with(figure)


def test_a_chinese_sign_is_as_wide_as_two_letters():
    assert fonts.letters("飞机\nabc") == 4 and fonts.letters("") == 0
