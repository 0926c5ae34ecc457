"""Turn a condition on documents into the rows that may be returned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import living_documents
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.chunks.where import Condition, any_of, field_names
from retro_cli.errors import UsageError
from retro_cli.store.tables import read_columns
from retro_cli.wording import near

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """Rows that a condition lets through.

    own:    (next_id,) rows whose own live document matches
    search: the same, with the row that stands for a merged row in its place too
    """

    own: Bits
    search: Bits


@dataclass(frozen=True)
class SourceCount:
    """One source with its live documents and chunks; of the chunks, those that rules keep out."""

    source: str
    docs: int
    chunks: int
    filtered: int = 0


def matching_rows(
    folder: Path,
    manifest: ChunkManifest,
    aliases: Aliases,
    own: Bits,
    sources: Sequence[str],
    conditions: Sequence[Condition],
) -> Selection:
    """The rows whose live document matches any of the sources and every condition.

    Raises UsageError if no live document is of such a source or has such a field, naming near ones.
    """
    mine = np.zeros(manifest.next_id, dtype=bool)
    named = any_of(sources)
    seen: set[str] = set()
    unknown = list(conditions)
    for part in manifest.parts:
        for document in _documents(folder, part, bool(conditions)):
            seen.add(document["source"])
            unknown = [condition for condition in unknown if not condition.known_to(document)]
            if sources and not named(document["source"]):
                continue
            if all(condition.matches(document) for condition in conditions):
                first = part.base + document["first"]
                mine[first : first + document["chunks"]] = True
    _require_sources(sources, seen)
    if seen and unknown:
        raise _unknown_field(folder, manifest, unknown[0].field)
    mine &= own
    search = mine.copy()
    search[aliases.canonical[mine[aliases.member]]] = True
    return Selection(mine, search)


def _documents(folder: Path, part: Part, whole: bool) -> Iterator[dict[str, Any]]:
    """The live documents of a part; ``whole``: with all that a condition may name."""
    columns = ["source", "first", "chunks", *(["document", "title", "metadata"] if whole else [])]
    table = read_columns(folder / part.docs_file, columns)
    yield from table.filter(pa.array(living_documents(part))).to_pylist()


def _require_sources(wanted: Sequence[str], known: set[str]) -> None:
    for source in wanted:
        if not any(map(any_of([source]), known)):
            hint = near(source, sorted(known), "retro sources lists them")
            raise UsageError(f"no source matches '{source}'", hint)


def _unknown_field(folder: Path, manifest: ChunkManifest, name: str) -> UsageError:
    known: dict[str, None] = {}
    for part in manifest.parts:
        for document in _documents(folder, part, True):
            known.update(dict.fromkeys(field_names(document)))
    hint = near(name, known, "retro show prints the fields of a chunk's document as metadata")
    return UsageError(f"no document has a field '{name}'", hint)


def shown_documents(folder: Path, manifest: ChunkManifest, own: Bits) -> set[str]:
    """The ids of the documents that have a chunk that may be shown. own: (next_id,)."""
    names: set[str] = set()
    for part in manifest.parts:
        table = read_columns(folder / part.docs_file, ["document", "chunks"])
        counts = table["chunks"].to_numpy()
        owner = np.repeat(np.arange(len(counts)), counts)
        shown = np.unique(owner[own[part.base : part.base + part.rows]])
        names.update(table["document"].take(pa.array(shown)).to_pylist())
    return names


def count_sources(folder: Path, manifest: ChunkManifest, excluded: Bits) -> list[SourceCount]:
    """Live documents and chunks of each source, the largest first. excluded: (next_id,)."""
    docs: dict[str, int] = {}
    chunks: dict[str, int] = {}
    filtered: dict[str, int] = {}
    for part in manifest.parts:
        table = read_columns(folder / part.docs_file, ["source", "chunks"])
        alive = living_documents(part)
        names, counts = table["source"].to_pylist(), table["chunks"].to_numpy()
        owner = np.repeat(np.arange(len(counts)), counts)
        out = excluded[part.base : part.base + part.rows]
        gone = np.bincount(owner, weights=out, minlength=len(counts))
        for index in np.flatnonzero(alive).tolist():
            name = names[index]
            docs[name] = docs.get(name, 0) + 1
            chunks[name] = chunks.get(name, 0) + int(counts[index])
            filtered[name] = filtered.get(name, 0) + int(gone[index])
    found = [SourceCount(name, docs[name], chunks[name], filtered[name]) for name in docs]
    return sorted(found, key=lambda source: (-source.chunks, source.source))
