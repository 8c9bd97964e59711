"""Run the lessons on real CIFAR-10 and store their outputs: `python -m tests.store_notebooks`.

With file names, only those. Stored outputs are never edited by hand: this writes them. A notebook
that fails, or that had to fall back on generated pictures, is left as it was.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from cnn_lessons.files import write_whole

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = REPOSITORY / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
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
            cell.outputs = [kept for output in cell.outputs if (kept := without_view(output))]


def without_view(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """A widget needs a kernel: keep the HTML that stands for it; of a progress bar keep nothing."""
    if WIDGET in output.get("data", {}):
        output.data.pop(WIDGET)
        if "text/html" not in output.data:
            return None
    return output


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
