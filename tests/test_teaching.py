"""The page for teachers says what lessons and checks say."""

import ast
import re

import nbformat
import pytest

from cnn_lessons import checks
from tests import teaching
from tests.store_notebooks import NOTEBOOKS, REPOSITORY

PAGE = teaching.PAGE.read_text(encoding="utf-8")
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
CHECKS = ["start", "lenet5", "alexnet", "vgg", "googlenet", "resnet", "compare", "speed"]


def read(path):
    return nbformat.read(path, as_version=4)


def table(heading):
    """The rows of the first table behind a line, without its head."""
    found = re.search(rf"^{re.escape(heading)}\n+((?:\|.*\n)+)", PAGE, re.MULTILINE)
    lines = found[1].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def sections(path):
    """The headings of a lesson that take time, without their Chinese names."""
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    names = [name.split(" · ")[0] for name in re.findall(r"^## (.+)", text, re.MULTILINE)]
    return [name for name in names if name != "Next" and not name.startswith("Appendix")]


def test_the_key_is_what_the_lessons_reveal():
    assert teaching.filled(PAGE) == PAGE, "run `python -m tests.teaching`"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_question_of_a_lesson_has_its_answer_in_the_key(path):
    lesson = read(path)
    assert teaching.questions(lesson).keys() == teaching.answers(lesson).keys()
    rows = table(f"### Key to lesson {path.stem[:2]}")
    assert len(rows) == len(teaching.questions(lesson)) >= 5


def test_a_star_marks_what_each_run_says_anew():
    told = nbformat.v4.new_output("stream", text="No guess: it is 9.\nNo guess: it is a, b.\n")
    cell = nbformat.v4.new_code_cell("n.reveal(9)\nm.reveal('a, b')", outputs=[told])
    lesson = nbformat.v4.new_notebook(cells=[cell])
    assert teaching.answers(lesson) == {"n": "not stored yet", "m": "not stored yet"}
    cell.execution_count = 1
    assert teaching.answers(lesson) == {"n": "9", "m": "a, b"}
    cell.metadata["tags"] = ["nbval-ignore-output"]
    assert teaching.answers(lesson) == {"n": "9*", "m": "a, b*"}
    cell.source += "\nk.reveal(1)"
    with pytest.raises(ValueError, match="run the lesson anew"):
        teaching.answers(lesson)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_plan_of_a_lesson_has_its_sections_and_fills_90_minutes(path):
    rows = table(f"### Lesson {path.stem[:2]} in class")
    assert [row[0] for row in rows] == sections(path)
    assert sum(int(row[1]) for row in rows) == 90


def test_a_single_meeting_is_made_of_planned_sections():
    rows = table("<!-- one meeting -->")
    assert rows and sum(int(minutes) for _, _, minutes in rows) <= 90
    for lesson, section, minutes in rows:
        assert [section, minutes] in [row[:2] for row in table(f"### Lesson {lesson} in class")]


def test_what_a_check_is_said_to_say_it_can_say():
    rows = table("what your students will read.")
    assert {lesson for lesson, _, _ in rows} == {path.stem[:2] for path in PATHS}
    for lesson, _, sentence in rows:
        source = (REPOSITORY / f"cnn_lessons/checks/{CHECKS[int(lesson)]}.py").read_text("utf-8")
        texts = [
            each.value for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Constant)
        ]
        assert sentence.strip('"') in texts, sentence


def test_the_names_of_the_page_are_real():
    code = "\n".join(cell.source for path in PATHS for cell in read(path).cells)
    for name in re.findall(r"`(\w+)`", PAGE):
        assert name in code or hasattr(checks, name) or name in ("answer", "CNN_LESSONS_DATA"), name
    for name in re.findall(r"`make (\w+)`", PAGE):
        assert f"\n{name}:" in (REPOSITORY / "Makefile").read_text("utf-8")
