"""The command line: the options, what is printed, signals, and errors in one line."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cnn_lessons import __main__ as command
from cnn_lessons import data, networks, training
from cnn_lessons.training import checkpoint
from cnn_lessons.training.recipes import Recipe

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")


@pytest.fixture(autouse=True)
def small_set(monkeypatch):
    dataset = data.generate(train=300, test=100)
    monkeypatch.setattr(data, "load", lambda folder=None: dataset)


@pytest.fixture(autouse=True)
def signals_are_heard():
    """Also where the tests run in the background, whose processes ignore Ctrl-C and a hang-up."""
    chosen = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):
        chosen[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in chosen.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(*arguments):
    """The exit code."""
    try:
        return command.main(["train", *map(str, arguments)])
    except SystemExit as end:
        return end.code


def test_every_number_of_a_recipe_is_an_option_with_help(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert list(command.RECIPE_OPTIONS) == [field.name for field in fields(Recipe)]
    for field in fields(Recipe):
        assert f"--{field.name.replace('_', '-')}" in text
        assert command.RECIPE_OPTIONS[field.name][0].__name__ in str(field.type)


def test_the_help_names_all_networks_and_gives_examples(capsys):
    assert run("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(networks.NETWORKS) in text and "train lenet5 --epochs 8" in text


def test_the_help_of_all_names_the_commands(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())  # lines as long as the terminal is wide
    assert "train a network on CIFAR-10" in text


def test_options_change_the_recipe_and_the_result_is_printed(capsys):
    options = ["--epochs", "2", "--learning-rate", "0.01", "--clip", "2", "--test"]
    assert run("lenet5", *options) == 0
    out = capsys.readouterr().out
    assert "LeNet5 on" in out and "epochs=2, learning_rate=0.01, batch_size=128" in out
    assert "clip=2.0" in out and len(out.split("images/s\n")[1].splitlines()) >= 3
    assert "of 100 test pictures are right" in out


def test_it_does_the_same_as_fit(capsys):
    run("lenet5", "--seed", 3)
    torch.manual_seed(3)
    model, cifar, recipe = networks.build("LeNet5"), data.load(), training.RECIPES["LeNet5"]["test"]
    batches = cifar.batches("train", 128, augment=True, seed=3, images=recipe.images)
    history = training.fit(model, batches, cifar.batches("validation"), recipe, progress=False)
    shown = str(history).splitlines()[1].rsplit(maxsplit=1)[0]  # without the speed
    assert shown in capsys.readouterr().out


def test_saved_weights_can_be_loaded_and_say_where_they_come_from(tmp_path):
    assert run("lenet5", "--save", tmp_path / "new") == 0
    model = networks.load_trained("LeNet5", tmp_path / "new")
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    card = networks.card("LeNet5", tmp_path / "new")
    assert card["data"].startswith("generated pictures") and card["recipe"]["epochs"] == 1


def test_a_stopped_training_is_resumed_only_when_asked(tmp_path, capsys):
    path = tmp_path / "run"
    assert run("lenet5", "--checkpoint", path) == 0
    assert run("lenet5", "--checkpoint", path) == 2
    error = capsys.readouterr().err
    assert "is there already: add --resume" in error and "delete" not in error
    assert run("lenet5", "--checkpoint", path, "--resume") == 0
    assert "Goes on after epoch 1 of 1" in capsys.readouterr().out
    assert run("lenet5", "--checkpoint", path, "--resume", "--epochs", 2) == 1
    assert "recipe.epochs is 1 there and 2 here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "error: the following arguments are required: network"),
        (["lenet"], "error: the network must be one of LeNet5, "),
        (["lenet5", "--epochs", "0"], "error: epochs must be above 0; got 0"),
        (["lenet5", "--epochs", "1e3"], "error: argument --epochs: invalid int value: '1e3'"),
        (["lenet5", "--learning-rate", "nan"], "error: learning_rate must be above 0; got nan"),
        (["lenet5", "--precision", "half"], "error: argument --precision: invalid choice"),
        (["lenet5", "--profile", "fast"], "error: argument --profile: invalid choice"),
        (["lenet5", "--seed", "-1"], "error: --seed must be from 0 to 2 ** 64 - 1; got -1"),
        (["lenet5", "--seed", str(2**64)], "error: --seed must be from 0 to 2 ** 64 - 1; got"),
        (["lenet5", "--speed", "9"], "error: unrecognized arguments: --speed 9"),
        (["lenet5", "more"], "error: unrecognized arguments: more"),
        (["lenet5", "--save"], "error: argument --save: expected one argument"),
        (["lenet5", "--resume"], "error: --resume needs --checkpoint FILE"),
        (["lenet5", "--resume", "--checkpoint", "none"], "error: none is not there"),
        (["lenet5", "--checkpoint", "."], "error: . is there already"),
        (["lenet5", "--images", "9999"], "error: the number of images must be from 1 to 270"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exits_with_2(options, message, capsys):
    assert run(*options) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["fly"], ["lenet5", "--epochs", "8"]])
def test_a_wrong_command_is_one_line_and_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.startswith("error: ") and len(error.splitlines()) == 1


def test_a_wrong_profile_in_the_environment_exits_with_2(monkeypatch, capsys):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "fast")
    assert run("lenet5") == 2
    assert capsys.readouterr().err.startswith("error: CNN_LESSONS_PROFILE must be one of")


def a_folder_in_the_way(path):
    (path.parent / "file").write_text("in the way of a folder")
    return ["--checkpoint", path.parent / "file" / "run"]


def a_foreign_file(path):
    save_file({"weight": torch.zeros(2)}, path)
    return ["--checkpoint", path, "--resume"]


def a_zip_archive(path):
    torch.save({"weight": torch.zeros(2)}, path)
    return ["--checkpoint", path, "--resume"]


def a_folder_for_a_file(path):
    path.mkdir()
    return ["--checkpoint", path, "--resume"]


def a_file_for_a_folder(path):
    path.write_text("no folder")
    return ["--save", path]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (a_folder_in_the_way, "run cannot be written"),
        (a_foreign_file, "run is no checkpoint but of another origin"),
        (a_zip_archive, "run is no checkpoint but a zip archive"),
        (a_folder_for_a_file, "run is not a file"),
        (a_file_for_a_folder, "run: File exists"),
    ],
)
def test_what_is_in_the_way_is_one_line_and_exits_with_1(prepare, message, tmp_path, capsys):
    assert run("lenet5", *prepare(tmp_path / "run")) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and len(error.splitlines()) == 1


def test_a_wrong_data_folder_is_an_error_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    assert run("lenet5", "--data", tmp_path) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("kind", [MemoryError(), RuntimeError("can't allocate memory: 9 bytes")])
def test_too_little_memory_is_an_error_in_one_line(kind, capsys, monkeypatch):
    def full(*_, **__):
        raise kind

    monkeypatch.setattr(training, "fit", full)
    assert run("lenet5") == 1
    assert capsys.readouterr().err.startswith("error: not enough memory; a smaller --batch-size")


def test_a_full_disk_is_told_and_the_training_ends_well(tmp_path, capsys, monkeypatch):
    written = []
    original = checkpoint.write_whole

    def full(path, content):
        if written:
            raise OSError(28, "No space left on device")
        written.append(original(path, content))

    monkeypatch.setattr(checkpoint, "write_whole", full)
    assert run("lenet5", "--epochs", 2, "--checkpoint", tmp_path / "run") == 0
    assert capsys.readouterr().out.count("No space left on device. Training goes on.") == 2


def test_a_loss_that_is_not_finite_exits_with_1(capsys):
    assert run("lenet5", "--learning-rate", "1e30", "--epochs", 3) == 1
    out = capsys.readouterr().out
    assert "try a learning_rate below 1e+30" in out and "--checkpoint FILE keeps them" in out


def test_letters_that_the_terminal_has_not_are_no_error(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert run("lenet5", "--save", tmp_path / "权重 é") == 0
    assert r"\u6743\u91cd \xe9" in (tmp_path / "out").read_text(encoding="ascii")
    assert networks.load_trained("LeNet5", tmp_path / "权重 é")


# ---- Signals ----


@POSIX
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_stops_as_ctrl_c_does_and_the_file_is_named(
    name, code, tmp_path, capsys, monkeypatch
):
    fit, number = training.fit, getattr(signal, name)
    before, streams = signal.getsignal(number), (sys.stdout, sys.stderr)
    after = []

    def signalled(*arguments, **options):
        def watch(history):
            if len(history.epochs) == 2:
                os.kill(os.getpid(), number)

        found = fit(*arguments, **options, watch=watch)
        after.append(signal.getsignal(number))
        return found

    monkeypatch.setattr(training, "fit", signalled)
    path = tmp_path / "run"
    try:
        assert run("lenet5", "--epochs", 9, "--checkpoint", path) == code
    finally:
        if sys.stdout is not streams[0]:
            sys.stdout.close()
        sys.stdout, sys.stderr = streams
    assert after == [signal.SIG_DFL]  # so a second one ends the process, whatever it is doing
    assert signal.getsignal(number) is before
    if name != "SIGHUP":  # then nobody reads
        out = capsys.readouterr().out
        assert f"{path} has 2 finished epochs; --resume goes on from there." in out
    _, record = checkpoint.read(path)
    assert len(record["done"]["history"]["epochs"]) == 2


@POSIX
def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with command.stopped_by_signals() as came:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
        assert came == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_before_the_training_is_no_traceback(capsys, monkeypatch):
    def interrupted(folder=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", interrupted)
    assert run("lenet5") == 130
    assert capsys.readouterr().out == "Stopped by you.\n"


DEAF = """
import sys, time
from cnn_lessons import __main__ as command
def deaf(chosen):
    words = "ready"
    while True:
        try:
            print(words, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            words = "heard"
command.train = deaf
command.main(["train", "lenet5"])
"""


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_second_signal_always_ends_it(name):
    number = getattr(signal, name)
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True)
    with process:
        for words in ("ready", "heard"):
            assert process.stdout.readline() == f"{words}\n"
            process.send_signal(number)
    assert process.returncode == -number


@POSIX
def test_a_process_that_is_terminated_names_its_file_and_exits_with_143(tmp_path):
    path = tmp_path / "run"
    options = ["lenet5", "--profile", "test", "--epochs", "100000", "--checkpoint", str(path)]
    with subprocess.Popen(
        [sys.executable, "-m", "cnn_lessons", "train", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        while not path.exists() and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
        out, error = process.communicate()
    assert process.returncode == 143 and "Traceback" not in error
    assert "Stopped by you after" in out and f"{path} has" in out
