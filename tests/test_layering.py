"""Who may import whom: each module only what stands below it, so that each can be read alone."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cnn_lessons"
# From the ground up: a line is a floor, of rooms that do not know each other. Within a room the
# files stand in their order; files that are not named stand on top of them, side by side.
FLOORS = (
    {"files": "", "table": ""},
    {
        "lessons": "",
        "models": "starts conversion",
        "shapes": "fields sights follower rows recorder",
        "data": "batches generated drawn written archive pictures",
        "training": "history statistics recipes state checkpoint measure captured precision loop "
        "by_hand",
    },
    {
        "networks": "",
        "see": "colours svg fonts probes plots tables diagrams curve panels predictions units "
        "steps page stepper explorers",
    },
    {"checks": "verdict numbers functions modules challenge", "__main__": ""},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def rank(module: str) -> tuple[int, int]:
    """The floor of "see.plots", and its place in its room."""
    room, _, file = module.partition(".")
    files = FLOORS[FLOOR_OF[room]][room].split()
    return FLOOR_OF[room], files.index(file) if file in files else len(files)


def imported(source: str) -> set[str]:
    """The modules of ours that a file imports, as "see.plots"; a room itself as "see.__init__"."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are for a room's __init__.py"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {module_of(name) for name in names if name.startswith("cnn_lessons")}


def module_of(name: str) -> str:
    """Of "cnn_lessons.see.plots.show" the part that is a file, else the room."""
    room, *rest = name.split(".")[1:]
    if rest and (PACKAGE / room / f"{rest[0]}.py").exists():
        return f"{room}.{rest[0]}"
    return f"{room}.__init__" if (PACKAGE / room).is_dir() else room


def wrong_imports(module: str, source: str) -> list[str]:
    """What a module imports that is not below it: its own room's __init__ and equals included."""
    room = module.split(".")[0]
    wrong = []
    for other in sorted(imported(source)):
        same_room = other.split(".")[0] == room
        mine, theirs = rank(module), rank(other)
        if not (theirs < mine if same_room else theirs[0] < mine[0]):
            wrong.append(other)
    return wrong


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "__init__.py"], ids=str)
def test_imports_go_down_only(path):
    module = ".".join(path.with_suffix("").parts)
    assert not wrong_imports(module, (PACKAGE / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=str)
def test_a_room_exports_its_own_files_alone(path):
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Import)
        assert not isinstance(node, ast.ImportFrom) or (node.level == 1 and node.module)
        assert not isinstance(node, ast.ImportFrom) or path.parent != Path()


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("see.plots", "from cnn_lessons.see import explorers"),
        ("see.plots", "from cnn_lessons.see.explorers import budget"),
        ("see.panels", "from cnn_lessons import checks"),
        ("see.panels", "import cnn_lessons.checks.numbers"),
        ("see.svg", "from cnn_lessons.see import Stepper"),
        ("shapes.fields", "def late():\n    from cnn_lessons.shapes.rows import Row"),
        ("models.vgg", "from cnn_lessons.models.resnet import BasicBlock"),
        ("models.starts", "from cnn_lessons.models import vgg"),
        ("models.vgg", "from cnn_lessons.shapes import record"),
        ("training.loop", "from cnn_lessons.data import load"),
        ("networks", "from cnn_lessons.see import plots"),
        ("data.batches", "from cnn_lessons.data.archive import load"),
        ("checks.vgg", "from cnn_lessons.checks import check_sizes"),
        ("checks.vgg", "from cnn_lessons.checks.start import check_sizes"),
        ("checks.vgg", "from cnn_lessons import __main__"),
    ],
)
def test_a_wrong_import_is_found(module, planted):
    assert wrong_imports(module, planted)


def test_every_file_has_its_place():
    assert {path.parts[0].removesuffix(".py") for path in FILES} - {"__init__"} == set(FLOOR_OF)
    for rooms in FLOORS:
        for room, files in rooms.items():
            assert all((PACKAGE / room / f"{file}.py").exists() for file in files.split())
