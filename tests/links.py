"""Write the address of whoever publishes the course into it: `python -m tests.links [ADDRESS]`.

Without ADDRESS it is that of the clone's `origin`; `none` takes every address out again, and that
is how the course is kept: a name that nobody here owns would run a stranger's code. The set-up cell
of each lesson then installs the very commit from which this was run, on Colab only.
"""

import re
import subprocess
import sys

import nbformat

from cnn_lessons.files import write_whole
from tests.store_notebooks import NOTEBOOKS, REPOSITORY, lessons

BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})"
MISSING = """# @title Set-up: says what to do where the course is not installed
from importlib.util import find_spec

if find_spec("cnn_lessons") is None:
    message = "cnn_lessons is not installed for this kernel. In the folder of the course, run: "
    raise ModuleNotFoundError(message + "python -m pip install --editable .")"""
INSTALLS = """# @title Set-up: installs the course on Colab, does nothing where it is installed
import sys
from importlib.util import find_spec

if find_spec("cnn_lessons") is None and "google.colab" in sys.modules:
    %pip install -q --no-deps "git+{source}"
if find_spec("cnn_lessons") is None:
    message = "cnn_lessons is not installed for this kernel. Run: "
    raise ModuleNotFoundError(message + 'python -m pip install "git+{source}"')"""


def web_address(origin: str) -> str:
    """An origin, by https or ssh, as a web address: without user, password and `.git`.

    Raises ValueError for one that others cannot reach, as a folder.
    """
    found = re.fullmatch(
        r"(?:(?:https?|ssh|git)://(?:[^@/]*@)?|[\w.-]+@)([\w.-]+\.\w+)(?::\d+(?=/))?[/:](.+?)",
        origin.strip().rstrip("/").removesuffix(".git"),
    )
    if not found or re.search(r"[^\w./~-]", found[2]):
        raise ValueError(
            f"ADDRESS must be a web address such as https://host/you/course; got {origin!r}"
        )
    return f"https://{found[1]}/{found[2].strip('/')}"


def stamp(lesson: nbformat.NotebookNode, name: str, address: str = "", commit: str = "") -> None:
    """Badge and set-up cell of a lesson, for this address or for none."""
    head, set_up = lesson.cells[0], lesson.cells[1]
    head.source = re.sub(r"^\[!\[Open in Colab\].*\n\n", "", head.source, flags=re.MULTILINE)
    set_up.source = MISSING
    if address:
        set_up.source = INSTALLS.format(source=f"{address}@{commit}")
    if address.startswith("https://github.com/"):
        colab = address.replace("https://github.com", "https://colab.research.google.com/github")
        badge = BADGE.format(f"{colab}/blob/main/notebooks/{name}")
        head.source = head.source.replace("\n\n", f"\n\n{badge}\n\n", 1)


def stamped(text: str, address: str = "") -> str:
    """A README or CITATION.cff with the clone line or the address in its place, or without."""
    words = "先取得本课程：" if "## 两条命令" in text else "First, get it:"
    lines = f"\n{words}\n\n    git clone {address}\n" if address else ""
    text = re.sub(
        r"(<!-- address -->).*?(\n<!-- /address -->)",
        lambda found: found[1] + lines.removesuffix("\n") + found[2],
        text,
        flags=re.DOTALL,
    )
    text = re.sub(r"^repository-code: .*\n", "", text, flags=re.MULTILINE)
    if address and text.startswith("cff-version"):
        text = text.rstrip("\n") + f"\nrepository-code: {address}\n"
    return text


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git {' '.join(arguments)}: {done.stderr.strip()}; give ADDRESS")
    return done.stdout.strip()


def main(arguments: list[str]) -> None:
    """Raises SystemExit with one sentence where there is no address that others can reach."""
    address = commit = ""
    try:
        if arguments != ["none"]:
            address = web_address(arguments[0] if arguments else git("remote", "get-url", "origin"))
            commit = git("rev-parse", "HEAD")
    except ValueError as error:
        sys.exit(str(error))
    for path in lessons():
        lesson = nbformat.read(path, as_version=4)
        stamp(lesson, path.relative_to(NOTEBOOKS).as_posix(), address, commit)
        write_whole(path, (nbformat.writes(lesson) + "\n").encode())
    for path in (REPOSITORY / name for name in ("README.md", "README.zh.md", "CITATION.cff")):
        write_whole(path, stamped(path.read_text(encoding="utf-8"), address).encode())
    print(f"The course now names {address or 'no address'}.")


if __name__ == "__main__":
    main(sys.argv[1:])
