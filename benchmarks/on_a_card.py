"""All that only a GPU can answer, in order of worth, within a time limit.

The tests of the captured step; then the speeds of the networks with batches of 128 and of 512, of
the same step on one fixed batch, of that step captured as a graph, of `fit` and of the usual loop;
the recipes of the `gpu` profile, the race, and the lessons. Each result is written to --folder as
soon as it is there, and summary.json after it; the folder `stored` in it has them all as
benchmarks/results keeps them. Whatever fails is told, and the next one begins.

    python -m benchmarks.on_a_card --folder gpu --minutes 9
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import common, compute_limit, lessons, race, results, training_loop

NETWORKS = ("LeNet5", "ResNetCIFAR20", "ArticleResNet", "AlexNetCIFAR", "VGG16", "GoogLeNetCIFAR",
            "GoogLeNetBN", "ResNet18")  # fmt: skip


def tests(quick: bool) -> None:
    """Those of the captured step, in a process of their own; with `quick`, one of them."""
    call = ["pytest", "tests/test_captured.py", "-q", "-p", "no:cacheprovider"]
    subprocess.run([sys.executable, "-m", *call, *(["-k", "screen"] if quick else [])], check=True)


def calls(chosen) -> dict[str, Callable[[], object]]:
    """What is to be run, in its order, by the name of its folder."""
    found = {"tests": partial(tests, chosen.quick)}
    how = ["--device", str(chosen.device), *(["--quick"] if chosen.quick else [])]

    def add(what: str, main: Callable, *options: str) -> None:
        for name in chosen.networks:
            to = f"{what}-{name}"
            call = [*how, *options, "--networks", name, "--folder", str(chosen.folder / to)]
            found[to] = partial(main, call)

    for size in ("128", "512"):
        add(f"limit-{size}", compute_limit.main, "--rounds", "1", "--batch-size", size)
    add("loop-128", training_loop.main, "--rounds", "1")
    add("recipe", results.main, "--profile", "gpu")
    found["race"] = partial(race.main, [*how, "--folder", str(chosen.folder / "race")])
    add("loop-512", training_loop.main, "--rounds", "1", "--batch-size", "512")
    for path in [] if chosen.quick else lessons.LESSONS:
        to = f"lesson-{path.stem}"
        call = ["--lessons", str(path), "--folder", str(chosen.folder / to)]
        found[to] = partial(lessons.main, call)
    return found


class Over(BaseException):
    """The time is over. No Exception: a capture would take that for a step it cannot do."""


def ended(run: Callable[[], object], seconds: float) -> str:
    """How it ended, after so many seconds at most."""

    def over(*_):
        raise Over

    if seconds <= 0:
        return "not begun, the time is over"
    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        run()
    except Over:
        return "stopped, the time is over"
    except (Exception, SystemExit) as error:
        return f"failed: {error!r}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "done"


def gather(folder: Path) -> None:
    """Write what the calls wrote once more, the rows of each benchmark in one file."""
    found: dict[str, dict] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.parent.name == "stored":
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        if path.name in found:
            record["rows"] = found[path.name]["rows"] + record["rows"]
        found[path.name] = record
    for name, record in found.items():
        common.write_json(folder / "stored" / name, record)


def main(arguments=None) -> list[dict]:
    """Print and write a line a call."""
    parser = common.with_device(common.options(__doc__, NETWORKS))
    parser.add_argument("--minutes", type=float, default=9, help="after which nothing runs")
    chosen = parser.parse_args(arguments)
    if not chosen.folder:
        parser.error("--folder must name where the results go")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    begin, rows = time.perf_counter(), []
    for name, run in calls(chosen).items():
        start = time.perf_counter()
        how = ended(run, 60 * chosen.minutes - (start - begin))
        rows.append({"what": name, "ended": how, "seconds": time.perf_counter() - start})
        print(rows[-1], flush=True)
        record = {"rows": rows, **common.machine(chosen.device)}
        common.write_json(chosen.folder / "summary.json", record)
        gather(chosen.folder)
    return rows


if __name__ == "__main__":
    main()
