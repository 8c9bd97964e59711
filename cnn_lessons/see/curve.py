"""A curve that grows while a network trains: `training.fit(..., watch=live_curve("LeNet-5"))`."""

from collections.abc import Callable
from uuid import uuid4

from cnn_lessons import training
from cnn_lessons.see import plots
from cnn_lessons.training import History


def live_curve(title: str = "") -> Callable[[History], None]:
    """What shows the training curves after each epoch, for `fit`'s `watch`.

    The figure and the sentence below it are shown once and replaced each time, so that nothing is
    printed anew, and the last ones stay where they are, in a stored notebook too. In the profile
    "test" nothing is shown or drawn.
    """
    if training.profile() == "test":
        return lambda history: None
    name, shown = uuid4().hex, []

    def draw(history: History) -> None:
        first, last = history.epochs[0], history.epochs[-1]
        text = (
            f"After epoch {last.epoch} the training loss is {last.train_loss:.2f}, from "
            f"{first.train_loss:.2f} in epoch {first.epoch}, and the validation accuracy "
            f"{last.validation_accuracy:.1%}."
        )
        plots.show(plots.training_curves(history, title), text, name, again=bool(shown))
        shown.append(text)

    return draw
