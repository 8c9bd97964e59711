"""Tests of cnn_lessons/data: pictures, batches, download, and bad input of all kinds."""

import contextlib
import functools
import hashlib
import http.server
import io
import itertools
import os
import pickle
import re
import subprocess
import sys
import tarfile
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import platformdirs
import pytest
import requests
import torch
from torch.nn import functional as F

from cnn_lessons import data, files, networks
from cnn_lessons.data import DataError, archive, generated
from cnn_lessons.data.batches import draw, with_validation
from tests.test_interrupts import interrupt_anywhere

REAL = os.environ.get("CNN_LESSONS_DATA")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("CNN_LESSONS_DATA", "CNN_LESSONS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@functools.cache
def small_set():
    return data.generate(train=200, test=40, seed=1)


# ---- The data set ----


def test_split_is_every_tenth_picture():
    images = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 3, 32, 32)
    everything = data.Split(images, torch.arange(40))
    dataset = with_validation("x", everything, everything.head(5), ("a",), "here")
    assert dataset.validation.labels.tolist() == [9, 19, 29, 39]
    assert dataset.train.labels.tolist() == [i for i in range(40) if i % 10 != 9]
    assert dataset.train.images[:, 0, 0, 0].tolist() == dataset.train.labels.tolist()
    assert dataset.mean == pytest.approx((19.5 / 255,) * 3)


def test_channel_statistics_equal_the_documented_line():
    images = torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8)
    mean, std = data.channel_statistics(images)
    pictures = images.double() / 255
    assert mean == pytest.approx(pictures.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx(pictures.std((0, 2, 3), correction=0).tolist(), abs=1e-12)


def test_normalised_pictures_have_mean_0_and_std_1():
    dataset = small_set()
    pictures = torch.cat([dataset.train.images, dataset.validation.images])
    normal = dataset.normalise(pictures)
    assert normal.dtype == torch.float32
    assert normal.shape == pictures.shape
    assert normal.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    assert normal.std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=1e-4)


@pytest.mark.skipif(not REAL, reason="CNN_LESSONS_DATA does not name a folder with CIFAR-10")
def test_real_cifar10(monkeypatch):
    monkeypatch.setenv("CNN_LESSONS_DATA", REAL)
    said = []
    dataset = data.load(announce=said.append)
    assert said == [
        f"{dataset.name}: 45,000 train, 5,000 validation, 10,000 test pictures; "
        "from the folder that CNN_LESSONS_DATA names"
    ]
    counts = torch.cat([dataset.train.labels, dataset.validation.labels]).bincount()
    assert counts.tolist() == [5000] * 10
    assert dataset.test.labels.bincount().tolist() == [1000] * 10
    # JPEG smooths, so a copy that went through it has a slightly smaller spread than the original.
    original = dataset.name == "CIFAR-10"
    mean_error, std_error = (5e-5, 5e-5) if original else (5e-4, 2.5e-3)
    assert dataset.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=mean_error)
    assert dataset.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=std_error)


# ---- Batches ----


def slow_epoch(dataset, split, draws):
    """One picture after the other: pad, cut, mirror, normalise."""
    for i, number in enumerate(draws.order.tolist()):
        padded = torch.zeros(3, 40, 40, dtype=torch.uint8)
        padded[:, 4:36, 4:36] = split.images[number]
        top, left = draws.top[i].item(), draws.left[i].item()
        image = padded[:, top : top + 32, left : left + 32]
        if draws.flip[i]:
            image = image.flip(2)
        yield dataset.normalise(image[None])[0], split.labels[number]


@pytest.mark.parametrize("epoch", [0, 3])
def test_augmented_batches_equal_the_slow_reference_bit_by_bit(epoch):
    dataset = small_set()
    batches = dataset.batches("train", 64, augment=True, seed=5)
    batches.epoch = epoch
    draws = draw(len(dataset.train), augment=True, shuffle=True, seed=5, epoch=epoch)
    images, labels = (
        torch.stack(x) for x in zip(*slow_epoch(dataset, dataset.train, draws), strict=True)
    )
    got = list(batches)
    assert torch.equal(torch.cat([x for x, _ in got]), images)
    assert torch.equal(torch.cat([y for _, y in got]), labels)


def checksum(tensor):
    return hashlib.sha256(tensor.contiguous().numpy()).hexdigest()[:16]


def test_draws_batches_and_generated_pictures_are_those_of_the_stored_results():
    """What the stored results were trained on, in numbers that no processor rounds."""
    draws = draw(100, augment=True, shuffle=True, seed=3, epoch=1)
    assert [checksum(choice) for choice in draws] == [
        "a35867398ad797cb",
        "c1421eb57a14f0c1",
        "8f22b08954e9f765",
        "7edaf41c46e525eb",
    ]
    pixels = np.random.default_rng(0).integers(0, 256, (100, 3, 32, 32), np.uint8)
    everything = data.Split(torch.from_numpy(pixels), torch.arange(100) % 10)
    dataset = with_validation("x", everything, everything, data.CLASS_NAMES, "here")
    images, labels = next(iter(dataset.batches("train", 64, augment=True, seed=3)))
    mean, std = (torch.tensor(values)[:, None, None] for values in (dataset.mean, dataset.std))
    levels = 255 * (images * std + mean)
    assert (levels - levels.round()).abs().max() < 1e-3
    assert checksum(levels.round().to(torch.uint8)) == "407a6f81aff63a0a"
    assert checksum(labels) == "3b82c903533c8a1b"
    assert checksum(small_set().train.labels) == "62f91fcb5c4eda11"
    means = [part.images.double().mean().item() for part in (small_set().train, small_set().test)]
    assert means == pytest.approx([131.34653, 135.82395], abs=1e-3)


def test_plain_batches_are_the_split_in_order():
    dataset = small_set()
    batches = dataset.batches("test", 16)
    got = list(batches)
    assert [len(labels) for _, labels in got] == [16, 16, 8]
    assert len(batches) == 3
    assert batches.num_images == 40
    assert torch.equal(torch.cat([x for x, _ in got]), dataset.normalise(dataset.test.images))
    assert torch.equal(torch.cat([y for _, y in got]), dataset.test.labels)


