"""The sha256 of large model files, remembered between runs.

A cold query must not read 90 MB to learn which encoder it has. A file that still has the size
and modification time it had when it was hashed is taken to be the same file. The record lies in
the user's cache folder and is a convenience: without it, files are hashed again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from retro_cli.errors import RetroError
from retro_cli.store.atomic import file_sha256, write_bytes
from retro_cli.store.cache import cache_folder

_SMALL = 4 << 20  # bytes; hashing less takes a few milliseconds


def model_sha256(path: Path, *, every_byte: bool) -> str:
    """The sha256 (hex) of a file; unless ``every_byte``, a remembered one will do."""
    status = path.stat()
    if status.st_size < _SMALL:
        return file_sha256(path)
    key, mark = str(path.resolve()), [status.st_size, status.st_mtime_ns]
    record = _read()
    known = record.get(key)
    if not every_byte and isinstance(known, list) and known[:2] == mark and len(known) == 3:
        return str(known[2])
    sha256 = file_sha256(path)
    if known != [*mark, sha256]:
        record[key] = [*mark, sha256]
        _write(record)
    return sha256


def cache_file() -> Path:
    """Where the hashes are remembered."""
    return cache_folder() / "encoders.json"


def _read() -> dict[str, Any]:
    try:
        value = json.loads(cache_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write(record: dict[str, Any]) -> None:
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(record, sort_keys=True).encode())
    except (OSError, RetroError):
        return  # a read-only or full home: hash again next time
