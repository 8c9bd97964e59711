"""Tests of cnn_lessons/data.py: pictures, batches, download, and bad input of all kinds."""

import functools
import hashlib
import http.server
import io
import os
import pickle
import re
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import requests
import torch

from cnn_lessons import data
from cnn_lessons.data import DataError, archive, generated
from cnn_lessons.data.batches import draw, with_validation

REAL = os.environ.get("CNN_LESSONS_DATA")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("CNN_LESSONS_DATA", "CNN_LESSONS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@functools.cache
def small_shapes():
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
    dataset = small_shapes()
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
    assert dataset.mean == pytest.approx(data.CIFAR10_MEAN, abs=mean_error)
    assert dataset.std == pytest.approx(data.CIFAR10_STD, abs=std_error)


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
    dataset = small_shapes()
    batches = dataset.batches("train", 64, augment=True, seed=5)
    batches.epoch = epoch
    draws = draw(len(dataset.train), augment=True, shuffle=True, seed=5, epoch=epoch)
    images, labels = (
        torch.stack(x) for x in zip(*slow_epoch(dataset, dataset.train, draws), strict=True)
    )
    got = list(batches)
    assert torch.equal(torch.cat([x for x, _ in got]), images)
    assert torch.equal(torch.cat([y for _, y in got]), labels)


def test_plain_batches_are_the_split_in_order():
    dataset = small_shapes()
    batches = dataset.batches("test", 16)
    got = list(batches)
    assert [len(labels) for _, labels in got] == [16, 16, 8]
    assert len(batches) == 3
    assert batches.num_images == 40
    assert torch.equal(torch.cat([x for x, _ in got]), dataset.normalise(dataset.test.images))
    assert torch.equal(torch.cat([y for _, y in got]), dataset.test.labels)


def test_batches_form():
    for augment in (False, True):
        images, labels = next(iter(small_shapes().batches(batch_size=7, augment=augment)))
        assert (images.shape, images.dtype) == ((7, 3, 32, 32), torch.float32)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert (labels.shape, labels.dtype) == ((7,), torch.int64)


def test_each_pass_is_the_next_epoch_and_can_be_repeated():
    batches = small_shapes().batches("train", 200, augment=True)
    first, second = next(iter(batches))[0], next(iter(batches))[0]
    assert batches.epoch == 2
    assert not torch.equal(first, second)
    batches.epoch = 0
    assert torch.equal(next(iter(batches))[0], first)
    other = next(iter(small_shapes().batches("train", 200, augment=True, seed=1)))[0]
    assert not torch.equal(other, first)


def test_first_images_only():
    dataset = small_shapes()
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
        small_shapes().batches(**arguments)


# ---- The generated set ----


def test_shapes_are_ten_equal_classes():
    dataset = small_shapes()
    assert "not CIFAR-10" in dataset.name
    assert len(dataset.class_names) == 10
    assert [len(x) for x in (dataset.train, dataset.validation, dataset.test)] == [180, 20, 40]
    labels = torch.cat([dataset.train.labels, dataset.validation.labels])
    assert labels.bincount().tolist() == [20] * 10
    assert dataset.train.images.dtype == torch.uint8
    assert dataset.train.images.shape == (180, 3, 32, 32)


def test_shapes_depend_on_the_seed_alone():
    again, other = data.generate(200, 40, seed=1), data.generate(200, 40, seed=2)
    assert torch.equal(again.train.images, small_shapes().train.images)
    assert not torch.equal(other.train.images, small_shapes().train.images)
    more = data.generate(300, 40, seed=1)
    assert torch.equal(more.test.images, small_shapes().test.images)


def test_every_shape_shows():
    rng = np.random.default_rng(0)
    cover = generated._cover(np.arange(1000) % 10, rng)
    assert cover.min() == 0
    assert cover.max() == 1
    area = cover.sum((1, 2))
    assert area.min() > 10  # pixels
    assert area.max() < 600


def test_shapes_arguments():
    for arguments in ({"train": 9}, {"test": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="needs train >= 10"):
            data.generate(**arguments)


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


def test_known_checksums_are_not_unverified(folder, monkeypatch):
    sums = {name: hashlib.md5(raw).hexdigest() for name, raw in file_contents().items()}
    monkeypatch.setattr(archive, "MEMBERS", sums)
    assert data.read_folder(folder).name == "CIFAR-10"


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


def changed(**changes):
    batch = a_batch(0)
    batch.update(changes)
    return pickled({key: value for key, value in batch.items() if value is not None})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (file_contents()["test_batch"][:5000], "truncated"),
        (b"", "EOFError"),
        (b"<html>Sorry</html>", "not a readable"),
        (pickle.dumps([1, 2, 3]), "not a readable"),
        (changed(labels=None), "labels"),
        (changed(data=None), "data"),
        (changed(data="a string"), "not a readable"),
        (changed(labels=[11] * 20), "labels must be from 0 to 9; got 11"),
        (changed(labels=[-1] * 20), "labels must be from 0 to 9; got -1"),
        (changed(labels=[1] * 19), "each with a label"),
        (changed(labels=[1.5] * 20), "each with a label"),
        (changed(data=np.zeros((20, 3071), np.uint8)), "rows of 3072"),
        (changed(data=np.zeros((20, 3072), np.float32)), "pixels must be uint8"),
        (changed(data=np.zeros((0, 3072), np.uint8), labels=[]), "needs 10 pictures"),
    ],
)
def test_damaged_file(folder, content, message):
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        data.read_folder(folder)
    assert str(folder / "data_batch_3") in str(caught.value)


def test_missing_file(folder):
    (folder / "data_batch_2").unlink()
    with pytest.raises(DataError, match="data_batch_2: the file is missing"):
        data.read_folder(folder)


