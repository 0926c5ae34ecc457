"""Immutable files known by size and sha256, and the cheap check that they are still those.

A rerun must not read a terabyte to learn that nothing changed. ``Verified`` remembers, for
each file whose bytes have been hashed, the size and modification time it had then. The cache
is a convenience: without it the files are hashed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from retro_cli.store.atomic import file_sha256, write_bytes
from retro_cli.store.here import here
from retro_cli.wording import counted

Made = TypeVar("Made")
_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file by name (relative to its stage's folder), size in bytes and sha256 (hex)."""

    name: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        return cls(path.name, path.stat().st_size, file_sha256(path))

    def to_json(self) -> dict[str, str | int]:
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: dict[str, str | int]) -> FileRecord:
        """Raises KeyError, TypeError or ValueError for what is no record of a file beside it."""
        name = plain_name(value["name"])
        return cls(name, whole_number(value["bytes"]), str(value["sha256"]))


def plain_name(value: object) -> str:
    """A name from a manifest, which may be anybody's. Raises ValueError if it leads elsewhere."""
    if not isinstance(value, str) or not value or value in (".", "..") or set(value) & set("/\\\0"):
        raise ValueError(f"{value!r} is no name of a file")
    return value


def whole_number(value: object) -> int:
    """A count or a place from a manifest. Raises ValueError for what is none."""
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r} is no count")
    return value


def typed(kind: type[Made], value: Mapping[str, Any]) -> Made:
    """``kind(**value)`` for a dataclass whose plain fields have to be of their types.

    Raises TypeError for other fields, ValueError for other types; a whole number is a float too.
    """
    made = kind(**value)
    for each in fields(kind):  # type: ignore[arg-type]
        found = getattr(made, each.name)
        wanted = _PLAIN.get(str(each.type))
        if wanted and (
            not isinstance(found, wanted) or isinstance(found, bool) != (wanted == (bool,))
        ):
            raise ValueError(f"{each.name} is {found!r}")
    return made


class Verified:
    """Remembers which files of a folder have been seen to match their record."""

    CACHE = ".verified.json"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / self.CACHE
        self._changed = False
        self._seen: dict[str, list[int | str]] = {}
        try:
            loaded = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            loaded = {}
        if isinstance(loaded, dict):
            self._seen = {k: v for k, v in loaded.items() if isinstance(v, list) and len(v) == 2}

    def problem(self, record: FileRecord, *, every_byte: bool = False) -> str:
        """Why the file is not what ``record`` says, or "" if it is."""
        path = self.folder / record.name
        try:
            status = here(path).stat()
        except OSError:
            return f"{record.name} is missing"
        if status.st_size != record.bytes:
            return (
                f"{record.name} has {counted(status.st_size, 'byte')} instead of {record.bytes:,}"
            )
        known: list[int | str] = [record.sha256, status.st_mtime_ns]
        if not every_byte and self._seen.get(record.name) == known:
            return ""
        if file_sha256(path) != record.sha256:
            self._changed |= self._seen.pop(record.name, None) is not None
            return f"{record.name} has other bytes than were written (sha256 differs)"
        self._remember(record.name, known)
        return ""

    def trust(self, record: FileRecord) -> None:
        """Note a file that this process has just written and hashed."""
        status = (self.folder / record.name).stat()
        self._remember(record.name, [record.sha256, status.st_mtime_ns])

    def knows(self, record: FileRecord) -> bool:
        return self._seen.get(record.name, [""])[0] == record.sha256

    def _remember(self, name: str, known: list[int | str]) -> None:
        if self._seen.get(name) != known:
            self._seen[name] = known
            self._changed = True

    def save(self, keep: set[str] | None = None) -> None:
        """Write the cache; files that are not in ``keep`` are no longer part of the stage."""
        kept = {name: seen for name, seen in self._seen.items() if keep is None or name in keep}
        if self._changed or kept.keys() != self._seen.keys():
            write_bytes(self._path, json.dumps(kept, sort_keys=True).encode())
            self._seen, self._changed = kept, False
