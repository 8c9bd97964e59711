"""Memory at its highest beyond torch itself, and seconds an epoch, by pictures and batch size.

Each row is a process of its own, for the highest use of a process never falls.
"""

import json
import resource
import subprocess
import sys

from benchmarks import common
from cnn_lessons import data, networks, training
from cnn_lessons.training.recipes import Recipe


def used() -> float:
    """The highest memory of this process so far, in megabytes."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(name: str, images: int, batch_size: int, quick: bool) -> dict:
    """Load the data and train one epoch, here."""
    before = used()
    dataset = common.pictures(True) if quick else data.load(announce=lambda text: None)
    train = dataset.batches("train", batch_size, augment=True, images=images)
    check, recipe = dataset.batches("validation", images=10), Recipe(1, batch_size=batch_size)
    history = training.fit(networks.build(name), train, check, recipe, progress=False)
    row = {"network": name, "images": images, "batch size": batch_size}
    return row | {"MB beyond torch": round(used() - before), "seconds": history.seconds}


def main(arguments=None) -> list[dict]:
    """Print a row a setting."""
    chosen = common.options(__doc__, ("LeNet5",)).parse_args(arguments)
    sizes = [(200, 32), (400, 64)] if chosen.quick else []
    sizes = sizes or [(11_250, 128), (22_500, 128), (45_000, 128), (45_000, 512)]
    rows = []
    for name in chosen.networks:
        for images, batch_size in sizes:
            call = f"measure({name!r}, {images}, {batch_size}, {chosen.quick})"
            code = f"import json; from benchmarks.memory import *; print(json.dumps({call}))"
            run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
            rows.append(json.loads(run.stdout.splitlines()[-1]))
    return common.report("memory", rows, chosen)


if __name__ == "__main__":
    main()
