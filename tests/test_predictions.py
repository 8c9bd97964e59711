"""Guesses before the answer: asked, judged and counted, with a widget and without one."""

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from cnn_lessons.see import predict, predictions, score
from cnn_lessons.see.panels import VIEW


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch):
    monkeypatch.setattr(predictions, "ASKED", {})


@pytest.fixture
def said(capsys):
    """What was printed since the last call, the question itself left out."""
    return lambda: capsys.readouterr().out.splitlines()[-1]


def part(prediction, kind):
    """The first widget of this kind in the panel."""
    rows = [*prediction.panel.children, *prediction.panel.children[2].children]
    return next(widget for widget in rows if type(widget).__name__ == kind)


@pytest.mark.parametrize(
    ("guess", "truth", "verdict"),
    [
        (9, 9, "right"),
        ("9", 512 * 9 / 512, "right"),
        (8, 9, "close"),
        (3, 9, "not yet"),
        (27, 28, "close"),  # one off is what a formula gets wrong
        (998, 999, "close"),
        ("1,001", 1000, "right"),
        ("62,000", 61706, "right"),
        ("66,000", 61706, "close"),
        ("70,000", 61706, "close"),
        ("100,000", 61706, "not yet"),
        ("1e-7", 1e-7, "right"),
        ("0.6", 0.625, "right"),
        ("−2", -2, "right"),
        (2, -2, "not yet"),
        (0, 0, "right"),
        (1, 0, "not yet"),
        ("1,234,567.5", torch.tensor(1234567.5), "right"),
        (3, np.int64(3), "right"),
        ("4, 64, 16, 16", (4, 64, 16, 16), "right"),
        ("4×64", torch.Size([4, 64]), "right"),
        ((4, 64), [4, 32], "not yet"),
        ("4, 640", (4, 64), "not yet"),
        ("12", (4, 64), "not yet"),
    ],
)
def test_a_number_is_right_or_close_or_not_yet(guess, truth, verdict, said):
    prediction = predict("How many?", guess=guess)
    prediction.reveal(truth)
    assert prediction.verdict == verdict
    assert said().endswith(f": {verdict}.")


@pytest.mark.parametrize(
    ("tolerance", "verdicts"),
    [
        (None, ["right", "right", "close", "not yet"]),
        (0, ["right", "close", "close", "not yet"]),
        (0.3, ["right", "right", "right", "right"]),
        (0.14, ["right", "right", "close", "close"]),
    ],
)
def test_how_near_a_guess_must_be_can_be_chosen(tolerance, verdicts):
    found = []
    for guess in (10_000, 10_400, 12_000, 12_700):
        prediction = predict(f"{guess}?", guess=guess)
        prediction.reveal(10_000, tolerance)
        found.append(prediction.verdict)
    assert found == verdicts


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        (9, "9"),
        (9.0, "9"),
        (61706, "61,706"),
        (1e-7, "1e-7"),
        (0.000123456, "0.000123"),
        (0.6893, "0.689"),
        (12.345, "12.3"),
        (999.7, "1,000"),
        (12345.678, "12,346"),
        (3e20, "3e20"),
        (-2.5, "-2.5"),
        ((4, 64, 16, 16), "4, 64, 16, 16"),
    ],
)
def test_the_truth_is_told_in_words_that_one_can_read(truth, words, said):
    predict("How many?").reveal(truth)
    assert said() == f"No guess: it is {words}."


def test_a_choice_is_right_or_not_yet(said):
    prediction = predict("Which step?", ["A to B", "B to C"], guess="A to B")
    prediction.reveal("B to C")
    assert said() == "You said A to B. It is B to C: not yet."
    prediction.guess = "B to C"
    prediction.reveal("B to C")
    assert said() == "You said B to C. It is B to C: right."
    assert prediction.verdict == "not yet"  # the first one counts


# --- with the widget ------------------------------------------------------------------------------


def test_a_number_is_typed(said):
    prediction = predict("How many?")
    part(prediction, "Text").value = "1,234"
    assert prediction.guess == "1,234" and "You say 1,234." in prediction.answer.value
    prediction.reveal(1234)
    assert said() == "You said 1,234. It is 1,234: right."
    assert "It is 1,234: right." in prediction.answer.value


@pytest.mark.parametrize("typed", ["many", "1.2.3", "nan", "inf", "2 of 3", "<b>"])
def test_what_is_no_number_is_said_in_a_sentence(typed, said):
    prediction = predict("How many?", guess=3)
    part(prediction, "Text").value = typed
    assert "A number, please, for example 12, 3,456, 0.5 or 1e-7; got " in prediction.answer.value
    assert "<b>" not in prediction.answer.value and prediction.guess is None