def test_batches_form():
    for augment in (False, True):
        images, labels = next(iter(small_set().batches(batch_size=7, augment=augment)))
        assert (images.shape, images.dtype) == ((7, 3, 32, 32), torch.float32)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert (labels.shape, labels.dtype) == ((7,), torch.int64)


def test_each_pass_is_the_next_epoch_and_can_be_repeated():
    batches = small_set().batches("train", 200, augment=True)
    first, second = next(iter(batches))[0], next(iter(batches))[0]
    assert batches.epoch == 2
    assert not torch.equal(first, second)
    batches.epoch = 0
    assert torch.equal(next(iter(batches))[0], first)
    other = next(iter(small_set().batches("train", 200, augment=True, seed=1)))[0]
    assert not torch.equal(other, first)


def test_first_images_only():
    dataset = small_set()
    labels = torch.cat([y for _, y in dataset.batches("train", 8, shuffle=False, images=20)])
    assert torch.equal(labels, dataset.train.labels[:20])


def test_every_picture_has_its_own_draw():
    draws = draw(20_000, augment=True, shuffle=True, seed=0, epoch=0)
    assert sorted(draws.order.tolist()) == list(range(20_000))
    for offset in (draws.top, draws.left):
        counts = offset.bincount(minlength=9)
        assert len(counts) == 9
        assert counts.min() > 2000  # expected 2,222, standard deviation 44
    assert 9_700 < draws.flip.sum() < 10_300
    still = draw(50, augment=False, shuffle=False, seed=0, epoch=0)
    assert still.order.tolist() == list(range(50))
    assert not (still.top.any() or still.left.any() or still.flip.any())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "tests"}, "split must be one of train, validation, test; got 'tests'"),
        ({"batch_size": 0}, "batch_size must be 1 or more; got 0"),
        ({"images": 181}, "images must be from 1 to 180; got 181"),
        ({"images": 0}, "images must be from 1 to 180; got 0"),
        ({"seed": -1}, "seed must be 0 or more; got -1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_set().batches(**arguments)


# ---- The generated set ----


def test_generated_pictures_are_of_ten_equal_classes():
    dataset = small_set()
    assert "not CIFAR-10" in dataset.name
    assert len(dataset.class_names) == 10
    assert [len(x) for x in (dataset.train, dataset.validation, dataset.test)] == [180, 20, 40]
    labels = torch.cat([dataset.train.labels, dataset.validation.labels])
    assert labels.bincount().tolist() == [20] * 10
    assert dataset.train.images.dtype == torch.uint8
    assert dataset.train.images.shape == (180, 3, 32, 32)


def test_generated_pictures_depend_on_the_seed_alone():
    again, other = data.generate(200, 40, seed=1), data.generate(200, 40, seed=2)
    assert torch.equal(again.train.images, small_set().train.images)
    assert not torch.equal(other.train.images, small_set().train.images)
    more = data.generate(300, 40, seed=1)
    assert torch.equal(more.test.images, small_set().test.images)


def test_every_form_shows():
    rng = np.random.default_rng(0)
    cover = generated._cover(np.arange(1000) % 10, rng)
    assert cover.min() == 0
    assert cover.max() == 1
    area = cover.sum((1, 2))
    assert area.min() > 10  # pixels
    assert area.max() < 600


def test_generate_refuses_bad_arguments():
    for arguments in ({"train": 9}, {"test": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="needs train >= 10"):
            data.generate(**arguments)


# ---- The drawn ship ----


def test_the_ship_has_a_dark_hull_under_a_light_sky():
    for size in (32, 64, 224):
        ship = data.ship(size)
        assert ship.shape == (3, size, size) and ship.dtype == torch.uint8
        sky, hull, bottom, sea = (
            ship[:, int(size * y), size // 2].float() for y in (0.05, 0.63, 0.72, 0.95)
        )
        assert sky.min() > 150 and hull.max() < 60
        assert bottom[0] > 100 > bottom[2], "red"
        assert sea[2] > sea[0] + 50, "blue"


def test_the_ship_is_the_same_at_each_call_and_of_each_size():
    ship = data.ship()
    assert torch.equal(ship, data.ship(32))
    difference = (F.avg_pool2d(data.ship(128).float(), 4) - ship.float()).abs()
    assert difference.mean() < 3, "but for the edges, which 4x4 points a pixel make smooth"


def test_trained_networks_call_the_drawing_a_ship():
    mean, std = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])
    ship = data.ship().float() / 255
    images = (ship - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    for name in ("LeNet5", "ResNetCIFAR20"):
        with torch.inference_mode():
            probabilities = networks.load_trained(name)(images[None]).softmax(dim=1)[0]
        assert probabilities[data.CLASS_NAMES.index("ship")] > 0.9, name


def test_a_ship_without_a_pixel_is_refused():
    with pytest.raises(ValueError, match="size must be at least 1; got 0"):
        data.ship(0)


# ---- Batch files ----


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 did, as the original files have them."""

    def save_string(self, value):
        raw = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)

    dispatch = pickle._Pickler.dispatch | {str: save_string, bytes: save_string}


def pickled(content):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


def a_batch(seed, count=20):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3072), np.uint8)
    return {"data": pixels, "labels": rng.integers(0, 10, count).tolist(), "batch_label": "x"}


@functools.cache
def file_contents():
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    files = {name: pickled(a_batch(i)) for i, name in enumerate(names)}
    return files | {"batches.meta": pickled({"label_names": list(data.CLASS_NAMES)})}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "given" / archive.FOLDER
    folder.mkdir(parents=True)
    for name, content in file_contents().items():
        (folder / name).write_bytes(content)
    return folder


def test_read_folder(folder):
    dataset = data.read_folder(folder)
    assert dataset.name == "CIFAR-10 (unverified copy)"
    assert dataset.class_names == data.CLASS_NAMES
    assert [len(x) for x in (dataset.train, dataset.validation, dataset.test)] == [90, 10, 20]
    first, last = a_batch(0), a_batch(5)
    assert np.array_equal(dataset.train.images[0].numpy(), first["data"][0].reshape(3, 32, 32))
    assert np.array_equal(dataset.test.images.numpy().reshape(20, 3072), last["data"])
    assert dataset.test.labels.tolist() == last["labels"]
    assert dataset.test.labels.dtype == torch.int64


class Python2:
    """Writes instructions as Python 2's cPickle did: it numbers all that it may need again."""

    def __init__(self):
        self.count = 0

    def note(self):
        self.count += 1
        number = self.count
        return b"q%c" % number if number < 256 else b"r" + number.to_bytes(4, "little")

    def text(self, words):
        return b"U%c" % len(words) + words + self.note()

    def list(self, items):
        parts = [b"]" + self.note()]
        for start in range(0, len(items), 1000):
            parts += [b"(", *(make() for make in items[start : start + 1000]), b"e"]
        return b"".join(parts)

    def texts(self, texts):
        return self.list([functools.partial(self.text, words) for words in texts])

    def batch(self, pixels, labels, names):
        text, note, size = self.text, self.note, len(labels).to_bytes(2, "little")
        parts = [b"\x80\x02}", note(), b"(", text(b"batch_label"), text(b"training batch 1 of 5")]
        parts += [text(b"labels"), self.list([lambda n=n: b"K%c" % n for n in labels])]
        parts += [text(b"data"), b"cnumpy.core.multiarray\n_reconstruct\n", note()]
        parts += [b"cnumpy\nndarray\n", note(), b"K\x00\x85", note(), text(b"b"), b"\x87", note()]
        parts += [b"R", note(), b"(K\x01M", size, b"M\x00\x0c\x86", note(), b"cnumpy\ndtype\n"]
        parts += [note(), text(b"u1"), b"K\x00K\x01\x87", note(), b"R", note(), b"(K\x03"]
        parts += [text(b"|"), b"NNN", 2 * b"J\xff\xff\xff\xff", b"K\x00t", note(), b"b\x89T"]
        parts += [len(pixels).to_bytes(4, "little"), pixels, note(), b"t", note(), b"b"]
        return b"".join([*parts, text(b"filenames"), self.texts(names), b"u."])

    def meta(self, names):
        parts = [b"\x80\x02}", self.note(), b"(", self.text(b"num_cases_per_batch"), b"M\x10'"]
        parts += [self.text(b"label_names"), self.texts(names), self.text(b"num_vis")]
        return b"".join([*parts, b"M\x00\x0cu."])


def test_the_writer_of_these_tests_writes_as_the_original_was_written():
    meta = Python2().meta([name.encode() for name in data.CLASS_NAMES])
    assert hashlib.md5(meta).hexdigest() == archive.MEMBERS["batches.meta"]
    assert archive._after(archive._values(meta), b"label_names")[:2] == [b"airplane", b"automobile"]


def test_a_whole_file_in_the_original_form_is_read_in_time():
    batch = a_batch(0, 10_000)
    names = [b"leptodactylus_pentadactylus_s_%06d.png" % k for k in range(10_000)]
    raw = Python2().batch(batch["data"].tobytes(), batch["labels"], names)
    content = pickle.loads(raw, encoding="bytes")  # of our own making
    assert list(content) == [b"batch_label", b"labels", b"data", b"filenames"]
    split = archive._to_split(archive._values(raw))
    assert np.array_equal(split.images.numpy().reshape(-1, 3072), content[b"data"])
    assert split.labels.tolist() == content[b"labels"] == batch["labels"]


LARGE = """
import sys
from cnn_lessons import data, models, training
cifar = data.load(sys.argv[1], announce=str)
batches = cifar.batches("train", 128, augment=True)
for number, batch in zip(range(20), batches):
    pass
training.evaluate(models.LeNet5(), cifar.batches("validation", 512))
told = dict(line.split(":") for line in open("/proc/self/status"))
print(len(cifar.train), told["VmHWM"].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory")
def test_all_pictures_of_the_size_of_cifar10_leave_room_on_a_machine_of_4_gb(tmp_path):
    """A process of 1.4 GB reads, augments and looks at them all: half of it is PyTorch itself."""
    folder = tmp_path / archive.FOLDER
    folder.mkdir()
    raw = pickled(a_batch(0, 10_000))
    for name, content in file_contents().items():
        (folder / name).write_bytes(content if name == "batches.meta" else raw)
    command = [sys.executable, "-c", LARGE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, kilobytes = map(int, done.stdout.split())
    assert count == 45_000 and kilobytes < 2_900_000


def test_known_checksums_are_not_unverified(folder, monkeypatch):
    sums = {name: hashlib.md5(raw).hexdigest() for name, raw in file_contents().items()}
    monkeypatch.setattr(archive, "MEMBERS", sums)
    assert data.read_folder(folder).name == "CIFAR-10"
    (folder / "data_batch_2").write_bytes((folder / "data_batch_1").read_bytes())
    assert data.read_folder(folder).name == "CIFAR-10 (unverified copy)"


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_arrays_of_old_and_new_numpy(folder, module):
    raw = file_contents()["test_batch"]
    raw = re.sub(rb"numpy\.(_core|core)\.multiarray", module.encode(), raw)
    (folder / "test_batch").write_bytes(raw)
    assert len(data.read_folder(folder).test) == 20


def test_array_stored_by_columns(folder):
    batch = a_batch(5)
    batch["data"] = np.asfortranarray(batch["data"])
    (folder / "test_batch").write_bytes(pickled(batch))
    pixels = data.read_folder(folder).test.images.numpy().reshape(20, 3072)
    assert np.array_equal(pixels, batch["data"])


def test_strings_and_long_numbers_that_are_noted_and_taken_again(folder):
    raw = file_contents()["test_batch"]
    key = b"T\x04\x00\x00\x00data"
    assert raw.count(key) == 1
    for get in (b"h\x63", b"j\x63\x00\x00\x00"):
        changed = raw[:2] + key + b"r\x63\x00\x00\x00" + raw[2:].replace(key, get)
        assert archive._values(changed) == [b"data", *archive._values(raw)]
    assert archive._values(b"\x80\x02\x8a\x02\x10'.") == [10_000]


def changed(**changes):
    batch = a_batch(0)
    batch.update(changes)
    return pickled({key: value for key, value in batch.items() if value is not None})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (file_contents()["test_batch"][:5000], "truncated"),
        (file_contents()["test_batch"][:-1], "truncated"),
        (b"", "begins with b''"),
        (b"<html>Sorry</html>", "not a readable"),
        (pickle.dumps([1, 2, 3]), "not a readable"),
        (b"\x80\x02]q\x00(K\x01K\x02e.", "it has no labels"),
        (changed(labels=None), "it has no labels"),
        (changed(data=None), "it has no data"),
        (changed(data="a string"), "not a readable"),
        (changed(labels=[10] * 20), "labels must be from 0 to 9; got 10"),
        (changed(labels=[-1] * 20), "labels must be from 0 to 9; got -1"),
        (changed(labels=[1] * 19), "each with a label; got 20 pictures and 19 labels"),
        (changed(labels=[1.5] * 20), "instruction 0x47 at byte"),
        (changed(labels=["1"] * 20), "20 pictures and 0 labels"),
        (changed(data=np.zeros((20, 3071), np.uint8)), "rows of 3072; got 20 rows of 3071"),
        (changed(data=np.zeros((20, 3072), np.float32)), "no array of uint8"),
        (
            file_contents()["test_batch"].replace(b"M\x00\x0c", b"T\x03\0\0\0big"),
            "no array of uint8",
        ),
        (changed(data=np.zeros((20, 3072), np.int8)), "no array of uint8"),
        (changed(data=np.zeros((0, 3072), np.uint8), labels=[]), "rows of 3072; got 0 rows"),
        (changed(data=np.zeros((9, 3072), np.uint8), labels=[0] * 9), "needs 10 pictures"),
    ],
)
def test_damaged_file(folder, content, message):
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        data.read_folder(folder)
    assert str(folder / "data_batch_3") in str(caught.value)
    said = str(caught.value).replace(str(folder), "")
    assert "\n" not in said and "delete" not in said


def test_missing_file(folder):
    (folder / "data_batch_2").unlink()
    with pytest.raises(DataError, match="data_batch_2: the file is missing"):
        data.read_folder(folder)


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe in the place of a file")
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_what_is_no_file_at_all(folder, kind):
    path = folder / "data_batch_2"
    path.unlink()
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}.get(
        kind, lambda: path.symlink_to(path)
    )()
    with pytest.raises(DataError, match=r"data_batch_2: not a readable CIFAR-10 file \("):
        data.read_folder(folder)


def test_huge_file(folder):
    with (folder / "test_batch").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(DataError, match=r"test_batch: .*larger than"):
        data.read_folder(folder)


def test_other_class_names(folder):
    (folder / "batches.meta").write_bytes(pickled({"label_names": ["cat", "dog"]}))
    with pytest.raises(DataError, match=r"batches\.meta: .*classes must be airplane.*got .*cat"):
        data.read_folder(folder)


class Calls:
    """When unpickled by pickle.load, calls the function with the arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil_pickles():
    """Each writes `marker` into the folder in which it runs: no shell has to read a path."""
    command = "echo hit > marker"
    program = "__import__('pathlib').Path('marker').write_text('hit')"
    text = f"(S{program!r}\ntR.".encode()
    short = b"U%c" % len(command) + command.encode()
    good = file_contents()["data_batch_1"]
    return {
        "os.system": pickled(Calls(os.system, command)),
        "inside a batch": changed(data=Calls(os.system, command)),
        "builtins.eval": pickle.dumps(Calls(eval, program)),
        "builtins.exec": changed(filenames=[Calls(exec, program)]),
        "behind the pictures": good[:-1] + b"cos\nsystem\n(" + short + b"tR.",
        "before the pictures": good[:2] + b"cos\nsystem\n(" + short + b"tR0" + good[2:],
        "INST": f"(S'{command}'\nios\nsystem\n.".encode(),
        "INST in protocol 2": b"\x80\x02(" + short + b"ios\nsystem\n.",
        "OBJ": b"\x80\x02(cos\nsystem\n" + short + b"o.",
        "NEWOBJ": b"\x80\x02cos\nsystem\n" + short + b"\x85\x81.",
        "EXT": b"\x80\x02\x82\x01(" + short + b"tR.",
        "a persistent id": b"\x80\x02" + short + b"Q.",
        "STACK_GLOBAL": b"\x80\x02U\x02osU\x06system\x93(" + short + b"tR.",
        "Python 2's eval": b"\x80\x02c__builtin__\neval\n" + text,
        "numpy": pickle.dumps(Calls(np.save, "marker", [1])),
        "numpy's fromfile": b"\x80\x02cnumpy\nfromfile\n(S'/dev/null'\ntR.",
        "numpy's pickle": b"\x80\x02cnumpy.core.multiarray\nloads\n(S''\ntR.",
        "a dotted name": b"\x80\x02cnumpy\nndarray.__class__.__init__\n(" + short + b"tR.",
        "a name of bytes that are no text": b"\x80\x02c\xff\xfe\n\xff\n(tR.",
        "a name without an end": b"\x80\x02c" + 99_999 * b"x",
    }


@pytest.mark.parametrize("kind", evil_pickles())
def test_tampered_file_executes_nothing(folder, tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = folder / "data_batch_1"
    path.write_bytes(evil_pickles()[kind])
    with pytest.raises(DataError, match="data_batch_1: not a readable") as caught:
        data.read_folder(folder)
    assert not list(tmp_path.glob("marker*"))
    said = str(caught.value).removeprefix(str(path))
    assert re.search("asks for|instruction 0x|begins with", said) and len(said) < 400


@pytest.mark.parametrize("kind", ["builtins.eval", "OBJ", "INST", "behind the pictures"])
def test_the_tampered_files_would_have_worked(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(evil_pickles()[kind], encoding="bytes")
    assert (tmp_path / "marker").read_text().strip() == "hit"


MANY = 300_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"K\x01" + MANY * b"\x85", "more than 100,000 instructions"),  # a tuple in a tuple ...
        (MANY * b"(", "more than 100,000 instructions"),
        (b"]" + MANY * b"K\x01a", "more than 100,000 instructions"),
        (MANY * b"}", "more than 100,000 instructions"),
        (b"K\x01" + MANY * b"r\xff\xff\xff\x7f", "more than 100,000 instructions"),
        (b"T\xff\xff\xff\xff" + MANY * b"x", "truncated"),
        (b"T\x00\x00\x00\x03" + MANY * b"x", "truncated"),
        (b"U\x06labels" + 90_000 * b"h\x01" + b".", "instruction 0x68"),
        (b"U\x06labels" + 40_000 * b"K\x01" + b"U\x04data.", "no array"),
        (b"\x8b\xff\xff\xff\x03" + MANY * b"9", "instruction 0x8b"),  # a number of 2 ** 29 bits
        (b"L" + MANY * b"9" + b"L\n.", "instruction 0x4c"),
        (b"I" + MANY * b"9" + b"\n.", "instruction 0x49"),
        (b"F1e999999999\n.", "instruction 0x46"),
        (MANY * b"c", "it asks for"),
        (b"X\xff\xff\xff\x7f", "instruction 0x58"),
        (MANY * b"\x00", "instruction 0x00"),
    ],
)
def test_hostile_files_are_refused_after_some_steps(folder, body, message):
    """Counted in steps and not in seconds, which are the machine's: see MAX_STEPS."""
    (folder / "data_batch_1").write_bytes(b"\x80\x02" + body)
    with pytest.raises(DataError, match=f"data_batch_1: not a readable .*{message}"):
        data.read_folder(folder)


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on memory")
@pytest.mark.parametrize("kind", ["a tuple in a tuple", "one string"])
def test_the_largest_hostile_file_takes_little_memory(folder, kind):
    size = archive.MAX_BYTES - 16
    body = b"K\x01" + b"\x85" * size if kind != "one string" else b"T" + size.to_bytes(4, "little")
    (folder / "data_batch_1").write_bytes((b"\x80\x02" + body).ljust(size, b"x"))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="data_batch_1: not a readable"):
            data.read_folder(folder)
        assert tracemalloc.get_traced_memory()[1] < 3 * archive.MAX_BYTES
    finally:
        tracemalloc.stop()


