"""Figures without boxes in place of letters: where our font lacks a sign, another one has it."""

import warnings
from collections.abc import Iterable
from functools import cache
from unicodedata import east_asian_width

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from cnn_lessons.table import tidy

NAME, LINE = 40, 80  # the most letters of a name in a legend, and of any line
_told: list[str] = []


class Page(Figure):
    """A figure that looks for a font with the signs it shows, such as those of Chinese names."""

    def draw(self, renderer) -> None:
        give_fonts(self)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # we have said it already
            super().draw(renderer)


def letters(text: str) -> int:
    """How wide the longest line is, in letters; a Chinese sign is as wide as two."""
    lines = legible(text).split("\n")
    return max(sum(1 + (east_asian_width(s) in "WF") for s in line) for line in lines)


def at_ticks(names: Iterable[str]) -> list[str]:
    """Names as short as they must be there."""
    return [legible(str(name), 24) for name in names]


def last_part(name: str) -> str:
    """Of a layer's name the last part, with the one before where it is a mere number."""
    *_, before, last = ["", *name.split(".")]
    return f"{before}.{last}" if last.isdigit() and before else last


def legible(text: str, most: int = LINE) -> str:
    """Lines that fit on a page, without signs that turn them."""
    return "\n".join(tidy(line, most) for line in text.split("\n"))


def _calm(figure: Figure) -> None:
    """Names are shown as they are: none is a formula, breaks a line or is as long as a page."""
    for text in figure.findobj(Text):
        text.set_parse_math("mathdefault" in text.get_text())  # what matplotlib makes for log axes
        if text.get_text() != (calm := legible(text.get_text())):
            text.set_text(calm)
    for legend in figure.findobj(Legend):
        for text in legend.get_texts():
            text.set_text(legible(text.get_text(), NAME))


def give_fonts(figure: Figure) -> None:
    """Let the texts of a figure fall back on fonts of the system's for signs that ours lacks.

    If no font has a sign, it says so, once.
    """
    for ax in figure.axes:  # only when they are asked for do ticks get their words
        ax.get_xticklabels(), ax.get_yticklabels()
    _calm(figure)
    texts = [text for text in figure.findobj(Text) if not text.get_text().isascii()]
    signs = frozenset(s for text in texts for s in text.get_text() if s.isprintable())
    missing = signs - _drawn_by(font_manager.findfont(font_manager.FontProperties()), signs)
    if missing:
        found, nowhere = _fonts_with(missing)
        for text in texts:
            own = [name for name in text.get_fontfamily() if name not in found]
            text.set_fontfamily([*own, *found])
        _say(nowhere)


def _say(nowhere: frozenset[str]) -> None:
    if nowhere and not _told:
        _told.extend(nowhere)
        warnings.warn(
            f"no font of this system has the signs {''.join(sorted(nowhere))}, so figures show "
            "boxes in their place; install one that has them, such as Noto Sans CJK for Chinese "
            "(the package fonts-noto-cjk of Debian, Ubuntu and Colab), and run the cell again",
            stacklevel=2,
        )


def _fonts_with(signs: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Names of fonts that have these signs together, the best one first, and what none has."""
    found, fonts = [], _installed()
    while fonts and signs:
        best = max(fonts, key=lambda font: len(_drawn_by(font.fname, signs)))
        if not _drawn_by(best.fname, signs):
            break
        found.append(best.name)
        signs -= _drawn_by(best.fname, signs)
    return found, signs


@cache
def _drawn_by(path: str, signs: frozenset[str]) -> frozenset[str]:
    """Which of the signs a font can draw: none if it is broken or has a box for everything."""
    try:
        font = font_manager.get_font(path)
    except (OSError, RuntimeError):
        return frozenset()
    if not font.scalable or "last resort" in font.family_name.lower():
        return frozenset()
    known = font.get_charmap()
    return frozenset(sign for sign in signs if ord(sign) in known)


def _installed() -> list[font_manager.FontEntry]:
    """All upright fonts, also those that came after matplotlib had made its list."""
    listed = {font.fname for font in font_manager.fontManager.ttflist}
    for path in {*font_manager.findSystemFonts()} - listed:
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError):  # not one that matplotlib can read
            continue
    return [font for font in font_manager.fontManager.ttflist if font.style == "normal"]
