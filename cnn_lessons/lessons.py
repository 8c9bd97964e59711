"""The learner's working copy of the lessons: without outputs, and never overwritten.

For a teacher it is made without the answers too.
"""

import json
from hashlib import sha256
from itertools import count
from pathlib import Path

from cnn_lessons.files import write_whole

REPOSITORY = Path(__file__).resolve().parents[1]
GLOSSARY = "docs/glossary.md"


def hand_out(folder: str | Path, source: str | Path, answers: bool = True) -> list[str]:
    """Copy the lessons of `source` into `folder`; say in sentences what was there before.

    The copies have no outputs, and without `answers` no cell with the tag `answer` either. What a
    learner has changed or run stays as it is. If the lesson is newer than such a copy, it comes
    beside it, as `03_vgg.new.ipynb`; a copy that nobody has touched is replaced. The glossary, to
    which they link, is put beside them, a newer one as `glossary.new.md`. Raises OSError where
    there are no lessons, and where nothing can be read or written.
    """
    paths = sorted(Path(source).glob("*.ipynb"))
    if not paths:
        raise OSError(f"there are no lessons in {source}: get the whole repository")
    glossary, copy = Path(source).parent / GLOSSARY, Path(folder) / Path(GLOSSARY).name
    if glossary.exists() and (not copy.exists() or copy.read_bytes() != glossary.read_bytes()):
        place = copy.with_suffix(".new.md") if copy.exists() else copy
        write_whole(place, glossary.read_bytes())
    return [words for path in paths if (words := _copy_one(path, Path(folder), answers))]


def _copy_one(path: Path, folder: Path, answers: bool) -> str:
    text = path.read_text(encoding="utf-8")
    lesson = json.loads(text.replace(f"](../{GLOSSARY})", f"]({Path(GLOSSARY).name})"))
    if not answers:
        kept = [c for c in lesson["cells"] if "answer" not in c["metadata"].get("tags", [])]
        lesson["cells"] = kept
    for cell in lesson["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    origin = _fingerprint(lesson)
    lesson["metadata"]["cnn_lessons"] = {"origin": origin}
    for number in count():
        ending = "" if not number else ".new" if number == 1 else f".new{number}"
        place = folder / f"{path.stem}{ending}.ipynb"
        there, made_of, touched = _state(place)
        if made_of == origin:
            return ""
        if not touched:
            break
    write_whole(place, (json.dumps(lesson, indent=1, ensure_ascii=False) + "\n").encode())
    if number:
        return f"{path.name} has your work and stays; the newer lesson is {place.name}."
    return f"{path.name} was as you got it; it is the newer lesson now." if there else ""


def _state(place: Path) -> tuple[bool, str, bool]:
    """Whether a copy is there, the fingerprint of its lesson, and whether a learner touched it."""
    try:
        copy = json.loads(place.read_text(encoding="utf-8"))
        made_of = copy["metadata"]["cnn_lessons"]["origin"]
        ran = any(cell.get("outputs") or cell.get("execution_count") for cell in copy["cells"])
        return True, made_of, ran or _fingerprint(copy) != made_of
    except FileNotFoundError:
        return False, "", False
    except (ValueError, LookupError, TypeError, AttributeError):  # it is not one of our copies
        return True, "", True


def _fingerprint(lesson: dict) -> str:
    """The same as long as text and code of all cells are."""
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in lesson["cells"]]
    return sha256(json.dumps(cells).encode()).hexdigest()
