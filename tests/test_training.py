"""The training loop: it learns, it can be stopped, it repeats, and it counts correctly."""

import math

import pytest
import torch
from torch import nn

from cnn_lessons import training
from cnn_lessons.models import LeNet5
from cnn_lessons.training import Recipe, evaluate, fit, predict, triangle


class Pictures:
    """A few fixed batches, in the form that `fit` takes."""

    def __init__(self, count=32, batch_size=16, seed=0):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(count, 3, 32, 32, generator=generator)
        labels = torch.arange(count) % 10
        self.batches = list(zip(images.split(batch_size), labels.split(batch_size)))
        self.passes = 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.passes += 1
        return iter(self.batches)


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def test_it_overfits_one_batch():
    torch.manual_seed(0)
    model, batch = LeNet5(), Pictures(16)
    recipe = Recipe(epochs=150, learning_rate=0.01, weight_decay=0.0)
    history = fit(model, batch, batch, recipe, progress=False)
    assert history.epochs[-1].train_accuracy == 1.0 and history.epochs[-1].train_loss < 0.1
    assert evaluate(model, batch).accuracy == 1.0


@pytest.mark.parametrize("progress", [True, False])
def test_the_rate_rises_and_falls_with_and_without_a_bar(progress, monkeypatch):
    rates = []
    step = torch.optim.SGD.step

    def noted(self, *args, **options):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    fit(small(), Pictures(), Pictures(), Recipe(epochs=5, learning_rate=0.5), progress)
    assert rates == pytest.approx([0.5 * triangle(k / 10) for k in range(10)])


def test_the_triangle():
    assert [triangle(0.0), triangle(0.1), triangle(0.2), triangle(0.6), triangle(1.0)] == (
        pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    )


def test_the_same_seed_gives_the_same_numbers():
    def run(seed):
        model = small(seed)
        history = fit(model, Pictures(), Pictures(), Recipe(epochs=3), progress=False)
        return history.column("train_loss"), model[1].weight.detach()

    (losses, weights), (same_losses, same_weights), (other_losses, _) = run(0), run(0), run(1)
    assert losses == same_losses and torch.equal(weights, same_weights)
    assert losses != other_losses


def test_correct_pictures_are_counted_and_not_the_mean_of_batches():
    class Always0(nn.Module):
        def forward(self, images):
            return nn.functional.one_hot(torch.zeros(len(images), dtype=torch.long), 10).float()

    labels = torch.tensor([0] * 4 + [1])  # batches of 4 and 1: means 1 and 0, but 4 of 5 correct
    batches = list(zip(torch.zeros(5, 3, 32, 32).split(4), labels.split(4)))
    result = evaluate(Always0(), batches)
    assert (result.accuracy, result.images) == (0.8, 5)
    expected = math.log(math.e + 9) - 4 / 5
    assert result.loss == pytest.approx(expected, abs=1e-6)


def test_interrupt_keeps_weights_and_history(capsys):
    class Interrupted(Pictures):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if self.passes == 3 and number == 1:
                    raise KeyboardInterrupt
                yield batch

    model = small()
    before = model[1].weight.detach().clone()
    history = fit(model, Interrupted(), Pictures(), Recipe(epochs=5), progress=False)
    assert len(history.epochs) == 2 and "after 5 of 10 batches" in history.stopped
    assert history.stopped in capsys.readouterr().out and history.stopped in str(history)
    assert not torch.equal(before, model[1].weight) and not model.training


def test_interrupt_in_validation_keeps_the_model_usable():
    class Interrupted(Pictures):
        def __iter__(self):
            raise KeyboardInterrupt

    model = small()
    history = fit(model, Pictures(), Interrupted(), Recipe(epochs=2), progress=False)
    assert history.epochs == [] and "after 2 of 4" in history.stopped
    assert evaluate(model, Pictures()).images == 32


def test_a_loss_that_is_not_finite_stops_and_says_what_to_try():
    history = fit(
        small(), Pictures(), Pictures(), Recipe(epochs=9, learning_rate=1e30), progress=False
    )
    assert len(history.epochs) < 9
    assert "learning_rate below 1e+30" in history.stopped


def test_predict_is_in_evaluation_mode_and_puts_the_mode_back():
    model = nn.Sequential(nn.Dropout(0.5), small())
    logits, labels = predict(model.train(), Pictures())
    again, _ = predict(model, Pictures())
    assert torch.equal(logits, again) and logits.shape == (32, 10) and model.training
    assert torch.equal(labels, torch.arange(32) % 10) and not logits.requires_grad


def test_history_prints_a_line_an_epoch():
    history = fit(small(), Pictures(), Pictures(), Recipe(epochs=2), progress=False)
    lines = str(history).splitlines()
    assert len(lines) == 3 and lines[2].split()[0] == "2"
    assert history.seconds == sum(epoch.seconds for epoch in history.epochs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be above 0; got 0"),
        ({"epochs": 1, "learning_rate": -1.0}, "learning_rate must be above 0; got -1"),
        ({"epochs": 1, "images": 0}, "images must be None"),
    ],
)
def test_a_bad_recipe_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**arguments)


def test_the_profile_comes_from_the_environment_or_the_device(monkeypatch):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "gpu")
    assert training.profile() == "gpu"
    monkeypatch.delenv("CNN_LESSONS_PROFILE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.profile() == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training.profile() == "gpu" and training.device().type == "cuda"
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "fast")
    with pytest.raises(ValueError, match="one of test, cpu, gpu; got 'fast'"):
        training.profile()


def test_every_recipe_has_every_profile():
    for name, recipes in training.RECIPES.items():
        assert tuple(recipes) == training.PROFILES, name
