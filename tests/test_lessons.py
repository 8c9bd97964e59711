"""The working copy: made of the lessons, kept whatever happens to them, never overwritten."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from cnn_lessons import __main__ as command
from cnn_lessons import files, lessons
from tests.answers import ANSWER
from tests.store_notebooks import NOTEBOOKS, REPOSITORY


def write(path, *sources, ran=False):
    """A notebook with a heading and these cells of code."""
    outputs = [nbformat.v4.new_output("stream", text="9\n")] if ran else []
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell("# A lesson")]
    notebook.cells += [nbformat.v4.new_code_cell(text, outputs=outputs) for text in sources]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture
def folders(tmp_path):
    """Where the lessons are, two of them, and where the copies come."""
    for name in ("00_start.ipynb", "01_next.ipynb"):
        write(tmp_path / "notebooks" / name, "print(9)", "x = None", ran=True)
    return tmp_path / "notebooks", tmp_path / "my-lessons"


def hand_out(folders):
    return lessons.hand_out(folders[1], folders[0])


def edit(path, change):
    """Change a copy as JupyterLab would."""
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def answer(notebook):
    notebook.cells[2].source = "x = 3"


def run(notebook):
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="9\n")]


def delete(notebook):
    del notebook.cells[2]


def test_a_copy_has_all_cells_and_no_outputs(folders):
    assert hand_out(folders) == []
    assert sorted(contents(folders[1])) == ["00_start.ipynb", "01_next.ipynb"]
    for path in folders[1].iterdir():
        copy, lesson = (nbformat.read(f / path.name, 4) for f in (folders[1], folders[0]))
        nbformat.validate(copy)
        same = [[(c.id, c.cell_type, c.source) for c in n.cells] for n in (copy, lesson)]
        assert same[0] == same[1]
        assert [cell.outputs for cell in copy.cells[1:]] == [[], []]


def test_the_copies_of_the_real_lessons_are_notebooks_without_outputs(tmp_path):
    assert lessons.hand_out(tmp_path, NOTEBOOKS) == []
    names = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    assert sorted(path.name for path in tmp_path.glob("*.ipynb")) == names and names
    for path in tmp_path.glob("*.ipynb"):
        copy = nbformat.read(path, 4)
        nbformat.validate(copy)
        assert not any(cell.get("outputs") for cell in copy.cells)
    assert lessons.hand_out(tmp_path, NOTEBOOKS) == []


@pytest.mark.parametrize("change", [answer, run, delete])
def test_the_learners_work_stays_and_the_newer_lesson_comes_beside(folders, change):
    hand_out(folders)
    edit(folders[1] / "00_start.ipynb", change)
    before = contents(folders[1])
    assert hand_out(folders) == [] and contents(folders[1]) == before  # no lesson is newer
    write(folders[0] / "00_start.ipynb", "print(10)")
    words = ["00_start.ipynb has your work and stays; the newer lesson is 00_start.new.ipynb."]
    assert hand_out(folders) == words
    after = contents(folders[1])
    assert b"print(10)" in after.pop("00_start.new.ipynb") and after == before
    assert hand_out(folders) == []  # it is offered once


def test_a_copy_that_nobody_has_touched_is_replaced(folders):
    hand_out(folders)
    other = contents(folders[1])["01_next.ipynb"]
    edit(folders[1] / "00_start.ipynb", lambda notebook: notebook.metadata.update(saved=True))
    write(folders[0] / "00_start.ipynb", "print(10)")
    assert hand_out(folders) == ["00_start.ipynb was as you got it; it is the newer lesson now."]
    after = contents(folders[1])
    assert b"print(10)" in after["00_start.ipynb"] and len(after) == 2
    assert after["01_next.ipynb"] == other


def test_many_newer_lessons_and_much_work(folders):
    """The second offer replaces the first one, unless that has been worked in."""
    hand_out(folders)
    edit(folders[1] / "00_start.ipynb", answer)
    for number in (1, 2, 3):
        write(folders[0] / "00_start.ipynb", f"print({number})", "x = None")
        hand_out(folders)
        if number == 2:
            edit(folders[1] / "00_start.new.ipynb", run)
    there = contents(folders[1])
    assert sorted(there) == [
        "00_start.ipynb", "00_start.new.ipynb", "00_start.new2.ipynb", "01_next.ipynb"
    ]  # fmt: skip
    assert b"print(2)" in there["00_start.new.ipynb"]
    assert b"print(3)" in there["00_start.new2.ipynb"] and b"x = 3" in there["00_start.ipynb"]


def test_other_outputs_make_no_newer_lesson(folders):
    hand_out(folders)
    edit(folders[1] / "00_start.ipynb", answer)
    write(folders[0] / "00_start.ipynb", "print(9)", "x = None")
    assert hand_out(folders) == [] and len(contents(folders[1])) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": []}', '{"metadata": 3}', "\udcff"])
def test_what_is_not_one_of_our_copies_stays(folders, text):
    folders[1].mkdir()
    mine = text.encode(errors="surrogateescape")
    (folders[1] / "00_start.ipynb").write_bytes(mine)
    (folders[1] / "notes.txt").write_bytes(mine)
    assert hand_out(folders)[0].endswith("the newer lesson is 00_start.new.ipynb.")
    there = contents(folders[1])
    assert there["00_start.ipynb"] == there["notes.txt"] == mine


def test_a_copy_that_was_deleted_comes_again(folders):
    hand_out(folders)
    (folders[1] / "00_start.ipynb").unlink()
    assert hand_out(folders) == [] and len(contents(folders[1])) == 2


def test_an_interrupt_leaves_whole_files(folders, monkeypatch):
    hand_out(folders)
    before = contents(folders[1])
    for name in before:
        write(folders[0] / name, "print(10)")

    def stop(source, target):
        if target.name == "01_next.ipynb":
            raise KeyboardInterrupt
        rename(source, target)

    rename = files.os.replace
    monkeypatch.setattr(files.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        hand_out(folders)
    monkeypatch.undo()
    after = contents(folders[1])
    assert sorted(after) == sorted(before) and after["01_next.ipynb"] == before["01_next.ipynb"]
    assert b"print(10)" in after["00_start.ipynb"]
    assert len(hand_out(folders)) == 1  # what was left is done the next time


# --- for a class ----------------------------------------------------------------------------------


def test_the_handout_has_neither_answers_nor_outputs_and_runs_as_the_lessons_do(tmp_path):
    """Its code is the lessons', cell by cell, and they run unanswered: tests/test_notebooks.py."""
    command.main(["lessons", "--folder", str(tmp_path), "--without-answers"])
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert sorted(path.name for path in tmp_path.glob("*.ipynb")) == [p.name for p in paths]
    for path in paths:
        lesson, copy = (nbformat.read(folder / path.name, 4) for folder in (NOTEBOOKS, tmp_path))
        nbformat.validate(copy)
        code, ours = ([c for c in n.cells if c.cell_type == "code"] for n in (lesson, copy))
        assert [cell.source for cell in code] == [cell.source for cell in ours]
        assert not any(cell.outputs or cell.execution_count for cell in ours)
        text = "\n".join(cell.source for cell in copy.cells)
        answers = [
            ANSWER.search(cell.source)[1]
            for cell in lesson.cells
            if "answer" in cell.metadata.get("tags", [])
        ]
        assert answers and "<summary>Answer" not in text
        for answer in answers:  # a gap or a text may have the same line, not all of them
            assert any(line.strip() not in text for line in answer.splitlines()), answer


