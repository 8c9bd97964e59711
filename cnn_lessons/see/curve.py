"""A curve that grows while a network trains: `training.fit(..., watch=curve.curve("LeNet-5"))`."""

import base64
import io
from collections.abc import Callable

import ipywidgets as widgets
from IPython.display import display

from cnn_lessons import training
from cnn_lessons.see import plots
from cnn_lessons.training import History


def curve(title: str = "") -> Callable[[History], None]:
    """Show a place for the curves, and return what draws them there, for `fit`'s `watch`.

    One widget is shown once and its content replaced, so nothing is printed anew each epoch. In
    the profile "test" nothing is shown or drawn.
    """
    if training.profile() == "test":
        return lambda history: None
    place = widgets.HTML()
    display(place)

    def draw(history: History) -> None:
        last = history.epochs[-1]
        words = f"epoch {last.epoch}: validation accuracy {last.validation_accuracy:.1%}"
        picture = io.BytesIO()
        plots.training_curves(history, title).savefig(picture, format="png", dpi=90)
        code = base64.b64encode(picture.getvalue()).decode()
        place.value = f'<img alt="{words}" src="data:image/png;base64,{code}">'

    return draw
