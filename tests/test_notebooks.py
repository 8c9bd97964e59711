"""The lessons as files; nbval runs them, with the folded answers that `tests/answers.py` adds."""

import re

import nbformat
import pytest

from tests.answers import ANSWER
from tests.store_notebooks import METADATA, NOTEBOOKS, lessons, tidy

PATHS = lessons()
FINISHED = [path for path in PATHS if path.parent == NOTEBOOKS]


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def lesson(request):
    notebook = nbformat.read(request.param, as_version=4)
    notebook.path = request.param
    return notebook


def code_cells(lesson):
    return [cell for cell in lesson.cells if cell.cell_type == "code"]


def prose(lesson):
    return "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")


def output_text(lesson):
    """All that the stored outputs say in words and numbers."""
    outputs = [output for cell in code_cells(lesson) for output in cell.outputs]
    return "\n".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for output in outputs
    )


def exercises(lesson):
    """Where the exercise cells stand."""
    return [k for k, cell in enumerate(lesson.cells) if "exercise" in cell.metadata.get("tags", [])]


def test_there_are_lessons():
    assert FINISHED


def test_a_draft_comes_behind_the_lessons_and_other_folders_are_left_out(tmp_path):
    for name in ("b.ipynb", "a.ipynb", "drafts/0.ipynb", ".ipynb_checkpoints/a.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in lessons(tmp_path)]
    assert found == ["a.ipynb", "b.ipynb", "drafts/0.ipynb"]


def test_it_is_stored_as_the_writer_stores_it(lesson):
    assert {key: lesson.metadata[key] for key in lesson.metadata} == METADATA
    again = nbformat.from_dict(lesson)
    tidy(again)
    assert [cell.source for cell in again.cells] == [cell.source for cell in lesson.cells]
    counts = [cell.execution_count for cell in code_cells(lesson)]
    assert counts == list(range(1, len(counts) + 1)), "run top to bottom, by `make notebooks`"
    assert lesson.path.stat().st_size < 1_500_000


def test_nothing_of_a_machine_or_of_a_failure_is_stored(lesson):
    for cell in code_cells(lesson):
        assert set(cell.metadata) <= {"tags"}
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
    text = lesson.path.read_text(encoding="utf-8")
    assert not re.search(r"/home/|/root/|/tmp/|/work/|[A-Z]:\\\\", text)
    assert "not CIFAR-10" not in output_text(lesson)


def test_cells_are_short_and_prose_comes_before_code(lesson):
    for before, cell in zip(lesson.cells, lesson.cells[1:]):
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 25, cell.source
            assert not cell.source.rstrip().endswith(";"), "nbval shows what ; hides"
            assert before.cell_type == "code" or len(before.source.split()) >= 4


@pytest.mark.parametrize("lesson", FINISHED, ids=lambda path: path.stem, indirect=True)
def test_a_finished_lesson_has_the_size_of_one_sitting(lesson):
    """Prose: without tables, folded answers and the appendix; a word has a letter in it.
    Code: without the set-up cell."""
    main = re.split("^## Appendix", prose(lesson), flags=re.MULTILINE)[0]
    unfolded = re.sub(r"<details>.*?</details>", "", main, flags=re.DOTALL)
    lines = [line for line in unfolded.splitlines() if not line.startswith("|")]
    words = [word for word in " ".join(lines).split() if re.search("[A-Za-z]", word)]
    code = [
        line for cell in code_cells(lesson)[1:] for line in cell.source.splitlines() if line.strip()
    ]
    assert 1_500 <= len(words) <= 2_500
    assert len(code) <= 250
    assert prose(lesson).count("**Predict") >= 5
    assert len(exercises(lesson)) >= 5


def test_numbers_in_bold_are_quoted_from_the_outputs(lesson):
    stored = output_text(lesson)
    for quoted in prose(lesson).split("**")[1::2]:
        for number in re.findall(r"\d[\d,]*\.\d+", quoted):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", stored), number


def test_every_figure_has_its_text_twin(lesson):
    for cell in code_cells(lesson):
        for output, after in zip(cell.outputs, [*cell.outputs[1:], None]):
            if "image/png" in output.get("data", {}):
                text = output.data["text/plain"]
                assert output.metadata["image/png"]["alt"] == text and text.endswith(".")
                assert after.data["text/markdown"] == f"*{text}*"


def test_every_exercise_is_unanswered_and_has_a_folded_answer(lesson):
    for k in exercises(lesson):
        assert "Not attempted yet" in str(lesson.cells[k].outputs)
        assert ANSWER.search(lesson.cells[k + 1].source)


def test_the_writer_drops_widgets():
    notebook = nbformat.read(PATHS[0], as_version=4)
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%|"}
    table = widget | {"text/html": "<table></table>"}
    notebook.cells[1].outputs = [
        nbformat.v4.new_output("display_data", data) for data in (widget, table)
    ]
    tidy(notebook)
    (kept,) = notebook.cells[1].outputs
    assert set(kept.data) == {"text/html", "text/plain"}