# ---- Finding the data ----


def test_the_test_profile_gives_a_small_set(monkeypatch, folder):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "test")
    said = []
    dataset = data.load(announce=said.append)
    assert len(dataset.train) + len(dataset.validation) == 1_000
    assert len(said) == 1
    assert said[0].startswith("generated pictures (not CIFAR-10): 900 train, 100 validation, 500")
    assert data.load(folder, announce=said.append).name == "CIFAR-10 (unverified copy)"


@pytest.mark.parametrize("up", [False, True])
def test_named_folder(monkeypatch, folder, up):
    named = folder.parent if up else folder
    said = []
    assert len(data.load(named, announce=said.append).test) == 20
    monkeypatch.setenv("CNN_LESSONS_DATA", str(named))
    assert len(data.load(announce=said.append).test) == 20
    assert said[1] == (
        "CIFAR-10 (unverified copy): 90 train, 10 validation, 20 test pictures; "
        "from the folder that CNN_LESSONS_DATA names"
    )


def test_wrong_folder(monkeypatch, tmp_path):
    with pytest.raises(DataError, match=r"folder is .*cifar-10-batches-py is not there"):
        data.load(tmp_path)
    monkeypatch.setenv("CNN_LESSONS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"CNN_LESSONS_DATA is .*nowhere.* is not there"):
        data.load()


def test_a_relative_folder_and_one_below_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parents[1]))
    monkeypatch.setenv("USERPROFILE", str(folder.parents[1]))
    monkeypatch.chdir(folder.parent)
    for named in ("~/given", ".", archive.FOLDER):
        monkeypatch.setenv("CNN_LESSONS_DATA", named)
        assert len(data.load(announce=lambda _: None).test) == 20
    assert len(data.read_folder(f"~/given/{archive.FOLDER}").test) == 20
    monkeypatch.delenv("CNN_LESSONS_DATA")
    assert data.load(cache="~/given", announce=lambda _: None).source == "the cache folder"
    monkeypatch.setenv("CNN_LESSONS_DATA", "nowhere")
    with pytest.raises(DataError, match=r"looked in .*given.nowhere"):
        data.load()


