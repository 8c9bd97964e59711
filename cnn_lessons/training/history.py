"""What a training gives: how a network did, and what happened in each epoch."""

from dataclasses import asdict, dataclass, field

from cnn_lessons.table import Table, printable


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
        heading = ("epoch", "train loss", "accuracy", "validation loss", "accuracy", "images/s")
        lines = [
            (f"{e.epoch}", f"{e.train_loss:.3f}", f"{e.train_accuracy:.1%}",
             f"{e.validation_loss:.3f}", f"{e.validation_accuracy:.1%}",
             f"{e.images_per_second:,.0f}")
            for e in self.epochs
        ]  # fmt: skip
        table = str(Table(heading, tuple(lines)))
        return "\n".join(filter(None, [table, printable(self.stopped)]))
