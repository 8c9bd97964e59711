"""Train a network: one loop, the same on CPU, CUDA and MPS, with nothing hidden.

history = fit(model, dataset.batches("train", augment=True), dataset.batches("validation"),
              RECIPES["LeNet5"]["cpu"])
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd as fused_step
from tqdm.auto import tqdm

from cnn_lessons.training.captured import CapturedStep, has_graphs, may_be_captured, say
from cnn_lessons.training.checkpoint import Checkpoint
from cnn_lessons.training.history import Epoch, History, Result
from cnn_lessons.training.measure import evaluate
from cnn_lessons.training.precision import (
    Loss,
    cross_entropy,
    faster_precision,
    forward,
    precisions,
)
from cnn_lessons.training.recipes import Recipe
from cnn_lessons.training.state import kept


class Batches(Protocol):
    """What `fit` reads: images (N, C, H, W) and labels (N,), and how many batches there are."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...
    def __len__(self) -> int: ...


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
    graph: bool = True,
) -> History:
    """Train `model` in place by `recipe`, and return what happened.

    `train` and `validation` give batches of images (N, C, H, W) and labels (N,) on the model's own
    device, as `Dataset.batches` does; each pass over `train` is one epoch. `loss` gives the mean
    loss and the logits of a batch; left out it is `cross_entropy`, GoogLeNet has `loss_with_aux`.
    `optimizer` makes the optimizer; left out it is `sgd`. Validation is in float32, or in tf32
    where the training is. The model is left in evaluation mode. `watch` is called after each epoch
    with the history so far, to draw it for example.

    `checkpoint` names a file that is written before the first and after each epoch. If it is there
    already, the training goes on from it; a file of another training is refused with
    CheckpointError. With the same kind of processor, number of threads and version of PyTorch, a
    training on the CPU goes on to the very numbers of one that never stopped, if its loss and its
    layers remember nothing but weights and buffers and draw random numbers from PyTorch alone.

    On CUDA, after a few steps, one is captured as a graph and replayed, see `captured`: Python code
    of model, loss and optimizer then no longer runs. With graph=False it runs at every step.

    Ctrl-C, or Jupyter's Interrupt, stops the training and keeps the weights and the finished
    epochs. So does a loss that is no longer a finite number.
    """
    with kept(), kept():
        model.to(memory_format=torch.channels_last)
        history, loss, descent = History(), loss or cross_entropy, (optimizer or sgd)(model, recipe)
        file = Checkpoint(checkpoint, model, descent, train, validation, recipe, loss)
        try:
            history = file.load() or history
            graph = graph and may_be_captured(model, descent)
            asked = history.precision or recipe.precision
            history.precision = _precision(asked, model, validation, recipe, loss, graph)
            file.save(history)
            sums = _sums(model)
            one = partial(_step, model, descent, recipe, loss, history.precision, sums)
            step = CapturedStep(one, model, descent, sums, graph)
            with _bar(train, recipe, history, progress) as bar:
                for number in range(len(history.epochs) + 1, recipe.epochs + 1):
                    start = time.perf_counter()
                    seen = _train_epoch(model, train, step, recipe, history, bar)
                    seconds = time.perf_counter() - start
                    if not isfinite(seen.loss):
                        history.stopped = _not_finite(number, seen.loss, recipe)
                        break
                    checked = evaluate(model, validation)
                    measured = (seen.loss, seen.accuracy, checked.loss, checked.accuracy)
                    history.epochs.append(Epoch(number, *measured, seconds, seen.images / seconds))
                    file.save(history)
                    bar.set_postfix_str(
                        f"epoch {number}/{recipe.epochs}, loss {seen.loss:.3f}, "
                        f"validation {checked.accuracy:.1%}"
                    )
                    if watch:
                        with kept(random=True), kept(random=True):
                            watch(history)
            model.eval()
        except KeyboardInterrupt:
            file.finish(history)
            done = f"{history.batches} of {recipe.epochs * len(train)} batches"
            history.stopped = f"Stopped by you after {done}; weights are kept."
        finally:
            model.eval()  # again, should Ctrl-C have come while the line above was at it
            if has_graphs(next(model.parameters()).device):
                descent.zero_grad()  # the gradients lie in the memory of the graph: let go of it
    if history.stopped:
        print(history.stopped)
    return history


def _train_epoch(
    model: nn.Module, train: Batches, step: CapturedStep,
    recipe: Recipe, history: History, bar: tqdm,
) -> Result:  # fmt: skip
    """One pass. Loss and correct pictures are summed on the device and read once, at the end:
    asking for a number after each batch would make a GPU wait each time."""
    model.train()
    steps, images_seen = recipe.epochs * len(train), 0
    for total in step.sums:
        total.zero_()
    for images, labels in train:
        step(images, labels, recipe.rate(history.batches / steps))
        history.batches += 1
        images_seen += len(labels)
        bar.update(len(labels))
    loss_sum, correct = step.sums
    return Result(float(loss_sum) / images_seen, int(correct) / images_seen, images_seen)


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, loss: Loss, precision: str,
    sums: tuple[Tensor, Tensor], images: Tensor, labels: Tensor, rate: float | Tensor,
) -> None:  # fmt: skip
    """One step down the slope of the loss on one batch; the sums of the epoch are added to."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    batch_loss, logits = forward(precision, loss, model, images, labels)
    optimizer.zero_grad()
    batch_loss.backward()
    if recipe.clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    loss_sum, correct = sums
    loss_sum += batch_loss.detach() * len(labels)
    correct += (logits.detach().argmax(dim=1) == labels).sum()


def _sums(model: nn.Module) -> tuple[Tensor, Tensor]:
    """The loss and the correct pictures of an epoch, on the device of the model: 0 as yet."""
    weight = next(model.parameters())
    kind = torch.promote_types(weight.dtype, torch.float32)
    return weight.new_zeros((), dtype=kind), weight.new_zeros((), dtype=torch.int64)


def sgd(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, in one fused pass over all weights where the device has it."""
    parameters = list(model.parameters())
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
        fused=(bool(parameters) and _has_fused(parameters[0])) or None,
    )


def _has_fused(weight: Tensor) -> bool:
    """Whether this device and this kind of number have the fused pass: only a step shows it."""
    one = torch.zeros_like(weight, requires_grad=False).flatten()[:1]
    how: Any = {"weight_decay": 0.0, "momentum": 0.0, "lr": 0.0, "dampening": 0.0}
    try:
        fused_step([one], [one], [None], fused=True, nesterov=False, maximize=False, **how)
    except RuntimeError:
        return False
    return True


def device() -> torch.device:
    """The fastest device here: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _precision(
    asked: str, model: nn.Module, validation: Batches, recipe: Recipe, loss: Loss, graph: bool
) -> str:
    """What is asked for and can be had; "auto" is decided on the first validation pictures."""
    if asked == "auto":
        images, labels = next(iter(validation))
        size = recipe.batch_size
        return faster_precision(model, images[:size], labels[:size], loss, graph=graph)
    if asked in precisions(next(model.parameters()).device):
        return asked
    say(f"This device has no {asked}; it trains in float32.")
    return "float32"


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
