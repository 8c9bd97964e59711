"""What feeding costs: `fit` with augmentation, against the same steps on one fixed batch."""

import time
from collections.abc import Callable

import torch

from benchmarks import common
from benchmarks.training_loop import ours
from cnn_lessons import networks, training
from cnn_lessons.training import recipes


def limit(dataset, name: str, images: int, precision: str):
    """Only forward, backward and step; the function it returns gives pictures a second."""
    model = networks.build(name).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    batch, labels = next(iter(dataset.batches("train", images=min(images, 128))))
    steps = max(1, images // len(labels))

    def run() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss, _ = training.cross_entropy(model, batch, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return steps * len(labels) / (time.perf_counter() - start)

    return run


def variants(dataset, name: str, images: int, quick: bool) -> dict[str, Callable[[], float]]:
    found = {}
    for precision in recipes.PRECISIONS[:2]:
        found[f"limit {precision}"] = limit(dataset, name, images, precision)
        found[f"fit {precision}"] = ours(dataset, name, images, precision)
    return found


def main(arguments=None) -> list[dict]:
    """Print two rows a network."""
    chosen, rows = common.speed_options(__doc__).parse_args(arguments), []
    for name, speed in common.speeds(chosen, variants):
        for precision in recipes.PRECISIONS[:2]:
            fit, most = speed[f"fit {precision}"], speed[f"limit {precision}"]
            row = {"network": name, "precision": precision, "fit": round(fit)}
            rows.append(row | {"limit": round(most), "fit / limit": fit / most})
    return common.report("compute_limit", rows, chosen)


if __name__ == "__main__":
    main()
