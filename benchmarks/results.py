"""Train recipes on all training pictures, read the test pictures once, write JSON.

One file a network, in benchmarks/results: LeNet5.json has what the `cpu` profile reached on a CPU,
LeNet5_gpu_cuda.json what the `gpu` profile reached on an NVIDIA card, and so on; none is written
over that of another profile or device. With --checkpoints FOLDER a stopped run goes on where it
was; --save writes the weights of the first seed, in half precision, into the package or to
--weights FOLDER.
"""

import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean

import torch

from benchmarks import common
from cnn_lessons import networks, training
from cnn_lessons.table import Table


def one(
    dataset, name: str, recipe: training.Recipe, seed: int, checkpoint: Path | None,
    device: torch.device,
):  # fmt: skip
    """The trained network, its history, its processor seconds, and how it does on the test set.

    Processor seconds are summed over the threads, and do not count what else a machine did. Those
    of a run that was stopped and went on are those since then.
    """
    torch.manual_seed(seed)
    model = networks.build(name, recipe.start).to(device)
    how = {"seed": seed, "device": device, "images": recipe.images}
    train = dataset.batches("train", recipe.batch_size, augment=True, **how)
    # These are part of the training here: they only show that it still runs.
    few = min(500, len(dataset.validation))
    check = dataset.batches("validation", 500, device=device, images=few)
    start = time.process_time()
    history = training.fit(model, train, check, recipe, checkpoint=checkpoint)
    seconds = time.process_time() - start
    if history.stopped:
        raise SystemExit(1)
    result = training.evaluate(model, dataset.batches("test", 500, device=device))
    return model, history, seconds, result


def file_name(name: str, profile: str, device: torch.device) -> str:
    """Each profile and each device has a file of its own."""
    return networks.file_name(name, profile, device.type)


def main(arguments=None) -> list[dict]:
    """Train, write, print a row a network."""
    parser = common.with_device(common.options(__doc__, tuple(networks.NETWORKS)))
    parser.add_argument("--profile", choices=training.PROFILES, default="cpu")
    parser.add_argument("--epochs", type=int, help="another number than the recipe's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--weights", type=Path, default=networks.WEIGHTS)
    parser.set_defaults(folder=networks.RESULTS)
    chosen = parser.parse_args(arguments)
    profile, device = "test" if chosen.quick else chosen.profile, chosen.device
    if chosen.save and chosen.weights == networks.WEIGHTS and {profile, device.type} != {"cpu"}:
        parser.error(
            "--save needs --weights FOLDER: the package has what a CPU trained, profile cpu"
        )
    dataset, rows = common.pictures(chosen.quick).with_all_training(), []
    for name in chosen.networks:
        recipe, file = training.RECIPES[name][profile], file_name(name, profile, device)
        if chosen.epochs is not None:
            recipe = replace(recipe, epochs=chosen.epochs)
        paths = {
            seed: chosen.checkpoints and chosen.checkpoints / f"{file}-{seed}.safetensors"
            for seed in chosen.seeds
        }
        runs = [one(dataset, name, recipe, *each, device) for each in paths.items()]
        accuracies = [round(result.accuracy, 4) for *_, result in runs]
        record = {"network": name, "profile": profile, "accuracy": round(mean(accuracies), 4)}
        record |= {"lowest": min(accuracies), "highest": max(accuracies), "seeds": chosen.seeds}
        record |= {"accuracies": accuracies, "epochs": recipe.epochs, "recipe": asdict(recipe)}
        record |= {"images": recipe.images or len(dataset.train), "data": dataset.name}
        record["seconds"] = round(mean(run[1].seconds for run in runs))
        record["processor_seconds"] = round(mean(run[2] for run in runs))
        record |= {"precision": runs[0][1].precision, **common.machine(device)}
        common.write_json(chosen.folder / f"{file}.json", record)
        if chosen.save:
            save(runs[0][0], record, dataset, chosen.weights)
        rows.append({key: record[key] for key in ("network", "accuracy", "epochs", "seconds")})
    print(Table.of(rows).markdown())
    return rows


def save(model, record: dict, dataset, folder: Path) -> None:
    """The weights and their card, with the accuracy of the very weights that are written."""
    keys = ("data", "images", "epochs", "recipe", "processor_seconds", "machine", "versions")
    details = {key: record[key] for key in keys} | {"seed": record["seeds"][0]}
    networks.round_to_half(model)
    device = next(model.parameters()).device
    result = training.evaluate(model, dataset.batches("test", 500, device=device))
    details["accuracy"] = round(result.accuracy, 4)
    networks.save_trained(model, record["network"], details, folder)


if __name__ == "__main__":
    main()
