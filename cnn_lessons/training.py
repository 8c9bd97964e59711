"""Train a network and measure it: one loop, the same on CPU, CUDA and MPS, with nothing hidden.

    history = fit(model, dataset.batches("train", augment=True), dataset.batches("validation"),
                  RECIPES["LeNet5"]["cpu"])

The file goes from the recipe to the loop, to what the loop needs, to measuring.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from math import cos, isfinite, pi
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from cnn_lessons.checkpoint import Checkpoint, CheckpointError, rng_states, set_rng_states

Batches = Iterable[tuple[Tensor, Tensor]]  # images (N, C, H, W) and labels (N,), and it has a len()
Loss = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]

# ---- Recipes ------------------------------------------------------------------------------------


def triangle(progress: float, peak: float = 0.2) -> float:
    """The learning rate's share of its highest value, `progress` of the way through (0 to 1).

    It climbs in a straight line until `peak`, so that the first steps do no harm, and then falls in
    a straight line to 0, so that the last ones settle.
    """
    return progress / peak if progress < peak else (1 - progress) / (1 - peak)


def cosine(progress: float, peak: float = 0.2) -> float:
    """As `triangle`, but it falls along half a cosine: slowly at first and slowly at the end."""
    return (
        progress / peak if progress < peak else (1 + cos(pi * (progress - peak) / (1 - peak))) / 2
    )


SCHEDULES = {"triangle": triangle, "cosine": cosine}
PRECISIONS = ("float32", "bfloat16", "auto")
PROFILES = ("test", "cpu", "gpu")


@dataclass(frozen=True)
class Recipe:
    """What a training needs to know; two trainings with one recipe and one seed are the same.

    epochs, images: how often all training pictures are seen; how many there are, None means all.
    learning_rate, schedule, warmup: the highest rate; how it falls after the first `warmup` (a
        share, 0 to 1) of all steps, in which it climbs: see SCHEDULES.
    batch_size, momentum, weight_decay: of SGD with Nesterov momentum.
    label_smoothing: the share of certainty (0 to 1) that the right answer gives to all classes.
    clip: the greatest length of the gradient; a longer one is shortened to it. None: as it is.
    precision: "float32", "bfloat16" (autocast), or "auto": bfloat16 if it is faster here, which may
        differ from machine to machine and changes the numbers a little.
    Raises ValueError for anything else.
    """

    epochs: int
    learning_rate: float = 0.05
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    images: int | None = None
    schedule: str = "triangle"
    warmup: float = 0.2
    label_smoothing: float = 0.0
    clip: float | None = None
    precision: str = "float32"

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate", "clip"):
            value = getattr(self, name)
            if not (name == "clip" and value is None) and not value > 0:
                raise ValueError(f"{name} must be above 0; got {value}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be 0 or more; got {self.weight_decay}")
        for name in ("momentum", "warmup", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1; got {getattr(self, name)}")
        if self.images is not None and self.images < 1:
            raise ValueError(f"images must be None (all) or at least 1; got {self.images}")
        for name, allowed in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                got = repr(getattr(self, name))
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {got}")

    def rate(self, progress: float) -> float:
        """The learning rate, `progress` of the way through (0 to 1)."""
        return self.learning_rate * SCHEDULES[self.schedule](progress, self.warmup)


# Chosen on the validation pictures, never on the test pictures. LeNet-5 (JPEG copy of CIFAR-10, one
# seed): 64.0 % after 8 epochs, 66.9 % after 12, 67.7 % after 16; 63.3 % after 12 at twice the rate.
RECIPES = {
    "LeNet5": {
        "test": Recipe(epochs=1, images=256),
        "cpu": Recipe(epochs=16),
        "gpu": Recipe(epochs=30),
    },
}


def profile() -> str:
    """How much to do: "test" (seconds), "cpu" (minutes) or "gpu" (the full recipe).

    The environment variable CNN_LESSONS_PROFILE decides; unset, it is "gpu" where there is CUDA
    and "cpu" elsewhere. Raises ValueError if the variable holds anything else.
    """
    chosen = os.environ.get("CNN_LESSONS_PROFILE") or (
        "gpu" if torch.cuda.is_available() else "cpu"
    )
    if chosen not in PROFILES:
        raise ValueError(
            f"CNN_LESSONS_PROFILE must be one of {', '.join(PROFILES)}; got {chosen!r}"
        )
    return chosen


def device() -> torch.device:
    """The fastest device here: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


# ---- What happened ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """How a network did on some pictures. `accuracy` is correct pictures / all pictures, 0 to 1."""

    loss: float
    accuracy: float
    images: int


