"""A guess before the answer: `predict` asks for it, `reveal` tells and judges, `score` counts.

how_many = predict("How many times more weights?")    # in a cell of its own, before the answer
how_many.reveal(512 * 9 / 512)                        # below: "You said 3. It is 9: not yet."
"""

import re
from collections.abc import Sequence
from html import escape
from math import isfinite

import ipywidgets as W
from IPython.display import display

from cnn_lessons.see.panels import SIGN, VIEW

CLOSE = 1.25  # a number within this factor of the truth is close
EXACT = 1000  # smaller whole numbers are counted, so that a guess must hit them
GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")  # 1,234 and no decimal comma
LIST = re.compile(r"[\[(]*\d+([\s,x×*]+\d+)+[\])]*")

ASKED: dict[str, "Prediction"] = {}  # by the question: a cell that runs again asks no other one


class Prediction:
    """A question that a learner answers before the truth is shown. See `predict`.

    `guess` is the answer, None without one: a choice, a number as one writes it (9, "1,234",
    "1e-7"), or whole numbers such as the sizes of a shape ("4, 64, 16, 16" or a tuple). `verdict`
    is what `reveal` found of the first guess that it met: "right", "close", "not yet", or "shown"
    where the learner asked for the truth; else "". Raises ValueError for a question that is no
    text, for fewer than two choices, and for a guess that is not allowed.
    """

    def __init__(self, question: str, choices: Sequence | None = None, guess: object = None):
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"question must be a text; got {question!r}")
        if choices is not None and (isinstance(choices, str) or len({*map(str, choices)}) < 2):
            raise ValueError(f"choices must be at least two different ones; got {choices!r}")
        self.question = question
        self.choices = None if choices is None else list(choices)
        self.verdict, self.wants_truth, self.told = "", False, 0
        self.answer = W.HTML()
        self.guess = guess
        self.panel = self._panel()

    @property
    def guess(self) -> object:
        return self._guess

    @guess.setter
    def guess(self, guess: object) -> None:
        self._guess, self.wants_truth = None, False
        if guess is None or guess == "":
            return self._tell("")
        if (meant := self._meant(guess)) is None:
            if self.choices is not None:
                raise ValueError(f"guess must be one of {_listed(self.choices)}; got {guess!r}")
            raise ValueError(f"A number, please, for example 12, 3,456, 0.5 or 1e-7; got {guess}")
        self._guess = guess
        return self._tell(f"You say {_words(meant)}. Go on to see.")

    def _meant(self, said: object) -> object:
        """One of the choices, or a number, or whole numbers in a row; None if it is none."""
        if self.choices is not None:
            return said if said in self.choices else None
        found = number(said)
        return sizes(said) if found is None else found

    def show_me(self) -> None:
        """Give up: the truth is told without a guess."""
        self.guess = None
        self.wants_truth = True
        self._tell("No guess. Go on to see.")

    def reveal(self, truth: object, tolerance: float | None = None) -> None:
        """Print the truth, and how near the guess is; the first guess that is judged counts.

        A number is right within `tolerance` (0.05: a factor of 1.05, up or down), and close within
        a factor of 1.25, or within twice the tolerance where that is more. Without `tolerance`
        whole numbers below 1,000 must be hit, others within 5 %. Choices and whole numbers in a
        row are right or not. Raises ValueError for a truth that is not among the choices, or is
        neither a number nor whole numbers in a row, and for a tolerance below 0.
        """
        truth = truth.item() if getattr(truth, "shape", None) == () else truth  # of an array
        if self._meant(truth) is None:
            allowed = "a number or whole numbers in a row"
            allowed = allowed if self.choices is None else f"one of {_listed(self.choices)}"
            raise ValueError(f"truth must be {allowed}; got {truth!r}")
        if tolerance is not None and not tolerance >= 0:
            raise ValueError(f"tolerance must be 0 or more; got {tolerance!r}")
        verdict = "shown" if self.wants_truth else ""
        words = f"{'' if verdict else 'No guess: '}it is {_words(truth)}."
        if self.guess is not None:
            verdict = self._judged(self._meant(self.guess), self._meant(truth), tolerance)
            words = f"You said {_words(self._meant(self.guess))}. It is {_words(truth)}: {verdict}."
        self.verdict = self.verdict or verdict
        words = words[0].upper() + words[1:]
        if verdict:  # else the panel would answer the question for the next reader
            self._tell(words)
        print(words)

    def _judged(self, guess: object, right: object, tolerance: float | None) -> str:
        if self.choices is not None or not (isinstance(guess, float) and isinstance(right, float)):
            return "right" if guess == right else "not yet"
        if guess != right and guess * right <= 0:
            return "not yet"
        if tolerance is None:
            tolerance = 0 if right == int(right) and abs(right) < EXACT else 0.05
        factor = 1.0 if guess == right else max(guess / right, right / guess)
        if factor <= 1 + tolerance:
            return "right"
        return "close" if factor <= max(CLOSE, 1 + 2 * tolerance) else "not yet"

    # --- how it looks -------------------------------------------------------------------------

    def _panel(self) -> W.VBox:
        """Question, field and a button; the field and the button have names."""
        style = {"description_width": "initial"}
        if self.choices is None:
            field = W.Text(description="Your guess", continuous_update=False, style=style)
            field.layout.width = "240px"
        else:
            options = [(str(choice), choice) for choice in self.choices]
            field = W.RadioButtons(
                options=options, index=None, description="Your guess", style=style
            )
            field.layout.width = "max-content"
        give_up = W.Button(description="Show me")
        field.observe(lambda change: self._typed(change["new"]), "value")
        give_up.on_click(lambda _: self.show_me())
        question = W.HTML(f"<b>{escape(self.question)}</b>")
        rows = [W.HTML(SIGN), question, W.HBox([field, give_up]), self.answer]
        return W.VBox(rows).add_class("cnn-panel")

    def _typed(self, guess: object) -> None:
        try:
            self.guess = guess
        except ValueError as error:
            self._tell(str(error))

    def _tell(self, words: str) -> None:
        """Say it in the panel, with what the page waits for after a button: see panels.js."""
        self.told += 1
        about = f'data-state="" data-answer="{self.told}"'
        self.answer.value = f'<div {about}><p aria-live="polite">{escape(words)}</p></div>'

    def __repr__(self) -> str:
        what = "a number" if self.choices is None else f"one of {_listed(self.choices)}"
        return (
            f"{self.question}\nYour guess: {what}. Give it in the panel, or as "
            "predict(..., guess=...)."
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.panel.model_id}
        question, how = escape(repr(self), quote=False).rsplit("\n", 1)
        html = f"<p><b>{question}</b><br>{how}</p>"
        return {VIEW: view, "text/html": html, "text/plain": repr(self)}


