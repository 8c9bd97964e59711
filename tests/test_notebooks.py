"""The lessons as files; nbval runs them, with the folded answers that `tests/answers.py` adds."""

import ast
import json
import re
from itertools import permutations

import nbformat
import pytest

from cnn_lessons import networks
from cnn_lessons.training import Difference, difference
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
    return "\n".join(map(said_by, code_cells(lesson)))


def said_by(cell):
    """What the stored outputs of one cell say."""
    return "\n".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for output in cell.outputs
    )


def tagged(lesson, tag):
    """Where the cells with this tag stand."""
    return [k for k, cell in enumerate(lesson.cells) if tag in cell.metadata.get("tags", [])]


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
    """Prose: without tables, addresses, folded answers, the Chinese abstract and the appendix; a
    word has a letter in it. Code: without the set-up cell."""
    main = re.split("^## Appendix", prose(lesson), flags=re.MULTILINE)[0]
    unfolded = re.sub(r"<details>.*?</details>|(?<=\])\([^)]*\)", "", main, flags=re.DOTALL)
    lines = [line for line in unfolded.splitlines() if not line.startswith(("|", "> **中文"))]
    words = [word for word in " ".join(lines).split() if re.search("[A-Za-z]", word)]
    code = [
        line for cell in code_cells(lesson)[1:] for line in cell.source.splitlines() if line.strip()
    ]
    assert 1_500 <= len(words) <= 2_500
    assert len(code) <= 250
    assert prose(lesson).count("**Predict") >= 5
    assert len(tagged(lesson, "exercise")) >= 5


def asked_in(source):
    """The names of `name = predict(...)` in a cell, and what stands beside them but lists."""
    names, others = [], []
    for line in ast.parse(source).body:
        call = line.value if isinstance(line, ast.Assign) else None
        if isinstance(call, ast.List):  # choices of more than one question
            continue
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
        if re.search(r"(?<![\w.])predict\(", code[k]):  # and no training.predict
            names, others = asked_in(code[k])
            wrong += [f"beside a question: {other}" for other in others]
            wrong += [f"asked twice: {name}" for name in names if name in asked]
            asked |= dict.fromkeys(names, k)
    told = {name: [k for k, c in enumerate(code) if f"{name}.reveal(" in c] for name in asked}
    wrong += [f"never told: {name}" for name in asked if not told[name]]
    wrong += [f"told before: {name}" for name, k in asked.items() if min(told[name], default=k) < k]
    last = max((k for places in told.values() for k in places), default=0)
    return wrong + ["no score at the end"] * (not any("score()" in c for c in code[last:]))


@pytest.mark.parametrize("lesson", FINISHED, ids=lambda path: path.stem, indirect=True)
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
    without_code = re.sub("```.*?```", "", prose(lesson), flags=re.DOTALL)
    for quoted in without_code.split("**")[1::2]:
        for number in re.findall(r"\d[\d,]*\.\d+", quoted):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", stored), number


# --- comparing sentences ------------------------------------------------------------------------

PAIR = re.compile(r"[+−]?\d[\d,]*(?:\.\d+)? ± \d[\d,]*(?:\.\d+)?")  # "+1.3 ± 0.4", "1.3 ± 0.4"
COMPARES = re.compile(
    r"\b(better|worse|faster|slower|higher|lower|(more|less|fewer) (\w+ )?than(?! \*{0,2}\d)"
    r"|beats?|gains?|leads?|ahead|outdo\w*|overtakes?|wins?|helps?|hurts?|costs? \S+ points)\b"
)
OF_A_TRAINING = re.compile(r"%|\bpoints?\b|\bloss\b|\baccura|\bepochs?\b|\berrors?\b")
# What needs no seeds: what a paper says, and what can be counted.
CITED = re.compile(r"\b(paper|papers|Table|Figure|published|authors?)\b")
COUNTED = re.compile(
    r"\b(parameters|weights|MACs|memory|layers|bytes|pixels|share of|of the work)\b"
)
RANGES = re.compile(r"\branges?\b[^.]*\b(touch|overlap|meet|disjoint|apart)", re.IGNORECASE)


