"""Who may import whom: the one direction of imports that keeps each file readable alone."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cnn_lessons"
# What happens to tensors.
LOWER = {"shapes", "training", "data", "inside", "checkpoint", "recipes", "muon"}
SEEN = {"stepper", "explorers", "widgets", "diagrams", "plots", "svg", "checks", "live"}
UPPER = SEEN | {"trained", "train"}  # what a learner sees and touches, and what is run
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The names of our own modules that a file imports, such as "shapes" or "models.lenet"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = ("cnn_lessons." if node.level else "") + (node.module or "")
            names = [module] + [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.removeprefix("cnn_lessons.") for name in names if "cnn_lessons." in name}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    rooms = {name.split(".")[0] for name in imported(path)}
    if path.name == "__init__.py":
        return  # re-exports its own files; the next test holds the top one empty
    if path.parent.name == "models" or path.stem in LOWER:
        allowed = {"checkpoint", "recipes", "muon"} if path.stem == "training" else set()
        assert rooms <= allowed, f"{path.name} must import nothing of ours"
    else:
        assert rooms <= LOWER | UPPER | {"models"} and path.stem not in rooms


def test_the_package_itself_imports_nothing():
    assert "import" not in (PACKAGE / "__init__.py").read_text(encoding="utf-8")


def test_this_test_can_see_an_import():
    assert "shapes" in imported(PACKAGE / "plots.py")
    assert any(name.startswith("lenet") for name in imported(PACKAGE / "models" / "__init__.py"))