@pytest.mark.parametrize(
    "name", ["with a space", "[a] (b) {c} 'd'", "数据 données", "%TEMP% $HOME"]
)
def test_folders_with_any_name(folder, tmp_path, name, server):
    (folder.parent).rename(tmp_path / name)
    assert len(data.load(tmp_path / name, announce=lambda _: None).test) == 20
    cache = tmp_path / f"cache {name}"
    assert names_in(fetch(cache, server("good"))) == sorted(archive.MEMBERS)
    assert names_in(cache) == [archive.FOLDER]


def test_the_cache_is_where_it_always_was(monkeypatch, tmp_path):
    """Where pooch.os_cache put it, so that nobody downloads again."""
    assert archive._cache_folder(None) == Path(platformdirs.user_cache_dir("cnn-lessons"))
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: f"~/{name}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert archive._cache_folder(None) == tmp_path / "cnn-lessons"


def test_a_damaged_file_in_the_cache_may_be_deleted_and_one_elsewhere_may_not(folder, monkeypatch):
    (folder / "data_batch_1").write_bytes(b"")
    with pytest.raises(DataError, match=r"or delete .*cifar-10-batches-py to have it downloaded"):
        data.load(cache=folder.parent)
    monkeypatch.setenv("CNN_LESSONS_DATA", str(folder))
    for arguments in ({}, {"folder": folder}):
        with pytest.raises(DataError) as caught:
            data.load(**arguments)
        assert "delete" not in str(caught.value).replace(str(folder), "")


