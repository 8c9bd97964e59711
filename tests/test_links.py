"""One address, of whoever publishes the course, in all places or in none."""

import re
from copy import deepcopy

import nbformat
import pytest

from tests import links
from tests.store_notebooks import NOTEBOOKS, REPOSITORY, lessons

ADDRESS = "https://github.com/someone/their-fork"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
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
    assert links.stamped(README, address) == README
    assert links.stamped(CITATION, address) == CITATION
    again = deepcopy(lesson)
    links.stamp(again, path.relative_to(NOTEBOOKS).as_posix(), address, commit)
    assert again == lesson, "run `make links`"


def test_readme_and_citation_are_stamped_and_unstamped_without_a_trace():
    for text in (README, CITATION):
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
