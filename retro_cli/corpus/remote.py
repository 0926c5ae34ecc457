"""Files behind fsspec URLs (``s3://``, ``gs://``, ``https://``, ``memory://`` ...)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, cast

from retro_cli.errors import InputNotFound, MissingExtra, RetroError, UnreadableInput

_BLOCK = 1 << 20
_EXTRAS = {"http": "http", "https": "http", "s3": "s3", "gs": "gs", "gcs": "gs"}


def is_url(spec: str) -> bool:
    return "://" in spec


def listing(spec: str) -> Iterator[tuple[str, int, int]]:
    """(uri, size, mtime_ns) of the files a URL names: one file, a folder or a glob.

    Raises InputNotFound or UnreadableInput; RetroError if the place cannot be reached.
    """
    system, root = _resolve(spec)
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


def _resolve(url: str) -> tuple[Any, str]:
    if "::" in url:
        raise UnreadableInput(f"{url} is a chain of URLs", "name one file or folder")
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        protocol = url.partition("://")[0]
        if protocol in _EXTRAS:
            raise MissingExtra(f"reading {protocol}:// URLs", _EXTRAS[protocol]) from error
        raise UnreadableInput(f"cannot open {url}", str(error)) from error
    except ValueError as error:
        raise UnreadableInput(f"cannot open {url}: {error}") from error
    return system, str(path)


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
    system, path = _resolve(url)
    try:
        raw = system.open(path, "rb")
    except OSError:
        raise
    except Exception as error:
        raise RetroError(f"cannot open {url}: {error}") from error
    return cast(BinaryIO, io.BufferedReader(raw, _BLOCK))
