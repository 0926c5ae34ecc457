"""The state of the chunk stage: which parts there are, their ids, and which rows have died."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retro_cli.chunks.part import WrittenPart
from retro_cli.errors import IntegrityError, NotBuiltYet
from retro_cli.store.atomic import read_json, write_json
from retro_cli.store.files import FileRecord, whole_number

Ranges = tuple[tuple[int, int], ...]  # (first, count), ascending, disjoint
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Part:
    """A chunk part in place: row ``r`` is chunk id ``base + r``, for good."""

    written: WrittenPart
    base: int
    item: int  # which piece of which run's plan it came from
    dead_rows: Ranges = ()
    dead_docs: Ranges = ()

    @property
    def name(self) -> str:
        return self.written.name

    @property
    def rows(self) -> int:
        return self.written.rows

    @property
    def chunks_file(self) -> str:
        return self.written.files[0].name

    @property
    def docs_file(self) -> str:
        return self.written.files[1].name

    @property
    def live_rows(self) -> int:
        return self.rows - sum(count for _, count in self.dead_rows)

    @property
    def live_docs(self) -> int:
        return self.written.docs - sum(count for _, count in self.dead_docs)

    def to_json(self) -> dict[str, Any]:
        return {
            **self.written.to_json(),
            "base": self.base,
            "item": self.item,
            "dead_rows": [list(pair) for pair in self.dead_rows],
            "dead_docs": [list(pair) for pair in self.dead_docs],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Part:
        """Raises KeyError, TypeError or ValueError for what is no part."""
        written = WrittenPart.from_json(value)
        return cls(
            written,
            whole_number(value["base"]),
            whole_number(value["item"]),
            _ranges(value["dead_rows"], written.rows),
            _ranges(value["dead_docs"], written.docs),
        )


@dataclass(frozen=True)
class ChunkManifest:
    """Everything later stages need to know about the chunks. Parts are in id order.

    next_id, next_item: first chunk id and plan number not used by any part, past ones included
    token_bytes:        2 or 4, the width of a stored token id
    inputs, aliases:    side tables by file (see ``inputs.py`` and ``dedup.py``)
    """

    fingerprint: str
    tokenizer_sha256: str
    token_bytes: int
    dedup: str = "none"
    parts: tuple[Part, ...] = ()
    next_id: int = 0
    next_item: int = 0
    inputs: FileRecord | None = None
    aliases: FileRecord | None = None
    duplicate_docs: int = 0
    duplicate_rows: int = 0
    rejected: int = 0

    @property
    def live_rows(self) -> int:
        return sum(part.live_rows for part in self.parts)

    @property
    def live_docs(self) -> int:
        return sum(part.live_docs for part in self.parts)

    def files(self) -> list[FileRecord]:
        side = [file for file in (self.inputs, self.aliases) if file is not None]
        return [file for part in self.parts for file in part.written.files] + side

    def seen_by_index(self) -> ChunkManifest:
        """The manifest without what no search depends on: equal ones need no new generation."""
        return replace(self, inputs=None, rejected=0)

    def to_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "tokenizer_sha256": self.tokenizer_sha256,
            "token_bytes": self.token_bytes,
            "dedup": self.dedup,
            "parts": [part.to_json() for part in self.parts],
            "next_id": self.next_id,
            "next_item": self.next_item,
            "inputs": self.inputs.to_json() if self.inputs else None,
            "aliases": self.aliases.to_json() if self.aliases else None,
            "duplicate_docs": self.duplicate_docs,
            "duplicate_rows": self.duplicate_rows,
            "rejected": self.rejected,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ChunkManifest:
        """Raises KeyError, TypeError or ValueError for what is no manifest."""
        plain: dict[str, Any] = {}
        counts = ("next_id", "next_item", "duplicate_docs", "duplicate_rows", "rejected")
        words = ("fingerprint", "tokenizer_sha256", "dedup")
        plain.update({name: whole_number(value[name]) for name in counts})
        plain.update({name: str(value[name]) for name in words})
        if value["token_bytes"] not in (2, 4):
            raise ValueError(f"tokens of {value['token_bytes']!r} bytes")
        parts = tuple(Part.from_json(part) for part in value["parts"])
        _check_ids(parts, whole_number(value["next_id"]))
        return cls(
            **plain,
            token_bytes=value["token_bytes"],
            parts=parts,
            inputs=FileRecord.from_json(value["inputs"]) if value["inputs"] else None,
            aliases=FileRecord.from_json(value["aliases"]) if value["aliases"] else None,
        )

    def save(self, folder: Path) -> None:
        write_json(folder / MANIFEST, self.to_json())


def _ranges(value: Any, rows: int) -> Ranges:
    """Ranges of a manifest. Raises ValueError for what does not lie within ``rows``."""
    ranges = tuple((whole_number(first), whole_number(count)) for first, count in value)
    if any(first + count > rows for first, count in ranges):
        raise ValueError(f"dead rows behind the last of {rows}")
    return ranges


def _check_ids(parts: tuple[Part, ...], next_id: int) -> None:
    """Raises ValueError if two parts claim an id, or one an id that was not given yet."""
    ends = [0, *(part.base + part.rows for part in parts)]
    starts = [*(part.base for part in parts), next_id]
    if any(end > start for end, start in zip(ends, starts, strict=True)):
        raise ValueError("ids of parts overlap")


def load_manifest(folder: Path) -> ChunkManifest | None:
    """The committed manifest, or None before the first one. Raises IntegrityError."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return ChunkManifest.from_json(read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} lacks what it should hold ({error})", "restore it from a backup"
        ) from error


def require_manifest(folder: Path) -> ChunkManifest:
    manifest = load_manifest(folder)
    if manifest is None:
        raise NotBuiltYet(
            f"{folder.parent} holds no chunks yet",
            f"run: retro chunk INPUT --db {folder.parent}",
        )
    return manifest


def with_dead(part: Part, rows: Iterable[tuple[int, int]], docs: Iterable[int]) -> Part:
    """The part with more rows (as ranges) and documents (by row) dead."""
    return replace(
        part,
        dead_rows=merge_ranges([*part.dead_rows, *rows]),
        dead_docs=merge_ranges([*part.dead_docs, *((doc, 1) for doc in docs)]),
    )


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sort and join ranges that touch or overlap; empty ones vanish."""
    merged: list[tuple[int, int]] = []
    for first, count in sorted(ranges):
        if count <= 0:
            continue
        if merged and first <= sum(merged[-1]):
            begin = merged[-1][0]
            merged[-1] = (begin, max(sum(merged[-1]), first + count) - begin)
        else:
            merged.append((first, count))
    return tuple(merged)
