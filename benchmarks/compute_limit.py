"""What feeding costs: `fit` with augmentation, against the same steps on one fixed batch.

On a GPU there is a second limit, the same step captured as a graph and replayed: what the card does
when Python is out of its way.
"""

import time
from collections.abc import Callable

import torch

from benchmarks import common
from benchmarks.training_loop import ours
from cnn_lessons import networks, training
from cnn_lessons.training.captured import captured, has_graphs, wait
from cnn_lessons.training.precision import forward, precisions
from cnn_lessons.training.state import kept


def limit(dataset, name: str, images: int, chosen, precision: str, graph: bool = False):
    """Only forward, backward and step; the function it returns gives pictures a second."""
    device = chosen.device
    model = networks.build(name).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    size = min(images, chosen.batch_size)
    batch, labels = next(iter(dataset.batches("train", size, images=size, device=device)))
    steps = max(1, images // len(labels))

    def step() -> None:
        loss, _ = forward(precision, training.cross_entropy, model, batch, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    if graph:
        with kept():
            step = captured(step, device)

    def run() -> float:
        with kept():
            wait(device)
            start = time.perf_counter()
            for _ in range(steps):
                step()
            wait(device)
            return steps * len(labels) / (time.perf_counter() - start)

    return run


def variants(dataset, name: str, images: int, chosen) -> dict[str, Callable[[], float]]:
    found = {}
    for precision in precisions(chosen.device):
        this = (dataset, name, images, chosen, precision)
        found[f"limit {precision}"] = limit(*this)
        if has_graphs(chosen.device):
            found[f"graph {precision}"] = limit(*this, graph=True)
        found[f"fit {precision}"] = ours(*this)
    return found


def main(arguments=None) -> list[dict]:
    """Print a row a network and precision."""
    chosen, rows = common.speed_options(__doc__).parse_args(arguments), []
    for name, speed in common.speeds(chosen, variants):
        for precision in precisions(chosen.device):
            fit, most = speed[f"fit {precision}"], speed[f"limit {precision}"]
            row = {"network": name, "precision": precision, "fit": round(fit)}
            row |= {"limit": round(most), "fit / limit": fit / most}
            if graph := speed.get(f"graph {precision}"):
                row |= {"graph": round(graph), "fit / graph": fit / graph}
            rows.append(row)
    return common.report("compute_limit", rows, chosen, batch_size=chosen.batch_size)


if __name__ == "__main__":
    main()
