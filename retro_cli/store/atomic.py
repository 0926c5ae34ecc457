"""Files that appear whole or not at all.

Write to a temporary name, flush, fsync, rename, fsync the directory. A reader sees the old
file or the new one; a kill leaves at most a ``.tmp`` file that the next writer sweeps away.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from retro_cli.errors import FULL, DiskFull, IntegrityError, RetroError, UsageError
from retro_cli.store.here import here

TEMPORARY = ".tmp"
STAGING = ".staging"  # whole, but not yet named by its content
_BLOCK = 1 << 20
_signature = ""  # of this process, in the names of its unfinished files


def sign_temporaries(signature: str) -> None:
    """Keep this process's unfinished files apart from those of another at the same work.

    On a cluster a worker that was given up for lost may go on for a moment.
    """
    global _signature
    _signature = f".{signature}" if signature else ""


def unfinished(path: Path, suffix: str = TEMPORARY) -> Path:
    """Where to write what will be ``path``; who sweeps knows it by ``suffix``."""
    return path.with_name(f"{path.name}{_signature}{suffix}")


def not_written(path: Path, error: OSError) -> RetroError:
    """What is said of an OS error that came when ``path`` was to be made or written."""
    if error.errno in FULL:
        return DiskFull(
            f"no space left while writing {path}",
            "free some space and run the same command again; it resumes",
        )
    why = os.strerror(error.errno) if error.errno else error  # Arrow says more, and worse
    return UsageError(
        f"cannot write {path}: {why}", "see who may write there, or name another place"
    )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space left" into an error that says so; other OS errors pass through."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise not_written(path, error) from error
        raise


@contextmanager
def made(path: Path) -> Iterator[None]:
    """Around what only makes ``path``. Raises DiskFull or UsageError for any OS error."""
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the place of ``path``.

    On any error the temporary file is removed and ``path`` is left as it was. Raises DiskFull, and
    UsageError if the temporary file cannot be opened.
    """
    temporary = unfinished(path)
    with disk_errors(path):
        try:
            yield temporary
            sync_file(temporary)
            os.replace(temporary, path)
            sync_folder(path.parent)
        except BaseException as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename == str(temporary):
                raise not_written(path, error) from error
            raise


def check_output(path: Path) -> None:
    """Make the folder of a file that the user wants written. Raises UsageError if that, or the
    file, cannot be."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file")
    with made(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            tempfile.TemporaryFile(dir=path.parent).close()
        elif not os.access(path, os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_bytes(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def json_bytes(value: Any) -> bytes:
    """Canonical JSON: sorted keys, one trailing newline, so equal values are equal bytes."""
    text = io.StringIO()  # json.dumps would hold each of a long list's pieces until the end
    json.dump(value, text, indent=1, sort_keys=True)
    return (text.getvalue() + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, json_bytes(value))


def read_json(path: Path) -> Any:
    """Read JSON that retro wrote. Raises IntegrityError if it is not JSON any more."""
    try:
        return json.loads(here(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"{path} is not valid JSON ({error})",
            "the file was changed by something else; restore it from a backup",
        ) from error


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    sync_file(folder)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hex, in constant memory."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sweep_temporaries(folder: Path) -> None:
    """Remove what a killed writer left behind. Only call while holding the lock."""
    for pattern in (f"*{TEMPORARY}", f"*{STAGING}"):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)
