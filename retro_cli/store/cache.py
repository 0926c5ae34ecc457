"""The user's cache: what can be made again, and is made once for all databases."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from retro_cli.errors import ConfigError
from retro_cli.store.atomic import TEMPORARY, disk_errors, sync_file, sync_folder


def cache_folder() -> Path:
    """$RETRO_CACHE, else $XDG_CACHE_HOME/retro, else ~/.cache/retro."""
    if own := os.environ.get("RETRO_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "retro"


def made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder ``target``, made if it is not there: whole or not at all.

    make: fills an empty folder. Processes that want the same folder wait for the one that makes
    it; what a killed one left is removed. Raises ConfigError where nothing can be written.
    """
    if target.is_dir():
        return target
    with disk_errors(target), _alone(target) as locked:
        if locked:
            for leftover in target.parent.glob(f"{target.name}.*{TEMPORARY}"):
                shutil.rmtree(leftover, ignore_errors=True)
        if not target.is_dir():
            _make(target, make)
    return target


def _make(target: Path, make: Callable[[Path], None]) -> None:
    temporary = target.with_name(f"{target.name}.{uuid4().hex}{TEMPORARY}")
    temporary.mkdir()
    try:
        make(temporary)
        for path in sorted(temporary.rglob("*")):
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
    """Wait for the lock on ``target``; False on a file system without locks."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f"{target.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(
            f"the cache {target.parent} cannot be written: {error.strerror}",
            "name another folder with the environment variable RETRO_CACHE",
        ) from error
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
