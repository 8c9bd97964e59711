"""The key to the lessons' questions, of their stored outputs: `python -m tests.teaching`.

It stands in docs/teaching.md, between two comments.
"""

import ast
import re

import nbformat

from cnn_lessons.files import write_whole
from cnn_lessons.table import Table
from tests.store_notebooks import NOTEBOOKS, REPOSITORY

PAGE = REPOSITORY / "docs/teaching.md"
PLACE = re.compile(r"(<!-- key -->\n).*?(<!-- end of key -->)", re.DOTALL)


def questions(lesson: nbformat.NotebookNode) -> dict[str, tuple[str, str]]:
    """The section and the words of each `name = predict("...")`, by its name."""
    found, section = {}, ""
    for cell in lesson.cells:
        headings = re.findall(r"^## (.+)", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and headings:
            section = headings[-1].split(" · ")[0]
        elif cell.cell_type == "code" and "= predict(" in cell.source:
            for line in ast.parse(cell.source).body:
                if isinstance(line, ast.Assign) and isinstance(line.value, ast.Call):
                    words = ast.literal_eval(line.value.args[0])
                    found[ast.unparse(line.targets[0])] = section, words
    return found


def answers(lesson: nbformat.NotebookNode) -> dict[str, str]:
    """What `name.reveal` said in the stored run, with a star where each run says its own."""
    found = {}
    for cell in lesson.cells:
        names = re.findall(r"\b(\w+)\.reveal\(", cell.source)
        if cell.cell_type == "code" and names:
            text = "".join(output.get("text", "") for output in cell.outputs)
            told = re.findall(r"^No guess: it is (.*)\.$", text, re.MULTILINE)
            if cell.execution_count is None:
                told = ["not stored yet"] * len(names)
            star = "*" if "nbval-ignore-output" in cell.metadata.get("tags", []) else ""
            if len(told) != len(names):
                raise ValueError(f"run the lesson anew: {cell.source}\nsays {told}")
            found |= {name: truth + star for name, truth in zip(names, told)}
    return found


def key() -> str:
    """A table for each lesson."""
    tables = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        lesson = nbformat.read(path, as_version=4)
        told = answers(lesson)
        rows = [
            {"section": section, "question": words, "answer": told[name]}
            for name, (section, words) in questions(lesson).items()
        ]
        tables.append(f"### Key to lesson {path.stem[:2]}\n\n{Table.of(rows).markdown()}\n")
    return "\n".join(tables)


def filled(text: str) -> str:
    """The page with its key made anew."""
    return PLACE.sub(lambda found: f"{found[1]}{key()}{found[2]}", text)


if __name__ == "__main__":
    write_whole(PAGE, filled(PAGE.read_text(encoding="utf-8")).encode())
