"""Do plain VGG-16 and GoogLeNet leave a loss of 2.30, that of guessing? By seed and start."""

from dataclasses import replace
from functools import partial

import torch

from benchmarks import common
from cnn_lessons import trained, training
from cnn_lessons.models import VGG, GoogLeNetCIFAR

DEAD = {"VGG16Plain": partial(VGG, "D", 10, 32), "GoogLeNetCIFAR": GoogLeNetCIFAR}


def main(arguments=None) -> list[dict]:
    """Print a row a seed: the loss of the last epoch, with He's start and with PyTorch's."""
    parser = common.options(__doc__, tuple(DEAD))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--images", type=int, default=9_600)
    chosen = parser.parse_args(arguments)
    dataset, rows = common.pictures(chosen.quick), []
    images = 64 if chosen.quick else chosen.images
    for name in chosen.networks:
        recipe = replace(training.RECIPES[name]["cpu"], epochs=2, images=images, warmup=0.5)
        for seed in chosen.seeds:
            row = {"network": name, "seed": seed}
            starts = {"He's start": partial(trained.build, name), "PyTorch's": DEAD[name]}
            for start, build in starts.items():
                torch.manual_seed(seed)
                train = dataset.batches("train", augment=True, seed=seed, images=images)
                check = dataset.batches("validation", images=50)
                history = training.fit(build(), train, check, recipe, progress=False)
                row[start] = round(history.epochs[-1].train_loss, 3)
            rows.append(row)
    return common.report("starts", rows, chosen)


if __name__ == "__main__":
    main()