def test_huge_file(folder):
    with open(folder / "test_batch", "wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(DataError, match=r"test_batch: .*larger than"):
        data.read_folder(folder)


def test_other_class_names(folder):
    (folder / "batches.meta").write_bytes(pickled({"label_names": ["cat", "dog"]}))
    with pytest.raises(DataError, match=r"batches\.meta: .*classes must be airplane"):
        data.read_folder(folder)


class Calls:
    """When unpickled by pickle.load, calls the function with the arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil_pickles(marker):
    command, program = (
        f"echo hit > {marker}",
        f"__import__('pathlib').Path({str(marker)!r}).write_text('hit')",
    )
    old = f"(S'echo hit > {marker}'\nios\nsystem\n.".encode()
    nested = f"c__builtin__\neval\n(S{program!r}\ntR.".encode()
    dotted = f"\x80\x04\x8c\x05numpy\x8c\x14ndarray.__class__.__init__\x93({command!r}tR.".encode()
    return {
        "os.system": pickled(Calls(os.system, command)),
        "inside a batch": changed(data=Calls(os.system, command)),
        "builtins.eval": pickle.dumps(Calls(eval, program)),
        "builtins.exec": changed(filenames=[Calls(exec, program)]),
        "INST": old,
        "Python 2's eval": nested,
        "numpy": pickle.dumps(Calls(np.save, str(marker), [1])),
        "numpy's fromfile": b"cnumpy\nfromfile\n(S'/dev/null'\ntR.",
        "numpy's pickle": b"cnumpy.core.multiarray\nloads\n(S''\ntR.",
        "a dotted name": dotted,
    }


@pytest.mark.parametrize("kind", evil_pickles(Path("x")))
def test_tampered_file_executes_nothing(folder, tmp_path, kind):
    marker = tmp_path / "marker"
    (folder / "data_batch_1").write_bytes(evil_pickles(marker)[kind])
    with pytest.raises(DataError, match="data_batch_1: not a readable") as caught:
        data.read_folder(folder)
    assert not list(tmp_path.glob("marker*"))
    if kind != "a dotted name":
        assert "asks for" in str(caught.value)


def test_the_tampered_files_would_have_worked(tmp_path):
    marker = tmp_path / "marker"
    pickle.loads(evil_pickles(marker)["builtins.eval"])
    assert marker.read_text() == "hit"


# ---- Finding the data ----


def test_test_profile_gives_small_shapes(monkeypatch, folder):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "test")
    said = []
    dataset = data.load(announce=said.append)
    assert len(dataset.train) + len(dataset.validation) == 1_000
    assert len(said) == 1
    assert said[0].startswith("shapes (generated, not CIFAR-10): 900 train, 100 validation, 500")
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


def test_cache_comes_before_download(folder, monkeypatch):
    monkeypatch.setattr(archive, "fetch", lambda cache: pytest.fail("asked for a download"))
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
    assert dataset.name == "shapes (generated, not CIFAR-10)"
    assert len(dataset.train) + len(dataset.validation) == 10_000
    assert len(dataset.test) == 2_000
    assert "THIS IS NOT CIFAR-10" in said[0]
    assert f"127.0.0.1:{closed.server_port}: cannot be reached" in said[0]
    assert len({len(line) for line in said[0].splitlines()}) == 1  # a box
    assert said[1].startswith("shapes (generated, not CIFAR-10)")


def test_no_download_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "fetch", lambda cache: pytest.fail("asked for a download"))
    said = []
    data.load(cache=tmp_path, download=False, announce=said.append)
    assert "download=False" in said[0]


# ---- Download ----


class Archive(http.server.BaseHTTPRequestHandler):
    """Serves one file, well or badly, as the address says; notes the Range of each request."""

    content, ranges = b"", []

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
        if self.path == "/416" and wanted:
            return self.send_error(416)
        if wanted and self.path != "/no-range":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        whole = "/cut" not in self.path or wanted
        self.answer(content[start:], 206 if start else 200, None if whole else len(content) // 2)

    def answer(self, body, status=200, send_only=None, kind="application/gzip"):
        self.send_response(status)
        if kind != "text/html":  # a page of unknown length cannot be told by its size
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
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


@pytest.fixture
def server(monkeypatch):
    """A function that gives the address of a kind of mirror, on a server of this machine."""
    monkeypatch.setattr(Archive, "content", tar_of(good_members()))
    monkeypatch.setattr(Archive, "ranges", [])
    monkeypatch.setattr(archive, "ARCHIVE_MD5", hashlib.md5(Archive.content).hexdigest())
    monkeypatch.setattr(archive, "ARCHIVE_SIZE", len(Archive.content))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield lambda kind: f"http://127.0.0.1:{running.server_port}/{kind}"
        running.shutdown()
        thread.join()


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


def test_break_is_resumed_on_the_same_mirror(server, tmp_path):
    fetch(tmp_path, server("cut"))
    arrived = len(Archive.content) // 2 // 65_536 * 65_536  # whole chunks only
    assert arrived > 0
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
    def interrupted(answer, _size):
        if answer.request.method == "GET":
            yield Archive.content[:1000]
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("requests.Response.iter_content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, server("good"))
    assert names_in(tmp_path) == [f"{archive.ARCHIVE}.part"]
    fetch(tmp_path, server("good"))
    assert Archive.ranges[-1] == ("/good", "bytes=1000-")


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


def test_unwritable_cache(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"cache folder .*file.* cannot be used.*CNN_LESSONS_DATA"):
        fetch(tmp_path / "file", server("good"))
    said = []
    data.load(cache=tmp_path / "file" / "deeper", announce=said.append)
    assert "THIS IS NOT CIFAR-10" in said[0]
    assert "cache folder" in said[0]


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
