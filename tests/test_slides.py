"""The slides: what is on them, and that they ask nobody for anything."""

import re
from importlib.util import find_spec

import nbformat
import pytest

from tests import slides
from tests.store_notebooks import NOTEBOOKS

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell


def test_a_heading_begins_a_slide_and_an_answer_is_left_out():
    answer = markdown("<details>", metadata={"tags": ["answer"]})
    cells = [
        markdown("# 1. Any\n\nText"), code("import torch"), markdown("Before."),
        markdown("End.\n\n## Story · 故事\n\nSee [lesson 02](02_alexnet.ipynb)."),
        code("n = predict('?')"), code("n.reveal(9)"), answer, markdown("Text"), code("x"),
    ]  # fmt: skip
    found = slides.pieces(nbformat.v4.new_notebook(cells=cells))
    assert [(cell.source.split("\n")[0], cell.metadata.slideshow.slide_type) for cell in found] == [
        ("# 1. Any", "slide"),
        ("Before.", "subslide"),
        ("End.", "subslide"),
        ("## Story · 故事", "slide"),
        ("n = predict('?')", "-"),
        ("n.reveal(9)", "fragment"),
        ("Text", "subslide"),
        ("x", "-"),
    ]
    assert "(02_alexnet.slides.html)" in found[3].source


def test_the_slides_of_a_lesson_fetch_nothing_and_show_its_figures():
    path = PATHS[1]
    page = slides.page(path)
    lesson = nbformat.read(path, as_version=4)
    wanted = re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="([^"]+)"', page)
    local = {name for name in wanted if not name.startswith("data:")}
    assert local == {"tex-svg-full.js", "reveal/dist/reveal.js", "reveal/dist/reveal.css",
                     "reveal/dist/theme/white.css"}  # fmt: skip
    assert not re.search(r"@import|url\(['\"]?http|from ['\"]http", page)
    outputs = [output for cell in lesson.cells for output in cell.get("outputs", [])]
    alts = [o.metadata["image/png"]["alt"] for o in outputs if "image/png" in o.get("data", {})]
    assert re.findall(r'<img alt="([^"]+)" src="data:image/png', page) == alts and len(alts) > 5
    assert "<summary>Answer" not in page and "<summary>Hint" in page
    assert page.count("<section") > 30


@pytest.mark.skipif(
    not all(find_spec(package) for _, package, _ in slides.ASSETS), reason="the extra slides"
)
def test_what_the_pages_need_lies_beside_them(tmp_path, monkeypatch):
    monkeypatch.setattr(slides, "page", lambda path: "page")
    slides.main(str(tmp_path))
    for name in ("tex-svg-full.js", "reveal/dist/reveal.js", "reveal/dist/theme/white.css"):
        assert (tmp_path / name).stat().st_size > 1_000
    theme = (tmp_path / "reveal/dist/theme/white.css").read_text(encoding="utf-8")
    assert "http" not in "".join(re.findall(r"@import.*|url\(.*?\)", theme))
    assert len(list(tmp_path.glob("*.slides.html"))) == len(PATHS)


def test_where_a_package_is_missing_one_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(slides, "find_spec", lambda package: None)
    with pytest.raises(SystemExit, match=r'pip install --editable "\.\[slides\]"'):
        slides.main(str(tmp_path))