def predict(question: str, choices: Sequence | None = None, guess: object = None) -> Prediction:
    """Show a question with a field for a guess, and return what keeps it and reveals the truth.

    Without `choices` the guess is a number, or whole numbers in a row. Without a widget it is given
    as `guess`, or set later: `how_many.guess = 12`. A cell that runs again asks anew, but a guess
    that has been judged stays the one that counts. Raises ValueError as `Prediction` does.
    """
    prediction = Prediction(question, choices, guess)
    if before := ASKED.get(question):
        prediction.verdict = before.verdict
    ASKED[question] = prediction
    display(prediction)
    return prediction


def score() -> None:
    """Print how many questions were answered, how well, and which ones to look at again."""
    found = [prediction.verdict for prediction in ASKED.values()]
    kinds = ("right", "close", "not yet")
    answered = sum(map(found.count, kinds))
    counts = ", ".join(f"{found.count(kind)} {kind}" for kind in kinds if kind in found)
    words = f"You answered {answered} of {len(found)}{': ' if answered else ''}{counts}."
    if answered < len(found):
        words += f" The others: {found.count('shown')} shown, {found.count('')} open."
    print(words)
    for question, prediction in ASKED.items():
        if prediction.verdict == "not yet":
            print(f"Look again at: {question}")


# --- what a guess says ----------------------------------------------------------------------------


def number(guess: object) -> float | None:
    """The number that a guess is: 9, "1,234", "−3", "1e-7"; None if it is none."""
    text = "".join(str(guess).split()).replace("−", "-")
    if GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def sizes(guess: object) -> tuple[int, ...] | None:
    """Whole numbers in a row: (4, 64), torch.Size, "4, 64", "4×64"; None if it is none."""
    text = str(tuple(guess)) if isinstance(guess, (list, tuple)) else str(guess)
    if not LIST.fullmatch(text.strip()):
        return None
    return tuple(map(int, re.findall(r"\d+", text)))


def _words(value: object) -> str:
    """Numbers as one reads them: 1,234,567; 0.625; 1e-7. Anything else as it is."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if abs(value) < 1e15 and (value == int(value) or abs(value) >= 100):
        return f"{value:,.0f}"
    return re.sub(r"e([-+])0*", r"e\1", f"{value:.3g}").replace("e+", "e")


def _listed(choices: Sequence) -> str:
    return ", ".join(map(repr, choices))
