"""What a training gives: how a network did, and what happened in each epoch."""

from dataclasses import asdict, dataclass, field


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
