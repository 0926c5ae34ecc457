"""One writer at a time, and files that stay while somebody reads.

Locks belong to the process and die with it, so none goes stale.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retro_cli.errors import LockedError, UsageError
from retro_cli.store.atomic import made
from retro_cli.store.commit import finish_commit
from retro_cli.store.here import shown_name
from retro_cli.store.layout import VIEW_FILE

LOCK_FILE = ".lock"


@contextmanager
def writer_lock(folder: Path, command: str) -> Iterator[None]:
    """Hold the writer's lock on a database folder.

    Raises LockedError at once if another process holds it, and UsageError if this one may not
    write there, or if it is the view of a remote database. Readers never take it.
    """
    if (folder / VIEW_FILE).is_file():
        url = shown_name(folder)
        raise UsageError(
            f"{url} can only be read where it lies",
            f"retro pull {url} FOLDER, run retro {command} there, then retro push FOLDER {url}",
        )
    path = folder / LOCK_FILE
    with made(path):
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
        finish_commit(folder)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


class ReadHold:
    """A shared lock on a file: while any process has one, ``remove_unread`` leaves it alone.

    Raises FileNotFoundError if the file is gone, or goes just then. On a file system without
    locks nothing is held.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        self._close = weakref.finalize(self, os.close, descriptor)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not os.fstat(descriptor).st_nlink:
            self._close()
            raise FileNotFoundError(path)

    def close(self) -> None:
        self._close()


def remove_unread(path: Path) -> bool:
    """Remove a file unless somebody holds it; returns whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError:  # a file system without locks
        pass
    path.unlink(missing_ok=True)
    os.close(descriptor)
    return True
