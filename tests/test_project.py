"""What the project's own files say: its dependencies, its version, its workflow."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

import cnn_lessons
from tests.store_notebooks import REPOSITORY, lessons

OURS = {"cnn_lessons", "benchmarks", "tests", "docs"}
COMES_ALONG = {
    "IPython": "ipywidgets",
    "PIL": "matplotlib",
    "nbconvert": "jupyterlab",
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


def targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", text("Makefile"), re.MULTILINE))


PAGES = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")


@pytest.mark.parametrize("name", PAGES)
def test_commands_and_files_that_a_page_names_are_there(name):
    page = text(name)
    called = set(re.findall(r"(?:`|^    )make ([a-z-]+)", page, re.MULTILINE))
    assert called <= targets()
    for module in re.findall(r"python -m ((?:benchmarks|tests|docs)[.\w]*)", page):
        place = REPOSITORY / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
    for link in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (REPOSITORY / name).parent.joinpath(link).exists(), link


def test_the_readme_begins_with_a_moving_picture_and_names_each_target():
    head, _, rest = text("README.md").partition("## Two commands")
    assert "](docs/stepper.gif)" in head
    with Image.open(REPOSITORY / "docs/stepper.gif") as picture:
        assert picture.n_frames >= 10
    assert (REPOSITORY / "docs/stepper.gif").stat().st_size < 1_000_000
    assert {name for name in targets() if f"make {name}" not in rest} == {"test-site"}


def test_no_line_of_the_windows_block_needs_an_edit():
    block = re.search(r"((?:    .*\n)+)", text("README.md").partition("On Windows")[2])[1]
    lines = block.split("\n    ")
    assert len(lines) == 4 and all("  " not in line.strip() and "/" not in line for line in lines)
    assert all(line.strip().startswith(("python ", ".venv\\Scripts\\python ")) for line in lines)


def test_torch_for_the_cpu_comes_before_the_rest_and_from_one_place():
    def commands(*arguments: str) -> str:
        command = ["make", "--dry-run", "--always-make", "lessons", *arguments]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True).stdout

    index = re.search(r"^CPU = (\S+)", text("Makefile"), re.MULTILINE)[1]
    for name in ("README.md", "Dockerfile", "binder/requirements.txt"):
        assert index in text(name)
    create = json.loads(text(".devcontainer/devcontainer.json"))["onCreateCommand"]
    torch, _, rest = create.partition(" && ")
    assert torch.endswith(index) and "--editable" in rest
    if shutil.which("make"):
        torch, _, rest = commands("TORCH=cpu").partition(f"--index-url {index}")
        assert "pip install torch torchvision" in torch and "--editable" in rest
        assert index not in commands() and "--editable" in commands()
