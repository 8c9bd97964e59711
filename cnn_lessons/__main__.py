"""Train a network of the course from a shell: `python -m cnn_lessons lenet5 --epochs 8`."""

# argparse and no other library: it is part of Python, so nothing is installed for it, and a learner
# meets it in most training scripts.
import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch

from cnn_lessons import data, networks, training
from cnn_lessons.training.recipes import CHOICES, PROFILES, RECIPES, Recipe

EXAMPLES = """
An option under "recipe" changes one number of the network's recipe; the rest stays. Choose by the
validation pictures, one training picture in ten; the test pictures (--test) are for the end.

examples
  python -m cnn_lessons lenet5                     the whole recipe
  python -m cnn_lessons lenet5 --epochs 8          half of it, for a first look
  python -m cnn_lessons resnetcifar20 --checkpoint run.safetensors
  python -m cnn_lessons resnetcifar20 --checkpoint run.safetensors --resume
  python -m cnn_lessons lenet5 --test --save weights
"""

# What each number of a recipe does, in the words of --help.
RECIPE_HELP = {
    "epochs": "how often all training pictures are seen",
    "learning_rate": "the size of the largest step; too large: the loss grows or is nan",
    "batch_size": "pictures in one step",
    "momentum": "share of the last step that goes into the next one",
    "weight_decay": "pull of all weights towards 0",
    "images": "number of training pictures; left out: all",
    "warmup": "share of the training (0 to 1) in which the learning rate climbs",
    "clip": "greatest length of the gradient, for networks that are hard to start",
    "precision": "bfloat16 is faster on some machines; auto tries which",
    "start": "how the first weights are drawn; own: as the network's class does",
}
TYPES = {"int": int, "float": float, "str": str, "int | None": int, "float | None": float}


def parser() -> argparse.ArgumentParser:
    """The command line: the network, what to do, and every field of `Recipe`."""
    options = argparse.ArgumentParser(
        prog="python -m cnn_lessons",
        description="Train a network of the course on CIFAR-10, on the fastest device here.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("network", help=f"one of {', '.join(networks.NETWORKS)}; upper or lower case")
    add("--profile", choices=PROFILES, help="which recipe: test (seconds), cpu or gpu")
    add("--data", metavar="FOLDER", help="a folder that holds cifar-10-batches-py")
    add("--seed", type=int, default=0, help="another seed, another training (default: 0)")
    add("--checkpoint", metavar="FILE", help="write the training there after each epoch")
    add("--resume", action="store_true", help="go on from the checkpoint")
    add("--test", action="store_true", help="at the end, look at the test pictures as well")
    add("--save", metavar="FOLDER", help="write the weights there, for networks.load_trained")
    group = options.add_argument_group("recipe", "left out: the number of the network's recipe")
    for field in fields(Recipe):
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=TYPES[str(getattr(field.type, "__name__", field.type))],
            choices=CHOICES.get(field.name),
            help=RECIPE_HELP[field.name],
        )
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Returns 0, or 1 after a message where something is wrong or the training stopped."""
    chosen = parser().parse_args(arguments)
    try:
        return run(chosen)
    except (ValueError, OSError, data.DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run(chosen: argparse.Namespace) -> int:
    """Train as the options say, and print the recipe, every epoch and the result."""
    name = networks.full_name(chosen.network)
    recipe = RECIPES[name][chosen.profile or training.profile()]
    changes = {field.name: getattr(chosen, field.name) for field in fields(Recipe)}
    recipe = replace(recipe, **{key: value for key, value in changes.items() if value is not None})
    if chosen.resume and not chosen.checkpoint:
        raise ValueError("--resume needs --checkpoint FILE")
    _check_checkpoint(chosen)
    cifar, device = data.load(chosen.data), training.device()
    torch.manual_seed(chosen.seed)
    model = networks.build(name, recipe.start).to(device)
    how = {"seed": chosen.seed, "device": device, "images": recipe.images}
    train = cifar.batches("train", recipe.batch_size, augment=True, **how)
    validation = cifar.batches("validation", 512, device=device)
    print(f"{name} on {device}, {train.num_images:,} pictures, seed {chosen.seed}\n{recipe}")
    history = training.fit(model, train, validation, recipe, checkpoint=chosen.checkpoint)
    print(history, f"\n{history.seconds:.0f} s in {history.precision}")
    if history.stopped:
        return 1
    details = {"data": cifar.name, "recipe": asdict(recipe), "seed": chosen.seed}
    details["validation_accuracy"] = history.epochs[-1].validation_accuracy
    if chosen.save:
        networks.save_trained(model, name, details, chosen.save)
        print(f"The weights are in {chosen.save}: networks.load_trained({name!r}, {chosen.save!r})")
    if chosen.test:
        result = training.evaluate(model, cifar.batches("test", 512, device=device))
        print(f"{cifar.name}: {result.accuracy:.2%} of {result.images:,} test pictures are right")
    return 0


def _check_checkpoint(chosen: argparse.Namespace) -> None:
    there = chosen.checkpoint and Path(chosen.checkpoint).exists()
    if there and not chosen.resume:
        raise ValueError(f"{chosen.checkpoint} is there already: add --resume, or delete it")
    if chosen.resume and not there:
        raise ValueError(f"{chosen.checkpoint} is not there: nothing to resume; leave --resume out")


if __name__ == "__main__":
    sys.exit(main())
