"""The lessons as files; nbval runs them, with the folded answers that `tests/answers.py` adds."""

import ast
import re
import shutil

import nbformat
import pytest

from tests.answers import ANSWER
from tests.store_notebooks import METADATA, NOTEBOOKS, lessons, repository_address, tidy

PATHS = lessons()
FINISHED = [path for path in PATHS if path.parent == NOTEBOOKS]
# Lessons that ask by `predict`: to become FINISHED when all of them do.
ASKING = [path for path in FINISHED if re.search(r"see import .*predict", path.read_text("utf-8"))]


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
    tidy(again, lesson.path.relative_to(NOTEBOOKS).as_posix())
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
    """Prose: without tables, folded answers and the appendix; a word has a letter in it."""
    main = re.split("^## Appendix", prose(lesson), flags=re.MULTILINE)[0]
    unfolded = re.sub(r"<details>.*?</details>", "", main, flags=re.DOTALL)
    lines = [line for line in unfolded.splitlines() if not line.startswith("|")]
    words = [word for word in " ".join(lines).split() if re.search("[A-Za-z]", word)]
    code = [
        line for cell in code_cells(lesson) for line in cell.source.splitlines() if line.strip()
    ]
    assert 1_500 <= len(words) <= 2_500
    assert len(code) <= 250
    assert prose(lesson).count("**Predict") >= 5
    assert len(exercises(lesson)) >= 5


def asked_in(source):
    """The names of `name = predict(...)` in a cell, and all that stands beside them."""
    names, others = [], []
    for line in ast.parse(source).body:
        call = line.value if isinstance(line, ast.Assign) else None
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "predict":
            others.append(ast.unparse(line))
        elif "guess" in {keyword.arg for keyword in call.keywords} or len(call.args) > 2:
            others.append("a guess in " + ast.unparse(line))
        else:
            names.append(ast.unparse(line.targets[0]))
    return names, others


def wrong_predictions(cells):
    """What is wrong with a lesson's questions: each has a cell of its own, before the answer's."""
    wrong, asked = [], {}
    code = [cell.source if cell.cell_type == "code" else "" for cell in cells]
    for k, cell in enumerate(cells):
        following = next((source for source in code[k:] if source), "")
        if cell.cell_type == "markdown" and "**Predict" in cell.source:
            wrong += ["no question: " + cell.source] * ("= predict(" not in following)
        if re.search(r"(?<!\.)\bpredict\(", code[k]):  # not training.predict
            names, others = asked_in(code[k])
            wrong += [f"beside a question: {other}" for other in others]
            wrong += [f"asked twice: {name}" for name in names if name in asked]
            asked |= dict.fromkeys(names, k)
    told = {name: [k for k, c in enumerate(code) if f"{name}.reveal(" in c] for name in asked}
    wrong += [f"never told: {name}" for name in asked if not told[name]]
    wrong += [f"told before: {name}" for name, k in asked.items() if min(told[name], default=k) < k]
    last = max((k for places in told.values() for k in places), default=0)
    return wrong + ["no score at the end"] * (not any("score()" in c for c in code[last:]))


@pytest.mark.parametrize("lesson", ASKING, ids=lambda path: path.stem, indirect=True)
def test_each_question_is_asked_before_it_is_answered(lesson):
    assert not wrong_predictions(lesson.cells)


ASKED = ["Text. **Predict.** How many?", "n = predict('?')\nm = predict('?', ['a', 'b'])"]
TOLD = ["Text.", "n.reveal(9)\nm.reveal('a')", "print(1)\nscore()"]


@pytest.mark.parametrize(
    ("sources", "wrong"),
    [
        ([*ASKED, *TOLD], None),
        ([*ASKED, "logits, labels = training.predict(net, test)\nprint(1)", *TOLD], None),
        (["import torch", *ASKED, "Text", "More", "print(1)", *TOLD], None),
        ([ASKED[0], *TOLD], "no question: "),
        ([ASKED[0], "print(1)", ASKED[1], *TOLD], "no question: "),
        ([*ASKED, ASKED[0], *TOLD], "no question: "),
        ([ASKED[0], ASKED[1] + "\nprint(9)", *TOLD], "beside a question: print(9)"),
        ([ASKED[0], ASKED[1] + "\npredict('!')", *TOLD], "beside a question: predict('!')"),
        (
            [*ASKED, "k = predict('!', guess=3)\nk.reveal(3)", *TOLD],
            "beside a question: a guess in",
        ),
        ([*ASKED, "k = predict('!')", *TOLD], "never told: k"),
        ([TOLD[1], *ASKED, TOLD[2]], "told before: n"),
        ([*ASKED, ASKED[1], *TOLD], "asked twice: n"),
        ([*ASKED, TOLD[0], TOLD[2], TOLD[1]], "no score at the end"),
    ],
)
def test_a_wrong_question_is_found(sources, wrong):
    kinds = [("code" if "(" in text or "import" in text else "markdown") for text in sources]
    cells = [nbformat.NotebookNode(cell_type=k, source=s) for k, s in zip(kinds, sources)]
    found = wrong_predictions(cells)
    assert any(each.startswith(wrong) for each in found) if wrong else not found, found


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


def test_the_colab_cell_installs_from_the_one_address(lesson):
    assert f'"git+{repository_address()}"' in code_cells(lesson)[0].source
    assert lesson.path.name in lesson.cells[0].source


def test_every_exercise_is_unanswered_and_has_a_folded_answer(lesson):
    for k in exercises(lesson):
        assert "Not attempted yet" in str(lesson.cells[k].outputs)
        assert ANSWER.search(lesson.cells[k + 1].source)


def test_the_writer_puts_the_address_into_a_lesson_and_drops_widgets(tmp_path):
    path = tmp_path / PATHS[0].name
    shutil.copy(PATHS[0], path)
    notebook = nbformat.read(path, as_version=4)
    source = notebook.cells[1].source
    notebook.cells[1].source = source.replace(repository_address(), "https://example.org/old")
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%|"}
    table = widget | {"text/html": "<table></table>"}
    notebook.cells[1].outputs = [
        nbformat.v4.new_output("display_data", data) for data in (widget, table)
    ]
    tidy(notebook, path.name)
    assert notebook.cells[1].source == source
    (kept,) = notebook.cells[1].outputs
    assert set(kept.data) == {"text/html", "text/plain"}