def sentences(text):
    """Those of the prose: without tables, code, folded answers and the appendix."""
    text = re.split("^## Appendix", text, flags=re.MULTILINE)[0]
    text = re.sub(r"<details>.*?</details>|```.*?```", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"^(#.*|\|.*|<!--.*)$", "\n", text, flags=re.MULTILINE)
    blocks = re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", text)
    ends = r"(?<=[.!?])[*_)]{0,2}\s+(?=[A-Z*_(\[`$])"
    found = [re.split(ends, " ".join(block.split())) for block in blocks]
    return [sentence for block in found for sentence in block if sentence]


def unshown(text):
    """The sentences that compare measured numbers and do not say whether that is shown."""
    return [
        sentence
        for sentence in sentences(text)
        if re.search(r"\*\*[^*]*\d[^*]*\*\*", sentence)
        and COMPARES.search(sentence)
        and OF_A_TRAINING.search(sentence)
        and not re.search(r"\bshown\b", sentence)
        and not CITED.search(sentence)
        and not (COUNTED.search(sentence) and not re.search(r"\bpoints?\b|accura", sentence))
    ]


def stored_differences():
    """Of every two variants of every stored comparison, by each measure that is a number."""
    for path in networks.RESULTS.glob("experiment_*.json"):
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        for measure in set(rows[0]) - {"variant", "seed", "seconds"}:
            found = networks.experiment(path.stem[11:], measure)
            for first, second in permutations(found.values(), 2):
                numbers = all(isinstance(value, (int, float)) for value in (*first, *second))
                if numbers and len(first) > 1:
                    yield difference(first, second)


def as_quoted(found: Difference):
    """How a lesson may write it: in points of a hundred or in its own units, rounded."""
    for scale in (100, 1):
        for digits in range(4):
            text = f"{scale * found.mean:+.{digits}f} ± {scale * found.error:.{digits}f}"
            yield text.replace("-", "−"), found.shown


STORED = {pair for found in stored_differences() for pair in as_quoted(found)}
VERDICT = re.compile(rf"({PAIR.pattern})[^\n]*?\b((?:not )?shown)\b")


def misquoted(text, cells):
    """Comparisons in bold that no cell printed, no training measured, or that say another verdict.

    A cell that reads a stored comparison must agree with it; one that trains by itself and takes
    the `difference` counts as it is.
    """
    live = [c for c in cells if "difference(" in c.source and "experiment(" not in c.source]
    measured = STORED | {
        (pair, verdict == "shown")
        for cell in live
        for pair, verdict in VERDICT.findall(said_by(cell))
    }
    printed, wrong = "\n".join(map(said_by, cells)), []
    for sentence in sentences(text):
        for quoted in re.findall(r"\*\*([^*]+)\*\*", sentence):
            for pair in PAIR.findall(quoted):
                said = {"not " not in word for word in re.findall(r"(?:not )?shown\b", sentence)}
                agree = {
                    verdict for found, verdict in measured if pair in (found, found.lstrip("+−"))
                }
                if pair not in printed or not said & agree:
                    wrong.append(sentence)
    return wrong


def test_a_comparison_in_bold_is_what_the_trainings_measured(lesson):
    assert misquoted(prose(lesson), code_cells(lesson)) == []


def test_who_compares_trainings_says_whether_it_is_shown(lesson):
    assert unshown(prose(lesson)) == []


def test_that_ranges_do_not_touch_is_no_argument(lesson):
    assert [each for each in sentences(prose(lesson)) if RANGES.search(each)] == []


