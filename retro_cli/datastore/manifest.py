"""The state of a token datastore: which chunks have keys, what made them, and the index of them.

The row ``r`` of a part is token ``base + r``, for good; ids are never used again. A part holds the
tokens of whole chunks, one chunk behind the other, so a chunk's tokens go when the chunk goes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retro_cli.errors import IntegrityError, NotBuiltYet
from retro_cli.index.generation import Segment
from retro_cli.store.atomic import read_json, write_json
from retro_cli.store.files import FileRecord, typed, whole_number

MANIFEST = "manifest.json"
MAKE = "retro datastore"


@dataclass(frozen=True)
class KeyMaker:
    """The model whose states the keys are. name: as it was given; sha256: of its weights and its
    tokenizer; window: the most tokens before a token that its key was made from."""

    name: str
    sha256: str
    dim: int
    window: int

    def fits(self, other: KeyMaker) -> bool:
        """Whether keys of both may be compared."""
        return (self.sha256, self.dim) == (other.sha256, other.dim)


@dataclass(frozen=True)
class KeyPart:
    """The keys of some chunks: a (tokens, dim) float16 .npy, and a Parquet table a row a chunk
    (``datastore/parts.py``)."""

    base: int
    tokens: int
    keys: FileRecord
    rows: FileRecord

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "keys": self.keys.to_json(), "rows": self.rows.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> KeyPart:
        files = {name: FileRecord.from_json(value[name]) for name in ("keys", "rows")}
        return cls(whole_number(value["base"]), whole_number(value["tokens"]), **files)


@dataclass(frozen=True)
class KeyIndex:
    """An inverted file by squared L2 over all tokens before ``until`` that have a key.

    rows: how many it was trained for. recall: the share of the 10 nearest keys that ``nprobe``
    lists find, against exact search, of ``queries`` stored keys.
    """

    factory: str
    exact: bool
    rows: int
    until: int
    nprobe: int
    recall: float
    queries: int
    template: FileRecord
    segments: tuple[Segment, ...]

    def files(self) -> list[FileRecord]:
        return [self.template, *(segment.file for segment in self.segments)]

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "template": self.template.to_json(),
            "segments": [segment.to_json() for segment in self.segments],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> KeyIndex:
        template = FileRecord.from_json(value["template"])
        segments = tuple(Segment.from_json(segment) for segment in value["segments"])
        return typed(cls, {**value, "template": template, "segments": segments})


@dataclass(frozen=True)
class DatastoreManifest:
    """Everything that a datastore is. next_token: the first id that no part ever used."""

    maker: KeyMaker
    parts: tuple[KeyPart, ...] = ()
    next_token: int = 0
    index: KeyIndex | None = field(default=None)

    @property
    def tokens(self) -> int:
        return sum(part.tokens for part in self.parts)

    def files(self) -> list[FileRecord]:
        parts = [file for part in self.parts for file in (part.keys, part.rows)]
        return parts + (self.index.files() if self.index else [])

    def to_json(self) -> dict[str, Any]:
        return {
            "maker": asdict(self.maker),
            "parts": [part.to_json() for part in self.parts],
            "next_token": self.next_token,
            "index": self.index.to_json() if self.index else None,
        }

    def save(self, folder: Path) -> None:
        write_json(folder / MANIFEST, self.to_json())


def load_manifest(folder: Path) -> DatastoreManifest | None:
    """The committed manifest, or None where there is no datastore. Raises IntegrityError."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        value = read_json(path)
        return DatastoreManifest(
            typed(KeyMaker, value["maker"]),
            tuple(KeyPart.from_json(part) for part in value["parts"]),
            whole_number(value["next_token"]),
            KeyIndex.from_json(value["index"]) if value["index"] else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} lacks what it should hold ({error})",
            f"remove {folder} and run {MAKE} again",
        ) from error


def require_manifest(folder: Path) -> DatastoreManifest:
    manifest = load_manifest(folder)
    if manifest is None:
        raise NotBuiltYet(f"{folder.parent} has no datastore", f"run: {MAKE} {folder.parent}")
    return manifest
