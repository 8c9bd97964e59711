"""The course from a shell: `python -m cnn_lessons train lenet5 --epochs 8`."""

# argparse and no other library: it is part of Python, so nothing is installed for it, and a learner
# meets it in most training scripts.
import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from cnn_lessons import data, lessons, networks, training
from cnn_lessons.training.recipes import CHOICES, PROFILES, RECIPES

EXAMPLES = """
An option under "recipe" changes one number of the network's recipe; the rest stays. Choose by the
validation pictures, one training picture in ten; the test pictures (--test) are for the end.
Ctrl-C stops; the exit code is then 130 (143 for SIGTERM, 129 for a closed terminal), else 0 if
all went well, 2 for a wrong argument, and 1 for anything else that is in the way.

examples
  python -m cnn_lessons train lenet5                     the whole recipe
  python -m cnn_lessons train lenet5 --epochs 8          half of it, for a first look
  python -m cnn_lessons train resnetcifar20 --checkpoint run.safetensors
  python -m cnn_lessons train resnetcifar20 --checkpoint run.safetensors --resume
  python -m cnn_lessons train lenet5 --test --save weights
"""

# What each number of a recipe is, and what it does, in the words of --help.
RECIPE_OPTIONS = {
    "epochs": (int, "how often all training pictures are seen"),
    "learning_rate": (float, "the size of the largest step; too large: the loss grows or is nan"),
    "batch_size": (int, "pictures in one step"),
    "momentum": (float, "share of the last step that goes into the next one"),
    "weight_decay": (float, "pull of all weights towards 0"),
    "images": (int, "number of training pictures; left out: all"),
    "warmup": (float, "share of the training (0 to 1) in which the learning rate climbs"),
    "clip": (float, "greatest length of the gradient, for networks that are hard to start"),
    "precision": (str, "bfloat16 or tf32 is faster on some machines; auto tries which"),
    "start": (str, "how the first weights are drawn; own: as the network's class does"),
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the list of all options before it."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (--help shows what there is)\n")


def parser() -> argparse.ArgumentParser:
    """The command line: what to do; for `train` the network, and every field of `Recipe`."""
    options = Parser(prog="python -m cnn_lessons", description="The course from a shell.")
    commands = options.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = commands.add_parser(
        "train",
        help="train a network on CIFAR-10",
        description="Train a network of the course on CIFAR-10, on the fastest device here.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=train)
    add = command.add_argument
    add("network", help=f"one of {', '.join(networks.NETWORKS)}; upper or lower case")
    add("--profile", choices=PROFILES, help="which recipe: test (seconds), cpu or gpu")
    add("--data", metavar="FOLDER", help="a folder that holds cifar-10-batches-py")
    add("--seed", type=int, default=0, help="another seed, another training (default: 0)")
    add("--checkpoint", metavar="FILE", help="write the training there after each epoch")
    add("--resume", action="store_true", help="go on from the checkpoint")
    add("--test", action="store_true", help="at the end, look at the test pictures as well")
    add("--save", metavar="FOLDER", type=os.path.expanduser,
        help="write the weights there, for networks.load_trained")  # fmt: skip
    group = command.add_argument_group("recipe", "left out: the number of the network's recipe")
    for name, (kind, words) in RECIPE_OPTIONS.items():
        option = f"--{name.replace('_', '-')}"
        group.add_argument(option, type=kind, choices=CHOICES.get(name), help=words)
    command = commands.add_parser("lessons", help="make your own copy of the lessons to work in")
    command.set_defaults(run=hand_out)
    place = lessons.REPOSITORY / "my-lessons"
    command.add_argument("--folder", default=place, help="where (default: my-lessons)")
    command.add_argument("--without-answers", action="store_true", help="for a class")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; what is wrong is told in a sentence. Returns the exit code that --help explains."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path may have letters that the terminal has not
            stream.reconfigure(errors="backslashreplace")
    chosen = parser().parse_args(arguments)
    with stopped_by_signals() as signals:
        try:
            code = chosen.run(chosen)
            return 128 + signals[0] if signals else code
        except KeyboardInterrupt:
            print("Stopped by you.")
            return 128 + (signals or [signal.SIGINT])[0]
        except (training.CheckpointError, data.DataError) as error:
            words, code = str(error), 1
        except OSError as error:
            words, code = f"{error.filename}: {error.strerror}" if error.filename else error, 1
        except ValueError as error:
            words, code = str(error), 2
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            words, code = "not enough memory; a smaller --batch-size needs less", 1
    print(f"error: {words}", file=sys.stderr)
    return code


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[list[int]]:
    """SIGTERM and a closed terminal stop a training as Ctrl-C does; what came is in the list.

    The second of them ends the process at once. What is ignored, as by nohup, stays ignored.
    """
    came, before = [], {}

    def stop(number, _frame):
        came.append(number)
        for every in before:
            signal.signal(every, signal.SIG_DFL)
        if number == getattr(signal, "SIGHUP", None):  # there is nobody to read
            sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
        for number in filter(None, numbers):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(chosen: argparse.Namespace) -> int:
    """Train as the options say, and print the recipe, every epoch and the result."""
    name = networks.full_name(chosen.network)
    recipe = RECIPES[name][chosen.profile or training.profile()]
    changes = {name: getattr(chosen, name) for name in RECIPE_OPTIONS}
    recipe = replace(recipe, **{key: value for key, value in changes.items() if value is not None})
    _check_options(chosen)
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
        done = f"{len(history.epochs)} finished epochs"
        there = f"{chosen.checkpoint} has {done}; --resume goes on from there."
        print(there if chosen.checkpoint else f"{done} are lost: --checkpoint FILE keeps them.")
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


def hand_out(chosen: argparse.Namespace) -> int:
    """Copy the lessons, and tell what happened to those that were there."""
    source = lessons.REPOSITORY / "notebooks"
    news = lessons.hand_out(chosen.folder, source, answers=not chosen.without_answers)
    print(*news, f"The lessons are in {chosen.folder}.", sep="\n")
    return 0


def _check_options(chosen: argparse.Namespace) -> None:
    """What can be known before hours of training."""
    if not 0 <= chosen.seed < 2**64:
        raise ValueError(f"--seed must be from 0 to 2 ** 64 - 1; got {chosen.seed}")
    if chosen.resume and not chosen.checkpoint:
        raise ValueError("--resume needs --checkpoint FILE")
    there = chosen.checkpoint and Path(chosen.checkpoint).expanduser().exists()
    if there and not chosen.resume:
        raise ValueError(f"{chosen.checkpoint} is there already: add --resume, or name another")
    if chosen.resume and not there:
        raise ValueError(f"{chosen.checkpoint} is not there: nothing to resume; leave --resume out")
    if chosen.save:
        Path(chosen.save).mkdir(parents=True, exist_ok=True)
        if not os.access(chosen.save, os.W_OK):
            raise OSError(f"{chosen.save} cannot be written")


if __name__ == "__main__":
    sys.exit(main())
