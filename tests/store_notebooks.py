"""Run the lessons on real CIFAR-10 and store their outputs: `python -m tests.store_notebooks`.

With file names, only those. Stored outputs are never edited by hand: this writes them. A notebook
that fails, or that had to fall back on generated pictures, is left as it was.
"""

import base64
import io
import re
import sys
from pathlib import Path

import matplotlib
import nbformat
from nbclient import NotebookClient
from PIL import Image

from cnn_lessons.files import write_whole

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = REPOSITORY / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
# The drawing of an explorer, see `Explorer.static`: NBVAL leaves it out of comparisons.
NBVAL = REPOSITORY / "tests/nbval.cfg"
DRAWING = re.compile(r'<img [^>]*src="data:image/svg\+xml;base64,([^"]*)"/>')
FONT = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")  # the same on every machine
METADATA = {
    "kernelspec": {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    },
    "language_info": {"name": "python"},
}


def lessons(folder: Path = NOTEBOOKS) -> list[Path]:
    """The finished lessons, then the drafts: run like them, but not yet measured by length."""
    return sorted(folder.glob("*.ipynb")) + sorted(folder.glob("drafts/*.ipynb"))


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Keep what a reader without a kernel can see, and nothing of the machine it ran on."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs for kept in without_view(output)]


def without_view(output: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """A widget needs a kernel: keep the HTML that stands for it; of a progress bar keep nothing.

    GitHub removes drawings from HTML: one becomes a picture of its own before it.
    """
    data = output.get("data", {})
    if WIDGET not in data:
        return [output]
    del data[WIDGET]
    if "text/html" not in data:
        return []
    if not (drawing := DRAWING.search(data["text/html"])):
        return [output]
    data["text/html"] = DRAWING.sub("", data["text/html"])
    return [picture_of(base64.b64decode(drawing[1]).decode(), data["text/plain"]), output]


def picture_of(drawing: str, words: str) -> nbformat.NotebookNode:
    """A drawing (SVG) with two pixels for each one of the screen; it has no text for nbval."""
    import resvg_py  # who only runs the tests of a lesson needs none

    fonts = {"font_files": [str(FONT)], "sans_serif_family": "DejaVu Sans"}
    png = bytes(resvg_py.svg_to_bytes(drawing, zoom=2, skip_system_fonts=True, **fonts))
    about = {"alt": words, "width": Image.open(io.BytesIO(png)).width // 2}
    data = {"image/png": base64.b64encode(png).decode()}
    return nbformat.v4.new_output("display_data", data, metadata={"image/png": about})


def main(paths: list[Path]) -> None:
    for path in paths:
        print(f"{path.name} ...", flush=True)
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.parent)
        outputs = str([cell.get("outputs") for cell in notebook.cells])
        if "not CIFAR-10" in outputs:
            sys.exit(f"{path.name}: there was no CIFAR-10, so nothing was stored")
        tidy(notebook)
        write_whole(path, (nbformat.writes(notebook) + "\n").encode())


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or lessons())
