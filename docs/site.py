"""Build the course as a web site: `make site`, or `python -m docs.site [FOLDER]`.

No lesson is executed: they come with the outputs that are stored in them. Only what is live is made
anew, without a kernel: a stepper for each network that comes trained, and the explorers. The
finished site fetches nothing, so it can also be read from a disk; SHA256SUMS has all its files.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import torch

from cnn_lessons import data, networks
from cnn_lessons.see.page import save_page
from docs import live

REPOSITORY = Path(__file__).resolve().parents[1]
PLACE = REPOSITORY / "build" / "site"
TRAINED = tuple(sorted(path.stem for path in networks.WEIGHTS.glob("*.json")))
# What becomes a page, and what pages need. A link from one of these to another leads to its page.
SOURCES = (
    "notebooks/*.ipynb", "docs/*.md", "docs/*.gif", "benchmarks/README.md", "CONTRIBUTING.md",
    "CHANGELOG.md", "README.zh.md", "LICENSE",
)  # fmt: skip
CONTENTS = """
```{toctree}
:hidden:
:glob:
:caption: Lessons
notebooks/*
```

```{toctree}
:hidden:
:glob:
:caption: Step by step
networks/*
```

```{toctree}
:hidden:
:glob:
:caption: More
docs/*
benchmarks/*
CONTRIBUTING
CHANGELOG
README.zh
```
"""
NETWORK = """# {name}, step by step

Trained on CIFAR-10; its lesson is [here](../notebooks/{lesson}). The picture is drawn by code, so
that all readers have it: a ship as it is, mirrored, moved to the right and upside down. The last
one is no ship to a network that never saw a ship like that. Click into a step, then use the arrow
keys, or <a href="../live/{name}.html">open the stepper alone</a>.

<iframe class="live" src="../live/{name}.html" title="{name}, step by step"></iframe>
"""
# Those of CIFAR-10's training pictures, with which the networks were trained.
MEAN, STD = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])


def lesson_of(name: str) -> str:
    """The file name of a network's lesson, which is called like the module of its class."""
    build = networks.NETWORKS[name].build  # the class itself, or one with its settings
    module = getattr(build, "func", build).__module__.rpartition(".")[2]
    return next(REPOSITORY.glob(f"notebooks/*_{module}*.ipynb")).name


def pictures() -> tuple[torch.Tensor, list[str]]:
    """The ship in four positions, uint8 (4, 3, 32, 32), and what they are called."""
    ship = data.ship()
    shown = {"a ship": ship, "mirrored": ship.flip(2), "moved by 4 pixels": ship.roll(4, 2)}
    shown |= {"upside down": ship.flip(1)}
    return torch.stack(list(shown.values())), list(shown)


def write_stepper(name: str, folder: Path) -> None:
    """The stepper of a trained network, as a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    seen, labels = pictures()
    images = (seen / 255 - MEAN[:, None, None]) / STD[:, None, None]
    model, path = networks.load_trained(name), folder / f"{name}.html"
    save_page(path, model, images, seen, labels, data.CLASS_NAMES, title=name)


def write_source(source: Path, names: Sequence[str]) -> None:
    """All that Sphinx reads, in one folder; the README is its first page."""
    for pattern in SOURCES:
        for path in REPOSITORY.glob(pattern):
            place = source / path.relative_to(REPOSITORY)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    chinese = source / "README.zh.md"
    text = chinese.read_text(encoding="utf-8").replace("(README.md)", "(index.md)")
    chinese.write_text(text, encoding="utf-8")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (source / "index.md").write_text(readme + CONTENTS, encoding="utf-8")
    for name in names:
        page = source / "networks" / f"{name}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(NETWORK.format(name=name, lesson=lesson_of(name)), encoding="utf-8")


def build(place: Path = PLACE, names: Sequence[str] = TRAINED) -> None:
    """Raises CalledProcessError where Sphinx finds something wrong, after its own words.

    A site that was there is replaced; FileExistsError for a folder with anything else in it.
    """
    site = place == PLACE or (place / "searchindex.js").exists()
    if not site and place.exists() and any(place.iterdir()):
        raise FileExistsError(f"{place} has files that are no site: name an empty folder")
    with tempfile.TemporaryDirectory() as folder:
        write_source(Path(folder), names)
        shutil.rmtree(place, ignore_errors=True)
        options = ["--quiet", "--fail-on-warning", "--conf-dir", str(REPOSITORY / "docs")]
        options += ["--doctree-dir", f"{folder}/doctrees", folder, str(place)]
        subprocess.run([sys.executable, "-m", "sphinx", *options], cwd=REPOSITORY, check=True)
    for name in names:
        write_stepper(name, place / "live")
    for call in live.CALLS:
        live.write_explorer(call, place / "live")
    write_sums(place)


def write_sums(place: Path) -> None:
    """SHA256SUMS, for `sha256sum -c` in the folder: what is served can be held against it."""
    files = {
        path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()
    }
    sums = [f"{sha256(files[name].read_bytes()).hexdigest()}  {name}\n" for name in sorted(files)]
    (place / "SHA256SUMS").write_text("".join(sums), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if sys.argv[1:] else PLACE
    build(chosen)
    print(f"Open {chosen / 'index.html'}")
