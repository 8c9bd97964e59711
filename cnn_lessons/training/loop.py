"""Train a network: one loop, the same on CPU, CUDA and MPS, with nothing hidden.

history = fit(model, dataset.batches("train", augment=True), dataset.batches("validation"),
              RECIPES["LeNet5"]["cpu"])
"""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from cnn_lessons.training.checkpoint import Checkpoint, CheckpointError, rng_states, set_rng_states
from cnn_lessons.training.history import Epoch, History, Result
from cnn_lessons.training.measure import evaluate
from cnn_lessons.training.recipes import Recipe

Batches = Iterable[tuple[Tensor, Tensor]]  # images (N, C, H, W) and labels (N,), and it has a len()
Loss = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]


def device() -> torch.device:
    """The fastest device here: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    recipe: Recipe,
    progress: bool = True,
    *,
    loss: Loss | None = None,
    optimizer: Callable[[nn.Module, Recipe], torch.optim.Optimizer] | None = None,
    checkpoint: str | Path | None = None,
    watch: Callable[[History], object] | None = None,
) -> History:
    """Train `model` in place by `recipe`, and return what happened.

    `train` and `validation` give batches of images (N, C, H, W) and labels (N,) on the model's own
    device, as `Dataset.batches` does; each pass over `train` is one epoch. `loss` gives the mean
    loss and the logits of a batch; left out it is `cross_entropy`, GoogLeNet has `loss_with_aux`.
    `optimizer` makes another than SGD from the model and the recipe; `fit` sets its rate.
    Validation is in float32. The model is left in evaluation mode. `watch` is called after each
    epoch with the history so far, to draw it for example.

    `checkpoint` names a file that is written before the first and after each epoch. If it is there
    already, the training goes on from it, on the CPU to the very numbers of one that never stopped.
    A file of another training is refused with CheckpointError.

    Ctrl-C, or Jupyter's Interrupt, stops the training and keeps the weights and the finished
    epochs. So does a loss that is no longer a finite number.
    """
    model.to(memory_format=torch.channels_last)
    optimizer, steps = (optimizer or _sgd)(model, recipe), recipe.epochs * len(train)
    history, save = _begin(checkpoint, model, optimizer, train, recipe, loss)
    loss = loss or cross_entropy
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


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of a batch, and the logits (N, classes) it was computed from."""
    logits = model(images)
    return F.cross_entropy(logits.float(), labels), logits


def _sgd(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD, in one fused pass over all weights where the device has it."""
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
    numbers are left as they were. A machine that cannot do bfloat16 gets "float32". So does one
    that only imitates it: a step of VGG-16 can take a minute there, so 2, 8 and 32 pictures go
    first, and twice the time of float32 is enough to stop at.
    """
    trial, before, times = deepcopy(model).train(), rng_states(), {"float32": [], "bfloat16": []}

    def step(precision: str, number: int) -> float:
        start = time.perf_counter()
        with _autocast(images.device, precision):
            value, _ = loss(trial, images[:number], labels[:number])
        value.backward()
        value.item()  # waits until the device has finished
        return time.perf_counter() - start

    try:
        for number in (2, 8, 32):  # the faster of two: the first step also sets things up
            few = {kind: min(step(kind, number), step(kind, number)) for kind in times}
            if few["bfloat16"] > 2 * few["float32"]:
                return "float32"
        for kind in times:
            step(kind, len(images))
        end = time.perf_counter() + seconds
        while not times["bfloat16"] or time.perf_counter() < end:
            for kind, found in times.items():
                found.append(step(kind, len(images)))
    except RuntimeError:
        return "float32"
    finally:
        set_rng_states(before)
    gain = median(times["float32"]) / median(times["bfloat16"])
    return "bfloat16" if gain >= 1.1 else "float32"
