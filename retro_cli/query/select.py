"""Turn a condition on documents into the rows that may be returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.chunks.where import Condition
from retro_cli.errors import UsageError
from retro_cli.store.tables import read_columns

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
    """The rows whose document matches any source glob and every condition.

    Raises UsageError if no source matches a glob, naming near ones.
    """
    mine = np.zeros(manifest.next_id, dtype=bool)
    seen: set[str] = set()
    for part in manifest.parts:
        columns = ["source", "first", "chunks"]
        if conditions:
            columns += ["document", "title", "metadata"]
        documents = read_columns(folder / part.docs_file, columns).to_pylist()
        for document in documents:
            seen.add(document["source"])
            if _matches(document, sources, conditions):
                first = part.base + document["first"]
                mine[first : first + document["chunks"]] = True
    for glob in sources:
        if not any(fnmatchcase(source, glob) for source in seen):
            near = get_close_matches(glob, sorted(seen), n=3, cutoff=0.4)
            hint = f"near: {', '.join(near)}" if near else "retro sources lists them"
            raise UsageError(f"no source matches '{glob}'", hint)
    mine &= own
    search = mine.copy()
    search[aliases.canonical[mine[aliases.member]]] = True
    return Selection(mine, search)


def _matches(
    document: dict[str, Any], sources: Sequence[str], conditions: Sequence[Condition]
) -> bool:
    if sources and not any(fnmatchcase(document["source"], glob) for glob in sources):
        return False
    return all(condition.matches(document) for condition in conditions)


def count_sources(folder: Path, manifest: ChunkManifest, excluded: Bits) -> list[SourceCount]:
    """Live documents and chunks of each source, the largest first. excluded: (next_id,)."""
    docs: dict[str, int] = {}
    chunks: dict[str, int] = {}
    filtered: dict[str, int] = {}
    for part in manifest.parts:
        table = read_columns(folder / part.docs_file, ["source", "chunks"])
        alive = np.ones(part.written.docs, dtype=bool)
        for first, count in part.dead_docs:
            alive[first : first + count] = False
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