@dataclass(frozen=True)
class Epoch:
    """One pass over the training pictures: losses are means per picture, accuracies 0 to 1."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
    images_per_second: float


@dataclass
class History:
    """What `fit` saw: one `Epoch` for each that was finished, and why it stopped, if it did.

    `batches` counts the steps of the training, `precision` is what "auto" turned out to be.
    """

    epochs: list[Epoch] = field(default_factory=list)
    stopped: str = ""
    batches: int = 0
    precision: str = ""

    def column(self, name: str) -> list[float]:
        """One quantity over the epochs, such as "train_loss"."""
        return [asdict(epoch)[name] for epoch in self.epochs]

    @property
    def seconds(self) -> float:
        return sum(self.column("seconds"))

    def __str__(self) -> str:
        lines = ["epoch  train loss  accuracy  validation loss  accuracy  images/s"]
        for e in self.epochs:
            lines.append(
                f"{e.epoch:5}  {e.train_loss:10.3f}  {e.train_accuracy:8.1%}"
                f"  {e.validation_loss:15.3f}  {e.validation_accuracy:8.1%}"
                f"  {e.images_per_second:8,.0f}"
            )
        return "\n".join([*lines, *filter(None, [self.stopped])])


# ---- The loop -----------------------------------------------------------------------------------


def fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    recipe: Recipe,
    progress: bool = True,
    *,
    loss: Loss | None = None,
    checkpoint: str | Path | None = None,
    watch: Callable[[History], object] | None = None,
) -> History:
    """Train `model` in place by `recipe` with SGD, and return what happened.

    `train` and `validation` give batches of images (N, C, H, W) and labels (N,) on the model's own
    device, as `Dataset.batches` does; each pass over `train` is one epoch. `loss` gives the mean
    loss and the logits of a batch; left out it is `cross_entropy`, GoogLeNet has `loss_with_aux`.
    Validation is in float32. The model is left in evaluation mode. `watch` is called after each
    epoch with the history so far, to draw it for example.

    `checkpoint` names a file that is written before the first and after each epoch. If it is there
    already, the training goes on from it, on the CPU to the very numbers of one that never stopped.
    A file of another training is refused with CheckpointError.

    Ctrl-C, or Jupyter's Interrupt, stops the training and keeps the weights and the finished
    epochs. So does a loss that is no longer a finite number.
    """
    model.to(memory_format=torch.channels_last)
    optimizer, steps = _optimizer(model, recipe), recipe.epochs * len(train)
    history, save = _begin(checkpoint, model, optimizer, train, recipe, loss)
    loss = loss or partial(cross_entropy, label_smoothing=recipe.label_smoothing)
    with _bar(train, recipe, history, progress) as bar:
        try:
            history.precision = history.precision or _precision(model, validation, recipe, loss)
            for number in range(len(history.epochs) + 1, recipe.epochs + 1):
                start = time.perf_counter()
                trained = _train_epoch(model, train, optimizer, recipe, loss, history, bar)
                seconds = time.perf_counter() - start
                if not isfinite(trained.loss):
                    history.stopped = _not_finite(number, trained.loss, recipe)
                    break
                checked = evaluate(model, validation)
                measured = (trained.loss, trained.accuracy, checked.loss, checked.accuracy)
                speed = trained.images / seconds
                history.epochs.append(Epoch(number, *measured, seconds, speed))
                bar.set_postfix_str(
                    f"epoch {number}/{recipe.epochs}, loss {trained.loss:.3f}, "
                    f"validation {checked.accuracy:.1%}"
                )
                save()
                if watch:
                    watch(history)
        except KeyboardInterrupt:
            history.stopped = (
                f"Stopped by you after {history.batches} of {steps} batches; weights are kept."
            )
    model.eval()
    if history.stopped:
        print(history.stopped)
    return history


def _train_epoch(model, train, optimizer, recipe, loss, history, bar) -> Result:
    """One pass. Loss and correct pictures are summed on the device and read once, at the end:
    asking for a number after each batch would make a GPU wait each time."""
    model.train()
    steps = recipe.epochs * len(train)
    loss_sum, correct, images_seen = 0.0, 0, 0
    for images, labels in train:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(history.batches / steps)
        with _autocast(images.device, history.precision):
            batch_loss, logits = loss(model, images, labels)
        optimizer.zero_grad()
        batch_loss.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        history.batches += 1
        loss_sum += batch_loss.detach() * len(labels)
        correct += (logits.detach().argmax(dim=1) == labels).sum()
        images_seen += len(labels)
        bar.update(len(labels))
    return Result(float(loss_sum) / images_seen, int(correct) / images_seen, images_seen)


def cross_entropy(
    model: nn.Module, images: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of a batch, and the logits (N, classes) it was computed from."""
    logits = model(images)
    return F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing), logits


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD in one fused pass over all weights where the device has it."""
    options = {
        "lr": recipe.learning_rate,
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
        "nesterov": recipe.momentum > 0,
    }
    try:
        return torch.optim.SGD(model.parameters(), fused=True, **options)
    except RuntimeError:  # this device or this kind of number has none
        return torch.optim.SGD(model.parameters(), **options)


def _bar(train: Batches, recipe: Recipe, history: History, progress: bool) -> tqdm:
    images = getattr(train, "num_images", len(train) * recipe.batch_size)
    total, done = recipe.epochs * images, len(history.epochs) * images
    shown = {"desc": "training", "unit": " images", "unit_scale": True}
    return tqdm(total=total, initial=done, disable=not progress, **shown)


def _not_finite(number: int, loss: float, recipe: Recipe) -> str:
    return (
        f"Stopped in epoch {number}: the loss is {loss}. The steps were too large; try a "
        f"learning_rate below {recipe.learning_rate}, a longer warmup, or clip=1.0."
    )


def _begin(path, model, optimizer, train, recipe, loss) -> tuple[History, Callable[[], None]]:
    """The history so far, from the file at `path` if it is there, and what writes that file."""
    if path is None:
        return History(), lambda: None
    about = {"loss": getattr(loss, "__name__", str(loss)), "batches": len(train)}
    about |= {f"recipe.{name}": value for name, value in asdict(recipe).items()}
    about |= {f"data.{k}": v for k, v in getattr(train, "identity", dict)().items()}
    file = Checkpoint(path, model, optimizer, about)
    done = file.load() or {"history": asdict(History()), "data_epoch": None}
    if done["data_epoch"] is not None:
        train.epoch = done["data_epoch"]
    history = History(**done["history"])
    history.epochs = [Epoch(**epoch) for epoch in history.epochs]

    def save() -> None:
        try:
            file.save({"history": asdict(history), "data_epoch": getattr(train, "epoch", None)})
        except OSError as error:
            if not history.epochs:  # better now than after hours
                raise CheckpointError(f"checkpoint {path} cannot be written: {error}") from error
            tqdm.write(f"Epoch {len(history.epochs)} is not in {path}: {error}. Training goes on.")

    if history.epochs:
        print(f"Goes on after epoch {len(history.epochs)} of {recipe.epochs}, from {path}.")
    else:
        save()
    return history, save


# ---- Precision ----------------------------------------------------------------------------------


def _autocast(device: torch.device, precision: str) -> AbstractContextManager:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def _precision(model: nn.Module, validation: Batches, recipe: Recipe, loss: Loss) -> str:
    """What the recipe asks for; "auto" is decided on the first validation pictures."""
    if recipe.precision != "auto":
        return recipe.precision
    images, labels = next(iter(validation))
    size = recipe.batch_size
    return faster_precision(model, images[:size], labels[:size], loss)


def faster_precision(
    model: nn.Module, images: Tensor, labels: Tensor, loss: Loss = cross_entropy, seconds: float = 1
) -> str:
    """ "bfloat16" if a training step is at least 1.1 times as fast with it here, else "float32".

    Tried on a copy, both in turn, for about `seconds` or one step of each; weights and random
    numbers are left as they were. A machine that cannot do bfloat16 gets "float32".
    """
    trial, before, times = deepcopy(model).train(), rng_states(), {"float32": [], "bfloat16": []}

    def step(precision: str) -> float:
        start = time.perf_counter()
        with _autocast(images.device, precision):
            value, _ = loss(trial, images, labels)
        value.backward()
        value.item()  # waits until the device has finished
        return time.perf_counter() - start

    try:
        for precision in times:
            step(precision)  # the first one also sets things up
        end = time.perf_counter() + seconds
        while not times["bfloat16"] or time.perf_counter() < end:
            for precision, found in times.items():
                found.append(step(precision))
    except RuntimeError:
        return "float32"
    finally:
        set_rng_states(before)
    gain = median(times["float32"]) / median(times["bfloat16"])
    return "bfloat16" if gain >= 1.1 else "float32"


# ---- Measuring ----------------------------------------------------------------------------------


@torch.no_grad()
def predict(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Logits (N, classes) and labels (N,) of all pictures, on the CPU, in evaluation mode.

    The model's own mode is put back afterwards.
    """
    was_training = model.training
    model.eval()
    try:
        pairs = [(model(images), labels) for images, labels in batches]
    finally:
        model.train(was_training)
    logits, labels = zip(*pairs)
    return torch.cat(logits).float().cpu(), torch.cat(labels).cpu()


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Result:
    """Mean loss and accuracy over all pictures: correct ones are counted, whatever the batches."""
    logits, labels = predict(model, batches)
    correct = int((logits.argmax(dim=1) == labels).sum())
    return Result(float(F.cross_entropy(logits, labels)), correct / len(labels), len(labels))
