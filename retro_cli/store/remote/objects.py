"""The cache of remote files on this disk: whole objects, and blocks of larger ones.

``objects/<sha256>`` is a whole object. ``<sha256>.some`` has some blocks of one, in their places,
and ``<sha256>.blocks`` the digests that tell which. Nothing here is ever only here, so the least
recently used go when the limit is reached. What a process works with it holds by a shared lock.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from retro_cli.errors import FULL, ConfigError, DiskFull
from retro_cli.store.atomic import TEMPORARY
from retro_cli.store.cache import cache_folder
from retro_cli.store.lock import ReadHold, remove_unread

LIMIT_VARIABLE = "RETRO_CACHE_SIZE"
DEFAULT_LIMIT = 10.0  # GB
SOME, BLOCKS = ".some", ".blocks"
_HELD = 32  # objects that a process holds, the last ones it asked for
_ABANDONED = 3600.0  # seconds after which a temporary file is what a killed process left
_STEP = 1 << 26  # bytes that may be written before the folder is measured again


def cache_limit() -> int:
    """Bytes that remote files may take on this disk. Raises ConfigError."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        limit = float(text) if text else DEFAULT_LIMIT
    except ValueError:
        limit = -1.0
    if not 0 < limit < 1e9:
        raise ConfigError(f"{LIMIT_VARIABLE}={text} is no size", "a number of gigabytes, as in 20")
    return int(limit * 1e9)


class ObjectCache:
    """One folder of objects, shared by all databases and processes."""

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.folder = folder or cache_folder() / "remote" / "objects"
        self.limit = cache_limit() if limit is None else limit
        self._holds: deque[ReadHold] = deque(maxlen=_HELD)
        self._room = 0

    def whole(self, sha256: str) -> Path:
        return self.folder / sha256

    def hold(self, path: Path) -> bool:
        """Keep a file for as long as it is among the last ones asked for; whether it is there."""
        try:
            self._holds.append(ReadHold(path))
            status = path.stat()
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        except FileNotFoundError:
            return False
        except OSError:  # a cache that this user may only read
            return True
        return True

    def put(self, name: str, data: bytes) -> None:
        """A small file, whole or not at all. Raises DiskFull, ConfigError."""
        with self.writing(name, len(data)) as out:
            out.write(data)

    def writing(self, name: str, size: int) -> NewObject:
        """A file of ``size`` bytes to be written, which appears when it is whole."""
        self.make_room(size)
        return NewObject(self, name)

    def make_room(self, size: int) -> None:
        """Remove what was not used for longest until ``size`` bytes fit under the limit.

        Raises ConfigError if they never will.
        """
        if size > self.limit:
            raise ConfigError(
                f"a file of {size / 1e9:.3g} GB does not fit in the cache of {self.limit / 1e9:g}",
                f"allow more gigabytes with {LIMIT_VARIABLE}, or use retro pull",
            )
        self._room -= size
        if self._room >= 0:
            return
        with self.disk_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
        kept = self._measured()
        total = sum(taken for _, taken, _ in kept)
        for _, taken, path in sorted(kept):
            if total + size <= self.limit:
                break
            with suppress(OSError):
                if remove_unread(path):
                    total -= taken
        self._room = min(_STEP, max(0, self.limit - total - size))

    def _measured(self) -> list[tuple[int, int, Path]]:
        """(last use, bytes on the disk, path) of each file; without what killed processes left."""
        found = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process removed it
                status = path.stat()
                if path.suffix == TEMPORARY and time.time() - status.st_mtime > _ABANDONED:
                    path.unlink()
                else:
                    found.append((status.st_atime_ns, 512 * status.st_blocks, path))
        return found

    def drop_others(self, needed: set[str]) -> None:
        """Remove the objects, by sha256, that no database needs any more."""
        for path in self.folder.iterdir():
            if path.name.partition(".")[0] not in needed and path.suffix != TEMPORARY:
                with suppress(OSError):
                    remove_unread(path)

    def disk_errors(self) -> _CacheErrors:
        return _CacheErrors(self.folder)


class _CacheErrors:
    """Around what writes into the cache: says which disk is full, or may not be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno in FULL:
            raise DiskFull(
                f"no space left in the cache {self.folder}",
                f"free some, set {LIMIT_VARIABLE} to fewer gigabytes, or name another folder "
                "with RETRO_CACHE",
            ) from error
        raise ConfigError(
            f"the cache {self.folder} cannot be written: {error.strerror or error}",
            "name another folder with the environment variable RETRO_CACHE",
        ) from error


class NewObject:
    """A file of the cache on its way: it takes its name when all of it is written."""

    def __init__(self, cache: ObjectCache, name: str) -> None:
        self._cache, self._name = cache, name
        self._path = cache.folder / f"{name}.{uuid4().hex}{TEMPORARY}"

    def __enter__(self) -> NewObject:
        with self._cache.disk_errors():
            self._cache.folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        return self

    def write(self, data: bytes) -> None:
        with self._cache.disk_errors():
            self._file.write(data)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            with self._cache.disk_errors(), self._file:
                if error is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
                    self._path.rename(self._cache.folder / self._name)
        finally:
            self._path.unlink(missing_ok=True)
