"""Train a network and measure it: one loop, the same on CPU, CUDA and MPS, with nothing hidden."""

import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import isfinite

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

PROFILES = ("test", "cpu", "gpu")


@dataclass(frozen=True)
class Recipe:
    """What a training needs to know.

    `learning_rate` is the highest one; `images` limits the training pictures, None means all.
    """

    epochs: int
    learning_rate: float = 0.05
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    images: int | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)}")
        if self.images is not None and self.images < 1:
            raise ValueError(f"images must be None (all) or at least 1; got {self.images}")


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
    """What `fit` saw: one `Epoch` for each that was finished, and why it stopped, if it did."""

    epochs: list[Epoch] = field(default_factory=list)
    stopped: str = ""

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


def fit(
    model: nn.Module,
    train: Iterable[tuple[Tensor, Tensor]],
    validation: Iterable[tuple[Tensor, Tensor]],
    recipe: Recipe,
    progress: bool = True,
) -> History:
    """Train `model` in place with cross-entropy and SGD, and return what happened.

    `train` and `validation` give batches of images (N, C, H, W) and labels (N,) on the model's own
    device, as `Dataset.batches` does; each pass over `train` is one epoch. The learning rate
    changes with every batch, see `triangle`. The model is left in evaluation mode.

    Ctrl-C, or Jupyter's Interrupt, stops the training and keeps the weights and the finished
    epochs. So does a loss that is no longer a finite number.
    """
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    history, steps = History(), recipe.epochs * len(train)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: triangle(step / steps))
    with tqdm(total=steps, desc="training", unit="batch", disable=not progress) as bar:
        try:
            for number in range(1, recipe.epochs + 1):
                start = time.perf_counter()
                trained = _train_epoch(model, train, optimizer, schedule, bar)
                seconds = time.perf_counter() - start
                if not isfinite(trained.loss):
                    history.stopped = (
                        f"Stopped in epoch {number}: the loss is {trained.loss}. The steps were "
                        f"too large; try a learning_rate below {recipe.learning_rate}."
                    )
                    break
                checked = evaluate(model, validation)
                history.epochs.append(
                    Epoch(
                        number,
                        trained.loss,
                        trained.accuracy,
                        checked.loss,
                        checked.accuracy,
                        seconds,
                        trained.images / seconds,
                    )
                )
                bar.set_postfix_str(
                    f"epoch {number}/{recipe.epochs}, loss {trained.loss:.3f}, "
                    f"validation {checked.accuracy:.1%}"
                )
        except KeyboardInterrupt:
            history.stopped = (
                f"Stopped by you after {schedule.last_epoch} of {steps} batches; weights are kept."
            )
    model.eval()
    if history.stopped:
        print(history.stopped)
    return history


def _train_epoch(
    model: nn.Module,
    train: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    bar: tqdm,
) -> Result:
    """One pass. Loss and correct pictures are summed on the device and read once, at the end:
    asking for a number after each batch would make a GPU wait each time."""
    model.train()
    loss_sum, correct, images_seen = 0.0, 0, 0
    for images, labels in train:
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        loss_sum += loss.detach() * len(labels)
        correct += (logits.detach().argmax(dim=1) == labels).sum()
        images_seen += len(labels)
        bar.update()
    return Result(float(loss_sum) / images_seen, int(correct) / images_seen, images_seen)


def triangle(progress: float, peak: float = 0.2) -> float:
    """The learning rate's share of its highest value, `progress` of the way through (0 to 1).

    It climbs in a straight line until `peak`, so that the first steps do no harm, and then falls in
    a straight line to 0, so that the last ones settle.
    """
    return progress / peak if progress < peak else (1 - progress) / (1 - peak)


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
