"""What grows while a network trains: `training.fit(..., watch=live_curve("LeNet-5"))`."""

from collections.abc import Callable, Iterator
from uuid import uuid4

from matplotlib.figure import Figure
from torch import nn

from cnn_lessons import training
from cnn_lessons.data import Dataset
from cnn_lessons.see import plots
from cnn_lessons.training import History

POINTS = 500  # of the validation pictures, in the figure with a corner for each class


def live_curve(
    title: str = "",
    net: nn.Module | None = None,
    dataset: Dataset | None = None,
) -> Callable[[History], None]:
    """What shows the training curves after each epoch, for `fit`'s `watch`.

    With a network and a data set it also shows the kernels of the first convolution, what the first
    validation picture is called, and where others lie between the classes. Each figure and the
    sentence below it are shown once and replaced each time, so that nothing is printed anew, and
    the last ones stay where they are, in a stored notebook too. In the profile "test" nothing is
    shown or drawn. Raises ValueError for one of the two without the other.
    """
    if (net is None) != (dataset is None):
        raise ValueError(f"net and dataset go together; got {net=}, {dataset=}")
    if training.profile() == "test":
        return lambda history: None
    name, shown = uuid4().hex, []

    def draw(history: History) -> None:
        figures = [(plots.training_curves(history, title), _progress(history))]
        if net is not None and dataset is not None:
            figures += _looks(net, dataset)
        for k, (figure, text) in enumerate(figures):
            plots.show(figure, text, f"{name}-{k}", again=bool(shown))
        shown.append(len(figures))

    return draw


def _progress(history: History) -> str:
    first, last = history.epochs[0], history.epochs[-1]
    return (
        f"After epoch {last.epoch} the training loss is {last.train_loss:.2f}, from "
        f"{first.train_loss:.2f} in epoch {first.epoch}, and the validation accuracy "
        f"{last.validation_accuracy:.1%}."
    )


def _looks(net: nn.Module, dataset: Dataset) -> Iterator[tuple[Figure, str]]:
    """What the network has learned so far, in three figures with their sentences."""
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    text = "Each kernel is drawn as it is after this epoch."
    yield plots.filters(first.weight, "the kernels of the first convolution now"), text
    some, names = dataset.validation.head(min(POINTS, len(dataset.validation))), dataset.class_names
    images = dataset.normalise(some.images.to(first.weight.device))
    logits, labels = training.predict(net, [(images, some.labels)])
    probabilities, called = logits.softmax(dim=1), logits.argmax(dim=1)
    text = f"It is called {names[called[0]]}, with a probability of {probabilities[0].max():.0%}."
    yield plots.prediction(some.images[0], probabilities[0], names, int(labels[0])), text
    right = float((called == labels).float().mean())
    text = f"Of {len(some)} validation pictures {right:.0%} are called what they are (dots)."
    yield plots.corners(probabilities, labels, names, "between the classes"), text
