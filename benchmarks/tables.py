"""The tables of benchmarks/README.md, made from benchmarks/results: `python -m benchmarks.tables`.

Each stands between two comments, such as <!-- results --> and <!-- end of results -->.
"""

import json
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


def accuracies() -> list[dict]:
    """What each recipe reached on the test pictures, and what it cost."""
    rows = []
    for name, found in networks.results().items():
        seeds, whose = len(found["seeds"]), networks.NETWORKS[name]
        row = {"network": name, "paper": f"{whose.paper}, {whose.year}"}
        table = on_meta(partial(networks.build, name), (3, 32, 32))
        row |= {"parameters": f"{table.parameters:,}", "MACs": f"{table.macs / 1e6:,.1f} M"}
        row["test pictures right"] = f"{found['accuracy']:.1%}" + (
            f" ({found['lowest']:.1%} to {found['highest']:.1%}, {seeds} seeds)"
            if seeds > 1
            else ""
        )
        wanted = RECIPES[name]["cpu"].epochs
        cut = "" if found["epochs"] == wanted else f" of the recipe's {wanted}"
        row |= {"epochs": f"{found['epochs']}{cut}", "precision": found["precision"]}
        row["minutes of one core"] = f"{found['processor_seconds'] / 60:.0f}"
        rows.append(row)
    return rows


def speeds() -> list[dict]:
    """Pictures a second of the usual loop and of ours, and our share of the compute limit."""
    loop, limit = (_rows(name) for name in ("training_loop", "compute_limit"))
    share = {(row["network"], row["precision"]): row["fit / limit"] for row in limit}
    rows = []
    for found in loop:
        row = {"network": found["network"], "usual loop": f"{found['usual']:,} images/s"}
        for precision in PRECISIONS[:2]:
            part = share.get((found["network"], precision))
            row[f"ours, {precision}"] = f"{found[f'{precision} / usual']:.1f} times" + (
                f" ({part:.2f} of the limit)" if part else ""
            )
        rows.append(row)
    return rows


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
            row[start] = f"{min(losses):.2f} to {max(losses):.2f}" if losses else "not measured"
        rows.append(row)
    return rows


def times() -> list[dict]:
    """Seconds until each loop passed its mark, of the networks that were measured."""
    return [row for name in MARKS for row in _rows(f"time_to_accuracy_{name}")]


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
    "tried": lambda: _rows("tried_LeNet5"),
}


def filled(text: str) -> str:
    """The text with its tables made anew."""
    for name, rows in TABLES.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        made = Table.of(rows()).markdown()
        text = place.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    return text


def main() -> None:
    """Write them into their page."""
    write_whole(README, filled(README.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
