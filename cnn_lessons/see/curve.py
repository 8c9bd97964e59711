"""A curve that grows while a network trains: `training.fit(..., watch=live_curve("LeNet-5"))`."""

import base64
import io
from collections.abc import Callable
from uuid import uuid4

from IPython.display import display

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
    name, drawn = uuid4().hex, []

    def draw(history: History) -> None:
        first, last = history.epochs[0], history.epochs[-1]
        text = (
            f"After epoch {last.epoch} the training loss is {last.train_loss:.2f}, from "
            f"{first.train_loss:.2f} in epoch {first.epoch}, and the validation accuracy "
            f"{last.validation_accuracy:.1%}."
        )
        buffer = io.BytesIO()
        plots.training_curves(history, title).savefig(buffer, format="png", dpi=110)
        picture = base64.b64encode(buffer.getvalue()).decode()
        figure = {"image/png": picture, "text/plain": text}
        words = {"text/markdown": f"*{text}*", "text/plain": text}
        about = {"image/png": {"alt": text}}
        display(figure, metadata=about, raw=True, display_id=f"{name}-1", update=bool(drawn))
        display(words, raw=True, display_id=f"{name}-2", update=bool(drawn))
        drawn.append(text)

    return draw