def test_it_says_how_it_has_read_what_was_typed():
    prediction = predict("How many?")
    for typed, read in (("1,5", "1, 5"), ("(4,64 ,8)", "4, 64, 8"), (" 1e6", "1,000,000")):
        part(prediction, "Text").value = typed
        assert f"You say {read}." in prediction.answer.value


def test_a_choice_is_clicked_and_none_is_at_the_start():
    prediction = predict("Which?", ["one", "two"])
    field = part(prediction, "RadioButtons")
    assert field.index is None and prediction.guess is None
    field.index = 1
    assert prediction.guess == "two"


def test_show_me_is_no_guess_and_counts_as_shown(said):
    prediction = predict("How many?", guess=3)
    part(prediction, "Button").click()
    prediction.reveal(9)
    assert said() == "It is 9." and prediction.verdict == "shown"


def test_the_page_gets_an_answer_to_each_button():
    prediction = predict("How many?")
    before = prediction.answer.value
    for _ in range(2):
        part(prediction, "Button").click()
        assert 'data-state=""' in prediction.answer.value and prediction.answer.value != before
        before = prediction.answer.value


def test_the_panel_of_who_has_not_guessed_tells_nothing(said):
    prediction = predict("How many?")
    prediction.reveal(123)
    assert "123" not in prediction.answer.value and "123" in said()


# --- without it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("choices", [None, ["A < B", "B"]])
def test_a_stored_notebook_keeps_the_question_and_how_to_answer(choices, capsys):
    prediction = predict("Is <1> 'one'?", choices)
    printed = capsys.readouterr().out
    data, _ = DisplayFormatter().format(prediction)
    assert data.pop(VIEW)["model_id"] == prediction.panel.model_id
    assert data["text/plain"] == printed.rstrip("\n")
    assert "predict(..., guess=...)" in data["text/html"] and "&lt;1&gt;" in data["text/html"]
    assert ("'A < B', 'B'" in printed) == (choices is not None)
    again, _ = DisplayFormatter().format(predict("Is <1> 'one'?", choices, guess=choices and "B"))
    assert again.pop(VIEW) and again == data


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((" ",), "question must be a text"),
        ((3,), "question must be a text"),
        (("Which?", "ab"), "choices must be at least two different ones"),
        (("Which?", ["a", "a"]), "choices must be at least two different ones"),
        (("Which?", ["a", "b"], "c"), "guess must be one of 'a', 'b'; got 'c'"),
        (("How many?", None, "much"), "A number, please"),
        (("How many?", None, True), "A number, please"),
    ],
)
def test_a_question_or_guess_that_is_not_allowed_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        predict(*arguments)
    assert not predictions.ASKED


@pytest.mark.parametrize(
    ("choices", "truth", "tolerance", "words"),
    [
        (["a", "b"], "c", None, "truth must be one of 'a', 'b'; got 'c'"),
        (None, "many", None, "truth must be a number or whole numbers in a row"),
        (None, float("nan"), None, "truth must be a number or whole numbers in a row"),
        (None, True, None, "truth must be a number or whole numbers in a row"),
        (None, 9, -0.1, "tolerance must be 0 or more; got -0.1"),
    ],
)
def test_a_truth_that_cannot_be_one_is_refused(choices, truth, tolerance, words):
    prediction = predict("Which?", choices)
    with pytest.raises(ValueError, match=words):
        prediction.reveal(truth, tolerance)


# --- the score ------------------------------------------------------------------------------------


def test_the_score_counts_each_question_once(said, capsys):
    guesses = {"right?": 9, "close?": 8, "wrong?": 3, "also right?": 9, "none?": None}
    for _ in range(2):  # all cells run twice
        for question, guess in guesses.items():
            for _ in range(2):
                predict(question, guess=guess).reveal(9)
    given_up = predict("shown?")
    given_up.show_me()
    given_up.reveal(9)
    predict("not revealed?", guess=9)
    capsys.readouterr()
    score()
    assert capsys.readouterr().out == (
        "You answered 4 of 7: 2 right, 1 close, 1 not yet. The others: 1 shown, 2 open.\n"
        "Look again at: wrong?\n"
    )


def test_the_score_of_one_who_guesses_later_counts_his_first_guess(said):
    predict("How many?").reveal(9)  # all cells run before he came
    score()
    assert said() == "You answered 0 of 1. The others: 0 shown, 1 open."
    prediction = predict("How many?", guess=8)
    prediction.reveal(9)
    prediction.guess = 9
    prediction.reveal(9)
    predict("How many?", guess=9).reveal(9)  # the cells run again
    score()
    assert said() == "You answered 1 of 1: 1 close."


def test_the_score_of_a_lesson_without_questions(said):
    score()
    assert said() == "You answered 0 of 0."
