"""Checkpoints: a stopped training goes on to the same numbers, and no file is ever half written."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from cnn_lessons import data, files
from cnn_lessons.training import Recipe, checkpoint, cross_entropy, fit, loop
from cnn_lessons.training.checkpoint import CheckpointError

RECIPE = Recipe(epochs=4, learning_rate=0.02, clip=1.0)
SET = data.generate(train=80, test=10)


def network(seed=0, width=4):
    """Small, but with all that remembers something: momentum, batch norm, dropout."""
    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, width, 3, 4), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.3))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 64, 10))


class Interrupted:
    """Batches that Ctrl-C meets at one of them: `after` counts over all epochs."""

    def __init__(self, batches, after):
        self.batches, self.left = batches, after

    def __len__(self):
        return len(self.batches)

    def __getattr__(self, name):
        return getattr(self.batches, name)

    def __setattr__(self, name, value):
        if name == "epoch":
            self.batches.epoch = value
        else:
            super().__setattr__(name, value)

    def __iter__(self):
        for batch in self.batches:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield batch


def train_for(
    after=10**6,
    path=None,
    recipe=RECIPE,
    model=None,
    in_validation=10**6,
    optimizer=None,
    **options,
):
    """A new process in small: new network, new batches, other random numbers before it."""
    model = model or network()
    torch.rand(7)
    train = Interrupted(SET.batches("train", 16, augment=True, images=64, **options), after)
    # Shuffled, so that its sums would come out differently if its order were not kept.
    checks = Interrupted(SET.batches("validation", 4, shuffle=True), in_validation)
    how = {"checkpoint": path, "optimizer": optimizer}
    return model, fit(model, train, checks, recipe, False, **how)


def adam(model, recipe):
    return torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)


def numbers(history):
    names = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    return [history.column(name) for name in names]


@pytest.mark.parametrize(
    ("precision", "optimizer"), [("float32", None), ("bfloat16", None), ("float32", adam)]
)
@pytest.mark.parametrize("stops", [[0], [2], [4], [5], [7, 2], [15], [16]])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(
    tmp_path, stops, precision, optimizer
):
    how = {"recipe": replace(RECIPE, precision=precision), "optimizer": optimizer}
    expected, whole = train_for(**how)
    assert len(whole.epochs) == 4 and whole.batches == 16
    for after in stops:
        train_for(after, tmp_path / "run", **how)
    # What the new process starts with must not matter: another seed, other weights.
    model, history = train_for(path=tmp_path / "run", model=network(seed=9), **how)
    assert numbers(history) == numbers(whole) and history.batches == 16
    for name, tensor in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    assert history.precision == precision and not history.stopped


def test_an_interrupt_in_validation_resumes_from_the_epoch_before(tmp_path):
    _, whole = train_for()
    _, stopped = train_for(path=tmp_path / "run", in_validation=3)
    assert len(stopped.epochs) == 1 and "after 8 of 16 batches" in stopped.stopped
    _, history = train_for(path=tmp_path / "run")
    assert numbers(history) == numbers(whole)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_interrupt_while_writing_keeps_the_file_before(tmp_path, monkeypatch, function):
    expected, whole = train_for()
    calls, original = [], getattr(os, function)

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, function, interrupted)
        _, stopped = train_for(path=tmp_path / "run")
    assert "Stopped by you" in stopped.stopped and len(calls) >= 4
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    model, history = train_for(path=tmp_path / "run")
    assert numbers(history) == numbers(whole)
    assert torch.equal(model[0].weight, expected[0].weight)


def test_a_finished_training_is_not_repeated(tmp_path, capsys):
    model, whole = train_for(path=tmp_path / "run")
    assert capsys.readouterr().out == ""
    again, history = train_for(after=0, path=tmp_path / "run", model=network(seed=1))
    assert history.epochs == whole.epochs and torch.equal(again[0].weight, model[0].weight)
    assert "Goes on after epoch 4 of 4" in capsys.readouterr().out


def test_plain_lists_of_batches_can_be_resumed_too(tmp_path):
    batches = list(SET.batches("train", 16, images=64))
    recipe = replace(RECIPE, epochs=2)
    fit(network(), batches, batches, recipe, False, checkpoint=tmp_path / "run")
    history = fit(network(), batches, batches, recipe, False, checkpoint=tmp_path / "run")
    assert len(history.epochs) == 2


def test_a_full_disk_costs_no_epoch_and_not_the_file_before(tmp_path, monkeypatch, capsys):
    _, whole = train_for()
    train_for(6, tmp_path / "run")
    before = (tmp_path / "run").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        _, history = train_for(path=tmp_path / "run")
    assert numbers(history) == numbers(whole)
    assert "Epoch 4 is not in" in capsys.readouterr().out
    assert (tmp_path / "run").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_cannot_be_written_is_told_before_the_training(tmp_path):
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(CheckpointError, match="file/run cannot be written"):
        train_for(after=0, path=tmp_path / "file" / "run")


KILLED = """
import os, sys, torch
from cnn_lessons.training import checkpoint
checkpoint.write(sys.argv[1], {"weight": torch.ones(1000)}, {"epoch": 1})
setattr(os, sys.argv[2], lambda *args: os.kill(os.getpid(), 9))
checkpoint.write(sys.argv[1], {"weight": torch.zeros(1000)}, {"epoch": 2})
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a kill that cannot be caught")
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_kill_while_writing_leaves_the_file_before(tmp_path, function):
    path = tmp_path / "run"
    process = subprocess.run([sys.executable, "-c", KILLED, str(path), function])
    assert process.returncode == -9
    tensors, record = checkpoint.read(path)
    assert record["epoch"] == 1 and tensors["weight"].sum() == 1000
    (left,) = set(tmp_path.iterdir()) - {path}
    checkpoint.write(path, tensors, {"epoch": 3})  # what the killed one left is not in the way
    assert left.exists()  # for it could be that of a process that is still writing
    os.utime(left, (0, 0))
    checkpoint.write(path, tensors, {"epoch": 4})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    path, contents = tmp_path / "run", [bytes([kind]) * 100_000 for kind in range(2)]

    def write(content):
        for _ in range(20):
            files.write_whole(path, content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not path.exists() or path.read_bytes() in contents
    assert path.read_bytes() in contents and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="needs links and devices")
