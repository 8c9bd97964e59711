"""Explorers: change a number and see at once what it does to a network.

Each one is a plain function, which works without widgets and can be tested, and a thin panel over
it. They use the core of ipywidgets alone, so that they run in Jupyter and in Colab.
"""

import ipywidgets as W

VIEW = "application/vnd.jupyter.widget-view+json"


class Panel(W.VBox):
    """Controls and what they show, with a static view for readers without a kernel.

    A subclass says in `static_html` and `static_text` what a stored notebook keeps of it, GitHub's
    view of it included: plain tables and sentences, the same at each run.
    """

    # ipywidgets 7 would display through this method and drop the static view.
    _ipython_display_ = None

    def static_html(self) -> str:
        """The state at the start as HTML without styles and pictures."""
        raise NotImplementedError

    def static_text(self) -> str:
        """The same in one or two sentences."""
        raise NotImplementedError

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        return {
            VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.model_id},
            "text/html": self.static_html(),
            "text/plain": self.static_text(),
        }
