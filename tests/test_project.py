"""What the project's own files say: its dependencies, its version, its workflow."""

import ast
import re
import sys
from pathlib import Path

import nbformat

import cnn_lessons
from tests.store_notebooks import REPOSITORY, lessons

OURS = {"cnn_lessons", "benchmarks", "tests"}
COMES_ALONG = {
    "IPython": "ipywidgets",
    "PIL": "matplotlib",
    "nbformat": "nbclient",
}


def text(name: str | Path) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def imported(source: str) -> set[str]:
    """The packages that a piece of code needs and that do not come with Python."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module))
    tops = {name.partition(".")[0] for name in names}
    return {COMES_ALONG.get(top, top) for top in tops - OURS - sys.stdlib_module_names}


def sources(folder: str) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in (REPOSITORY / folder).rglob("*.py")]


def cells(path: Path) -> list[str]:
    """The code of a lesson without its magic lines."""
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return [re.sub(r"%\w.*", "pass", cell.source) for cell in code]


LESSONS_NEED = set(re.findall(r"^\w+", text("requirements.txt"), re.MULTILINE))
TESTS_NEED = set(re.findall(r'^ +"([\w-]+)[>=]', text("pyproject.toml"), re.MULTILINE))


def test_requirements_are_what_package_and_lessons_import():
    code = sources("cnn_lessons") + [cell for path in lessons() for cell in cells(path)]
    needed = set().union(*map(imported, code))
    assert needed <= LESSONS_NEED
    assert LESSONS_NEED - needed == {"jupyterlab"}, "which shows the lessons"


def test_the_tests_import_only_what_they_install():
    needed = set().union(*map(imported, sources("tests"))) - LESSONS_NEED
    assert needed - {"playwright"} <= TESTS_NEED  # which `make test-browser` installs


def test_the_version_stands_in_one_place():
    assert f"## {cnn_lessons.__version__}" in text("CHANGELOG.md")
    for name in ("pyproject.toml", "CITATION.cff", "README.md", "CONTRIBUTING.md"):
        assert cnn_lessons.__version__ not in text(name)


def test_every_action_of_a_workflow_is_pinned_to_a_commit():
    workflows = list((REPOSITORY / ".github/workflows").glob("*"))
    actions = re.findall(r"uses: *(.+)", "\n".join(text(path) for path in workflows))
    assert len(actions) >= 2 * len(workflows) > 0
    for action in actions:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_each_fault_in_the_table_has_its_test():
    rows = [line for line in text("docs/faults.md").splitlines() if line.startswith("| ")][2:]
    there = "\n".join(sources("tests"))
    assert len(rows) >= 60
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.split("|")[4])
        assert named and all(f"def {name}(" in there for name in named), row
