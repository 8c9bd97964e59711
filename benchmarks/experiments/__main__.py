"""Run comparisons and store them: `python -m benchmarks.experiments NAME --seeds 0 1 2 3 4`.

Each training is written at once, and one that is there is not run again.
`networks.experiment(NAME, measure)` reads what is stored, `training.difference` compares it.
"""

import importlib
import pkgutil
import time
from functools import partial

from benchmarks import common, experiments
from cnn_lessons import networks


def all_of_them() -> dict[str, dict]:
    """What every file of this folder compares, by name."""
    found = {}
    for file in pkgutil.iter_modules(experiments.__path__):
        if file.name != "__main__":
            module = importlib.import_module(f"benchmarks.experiments.{file.name}")
            found |= module.EXPERIMENTS
    return found


def main(arguments=None) -> list[dict]:
    """Run what is missing, one seed after the other; print a line a training."""
    known, parser = all_of_them(), common.options(__doc__)
    parser.add_argument("name", choices=sorted(known))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.set_defaults(folder=networks.RESULTS)
    chosen = parser.parse_args(arguments)
    path = chosen.folder / f"experiment_{chosen.name}.json"
    dataset = common.pictures(chosen.quick)
    runs = {
        (variant, seed): partial(timed, run, dataset, seed, chosen.quick)
        for seed in chosen.seeds
        for variant, run in known[chosen.name].items()
    }
    about = {"experiment": chosen.name, "data": dataset.name}
    return common.run_missing(path, about, runs, **common.machine())


def timed(run, *arguments) -> dict:
    """What a training measured, and its seconds."""
    start = time.perf_counter()
    row = run(*arguments)
    return row | {"seconds": round(time.perf_counter() - start, 1)}


if __name__ == "__main__":
    main()
