"""Does depth pay? ResNetCIFAR of several depths, plain and residual, by ResNetCIFAR20's recipe.

After section 4.2 and Figure 6 of arXiv:1512.03385: the same networks, 45,000 training pictures, a
curve for the training and for the validation pictures; the test pictures are read once, at the end.
Each finished training is added to the results at once, and one that is there is not run again; with
--checkpoints a training that was stopped goes on where it was. So the sweep can be run in parts.
`networks.depth_sweep` reads it.
"""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from benchmarks import common
from cnn_lessons import networks, training
from cnn_lessons.models import ResNetCIFAR

DEPTHS = (8, 20, 44, 56)
KINDS = {"plain": None, "residual": "A"}  # the name of a kind, and its option for the shortcuts
CURVES = ("train_loss", "train_accuracy", "validation_accuracy")


def one(dataset, kind: str, depth: int, seed: int, recipe, checkpoints: Path | None) -> dict:
    """One training: its curves, a number an epoch, and the share of test pictures it names."""
    device = training.device()
    torch.manual_seed(seed)
    model = ResNetCIFAR(depth, shortcut=KINDS[kind]).to(device)
    how = {"seed": seed, "device": device, "images": recipe.images}
    train = dataset.batches("train", recipe.batch_size, augment=True, **how)
    validation = dataset.batches("validation", 500, device=device)
    path = checkpoints and checkpoints / f"{kind}-{depth}-{seed}.safetensors"
    history = training.fit(model, train, validation, recipe, checkpoint=path)
    if history.stopped:
        raise SystemExit(1)
    test = training.evaluate(model, dataset.batches("test", 500, device=device))
    curves = {name: [round(value, 4) for value in history.column(name)] for name in CURVES}
    found = {"epochs": recipe.epochs, "test_accuracy": round(test.accuracy, 4)}
    found |= {"seconds": round(history.seconds), **curves}
    return found | {"recipe": asdict(recipe), **common.machine()}


def main(arguments=None) -> list[dict]:
    """Run what is missing, one seed after the other; print a line a training."""
    parser = common.options(__doc__)
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="another number than the recipe's")
    parser.add_argument("--checkpoints", type=Path)
    parser.set_defaults(folder=networks.RESULTS)
    chosen = parser.parse_args(arguments)
    path, dataset = chosen.folder / "depth.json", common.pictures(chosen.quick)
    recipe = training.RECIPES["ResNetCIFAR20"]["test" if chosen.quick else "cpu"]
    # A precision of its own choice would differ from machine to machine.
    recipe = replace(recipe, precision="float32" if chosen.quick else "bfloat16")
    if chosen.epochs is not None:
        recipe = replace(recipe, epochs=chosen.epochs)
    how = (recipe, chosen.checkpoints)
    runs = {
        (f"{kind} {depth}", seed): partial(one, dataset, kind, depth, seed, *how)
        for seed in chosen.seeds
        for depth in chosen.depths
        for kind in KINDS
    }
    return common.run_missing(path, {"benchmark": "depth", "data": dataset.name}, runs)


if __name__ == "__main__":
    main()