def test_a_handout_leaves_out_what_is_tagged_and_nothing_else(folders):
    def tag(notebook):
        notebook.cells[0].metadata.tags = ["answer"]

    edit(folders[0] / "00_start.ipynb", tag)
    lessons.hand_out(folders[1], folders[0], answers=False)
    kept = [len(nbformat.read(path, 4).cells) for path in sorted(folders[1].iterdir())]
    assert kept == [2, 3]


def test_the_glossary_comes_along_and_a_newer_one_beside_it(folders):
    glossary, copy = folders[0].parent / lessons.GLOSSARY, folders[1] / "glossary.md"
    glossary.parent.mkdir()
    glossary.write_text("| kernel |")

    def link(notebook):
        notebook.cells[0].source = "# A lesson\n[glossary](../docs/glossary.md)"

    edit(folders[0] / "00_start.ipynb", link)
    hand_out(folders)
    assert copy.read_text() == "| kernel |"
    assert "[glossary](glossary.md)" in (folders[1] / "00_start.ipynb").read_text()
    hand_out(folders)
    assert not copy.with_suffix(".new.md").exists()
    copy.write_text("mine")
    hand_out(folders)
    assert copy.read_text() == "mine"
    assert copy.with_suffix(".new.md").read_text() == "| kernel |"