def test_cache_comes_before_download(folder, monkeypatch):
    monkeypatch.setattr(archive, "_download", lambda *_: pytest.fail("asked for a download"))
    said = []
    assert len(data.load(cache=folder.parent, announce=said.append).test) == 20
    assert said[0].endswith("from the cache folder")


def test_no_network_falls_back_loudly(monkeypatch, tmp_path):
    closed = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    closed.server_close()
    address = f"http://127.0.0.1:{closed.server_port}/file"
    monkeypatch.setattr(archive.fetch, "__defaults__", (None, (address,), True))
    said = []
    dataset = data.load(cache=tmp_path / "cache", announce=said.append)
    assert dataset.name == "generated pictures (not CIFAR-10)"
    assert len(dataset.train) + len(dataset.validation) == 10_000
    assert len(dataset.test) == 2_000
    assert "THIS IS NOT CIFAR-10" in said[0]
    assert f"127.0.0.1:{closed.server_port}: cannot be reached" in said[0]
    assert len({len(line) for line in said[0].splitlines()}) == 1  # a box
    assert said[1].startswith("generated pictures (not CIFAR-10)")


# ---- Download ----


class Archive(http.server.BaseHTTPRequestHandler):
    """Serves one file, well or badly, as the address says; notes the Range of each request."""

    content, ranges, over = b"", [], threading.Event()

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.ranges.append((self.path, wanted))
        content, start = self.content, 0
        if self.path == "/404":
            return self.send_error(404)
        if self.path == "/html":
            return self.answer(b"<html>Log in first</html>", kind="text/html")
        if self.path == "/wrong":
            return self.answer(bytes(len(content)))
        if self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            return self.end_headers()
        if self.path == "/endless":
            return self.answer(bytes(len(content)) + b"and more", kind=None)
        if self.path == "/length":
            return self.answer(content, length="a lot")
        if self.path == "/hang-up":
            return None
        if self.path == "/drip-headers":
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
            return self.drip()
        if self.path == "/drip":
            self.answer(content, send_only=10)
            return self.drip()
        if self.path == "/dries-up":
            self.answer(content, send_only=2000)
            return self.drip()
        if self.path == "/stall":
            self.answer(content, send_only=-1000)
            return self.over.wait(10)
        if self.path == "/416-always":
            return self.send_error(416)
        if self.path == "/416" and wanted:
            return self.send_error(416)
        if wanted and self.path != "/no-range":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        whole = "/cut" not in self.path or wanted
        send_only = None if whole else len(content) // 2
        return self.answer(content[start:], 206 if start else 200, send_only)

    def drip(self):
        """A byte now and then, sooner than anyone would call it silence."""
        with contextlib.suppress(OSError):
            while not self.over.wait(0.01):
                self.wfile.write(b".")

    def answer(self, body, status=200, send_only=None, kind="application/gzip", length=None):
        self.send_response(status)
        if kind == "application/gzip":  # a page of unknown length cannot be told by its size
            self.send_header("Content-Length", length or str(len(body)))
        self.send_header("Content-Type", kind or "application/gzip")
        self.end_headers()
        self.wfile.write(body[:send_only])


