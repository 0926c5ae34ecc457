"""The user's cache: what can be made again, and is made once for all databases."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from retro_cli.errors import ConfigError, LockedError
from retro_cli.store.atomic import TEMPORARY, disk_errors, sync_file, sync_folder

_LOOK_AGAIN = 0.05  # seconds


def cache_folder() -> Path:
    """$RETRO_CACHE, else $XDG_CACHE_HOME/retro, else ~/.cache/retro."""
    if own := os.environ.get("RETRO_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "retro"


def made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder ``target``, made if it is not there: whole or not at all.

    make: fills an empty folder. Processes that want the same folder wait for the one that makes
    it; what a killed one left is removed. Until this process ends, nobody ``removed`` the folder.
    Raises ConfigError where nothing can be written.
    """
    while not _held(target):
        with disk_errors(target), _alone(target) as locked:
            if locked:
                for leftover in target.parent.glob(f"{target.name}.*{TEMPORARY}"):
                    shutil.rmtree(leftover, ignore_errors=True)
            if not target.is_dir():
                _make(target, make)
    return target


def removed(target: Path) -> int:
    """Remove a folder that ``made_once`` made; the bytes that this freed.

    Raises LockedError while a process uses it, this one too.
    """
    if not target.is_dir():
        return 0
    descriptor = _opened(target)
    try:
        _require_unused(target, descriptor)
        freed = folder_bytes(target)
        aside = target.with_name(f"{target.name}.{uuid4().hex}{TEMPORARY}")
        target.rename(aside)  # whoever comes now makes it again
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be removed: {error.strerror}", "check whose it is"
        ) from error
    finally:
        os.close(descriptor)
    return freed


def _require_unused(target: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(f"{target.name} is in use", "try again when what uses it ended") from None
    except OSError:
        return  # a file system without locks


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, each once however many links lead to it."""
    files = {path.resolve() for path in folder.rglob("*") if path.is_file()}
    return sum(path.stat().st_size for path in files)


# What this process uses, with a shared lock on each: until it ends, nobody removes them.
_holds: dict[Path, int] = {}


def _held(target: Path) -> bool:
    """Whether the folder is there, and from now on stays."""
    if not target.is_dir():
        return False
    if target in _holds:
        return True
    try:
        descriptor = _opened(target)
    except ConfigError:  # what cannot be written cannot be removed either
        return True
    _locked(descriptor, fcntl.LOCK_SH)
    if not target.is_dir():
        os.close(descriptor)
        return False
    _holds[target] = descriptor
    return True


def _make(target: Path, make: Callable[[Path], None]) -> None:
    temporary = target.with_name(f"{target.name}.{uuid4().hex}{TEMPORARY}")
    temporary.mkdir()
    try:
        make(temporary)
        for path in sorted(temporary.rglob("*")):
            if not path.is_symlink():
                sync_file(path)
        sync_folder(temporary)
        temporary.rename(target)
        sync_folder(target.parent)
    except OSError:
        if not target.is_dir():  # else another was faster, where there are no locks
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _alone(target: Path) -> Iterator[bool]:
    """Wait for the lock on ``target``; False on a file system without locks, and where the folder
    is there meanwhile: who made it may use it, and so share the lock, for as long as it lives."""
    descriptor = _opened(target)
    try:
        yield _waited_for(target, descriptor)
    finally:
        os.close(descriptor)


def _waited_for(target: Path, descriptor: int) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if target.is_dir():
                return False
            time.sleep(_LOOK_AGAIN)
        except OSError:
            return False


def _opened(target: Path) -> int:
    """The file that is locked for ``target``."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f"{target.name}.lock")
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(
            f"the cache {target.parent} cannot be written: {error.strerror}",
            "name another folder with the environment variable RETRO_CACHE",
        ) from error


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True
