"""Seconds that each lesson computes on this machine and in its profile, and which cells take long.

A cell of more than five seconds has to show a bar or a figure that grows.
"""

import time
from datetime import datetime
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from benchmarks import common
from cnn_lessons import training

LESSONS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))
LONG = 5  # seconds


def one(path: Path) -> dict:
    """A row: the lesson, its seconds, and the ids of its long cells with theirs."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    start = time.perf_counter()
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=where).execute()
    row = {
        "lesson": path.stem,
        "profile": training.profile(),
        "seconds": time.perf_counter() - start,
    }
    took = {cell.id: seconds(cell) for cell in notebook.cells if cell.cell_type == "code"}
    long = [f"{name} {value:.0f} s" for name, value in took.items() if value > LONG]
    return row | {"long cells": ", ".join(long)}


def seconds(cell: nbformat.NotebookNode) -> float:
    """From the moment a cell began until the kernel was idle again; 0 for an empty one."""
    moments = cell.metadata.get("execution", {})
    ends = ("iopub.execute_input", "iopub.status.idle")
    if not all(end in moments for end in ends):
        return 0.0
    begin, end = (datetime.fromisoformat(moments[end].replace("Z", "+00:00")) for end in ends)
    return (end - begin).total_seconds()


def main(arguments=None) -> list[dict]:
    """Print a row a lesson."""
    parser = common.options(__doc__)
    parser.add_argument("--lessons", type=Path, nargs="+", default=LESSONS, help="notebooks")
    chosen = parser.parse_args(arguments)
    chosen.device = training.device()  # they take it by themselves
    return common.report("lessons", [one(path) for path in chosen.lessons], chosen)


if __name__ == "__main__":
    main()