def test_a_link_is_followed_and_a_device_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    files.write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "run").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="is not a file"):
            files.write_whole(path, b"new")


@pytest.mark.skipif(os.name != "posix", reason="needs a kill that cannot be caught")
def test_killed_processes_come_to_the_numbers_of_one_that_ran_through(tmp_path):
    """On one machine with one number of threads; each line is a training killed twice."""
    command = [sys.executable, "-m", "tests.killed", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    expected, *lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(expected) == 16 and len(lines) == 9, done.stderr
    ends = [line.split() for line in lines]
    assert [last for _, _, last in ends] == [expected] * 9
    assert [first for first, _, _ in ends].count("killed") >= 6
    assert all(second in ("killed", expected) for _, second, _ in ends)


@pytest.mark.parametrize("kept", [40, 100, 5000, -1])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    train_for(4, tmp_path / "run")
    content = (tmp_path / "run").read_bytes()
    assert len(content) > 5001
    (tmp_path / "run").write_bytes(content[:kept])
    with pytest.raises(CheckpointError, match=r"run is cut short or damaged .*delete it"):
        train_for(path=tmp_path / "run")


@pytest.mark.parametrize("place", ["tensors", '"train_loss', "sha256"])
def test_a_flipped_bit_is_refused(tmp_path, place):
    train_for(8, tmp_path / "run")
    content = bytearray((tmp_path / "run").read_bytes())
    at = len(content) - 50 if place == "tensors" else content.index(place.encode()) + 20
    content[at] ^= 1
    (tmp_path / "run").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"run is (cut short or )?damaged"):
        train_for(path=tmp_path / "run")


def zipped(path):
    torch.save({"weight": torch.zeros(2)}, path)


