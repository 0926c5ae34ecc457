"""Files behind fsspec URLs (``s3://``, ``gs://``, ``https://``, ``memory://`` ...)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, cast

from retro_cli.errors import InputNotFound, RetroError
from retro_cli.store.remote.systems import file_system

_BLOCK = 1 << 20


def is_url(spec: str) -> bool:
    return "://" in spec


def listing(spec: str) -> Iterator[tuple[str, int, int]]:
    """(uri, size, mtime_ns) of the files a URL names: one file, a folder or a glob.

    Raises InputNotFound or UnreadableInput; RetroError if the place cannot be reached.
    """
    system, root = file_system(spec)
    try:
        if any(letter in root for letter in "*?["):
            found = system.glob(root, detail=True)
        elif system.isdir(root):
            found = system.find(root, detail=True)
        else:
            found = {root: system.info(root)}
    except FileNotFoundError as error:
        raise InputNotFound(f"no such file or folder: {spec}") from error
    except Exception as error:  # each file system behind fsspec has errors of its own
        raise RetroError(f"cannot list {spec}: {error}") from error
    for path, info in found.items():
        below = path[len(root) :] if path.startswith(root) else ""
        hidden = any(part[0] in "._" for part in below.split("/") if part)
        if info.get("type") == "file" and not hidden:
            uri = _spelt_like(spec, root, path) or system.unstrip_protocol(path)
            yield uri, int(info.get("size") or 0), _mtime_ns(info)


def _spelt_like(spec: str, root: str, path: str) -> str:
    """``path`` as a URL that begins like the user's, so that what was named covers it."""
    spec = spec.rstrip("/")
    return spec[: len(spec) - len(root)] + path if spec.endswith(root) else ""


def _mtime_ns(info: dict[str, Any]) -> int:
    for name in ("mtime", "LastModified", "last_modified", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1_000_000) * 1000
        if isinstance(value, int | float):
            return int(value * 1_000_000) * 1000
    return 0


def open_url(url: str) -> BinaryIO:
    """A buffered stream over a URL. Raises OSError or RetroError."""
    system, path = file_system(url)
    try:
        raw = system.open(path, "rb")
    except OSError:
        raise
    except Exception as error:
        raise RetroError(f"cannot open {url}: {error}") from error
    return cast(BinaryIO, io.BufferedReader(raw, _BLOCK))
