"""Training from a shell: the options, what is printed, and errors in one line."""

from dataclasses import fields

import pytest
import torch

from cnn_lessons import __main__ as command
from cnn_lessons import data, networks, training
from cnn_lessons.training.recipes import Recipe


@pytest.fixture(autouse=True)
def small_set(monkeypatch):
    dataset = data.generate(train=300, test=100)
    monkeypatch.setattr(data, "load", lambda folder=None: dataset)


def test_every_number_of_a_recipe_is_an_option_with_help():
    text = command.parser().format_help()
    assert list(command.RECIPE_HELP) == [field.name for field in fields(Recipe)]
    for name in command.RECIPE_HELP:
        assert f"--{name.replace('_', '-')}" in text


def test_the_help_names_all_networks_and_gives_examples(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(networks.NETWORKS) in text and "lenet5 --epochs 8" in text


def test_options_change_the_recipe_and_the_result_is_printed(capsys):
    options = ["--epochs", "2", "--learning-rate", "0.01", "--clip", "2", "--test"]
    assert command.main(["lenet5", *options]) == 0
    out = capsys.readouterr().out
    assert "LeNet5 on" in out and "epochs=2, learning_rate=0.01, batch_size=128" in out
    assert "clip=2.0" in out and len(out.split("images/s\n")[1].splitlines()) >= 3
    assert "of 100 test pictures are right" in out


def test_it_does_the_same_as_fit(capsys):
    command.main(["lenet5", "--seed", "3"])
    torch.manual_seed(3)
    model, cifar, recipe = networks.build("LeNet5"), data.load(), training.RECIPES["LeNet5"]["test"]
    batches = cifar.batches("train", 128, augment=True, seed=3, images=recipe.images)
    history = training.fit(model, batches, cifar.batches("validation"), recipe, progress=False)
    shown = str(history).splitlines()[1].rsplit(maxsplit=1)[0]  # without the speed
    assert shown in capsys.readouterr().out


def test_saved_weights_can_be_loaded_and_say_where_they_come_from(tmp_path):
    assert command.main(["lenet5", "--save", str(tmp_path)]) == 0
    assert networks.load_trained("LeNet5", tmp_path)(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    card = networks.card("LeNet5", tmp_path)
    assert card["data"].startswith("shapes") and card["recipe"]["epochs"] == 1


def test_a_stopped_training_is_resumed_only_when_asked(tmp_path, capsys):
    path = str(tmp_path / "run")
    assert command.main(["lenet5", "--checkpoint", path]) == 0
    assert command.main(["lenet5", "--checkpoint", path]) == 1
    assert "is there already: add --resume" in capsys.readouterr().err
    assert command.main(["lenet5", "--checkpoint", path, "--resume"]) == 0
    assert "Goes on after epoch 1 of 1" in capsys.readouterr().out
    assert command.main(["lenet5", "--checkpoint", path, "--resume", "--epochs", "2"]) == 1
    assert "recipe.epochs is 1 there and 2 here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["lenet"], "error: the network must be one of LeNet5, "),
        (["lenet5", "--epochs", "0"], "error: epochs must be above 0; got 0"),
        (["lenet5", "--resume"], "error: --resume needs --checkpoint FILE"),
        (["lenet5", "--resume", "--checkpoint", "none"], "error: none is not there"),
        (["lenet5", "--images", "9999"], "error: the number of images must be from 1 to 270"),
    ],
)
def test_errors_are_one_line_and_no_traceback(options, message, capsys):
    assert command.main(options) == 1
    error = capsys.readouterr().err
    assert error.startswith(message) and len(error.splitlines()) == 1


def test_a_wrong_data_folder_is_an_error_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    assert command.main(["lenet5", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_loss_that_is_not_finite_exits_with_1(capsys):
    assert command.main(["lenet5", "--learning-rate", "1e30", "--epochs", "3"]) == 1
    assert "try a learning_rate below 1e+30" in capsys.readouterr().out
