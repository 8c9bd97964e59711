"""The tables of benchmarks/README.md, made from benchmarks/results: `python -m benchmarks.tables`.

So is the sentence of README.md on the minutes of the lessons on a GPU. Each stands between two
comments, such as <!-- results --> and <!-- end of results -->.
"""

import json
import math
import re
from functools import partial
from pathlib import Path

from benchmarks.starts import DEAD, STARTS
from benchmarks.time_to_accuracy import MARKS
from cnn_lessons import networks
from cnn_lessons.files import write_whole
from cnn_lessons.shapes import on_meta
from cnn_lessons.table import Table
from cnn_lessons.training.recipes import PRECISIONS, RECIPES

README = Path(__file__).with_name("README.md")
FIRST_README = README.parents[1] / "README.md"
NOT_MEASURED = "not measured"


def accuracies() -> list[dict]:
    """What each recipe reached on the test pictures, and what it cost: on a CPU and on a GPU."""
    cpu, gpu = networks.results(), networks.results(gpu=True)
    rows = []
    for name, whose in networks.NETWORKS.items():
        if name not in cpu | gpu:
            continue
        row = {"network": name, "paper": f"{whose.paper}, {whose.year}"}
        table = on_meta(partial(networks.build, name), (3, 32, 32))
        row |= {"parameters": f"{table.parameters:,}", "MACs": f"{table.macs / 1e6:,.1f} M"}
        columns = ("test pictures right", "epochs", "precision", "minutes of one core")
        row |= dict.fromkeys((*columns, "right on a GPU", "what that took"), NOT_MEASURED)
        if found := cpu.get(name):
            row["test pictures right"], row["epochs"] = _right(found), _epochs(found, "cpu")
            row["precision"] = found["precision"]
            row["minutes of one core"] = f"{found['processor_seconds'] / 60:.0f}"
        if found := gpu.get(name):
            row["right on a GPU"] = _right(found)
            took = f"{found['seconds']} s, {_epochs(found, 'gpu')} epochs, {found['precision']}"
            row["what that took"] = took
        rows.append(row)
    return rows


def _right(found: dict) -> str:
    seeds = len(found["seeds"])
    span = f" ({found['lowest']:.1%} to {found['highest']:.1%}, {seeds} seeds)"
    return f"{found['accuracy']:.1%}{span if seeds > 1 else ''}"


def _epochs(found: dict, profile: str) -> str:
    wanted = RECIPES[found["network"]][profile].epochs
    cut = "" if found["epochs"] == wanted else f" of the recipe's {wanted}"
    return f"{found['epochs']}{cut}"


def speeds() -> list[dict]:
    """Pictures a second of the usual loop and of ours, and our share of the compute limit.

    On a GPU ours is in the precision that is fastest there, and the limit is the captured step.
    """
    cpu, gpu = (_by_network(f"training_loop{device}") for device in ("", "_cuda"))
    rows = []
    for name in networks.NETWORKS:
        if name not in cpu | gpu:
            continue
        columns = ("usual loop", "ours, float32", "ours, bfloat16", "usual loop, GPU", "ours, GPU")
        row = {"network": name} | dict.fromkeys(columns, NOT_MEASURED)
        if found := cpu.get(name):
            row["usual loop"] = f"{found['usual']:,} images/s"
            for precision in PRECISIONS[:2]:
                row[f"ours, {precision}"] = _times(found, precision, "compute_limit", "limit")
        if found := gpu.get(name):
            usual = [f"{found[key]:,} images/s" for key in found if key == "usual"]
            more = [f"{found[key]:,} with {key[7:]}" for key in found if key.startswith("usual, ")]
            best = max((p for p in PRECISIONS if p in found), key=found.get)
            row["usual loop, GPU"] = ", ".join(usual + more)
            row["ours, GPU"] = f"{best}: {_times(found, best, 'compute_limit_cuda', 'graph')}"
        rows.append(row)
    return rows


def _times(found: dict, precision: str, benchmark: str, most: str) -> str:
    """How many times the usual loop ours is, and which share of the `most` that can be."""
    shares = {(row["network"], row["precision"]): row[f"fit / {most}"] for row in _rows(benchmark)}
    part = shares.get((found["network"], precision))
    return f"{found[f'{precision} / usual']:.1f} times" + (
        f" ({part:.2f} of the {most})" if part else ""
    )


def starts() -> list[dict]:
    """The loss of GoogLeNet and plain VGG-16 after two epochs, by start: lowest to highest."""
    rows = []
    for name in DEAD:
        found = _rows(f"starts_{name}")
        if not found:
            continue
        row = {"network": name, "pictures": f"{found[0]['images']:,}", "seeds": len(found)}
        for start in STARTS:
            losses = [seed[start] for seed in found if start in seed]
            row[start] = f"{min(losses):.2f} to {max(losses):.2f}" if losses else NOT_MEASURED
        rows.append(row)
    return rows


def times() -> list[dict]:
    """Seconds until each loop passed its mark, of the networks that were measured."""
    return [row for name in MARKS for row in _rows(f"time_to_accuracy_{name}")]


def tried() -> list[dict]:
    """The changes to recipes that were tried, and stored."""
    files = sorted(networks.RESULTS.glob("tried_*.json"))
    return [row for path in files for row in _rows(path.stem)]


def minutes() -> str:
    """What the lessons take in the `gpu` profile."""
    found = {row["lesson"][:2]: math.ceil(row["seconds"] / 60) for row in _rows("lessons_cuda")}
    if not found:
        return "On a GPU they have not been measured yet."
    lessons = ", ".join(f"{lesson} {took}" for lesson, took in sorted(found.items()))
    return f"On a GPU, in its profile: {lessons}."


def _by_network(benchmark: str) -> dict[str, dict]:
    return {row["network"]: row for row in _rows(benchmark)}


def _rows(benchmark: str) -> list[dict]:
    """What it measured; nothing where no result of it is stored."""
    path = networks.RESULTS / f"{benchmark}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


TABLES = {
    "results": accuracies,
    "speeds": speeds,
    "time": times,
    "race": networks.race,
    "starts": starts,
    "tried": tried,
    "minutes": minutes,
}


def filled(text: str) -> str:
    """The text with its tables, and its sentence, made anew."""
    for name, rows in TABLES.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        made = rows()
        made = made if isinstance(made, str) else Table.of(made).markdown()
        text = place.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    return text


def main() -> None:
    """Write them into their pages."""
    for page in (README, FIRST_README):
        write_whole(page, filled(page.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
