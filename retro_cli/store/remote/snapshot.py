"""A snapshot: the files of a database by name, each with the object that holds its bytes.

``snapshots/000007.json`` is created once and never changed; the one with the highest number is the
database. ``objects/000007/<sha256>`` are the files that push number 7 brought; larger ones have a
``.blocks`` beside them, the digests of their blocks. docs/formats/object-storage.md says the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from retro_cli.errors import DatabaseTooNew, IntegrityError
from retro_cli.store.atomic import json_bytes

FORMAT = 1
HIDDEN = ".managed.json"  # the one file whose name begins with a dot: Tantivy's
SNAPSHOTS, OBJECTS = "snapshots", "objects"
_NAME = re.compile(rf"{SNAPSHOTS}/(\d{{6,}})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OBJECT = re.compile(rf"{OBJECTS}/(\d{{6,}})/([0-9a-f]{{64}})(\.blocks)?")


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the bytes of a file are. push: the number of the one that brought them; blocks: the
    sha256 of the digests of its blocks, "" where it has none."""

    push: int
    bytes: int
    sha256: str
    blocks: str = ""

    @property
    def key(self) -> str:
        return f"{OBJECTS}/{self.push:06d}/{self.sha256}"

    @property
    def blocks_key(self) -> str:
        return f"{self.key}.blocks"

    def objects(self) -> list[str]:
        return [self.key, self.blocks_key] if self.blocks else [self.key]

    def to_json(self) -> dict[str, Any]:
        value = {"push": self.push, "bytes": self.bytes, "sha256": self.sha256}
        return {**value, "blocks": self.blocks} if self.blocks else value


@dataclass(frozen=True)
class Snapshot:
    """number: one more than the one before; id: of this push alone; published: ISO 8601, UTC."""

    number: int
    id: str
    published: str
    files: Mapping[str, Stored]

    @property
    def size(self) -> int:
        return sum(file.bytes for file in self.files.values())

    def keys(self) -> set[str]:
        """Every object that it needs."""
        return {key for file in self.files.values() for key in file.objects()}

    def same_files(self, files: Mapping[str, str]) -> bool:
        """Whether it holds just these files: name -> sha256."""
        return {name: file.sha256 for name, file in self.files.items()} == dict(files)

    def to_bytes(self) -> bytes:
        return json_bytes(
            {
                "format": FORMAT,
                "number": self.number,
                "id": self.id,
                "published": self.published,
                "files": {name: file.to_json() for name, file in self.files.items()},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Snapshot:
        """Raises IntegrityError for what no push writes, such as a name that climbs out of the
        folder, and DatabaseTooNew."""
        try:
            value = json.loads(data)
            version = int(value["format"])
            if version > FORMAT:
                raise DatabaseTooNew(
                    f"{where} has format {version}; this retro reads up to {FORMAT}",
                    "upgrade: pip install --upgrade retro-cli",
                )
            files = {str(name): _stored(each) for name, each in value["files"].items()}
            check_names(files)
            return cls(int(value["number"]), str(value["id"]), str(value["published"]), files)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise IntegrityError(
                f"{where} is not a snapshot that retro push wrote ({error})",
                "nothing was read from it; push the database again from a folder that is whole",
            ) from error


def _stored(value: Mapping[str, Any]) -> Stored:
    push, size = value["push"], value["bytes"]
    sha256, blocks = value["sha256"], value.get("blocks", "")
    whole = isinstance(push, int) and push > 0 and isinstance(size, int) and size >= 0
    if not whole or not _SHA256.fullmatch(sha256) or (blocks and not _SHA256.fullmatch(blocks)):
        raise ValueError(f"{dict(value)} names no object")
    return Stored(push, size, sha256, blocks)


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError unless all are relative paths that stay below their folder, none hidden,
    and none a folder of another."""
    known = set(names)
    for name in known:
        parts = name.split("/")
        hidden = any(part.startswith(".") for part in parts[:-1]) or (
            parts[-1].startswith(".") and parts[-1] != HIDDEN
        )
        if hidden or not all(parts) or not _plain(name):
            raise ValueError(f"{name!r} is no name of a file in a database")
        if any("/".join(parts[:count]) in known for count in range(1, len(parts))):
            raise ValueError(f"{name!r} lies below another file")


def _plain(name: str) -> bool:
    return name.isprintable() and "\\" not in name and len(name) < 1000


def snapshot_key(number: int) -> str:
    return f"{SNAPSHOTS}/{number:06d}.json"


def snapshot_numbers(keys: Iterable[str]) -> list[int]:
    """The numbers of the snapshots among some keys, rising."""
    found = (_NAME.fullmatch(key) for key in keys)
    return sorted(int(match[1]) for match in found if match)


def garbage(keys: Iterable[str], number: int, needed: set[str]) -> list[str]:
    """Of the objects ``keys``, those that pushes up to ``number`` brought and nothing needs.

    needed: what snapshot ``number`` names, and older ones that are kept. It names all that a later
    one can take over from these pushes, since a push takes over from the snapshot before it and
    brings everything else itself: so these can go at any time, whoever pushes meanwhile.
    """
    found = ((key, _OBJECT.fullmatch(key)) for key in keys)
    return sorted(
        key for key, match in found if match and int(match[1]) <= number and key not in needed
    )
