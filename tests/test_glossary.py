"""The glossary is the one source of the course's terms, in English and Chinese."""

import re

import nbformat
import pytest

from tests.store_notebooks import NOTEBOOKS, REPOSITORY

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
CHINESE = "\u4e00-\u9fff"
BRACKETS = re.compile(rf"([^()]*)\(([^()]*[{CHINESE}][^()]*)\)")  # "A *kernel* (卷积核)"


def rows(columns):
    """The lines of the glossary's table with so many columns, without its head."""
    text = (REPOSITORY / "docs/glossary.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in found if len(row) == columns and row[0] not in ("English", "---")]


def parts(cell):
    return [part.strip() for part in cell.split(",")]


TERMS = [(parts(english), parts(chinese), meaning, parts(lessons))
         for english, chinese, meaning, lessons in rows(4)]  # fmt: skip
SECTIONS = {tuple(row) for row in rows(2)}


def prose(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


PROSE = {path.stem[:2]: prose(path) for path in PATHS}


def plain(text):
    """Letters alone, so that "*fully\\nconnected* layers" has "fully connected layer"."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term[0][0])
def test_a_term_occurs_in_a_lesson_and_is_explained_where_the_glossary_says(term):
    english, chinese, meaning, lessons = term
    assert english and chinese and meaning and lessons
    for lesson in lessons:
        assert any(plain(name) in plain(PROSE[lesson]) for name in english), lesson


def test_the_terms_stand_in_order_and_once():
    names = [english[0].lower() for english, *_ in TERMS]
    assert names == sorted(set(names)) and len(names) > 80
    chinese = [name for _, names, *_ in TERMS for name in names]
    assert len(chinese) == len(set(chinese))


def wrong_headings(text):
    """Headings of sections without their Chinese name, or with another than the glossary's."""
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    return [heading for heading in headings if tuple(heading.split(" · ")) not in SECTIONS]


@pytest.mark.parametrize("lesson", PROSE)
def test_each_section_has_the_chinese_name_of_the_glossary(lesson):
    assert "\n## Story · 故事\n" in PROSE[lesson]
    assert wrong_headings(PROSE[lesson]) == []


def test_each_section_of_the_glossary_stands_in_a_lesson():
    for names in SECTIONS:
        assert f"## {' · '.join(names)}\n" in "\n".join(PROSE.values()), names


def test_a_wrong_heading_is_found():
    text = "## Story · 故事\n## Story\n## Story · 历史\n### Any\n"
    assert wrong_headings(text) == ["Story", "Story · 历史"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_lesson_opens_with_a_chinese_abstract(path):
    first = nbformat.read(path, as_version=4).cells[0].source
    [abstract] = re.findall(r"^> \*\*中文提要\*\* (.+)$", first, re.MULTILINE)
    assert 150 <= len(re.findall(f"[{CHINESE}]", abstract)) <= 300
    assert abstract.endswith("。")


def strangers(text):
    """Chinese terms in brackets that the glossary has not, or has for another English word."""
    wrong = []
    for before, inside in BRACKETS.findall(text.split("\n## Appendix")[0]):
        near = plain(before[-80:] + inside)
        for term in re.split("[,:;] ?", inside):
            if re.search(f"[{CHINESE}]", term):
                named = [english for english, chinese, *_ in TERMS if term.strip() in chinese]
                if not any(plain(name) in near for names in named for name in names):
                    wrong.append(f"{before[-30:]}({inside})")
    return wrong


@pytest.mark.parametrize("lesson", PROSE)
def test_a_chinese_term_in_brackets_is_that_of_the_glossary(lesson):
    assert strangers(PROSE[lesson]) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("A *kernel* (卷积核) slides.", 0),
        ("three *fully\nconnected* layers (全连接层)", 0),
        ("A *kernel* (卷积) slides.", 1),
        ("A *kernel* (核子) slides.", 1),
        ("so wide (*sees*, 感受野); the receptive field (感受野)", 1),
        ("## Appendix\n\nlater: (核子)", 0),
    ],
)
def test_a_wrong_chinese_term_is_found(text, wrong):
    assert len(strangers("\n" + text)) == wrong
