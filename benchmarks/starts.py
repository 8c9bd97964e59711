"""Do plain VGG-16 and GoogLeNet leave a loss of 2.30, that of guessing? By seed and start."""

from dataclasses import replace

import torch

from benchmarks import common
from cnn_lessons import networks, training

DEAD = ("VGG16Plain", "GoogLeNetCIFAR")
STARTS = {"He's start": "he", "PyTorch's": "own"}


def main(arguments=None) -> list[dict]:
    """Print a table a network: the loss of the last epoch by seed and start."""
    parser = common.options(__doc__, DEAD)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--images", type=int, default=9_600)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    chosen = parser.parse_args(arguments)
    dataset, found = common.pictures(chosen.quick), []
    images = 64 if chosen.quick else chosen.images
    for name in chosen.networks:
        recipe = replace(training.RECIPES[name]["cpu"], epochs=2, images=images, warmup=0.5)
        rows = []
        for seed in chosen.seeds:
            row = {"network": name, "seed": seed, "images": images, "epochs": recipe.epochs}
            for start in chosen.starts:
                torch.manual_seed(seed)
                train = dataset.batches("train", augment=True, seed=seed, images=images)
                check = dataset.batches("validation", images=50)
                model = networks.build(name, STARTS[start])
                history = training.fit(model, train, check, recipe, progress=False)
                row[start] = round(history.epochs[-1].train_loss, 3)
            rows.append(row)
        found += common.report(f"starts_{name}", rows, chosen)
    return found


if __name__ == "__main__":
    main()
