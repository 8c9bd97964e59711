"""The folded answer of each exercise, run by nbval just before the cell that it answers.

So each lesson runs once: an answer finds what a learner has at that place, its check must say
"Right", and then the lesson goes on unanswered, compared with its stored outputs.
"""

import re

import nbformat
from nbval.plugin import IPyNbCell

ANSWER = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


class Answer(IPyNbCell):
    def runtest(self):
        super().runtest()
        verdict = self.test_outputs[-1].get("data", {}) if self.test_outputs else {}
        said = verdict.get("text/plain", "nothing")
        if not said.startswith("✓ Right."):
            self.raise_cell_error(f"The check must say Right; it says: {said}")


def answer_to(item: IPyNbCell) -> Answer:
    cells = item.parent.nb.cells
    (place,) = [k for k, cell in enumerate(cells) if cell is item.cell]
    tagged = (cell.source for cell in cells[place:] if "answer" in cell.metadata.get("tags", []))
    folded = ANSWER.search(next(tagged, ""))
    source = folded.group(1) if folded else "'no folded answer'"
    return Answer.from_parent(
        item.parent,
        name=f"Answer to {item.name}",
        cell_num=item.cell_num,
        cell=nbformat.v4.new_code_cell(source),
        options={"check": False, "check_exception": False, "skip": False},
    )


def pytest_collection_modifyitems(items):
    with_answers = []
    for item in items:
        if isinstance(item, IPyNbCell) and "exercise" in item.cell.metadata.get("tags", []):
            with_answers.append(answer_to(item))
        with_answers.append(item)
    items[:] = with_answers