def pickled(path):
    torch.save({"weight": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (zipped, "no checkpoint but a zip archive, as torch.save writes it"),
        (pickled, "no checkpoint but a pickle"),
        (lambda path: save_file({"weight": torch.zeros(2)}, path), "no checkpoint but of another"),
        (lambda path: path.write_bytes(b""), "no checkpoint but of another origin, or empty"),
        (lambda path: path.write_bytes(b"12345"), "no checkpoint but of another origin"),
        (lambda path: path.write_text("my thesis " * 99), "no checkpoint but of another origin"),
        (lambda path: path.mkdir(), "is not a file"),
    ],
)
def test_a_file_of_another_origin_is_refused_and_nobody_is_told_to_delete_it(tmp_path, make, words):
    make(tmp_path / "run")
    with pytest.raises(CheckpointError) as caught:
        train_for(path=tmp_path / "run")
    assert words in str(caught.value) and "name another" in str(caught.value)
    assert "delete" not in str(caught.value).replace(str(tmp_path), "")
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"about": 1},
        {"done": 2},
        {"done": {"history": {"epochs": [[]]}, "passes": []}},
        {"done": {"history": {}, "passes": ["one", "two"], "machine": ""}},
    ],
)
def test_a_record_of_another_form_is_refused(tmp_path, change):
    train_for(4, tmp_path / "run")
    tensors, record = checkpoint.read(tmp_path / "run")
    checkpoint.write(tmp_path / "run", {}, record | change)
    with pytest.raises(CheckpointError, match="run is damaged"):
        train_for(path=tmp_path / "run")
    (tmp_path / "run").write_bytes(save(tensors, {"record": json.dumps([record])}))
    with pytest.raises(CheckpointError, match="run is cut short or damaged"):
        train_for(path=tmp_path / "run")


def test_a_record_nested_without_end_is_refused(tmp_path):
    record = "[" * 100_000
    (tmp_path / "run").write_bytes(save({}, {"record": record}))
    with pytest.raises(CheckpointError, match="run is cut short or damaged"):
        train_for(path=tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": nn.Linear(3, 3)}, "network is Sequential there and Linear here"),
        ({"model": network(width=5)}, "0.weight is [4, 3, 3, 3] there and [5, 3, 3, 3] here"),
        ({"recipe": replace(RECIPE, epochs=5)}, "recipe.epochs is 4 there and 5 here"),
        ({"recipe": replace(RECIPE, clip=None)}, "recipe.clip is 1.0 there and None here"),
        ({"seed": 1}, "data.seed is 0 there and 1 here"),
    ],
)
def test_a_file_of_another_training_is_refused_by_name(tmp_path, change, message):
    train_for(4, tmp_path / "run")
    before = (tmp_path / "run").read_bytes()
    with pytest.raises(CheckpointError) as error:
        train_for(path=tmp_path / "run", **change)
    assert message in str(error.value) and (tmp_path / "run").read_bytes() == before


def test_other_pictures_layers_and_losses_are_refused_too(tmp_path):
    def run(pictures, model, loss=None):
        batches = pictures.batches("train", 16, images=64)
        fit(model, batches, batches, RECIPE, False, checkpoint=tmp_path / "run", loss=loss)

    run(SET, network())
    with pytest.raises(CheckpointError, match=r"data\.sha256 is"):
        run(data.generate(train=80, test=10, seed=1), network())
    tanh = network()
    tanh[2] = nn.Tanh()
    with pytest.raises(CheckpointError, match="layers is"):
        run(SET, tanh)
    with pytest.raises(CheckpointError, match="loss is cross_entropy there and doubled here"):
        run(SET, network(), doubled)


def doubled(model, images, labels):
    loss, logits = cross_entropy(model, images, labels)
    return 2 * loss, logits


def test_layers_that_share_their_weights_can_be_written_and_read(tmp_path):
    def shared():
        model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10), nn.Linear(10, 10))
        model.append(model[2])
        return model

    torch.manual_seed(0)
    expected, whole = train_for(model=shared())
    torch.manual_seed(0)
    train_for(7, tmp_path / "run", model=shared())
    model, history = train_for(path=tmp_path / "run", model=shared())
    assert numbers(history) == numbers(whole)
    assert torch.equal(model[2].weight, expected[2].weight) and model[2] is model[3]


def test_another_number_of_threads_is_told(tmp_path, capsys, monkeypatch):
    train_for(4, tmp_path / "run")
    capsys.readouterr()
    train_for(4, tmp_path / "run")
    assert "last digits" not in capsys.readouterr().out
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    train_for(4, tmp_path / "run")
    out = capsys.readouterr().out
    assert "Its last digits may change: it ran on" in out and "with 99 threads" in out


def test_the_precision_that_was_found_is_kept(tmp_path, monkeypatch):
    recipe, asked = replace(RECIPE, precision="auto"), []

    def found(answer):
        return lambda *_, **how: asked.append(answer) or answer

    monkeypatch.setattr(loop, "faster_precision", found("bfloat16"))
    _, stopped = train_for(0, tmp_path / "run", recipe)  # before the first epoch is over
    monkeypatch.setattr(loop, "faster_precision", found("float32"))
    _, history = train_for(path=tmp_path / "run", recipe=recipe)
    assert asked == ["bfloat16"] and stopped.precision == history.precision == "bfloat16"