@pytest.mark.parametrize("name", ["README.md", "benchmarks/README.md"])
def test_the_readme_keeps_the_same_rules(name):
    text = (NOTEBOOKS.parent / name).read_text(encoding="utf-8")
    assert unshown(text) == [] == [each for each in sentences(text) if RANGES.search(each)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Muon is better: **65.9 %** of\nthe pictures.", "unshown"),
        ("It fits. With heads the loss is lower by **0.2**! Fine.", "unshown"),
        ("- ReLU gains **1.3 points** here", "unshown"),
        ("Muon is better: **65.9 %** (not shown).", ""),
        ("It has fewer parameters than VGG, **0.3** million, 1 %.", ""),
        ("One is better by **+1.0 ± 0.4 points, 5 seeds: shown**.", ""),
        ("One is better by **+1.0 ± 0.4**: not shown.", "misquoted"),
        ("One is better by **+9.0 ± 0.4 points, 5 seeds: shown**.", "misquoted"),
        ("One is worse by **−2.0 ± 0.5** points: shown.", "misquoted"),
        ("One is better by **1.0 ± 0.4** points: shown.", ""),
        ("One is better by **2.0 ± 0.4** points: shown.", "misquoted"),
        ("The paper says that one is better by **2.0** points.", ""),
        ("The ranges of the seeds do not\ntouch.", "ranges"),
        ("| better | **2.0 %** |\n|---|---|", ""),
        ("<details>better: **2.0 %**</details>", ""),
    ],
)
def test_a_sentence_that_breaks_a_rule_is_found(text, rule):
    output = nbformat.v4.new_output("stream", text="mine: +1.0 ± 0.4 points, 5 seeds: shown\n")
    cell = nbformat.v4.new_code_cell("training.difference(a, b)", outputs=[output])
    found = {
        "unshown": unshown(text),
        "misquoted": misquoted(text, [cell]),
        "ranges": [each for each in sentences(text) if RANGES.search(each)],
    }
    assert [name for name, wrong in found.items() if wrong] == [rule] * bool(rule)


def test_a_stored_comparison_must_agree_with_the_outputs_that_quote_it():
    output = nbformat.v4.new_output("stream", text="+77.7 ± 0.4 points, 5 seeds: shown\n")
    source = "training.difference(*networks.experiment(NAME, MEASURE).values())"
    cell = nbformat.v4.new_code_cell(source, outputs=[output])
    assert misquoted("Better: **+77.7 ± 0.4 points, 5 seeds: shown**.", [cell])


def test_every_figure_has_its_text_twin(lesson):
    for cell in code_cells(lesson):
        for output, after in zip(cell.outputs, [*cell.outputs[1:], None]):
            if "image/png" in output.get("data", {}):
                text = output.data["text/plain"]
                assert output.metadata["image/png"]["alt"] == text and text.endswith(".")
                assert after.data["text/markdown"] == f"*{text}*"


def test_every_exercise_is_unanswered_and_has_a_folded_answer(lesson):
    """The answer has a cell of its own, which a handout leaves out; hints may stand before it."""
    for k in tagged(lesson, "exercise"):
        assert "Not attempted yet" in str(lesson.cells[k].outputs)
    places = sorted(tagged(lesson, "exercise") + tagged(lesson, "answer"))
    assert places[::2] == tagged(lesson, "exercise") and places[1::2] == tagged(lesson, "answer")
    for k, cell in enumerate(lesson.cells):
        if k in places[1::2]:
            assert ANSWER.fullmatch(cell.source) and cell.source.count("<details>") == 1
        else:
            assert "<summary>Answer" not in cell.source


def test_a_network_that_is_added_stands_in_the_comparison_without_an_edit(monkeypatch):
    found = networks.results()
    found["Made"] = found["LeNet5"] | {"network": "Made", "accuracy": 0.999, "seeds": [0]}
    monkeypatch.setattr(networks, "results", lambda: found)
    monkeypatch.setitem(networks.NETWORKS, "Made", networks.NETWORKS["LeNet5"])
    monkeypatch.setitem(networks.RECIPES, "Made", networks.RECIPES["LeNet5"])
    cells = nbformat.read(NOTEBOOKS / "06_compare.ipynb", as_version=4).cells
    [build] = [k for k, cell in enumerate(cells) if cell.source.startswith("## Build it")]
    names = {}
    for cell in cells[2:build]:
        if cell.cell_type == "code":
            exec(compile(cell.source, "cell", "exec"), names)
    assert {"Made", "LeNet5"} <= set(names["small"]) & set(names["points"])
    assert names["rows"][-1]["network"] == names["best"] == "Made"
    assert names["rows"][-1]["accuracy"] == "99.9%"


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
