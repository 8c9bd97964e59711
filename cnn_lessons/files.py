"""Files that are written whole or not at all."""

import contextlib
import glob
import os
import threading
import time
from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file in place of what was there; `path` may be a link to it, and may begin with ~.

    The new file is written beside the old one, is on the disk before it takes its name, and takes
    it in one step: whatever happens, and whenever, `path` is the whole old file or the whole new
    one, also if two processes write it at once. Raises OSError where it cannot be written; the old
    file is then still there.
    """
    path = Path(path).expanduser().resolve()
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a file")  # never in place of a folder or a device
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path)
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    finally:  # once more, for an interrupt that came while the line above was at work
        part.unlink(missing_ok=True)
    if os.name == "posix":  # the new name, too, must outlive a power cut
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove_left_over(path: Path) -> None:
    """Delete what a process that was killed left behind, here ten minutes ago or earlier."""
    for part in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - 600:
                part.unlink()
