"""One address, of whoever publishes the course, in all places or in none; and where links lead."""

import re
from copy import deepcopy
from textwrap import indent

import nbformat
import pytest

from cnn_lessons.lessons import hand_out
from tests import links
from tests.store_notebooks import NOTEBOOKS, REPOSITORY, lessons

ADDRESS = "https://github.com/someone/their-fork"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CHINESE = (REPOSITORY / "README.zh.md").read_text(encoding="utf-8")
CITATION = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b"),
        ("https://github.com/a/b/", "https://github.com/a/b"),
        ("https://user:secret@github.com/a/b.git", "https://github.com/a/b"),
        ("git@github.com:a/b.git", "https://github.com/a/b"),
        (
            "ssh://git@gitlab.example.org:2222/group/sub/b.git",
            "https://gitlab.example.org/group/sub/b",
        ),
        ("http://forge.example.org/~me/b", "https://forge.example.org/~me/b"),
    ],
)
def test_an_origin_becomes_a_web_address(origin, address):
    assert links.web_address(origin) == address


@pytest.mark.parametrize(
    "origin",
    ["", "/srv/git/b.git", "../b", "file:///srv/b", "C:\\git\\b", "https://github.com/a/b c",
     'https://github.com/a/b"); import os', "https://github.com/a/b;x", "https://localhost/$(x)/b"],
)  # fmt: skip
def test_what_others_cannot_reach_or_run_safely_is_refused(origin):
    with pytest.raises(ValueError, match="ADDRESS must be a web address"):
        links.web_address(origin)


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_a_lesson_is_stamped_and_unstamped_without_a_trace(path):
    kept = nbformat.read(path, as_version=4)
    name = path.relative_to(NOTEBOOKS).as_posix()
    lesson = deepcopy(kept)
    links.stamp(lesson, name)
    bare = deepcopy(lesson)
    assert "http" not in lesson.cells[1].source and "colab" not in lesson.cells[0].source
    for _ in range(2):
        links.stamp(lesson, name, ADDRESS, "0" * 40)
    assert (
        lesson.cells[0].source.count(f"/github/someone/their-fork/blob/main/notebooks/{name}") == 1
    )
    assert f'"git+{ADDRESS}@{"0" * 40}"' in lesson.cells[1].source
    links.stamp(lesson, name, "https://example.org/b", "1" * 40)
    assert "someone" not in str(lesson) and "colab.research" not in str(lesson.cells[:2])
    links.stamp(lesson, name)
    assert lesson == bare
    assert kept.cells[2:] == bare.cells[2:], "nothing else is touched"


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_the_stored_lesson_names_the_address_of_the_readme_or_none(path):
    lesson = nbformat.read(path, as_version=4)
    source = re.search(r"git\+(https://\S+)@([0-9a-f]{40})", lesson.cells[1].source)
    address, commit = source.groups() if source else ("", "")
    for text in (README, CHINESE, CITATION):
        assert links.stamped(text, address) == text
    again = deepcopy(lesson)
    links.stamp(again, path.relative_to(NOTEBOOKS).as_posix(), address, commit)
    assert again == lesson, "run `make links`"


def test_readme_and_citation_are_stamped_and_unstamped_without_a_trace():
    for text in (README, CHINESE, CITATION):
        bare = links.stamped(text)
        one = links.stamped(bare, ADDRESS)
        assert one.count(ADDRESS) == 1 and links.stamped(one, ADDRESS) == one
        assert links.stamped(one) == bare and ADDRESS not in bare


def test_where_the_course_is_missing_the_cell_says_so(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="python -m pip install --editable"):
        exec(links.MISSING, {})
    without_pip = links.INSTALLS.replace("%pip", "pass  #").format(source=f"{ADDRESS}@main")
    with pytest.raises(ModuleNotFoundError, match=f'python -m pip install "git.{ADDRESS}@main"'):
        exec(without_pip, {})


# --- links from lesson to lesson, to the glossary and to papers ---------------------------------

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
LINK = re.compile(r"(?<!!)\[([^][]*)\]\(([^()\s]+)\)")
NAMED = re.compile(r"\b[Ll]essons?\s((?:\[?0\d\]?(?:\(\S+\))?(?:, | and | to )?)+)")