def tar_of(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def good_members():
    return [
        (tarfile.TarInfo(f"{archive.FOLDER}/{name}"), raw) for name, raw in file_contents().items()
    ]


@contextlib.contextmanager
def serving(monkeypatch):
    """A function that gives the address of a kind of mirror, on a server of this machine."""
    monkeypatch.setattr(Archive, "content", tar_of(good_members()))
    monkeypatch.setattr(Archive, "ranges", [])
    monkeypatch.setattr(Archive, "over", threading.Event())
    monkeypatch.setattr(archive, "ARCHIVE_MD5", hashlib.md5(Archive.content).hexdigest())
    monkeypatch.setattr(archive, "ARCHIVE_SIZE", len(Archive.content))
    monkeypatch.setattr(archive, "LEAST", 100)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield lambda kind: f"http://127.0.0.1:{running.server_port}/{kind}"
        Archive.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def server(monkeypatch):
    with serving(monkeypatch) as address:
        yield address


def fetch(cache, *addresses):
    return archive.fetch(cache, mirrors=addresses, progress=False)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_download(server, tmp_path):
    folder = fetch(tmp_path / "new" / "cache", server("good"))
    assert names_in(folder) == sorted(archive.MEMBERS)
    assert names_in(folder.parent) == [archive.FOLDER]  # nothing else is left behind
    assert len(data.read_folder(folder).test) == 20
    assert fetch(folder.parent, server("404")) == folder  # already there: no request
    assert len(Archive.ranges) == 1


def test_next_mirror_after_bad_ones(server, tmp_path):
    fetch(tmp_path, server("404"), server("html"), server("wrong"), server("good"))
    assert names_in(tmp_path) == [archive.FOLDER]
    assert [path for path, _ in Archive.ranges] == ["/404", "/html", "/wrong", "/good"]


def test_all_mirrors_bad(server, tmp_path):
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, server("404"), server("html"), server("wrong"))
    for reason in ("answered 404", "sent something else", "wrong md5"):
        assert reason in str(caught.value)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "reason", "kept"),
    [
        ("404", "answered 404 Not Found", False),
        ("416-always", "answered 416", False),
        ("html", "sent something else, such as a web page", False),
        ("length", "sent something else, such as a web page", False),
        ("wrong", "sent other bytes (wrong md5)", False),
        ("endless", "sent other bytes (wrong md5)", False),
        ("loop", "redirects without end", False),
        ("hang-up", "connected, then it broke off without an answer", False),
        ("drip-headers", "connected, then no answer in 1 seconds", False),
        ("stall", "of {size:,} bytes are here, then nothing for 1 seconds", True),
    ],
)
def test_each_failure_of_a_mirror_has_its_own_words(
    server, tmp_path, monkeypatch, kind, reason, kept
):
    if "1 seconds" in reason:
        monkeypatch.setattr(archive, "SILENCE", 1)
        monkeypatch.setattr(archive, "CONNECT", 1)
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, server(kind))
    first, words, *rest = str(caught.value).splitlines()
    assert first == f"no mirror delivered {archive.ARCHIVE}"
    assert words.startswith("127.0.0.1:") and reason.format(size=len(Archive.content)) in words
    assert names_in(tmp_path) == [f"{archive.ARCHIVE}.part"] * kept
    assert [line.startswith("what has arrived is kept") for line in rest] == [True] * kept