# --- the command ----------------------------------------------------------------------------------


def test_the_command_makes_the_copy_and_says_where(folders, monkeypatch, capsys):
    monkeypatch.setattr(lessons, "REPOSITORY", folders[0].parent)
    assert command.main(["lessons", "--folder", str(folders[1])]) == 0
    assert capsys.readouterr().out == f"The lessons are in {folders[1]}.\n"
    edit(folders[1] / "00_start.ipynb", answer)
    write(folders[0] / "00_start.ipynb", "print(10)")
    assert command.main(["lessons", "--folder", str(folders[1])]) == 0
    assert "00_start.ipynb has your work and stays" in capsys.readouterr().out


def test_a_clone_of_any_name_with_windows_line_ends_and_no_utf8_hands_out_the_same(tmp_path):
    """Also without a home that can be written to; but for the line ends of the glossary."""
    clone = tmp_path / "a [b] (c) 卷积 it's %20"
    for name in ("cnn_lessons", "notebooks", "docs"):
        ignored = shutil.ignore_patterns("weights", "__pycache__", ".*")
        shutil.copytree(REPOSITORY / name, clone / name, ignore=ignored)
    for path in clone.rglob("*.*"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    other = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONPATH": str(clone)}
    other |= {"HOME": str(clone / "README.md"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "error", "-m", "cnn_lessons", "lessons"]
    done = subprocess.run(command, cwd=clone, env=os.environ | other, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    assert done.stdout.startswith(b"The lessons are in ")
    lessons.hand_out(tmp_path / "ours", NOTEBOOKS)
    ours, theirs = contents(tmp_path / "ours"), contents(clone / "my-lessons")
    assert {name: text.replace(b"\r\n", b"\n") for name, text in theirs.items()} == ours


def test_the_command_says_where_there_are_no_lessons(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lessons, "REPOSITORY", tmp_path)
    assert command.main(["lessons"]) == 1
    assert "there are no lessons in" in capsys.readouterr().err


def test_git_does_not_see_the_copy_and_the_first_lesson_is_opened():
    command = ["git", "check-ignore", "my-lessons/00_start_here.ipynb"]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode == 0
    for name in ("Makefile", "README.md"):
        opened = "my-lessons/00_start_here.ipynb"
        assert opened in (REPOSITORY / name).read_text(encoding="utf-8").replace("\\", "/")
    assert (NOTEBOOKS / Path(opened).name).exists()


def test_a_copy_says_of_which_lesson_it_was_made(folders):
    hand_out(folders)
    copy = json.loads((folders[1] / "00_start.ipynb").read_text(encoding="utf-8"))
    assert set(copy["metadata"]["cnn_lessons"]) == {"origin"}
    write(folders[0] / "00_start.ipynb", "print(9)", "x = None ")  # one space more
    assert hand_out(folders) == ["00_start.ipynb was as you got it; it is the newer lesson now."]
