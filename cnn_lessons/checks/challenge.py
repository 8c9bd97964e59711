"""The challenges that end the lessons: all judged alike, each with a scoreboard of one's own.

    checks.challenge(my_network, cifar, 0.74, lesson="01", parameters=62_006)

counts parameters and MACs, measures the accuracy on the validation pictures, and writes what was
reached to `scoreboard_01.json` beside the lesson, which git ignores.
"""

import json
from collections.abc import Collection, Mapping
from math import sqrt
from pathlib import Path

from torch import nn

from cnn_lessons import networks
from cnn_lessons.checks.modules import network, plain
from cnn_lessons.checks.verdict import Wrong, check
from cnn_lessons.data import Dataset
from cnn_lessons.files import write_whole
from cnn_lessons.shapes import Record
from cnn_lessons.table import Table
from cnn_lessons.training import evaluate


@check("Build a network, train it, and pass it to the check.")
def challenge(
    model: nn.Module,
    dataset: Dataset,
    more_than: float,
    *,
    lesson: str,
    parameters: int | None = None,
    macs: int | None = None,
    only: Collection[str] = (),
    images: int | None = None,
    name: str = "",
    folder: str | Path = ".",
) -> str:
    """Is a trained network within its limits, and right for more than `more_than` (0 to 1)?

    model: a network from pictures (N, 3, 32, 32) to logits (N, 10), on any device.
    dataset: measured is the accuracy on its validation pictures, the first `images` of them.
    lesson: "01" to "06"; the scoreboard is `scoreboard_LESSON.json` in `folder`.
    parameters, macs: at most so many; None means any number.
    only: the kinds of steps that it may have, as the layer table calls them ("Conv2d", "add").
    name: what the entry is called; left out, the attempts are numbered.

    A network that keeps the limits gets its entry, be it good enough or not. No entry is ever
    removed; the same result twice is one, and generated pictures make none.
    """
    table = network(model, "my_network", (3, 32, 32))
    used = within(table, {"parameters": parameters, "MACs": macs})
    allowed = {plain(kind) for kind in only}
    for row in table:
        if only and plain(row.kind) not in allowed:
            raise Wrong(f"{row.name} is {row.kind}; allowed are only {', '.join(only)}.")
    device = next(model.parameters()).device
    pictures = dataset.batches("validation", 500, device=device, images=images)
    result = evaluate(model, pictures)
    accuracy, count = result.accuracy, pictures.num_images
    # What other pictures would have changed: the standard error that lesson 06 explains.
    error = sqrt(accuracy * (1 - accuracy) / count)
    found = f"{100 * accuracy:.1f} ± {100 * error:.1f} % of {count:,} validation pictures of "
    found += f"{dataset.name}; needed: more than {more_than:.0%}. {used}"
    if "not CIFAR-10" not in dataset.name:
        entry = {"accuracy": round(accuracy, 4), "parameters": table.parameters}
        found += "\n" + _enter(lesson, name, entry | {"macs": table.macs}, Path(folder))
    if not accuracy > more_than:
        raise Wrong(found)
    return found


def within(table: Record, limits: Mapping[str, int | None]) -> str:
    """How much of "parameters" and "MACs" a network uses; Wrong where it is more than the limit.

    What is over is named with the layer in which most of it sits.
    """
    counts = {"parameters": table.parameters, "MACs": table.macs}
    if not table.parameters:
        raise Wrong("It has no parameters, so it cannot learn.")
    over = [_over(table, what, n, limits[what]) for what, n in counts.items() if limits.get(what)]
    if any(over):
        raise Wrong(" ".join(filter(None, over)))
    of = {what: f" of {limits[what]:,}" if limits.get(what) else "" for what in counts}
    used = ", ".join(f"{count:,}{of[what]} {what}" for what, count in counts.items())
    dead = f" But {table.dead:,} weights never meet a pixel." if table.dead else ""
    return f"{used}.{dead}"


def _over(table: Record, what: str, count: int, limit: int) -> str:
    """How much of `what` there is too much, and where most of it sits; nothing if it fits."""
    if count <= limit:
        return ""
    attribute = {"parameters": "parameters", "MACs": "macs"}[what]
    largest = max(table, key=lambda row: getattr(row, attribute))
    most = getattr(largest, attribute)
    text = (
        f"{count:,} {what} are {count - limit:,} too many ({count / limit:,.1f} times the budget). "
        f"Most sit in {largest.name} ({largest.kind}): {most:,}, {most / count:.0%}."
    )
    if what == "parameters":
        unused = count - sum(row.parameters for row in table)
        if unused > most:
            return f"{text} {unused:,} more belong to layers that did not run."
        if largest.kind == "Linear" and most > 0.3 * count:
            return f"{text} Average each map first: nn.AdaptiveAvgPool2d(1)."
    elif len(largest.output) == 4:
        return f"{text} It runs at {largest.output[2]}×{largest.output[3]} places: halve earlier."
    return text


def _enter(lesson: str, name: str, entry: dict, folder: Path) -> str:
    """The scoreboard with this entry, also in its file; what else is in the file stays there."""
    path = folder / f"scoreboard_{lesson}.json"
    own, note = _entries(path), ""
    if own is None:
        own, note = [], f"\n{path} is there, but is no scoreboard: not written. Move it away."
    same = [old for old in own if entry.items() <= old.items() and name in ("", old["name"])]
    if not same:
        own.append({"name": name or f"attempt {len(own) + 1}"} | entry)
    if not same and not note:
        try:
            write_whole(path, (json.dumps(own, indent=2) + "\n").encode())
        except OSError as error:
            note = f"\nThe scoreboard was not written: {error}"
    courses = _entries(networks.RESULTS / f"challenge_{lesson}.json") or []
    return f"{scoreboard([*own, *courses])}{note}"


def scoreboard(entries: list[dict]) -> Table:
    """Entries with "name", "accuracy" (0 to 1), "parameters" and "macs"; the best first."""
    ordered = sorted(entries, key=lambda entry: -entry["accuracy"])
    lines = [
        (f"{place}.", entry["name"], f"{entry['accuracy']:.1%}", f"{entry['parameters']:,}",
         f"{entry['macs']:,}")
        for place, entry in enumerate(ordered, start=1)
    ]  # fmt: skip
    return Table(("", "network", "validation", "parameters", "MACs"), tuple(lines))


def _entries(path: Path) -> list[dict] | None:
    """The entries of a file; none where there is no file, None where it holds something else."""
    if not path.exists():
        return []
    kinds = {"name": str, "accuracy": (int, float), "parameters": int, "macs": int}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found = found["rows"] if isinstance(found, dict) else found
        whole = all(isinstance(entry[k], kind) for entry in found for k, kind in kinds.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole and isinstance(found, list) else None