def test_a_stalled_download_tells_how_much_came_and_goes_on_elsewhere(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr(archive, "SILENCE", 1)
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, server("stall"))
    came = len(Archive.content) - 1000
    assert f": {came:,} of {len(Archive.content):,} bytes are here" in str(caught.value)
    fetch(tmp_path, server("good"))
    assert Archive.ranges[-1] == ("/good", f"bytes={came}-")


@pytest.fixture
def a_second_at_each_look(monkeypatch):
    clock = SimpleNamespace(monotonic=functools.partial(next, itertools.count()))
    monkeypatch.setattr(archive, "time", clock)
    return clock


def test_a_mirror_that_drips_is_given_up_and_what_it_brought_is_kept(
    server, tmp_path, monkeypatch, a_second_at_each_look
):
    monkeypatch.setattr(archive, "LEAST", 1000)  # more than may pile up on a busy machine
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, server("drip"))
    here = (tmp_path / f"{archive.ARCHIVE}.part").stat().st_size
    words = rf": {here} of {len(Archive.content):,} bytes are here, then only {here} in 30 seconds"
    assert 10 < here < archive.LEAST and words in str(caught.value)
    assert [path for path, _ in Archive.ranges] == ["/drip"]  # it is not asked again
    fetch(tmp_path, server("drip"), server("good"))
    assert names_in(tmp_path) == [archive.FOLDER]


def test_a_mirror_that_dries_up_is_given_up_too(
    server, tmp_path, monkeypatch, a_second_at_each_look
):
    monkeypatch.setattr(archive, "LEAST", 1000)
    with pytest.raises(DataError, match=r"are here, then only \d+ in 30 seconds"):
        fetch(tmp_path, server("dries-up"))
    assert (tmp_path / f"{archive.ARCHIVE}.part").stat().st_size > 2000


