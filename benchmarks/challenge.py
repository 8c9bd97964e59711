"""Where the scoreboard of lesson 06 begins: three networks, by the recipe of its challenge.

The accuracy is that of all validation pictures, the mean over the seeds. LeNet-5 has half the
learning rate: it has no batch norm that would let it take the whole one.
"""

from dataclasses import asdict, replace
from functools import partial
from statistics import mean

import torch

from benchmarks import common
from cnn_lessons import training
from cnn_lessons.models import LeNet5, ResNetCIFAR, three_stages
from cnn_lessons.shapes import on_meta

ENTRIES = {  # how to build each, and what is changed of the recipe
    "ResNet-20": (partial(ResNetCIFAR, 20), {}),
    "32, 64, 128 maps": (partial(three_stages, (32, 64, 128), (1, 1, 1)), {}),
    "LeNet-5": (LeNet5, {"learning_rate": training.CHALLENGE.learning_rate / 2}),
}


def one(dataset, build, recipe: training.Recipe, seed: int) -> training.History:
    """The training that lesson 06 calls an attempt."""
    torch.manual_seed(seed)
    how = {"augment": True, "seed": seed, "images": recipe.images}
    train = dataset.batches("train", recipe.batch_size, **how)
    return training.fit(build(), train, dataset.batches("validation", 500), recipe, progress=False)


def main(arguments=None) -> list[dict]:
    """Print a row a network."""
    parser = common.options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    chosen = parser.parse_args(arguments)
    dataset, rows = common.pictures(chosen.quick), []
    quick = {"epochs": 1, "images": 64} if chosen.quick else {}
    for name, (build, changes) in ENTRIES.items():
        recipe = replace(training.CHALLENGE, **changes | quick)
        runs = [one(dataset, build, recipe, seed) for seed in chosen.seeds]
        accuracies = [run.epochs[-1].validation_accuracy for run in runs]
        table = on_meta(build, (3, 32, 32))
        row = {"name": name, "accuracy": round(mean(accuracies), 4), "accuracies": accuracies}
        row |= {"parameters": table.parameters, "macs": table.macs}
        row |= {"learning_rate": recipe.learning_rate, "precision": runs[0].precision}
        rows.append(row | {"seconds": round(mean(run.seconds for run in runs))})
    facts = {"recipe": asdict(training.CHALLENGE), "seeds": chosen.seeds, "data": dataset.name}
    return common.report("challenge_06", rows, chosen, **facts)


if __name__ == "__main__":
    main()