def prose(path):
    """The words of a lesson, without code and folded answers."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    text = "\n\n".join(cell.source for cell in cells)
    return re.sub(r"<details>.*?</details>|```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def wrong_links(text, folder):
    """What is wrong with the links of a page that stands in this folder."""
    wrong = []
    for words, target in LINK.findall(text):
        paper = re.fullmatch(r"https://(?:arxiv\.org/abs|doi\.org)/(.+)", target)
        if paper and words.partition(":")[2] != paper[1]:
            wrong.append(f"{words} leads to {target}")
        elif "#" in target:
            wrong.append(f"an anchor: {target}")
        elif not target.startswith("https://") and not (folder / target).is_file():
            wrong.append(f"no such file: {target}")
    bare = re.sub(r"\[[^][]*\]\([^()\s]+\)", "", text)
    return wrong + re.findall(r"<a\b[^>]*|\bhttps?://\S+|\b(?:arXiv|doi):\S+", bare)


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_each_link_of_a_lesson_leads_somewhere(path):
    assert wrong_links(prose(path), path.parent) == []


@pytest.mark.parametrize("answers", [True, False])
def test_each_link_of_a_working_copy_leads_somewhere(tmp_path, answers):
    hand_out(tmp_path, NOTEBOOKS, answers)
    copies = sorted(tmp_path.glob("*.ipynb"))
    assert [path.name for path in copies] == [path.name for path in LESSONS]
    for path in copies:
        assert wrong_links(prose(path), tmp_path) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_leads_to_its_neighbours_to_those_it_names_and_to_the_glossary(path):
    place, targets = LESSONS.index(path), {target for _, target in LINK.findall(prose(path))}
    neighbours = {p.name for p in LESSONS[max(place - 1, 0) : place + 2]}
    named = set(
        re.findall(
            r"0\d", " ".join(re.sub(r"\(\S+\)", "", found) for found in NAMED.findall(prose(path)))
        )
    )
    others = {p.name for p in LESSONS if p.name[:2] in named}
    assert targets >= (neighbours | others | {"../docs/glossary.md"}) - {path.name}


def commands(text):
    """The lines of the code blocks, without what is said beside them."""
    text = re.sub(r"^```\w*\n(.*?)^```", lambda m: indent(m[1], "    "), text, flags=re.M | re.S)
    lines = re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    return [re.split(r" {2,}|#", line)[0].strip() for line in lines]


def to_begin(text):
    """The commands before one's own network, without those that measure."""
    first = commands(text[: text.index("from cnn_lessons.shapes import record")])
    return [command for command in first if "-m benchmarks." not in command]


def test_the_chinese_readme_has_the_commands_and_the_lessons_of_the_english_one():
    assert to_begin(CHINESE) == to_begin(README) != []
    assert set(commands(CHINESE)) <= set(commands(README))
    rows = [re.findall(r"^\| (\[\S+\)) \|.*\| (\d+) \|$", t, re.M) for t in (CHINESE, README)]
    assert rows[0] == rows[1]
    assert [link for link, _ in rows[0]] == [f"[{p.stem}](notebooks/{p.name})" for p in LESSONS]


@pytest.mark.parametrize("name", ["README.md", "README.zh.md", "CONTRIBUTING.md"])
def test_each_link_of_a_page_leads_somewhere(name):
    text = re.sub(r"`[^`\n]*`|^    .*$", "", (REPOSITORY / name).read_text("utf-8"), flags=re.M)
    assert wrong_links(text, REPOSITORY) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[lesson 00](00_start_here.ipynb), [glossary](../docs/glossary.md)", 0),
        ("[arXiv:1409.1556](https://arxiv.org/abs/1409.1556)", 0),
        ("[AISTATS 2010](https://proceedings.mlr.press/v9/glorot10a.html)", 0),
        ("![a picture](none.png)", 0),
        ("[arXiv:1409.1556](https://arxiv.org/abs/1409.1557)", 1),
        ("[doi:10.1/5](https://doi.org/10.1/6)", 1),
        ("arXiv:1409.1556, doi:10.1/5 and https://example.org", 3),
        ("[lesson 09](09_next.ipynb)", 1),
        ("[below](#words) <a id='words'></a>", 2),
        ("[lesson 00](00_start_here.ipynb#story)", 1),
        ("[folder](../docs)", 1),
    ],
)
def test_a_wrong_link_is_found(text, wrong):
    assert len(wrong_links(text, NOTEBOOKS)) == wrong