def test_a_slow_line_is_not_given_up(server, tmp_path, monkeypatch, a_second_at_each_look):
    monkeypatch.setattr(archive, "CHUNK", len(Archive.content) // 99)
    fetch(tmp_path, server("good"))
    assert a_second_at_each_look.monotonic() > 90 and len(Archive.ranges) == 1


def test_reasons_name_the_cause():
    kinds = requests.exceptions
    for error, words in (
        (kinds.SSLError("CERTIFICATE_VERIFY_FAILED"), "its certificate cannot be verified"),
        (kinds.SSLError("UNEXPECTED_EOF"), "no secure connection can be made"),
        (kinds.ConnectionError("Failed to resolve 'a'"), "its name cannot be found"),
        (kinds.ProxyError("refused"), "the proxy cannot be used"),
        (kinds.ConnectTimeout("slow"), "no connection in 5 seconds"),
        (kinds.ReadTimeout("slow"), "connected, then no answer in 30 seconds"),
        (kinds.ConnectionError("refused"), "cannot be reached"),
        (kinds.InvalidURL("no host"), "no host"),
    ):
        assert archive._in_short(error) == words


def test_break_is_resumed_on_the_same_mirror(server, tmp_path):
    fetch(tmp_path, server("cut"))
    arrived = len(Archive.content) // 2
    assert Archive.ranges == [("/cut", None), ("/cut", f"bytes={arrived}-")]


def part_of(cache, content):
    part = cache / f"{archive.ARCHIVE}.part"
    part.write_bytes(content)
    return part


@pytest.mark.parametrize("kind", ["good", "no-range", "416"])
def test_part_of_an_earlier_call_is_continued(server, tmp_path, kind):
    part_of(tmp_path, Archive.content[:1000])
    fetch(tmp_path, server(kind))
    assert Archive.ranges[0] == (f"/{kind}", "bytes=1000-")
    assert names_in(tmp_path) == [archive.FOLDER]


def test_part_survives_mirrors_that_fail(server, tmp_path):
    part = part_of(tmp_path, Archive.content[:1000])
    with pytest.raises(DataError, match="answered 404"):
        fetch(tmp_path, server("404"), server("html"))
    assert part.read_bytes() == Archive.content[:1000]


@pytest.mark.parametrize("size", [1000, None, 10**6])
def test_bad_part_is_thrown_away(server, tmp_path, size):
    part_of(tmp_path, bytes(size or len(Archive.content)))
    fetch(tmp_path, server("good"))
    assert names_in(tmp_path) == [archive.FOLDER]


def test_interrupt_keeps_the_part(server, tmp_path, monkeypatch):
    def interrupted(answer, size):
        if answer.tell() == 1000:
            raise KeyboardInterrupt
        return read(answer, 1000)

    read = archive.urllib3.HTTPResponse.read1
    with monkeypatch.context() as patch:
        patch.setattr("urllib3.HTTPResponse.read1", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, server("good"))
    assert names_in(tmp_path) == [f"{archive.ARCHIVE}.part"]
    fetch(tmp_path, server("good"))
    assert Archive.ranges[-1] == ("/good", "bytes=1000-")


@pytest.mark.parametrize("at", range(7))
def test_what_is_unpacked_in_part_is_unpacked_again(server, tmp_path, monkeypatch, at):
    """As after a kill: some of the files are there, each of them whole."""
    written = []

    def interrupted(path, content):
        if len(written) == at:
            raise KeyboardInterrupt
        written.append(path)
        files.write_whole(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(archive, "write_whole", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, server("good"))
    assert not archive._is_whole(tmp_path / archive.FOLDER)
    fetch(tmp_path, server("good"))
    assert len(Archive.ranges) == 1  # all of the archive was there
    assert names_in(tmp_path) == [archive.FOLDER]
    assert names_in(tmp_path / archive.FOLDER) == sorted(archive.MEMBERS)


@contextlib.contextmanager
def a_download(server, cache):
    yield lambda: fetch(cache, server("cut"))
    there = set(names_in(cache))
    assert there <= {f"{archive.ARCHIVE}.part", archive.FOLDER}
    if archive.FOLDER in there:
        assert set(names_in(cache / archive.FOLDER)) <= set(archive.MEMBERS)
    fetch(cache, server("good"))
    assert names_in(cache) == [archive.FOLDER]
    for name, content in file_contents().items():
        assert (cache / archive.FOLDER / name).read_bytes() == content


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_download_interrupted_anywhere_leaves_nothing_in_the_way(server, tmp_path):
    interrupt_anywhere(functools.partial(a_download, server), tmp_path / "all")


def test_two_downloads_at_once(server, tmp_path):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(fetch(tmp_path, *[server("good")] * 3)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [tmp_path / archive.FOLDER] * 2
    assert len(data.read_folder(results[0]).test) == 20


def test_silent_network_is_given_up_in_time(tmp_path, monkeypatch):
    over = threading.Event()

    def no_answer(*_, **__):
        over.wait()
        raise requests.ConnectTimeout

    monkeypatch.setattr("requests.head", no_answer)
    reasons = archive._silent(("http://a/", "http://b/"), seconds=0.05)
    over.set()  # lets both threads end
    assert reasons == dict.fromkeys(("http://a/", "http://b/"), "no answer in 0.05 seconds")


@pytest.mark.parametrize("way", ["head", "get"])
def test_a_failure_that_requests_does_not_know_is_told_at_once(server, tmp_path, monkeypatch, way):
    def fail(*_, **__):
        raise UnicodeError("label too long")

    monkeypatch.setattr(f"requests.{way}", fail)
    with pytest.raises(DataError, match=r"127.0.0.1:\d+: UnicodeError\('label too long'\)"):
        fetch(tmp_path, server("good"))


def test_unwritable_cache(server, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "generate", small_set)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"cache folder .*file.* cannot be used.*CNN_LESSONS_DATA"):
        fetch(tmp_path / "file", server("good"))
    said = []
    data.load(cache=tmp_path / "file" / "deeper", announce=said.append)
    assert "THIS IS NOT CIFAR-10" in said[0]
    assert "cache folder" in said[0]


def test_a_full_disk_while_unpacking_is_told_and_keeps_what_came(server, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "write_whole", full)
        with pytest.raises(DataError, match=r"No space left on device.*make room"):
            fetch(tmp_path, server("good"))
    fetch(tmp_path, server("404"))
    assert names_in(tmp_path) == [archive.FOLDER]


def link(name, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    "evil",
    [
        tarfile.TarInfo("../escaped"),
        tarfile.TarInfo(f"{archive.FOLDER}/../../escaped"),
        tarfile.TarInfo("/tmp/cnn-lessons-escaped"),
        link(f"{archive.FOLDER}/escaped", tarfile.SYMTYPE),
    ],
)
def test_archive_members_that_nobody_asked_for(tmp_path, evil):
    (tmp_path / "cache").mkdir()
    packed = tmp_path / "archive"
    packed.write_bytes(tar_of([(evil, b""), *good_members()]))
    archive._unpack(packed, tmp_path / "cache" / archive.FOLDER)
    assert names_in(tmp_path / "cache" / archive.FOLDER) == sorted(archive.MEMBERS)
    assert names_in(tmp_path) == ["archive", "cache"]
    assert not Path("/tmp/cnn-lessons-escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_archive_with_a_link_for_a_file(tmp_path, kind):
    packed = tmp_path / "archive"
    members = [m for m in good_members() if not m[0].name.endswith("test_batch")]
    packed.write_bytes(tar_of([*members, (link(f"{archive.FOLDER}/test_batch", kind), b"")]))
    with pytest.raises(DataError, match="archive: lacks test_batch"):
        archive._unpack(packed, tmp_path / "out")


def test_archive_with_a_huge_member(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 10_000)
    packed = tmp_path / "archive"
    packed.write_bytes(tar_of(good_members()))
    with pytest.raises(DataError, match="archive: data_batch_1 is too large"):
        archive._unpack(packed, tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 100, 10_000])
def test_archive_cut_short(tmp_path, keep):
    packed = tmp_path / "archive"
    packed.write_bytes(tar_of(good_members())[:keep])
    with pytest.raises(DataError, match="archive: damaged"):
        archive._unpack(packed, tmp_path / "out")


def test_all_training_pictures_are_those_of_both_splits():
    dataset = data.generate(train=40, test=10)
    whole = dataset.with_all_training()
    assert len(whole.train) == 40 and len(whole.validation) == 4
    assert torch.equal(whole.train.images[36:], dataset.validation.images)
    assert torch.equal(whole.train.labels[:36], dataset.train.labels)
    assert (whole.mean, whole.name) == (dataset.mean, dataset.name)


def test_batches_of_other_pictures_or_another_order_have_another_identity():
    dataset, other = (data.generate(train=40, test=10, seed=seed) for seed in (0, 1))
    identity = dataset.batches("train", 8, augment=True).identity()
    assert identity == dataset.batches("train", 8, augment=True).identity()
    assert identity["num_images"] == 36 and identity["augment"] is True
    assert identity["sha256"] != other.batches("train", 8, augment=True).identity()["sha256"]
    assert identity["sha256"] == dataset.batches("train", 8).identity()["sha256"]
    assert identity != dataset.batches("train", 8, augment=True, seed=1).identity()


def test_one_picture_in_a_hundred_tells_data_sets_apart():
    dataset = data.generate(train=120, test=10)
    images = dataset.train.images.clone()
    images[100] = 255 - images[100]
    other = replace(dataset, train=data.Split(images, dataset.train.labels))
    sums = [each.batches("train", 8).identity()["sha256"] for each in (dataset, other)]
    assert sums[0] != sums[1]
