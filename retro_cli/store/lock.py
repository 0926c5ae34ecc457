"""One writer at a time. The lock belongs to the process and dies with it, so none goes stale."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retro_cli.errors import LockedError

LOCK_FILE = ".lock"


@contextmanager
def writer_lock(folder: Path, command: str) -> Iterator[None]:
    """Hold the writer's lock on a database folder.

    Raises LockedError at once if another process holds it. Readers never take it.
    """
    path = folder / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise LockedError(
                f"{folder} is being written by {holder or 'another process'}",
                "wait for it to finish; queries go on meanwhile",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"'retro {command}' (process {os.getpid()})".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
