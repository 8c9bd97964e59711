"""Changes to a recipe that are said to pay: validation accuracy and seconds of each, by seed.

The recipe of the `cpu` profile is cut to --epochs, that of another has its own, and a file of its
own (tried_LeNet5_gpu.json); everything else of it stays but for the change named. None needs
another loop: they go in with the recipe, the loss or the optimizer.
"""

import sys
from dataclasses import asdict, replace
from math import cos, pi
from statistics import mean

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from benchmarks import common
from benchmarks.muon import muon
from cnn_lessons import networks, training

CHANGES = {
    "as it is": {},
    "batch 256, rate x2": {"batch_size": 256, "learning_rate": 2},
    "batch 512, rate x2": {"batch_size": 512, "learning_rate": 2},
    "batch 512, rate x4": {"batch_size": 512, "learning_rate": 4},
    "batch 512, rate x2, clip 1": {"batch_size": 512, "learning_rate": 2, "clip": 1.0},
    "batch 512, rate x4, clip 1": {"batch_size": 512, "learning_rate": 4, "clip": 1.0},
    "half the rate": {"learning_rate": 0.5},
    "cosine": {},
    "label smoothing 0.1": {},
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "EMA 0.99": {},
    "24 pixels at first": {},
    "Muon": {"learning_rate": 0.2},
    "Muon, half the rate": {"learning_rate": 0.5},
}


def takes(name: str, pixels: int) -> bool:
    """Whether the network takes pictures of this size: it may end in a mean over the map."""
    try:
        with torch.device("meta"):
            networks.build(name)(torch.empty(2, 3, pixels, pixels))
    except (ValueError, RuntimeError):
        return False
    return True


class Cosine(training.Recipe):
    """The rate falls along half a cosine: slowly at first and slowly at the end."""

    def rate(self, progress: float) -> float:
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        fallen = (progress - self.warmup) / (1 - self.warmup)
        return self.learning_rate * (1 + cos(pi * fallen)) / 2


def smoothed(model: nn.Module, images, labels):
    """A loss whose right answer gives a tenth of its certainty to all classes."""
    logits = model(images)
    return F.cross_entropy(logits.float(), labels, label_smoothing=0.1), logits


def smaller_at_first(steps: int):
    """A loss that shows the first half of the steps at 24 pixels instead of 32."""
    done = 0

    def loss(model: nn.Module, images, labels):
        nonlocal done
        done += model.training
        if model.training and done <= steps // 2:
            images = F.interpolate(images, size=24, mode="bilinear", antialias=True)
        return training.cross_entropy(model, images, labels)

    return loss


def averaging(average: AveragedModel):
    """A loss that keeps an average of the weights before each step."""

    def loss(model: nn.Module, images, labels):
        if model.training:
            average.update_parameters(model)
        return training.cross_entropy(model, images, labels)

    return loss


def one(dataset, name: str, change: str, recipe, seed: int) -> tuple[float, float]:
    """Validation accuracy and training seconds of one run."""
    torch.manual_seed(seed)
    model = networks.build(name)
    how = {"augment": True, "seed": seed, "images": recipe.images}
    train = dataset.batches("train", recipe.batch_size, **how)
    validation, average, loss = dataset.batches("validation", 500), None, None
    optimizer = muon if change.startswith("Muon") else None
    if change == "cosine":
        recipe = Cosine(**asdict(recipe))
    elif change.startswith("label smoothing"):
        loss = smoothed
    elif change.startswith("EMA"):
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(float(change.split()[1])))
        loss = averaging(average)
    elif change == "24 pixels at first":
        loss = smaller_at_first(recipe.epochs * len(train))
    changed = {"loss": loss, "optimizer": optimizer}
    history = training.fit(model, train, validation, recipe, progress=False, **changed)
    if average is None:
        return history.epochs[-1].validation_accuracy, history.seconds
    update_bn((images for images, _ in train), average)
    return training.evaluate(average, validation).accuracy, history.seconds


def main(arguments=None) -> list[dict]:
    """Print a table a network, a row a change."""
    parser = common.options(__doc__, tuple(networks.NETWORKS))
    parser.add_argument("--profile", choices=training.PROFILES, default="cpu")
    parser.add_argument("--epochs", type=int, help="8 in the cpu profile, else the recipe's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    chosen = parser.parse_args(arguments)
    dataset, found = common.pictures(chosen.quick), []
    for name in chosen.networks:
        profile, rows = "test" if chosen.quick else chosen.profile, []
        base = training.RECIPES[name][profile]
        by_seed: list[dict] = []  # to compare them in pairs
        epochs = chosen.epochs or (8 if profile == "cpu" else base.epochs)
        base = base if chosen.quick else replace(base, epochs=epochs)
        for change in chosen.changes:
            if change == "24 pixels at first" and not takes(name, 24):
                continue
            settings = dict(CHANGES[change])
            settings["learning_rate"] = base.learning_rate * settings.get("learning_rate", 1)
            recipe = replace(base, **settings)
            runs = [one(dataset, name, change, recipe, seed) for seed in chosen.seeds]
            accuracies = [accuracy for accuracy, _ in runs]
            row = {"network": name, "change": change, "epochs": recipe.epochs}
            row |= {"validation": f"{mean(accuracies):.1%}", "lowest": f"{min(accuracies):.1%}"}
            row |= {"highest": f"{max(accuracies):.1%}", "seeds": len(runs)}
            by_seed.append({"change": change, "accuracies": accuracies})
            rows.append(row | {"seconds": mean(seconds for _, seconds in runs)})
            print(rows[-1], file=sys.stderr)
        file = networks.file_name(f"tried_{name}", profile)
        found += common.report(file, rows, chosen, by_seed=by_seed)
    return found


if __name__ == "__main__":
    main()
