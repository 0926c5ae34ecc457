"""What changed between two generations: their documents, the chunks of each source, the index.

A part that both share costs nothing but a comparison of its live rows; only where these differ
is its document table read. The generations are held while they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retro_cli.chunks.changes import compare_documents
from retro_cli.chunks.live import Bits, own_live
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.errors import UsageError
from retro_cli.index.catalogue import (
    all_generations,
    excluded_rows,
    generation_chunks,
    load_generation,
)
from retro_cli.index.generation import Generation
from retro_cli.index.turnover import (
    COLUMNS,
    DocumentRows,
    Documents,
    SourceDifference,
    SourceRows,
    live_chunks,
)
from retro_cli.store.layout import Layout
from retro_cli.store.lock import ReadHold
from retro_cli.store.tables import read_columns


@dataclass(frozen=True)
class Living:
    """What is alive in a generation. ``rows``: (next_id,) whether the row's own document is."""

    chunks: ChunkManifest
    rows: Bits
    documents: int


@dataclass(frozen=True)
class Side:
    """One of the two generations. ``rows`` are those that a search may return."""

    generation: int
    documents: int
    chunks: int
    rows: int


@dataclass(frozen=True)
class Setting:
    """Something about the index that is not as it was."""

    name: str
    before: str | int | float
    after: str | int | float


@dataclass(frozen=True)
class GenerationsDifference:
    """``replaced``: the same file and key, other content. ``recut``: the same content, but its
    chunks have other ids. ``sources``: the most changed first."""

    before: Side
    after: Side
    added: Documents
    removed: Documents
    replaced: Documents
    recut: int
    sources: tuple[SourceDifference, ...]
    index: tuple[Setting, ...]

    @property
    def differs(self) -> bool:
        counts = (self.added.count, self.removed.count, self.replaced.count, self.recut)
        return bool(
            any(counts) or self.sources or self.index or self.before.rows != self.after.rows
        )


def diff_generations(
    layout: Layout, first: int, second: int, names: int = 20
) -> GenerationsDifference:
    """Compare two generations by number; up to ``names`` documents of each kind are named.

    Raises NotBuiltYet, UsageError for a number that is not there, IntegrityError.
    """
    layout.require()
    before, hold = _held(layout.index, first)
    with closing(hold):
        after, other = _held(layout.index, second)
        with closing(other):
            return _compare(layout, before, after, names)


def living(layout: Layout, generation: Generation) -> Living:
    """The one place here that says which rows and documents of a generation are alive."""
    chunks = generation_chunks(layout.index, generation)
    out = excluded_rows(layout.index, generation, chunks.next_id)
    own = own_live(chunks)
    rows = own & ~out
    documents = chunks.live_docs
    for part in chunks.parts:
        span = slice(part.base, part.base + part.rows)
        if (own[span] & out[span]).any():
            table = read_columns(layout.chunks / part.docs_file, ["first", "chunks"])
            had, has = live_chunks(table, own[span]), live_chunks(table, rows[span])
            documents -= int(((had > 0) & (has == 0)).sum())
    return Living(chunks, rows, documents)


def _held(folder: Path, number: int) -> tuple[Generation, ReadHold]:
    there = {_number(name): name for name in all_generations(folder)}
    try:
        hold = ReadHold(folder / there[number])
    except (KeyError, FileNotFoundError):
        numbers = ", ".join(map(str, sorted(there))) or "none yet: run retro index"
        raise UsageError(
            f"{folder.parent} has no generation {number}", f"there are: {numbers}"
        ) from None
    return load_generation(folder, there[number]), hold


def _number(name: str) -> int:
    return int(name.removeprefix("gen-").removesuffix(".json"))


def _compare(
    layout: Layout, before: Generation, after: Generation, names: int
) -> GenerationsDifference:
    old, new = living(layout, before), living(layout, after)
    gone, come, sources = DocumentRows(), DocumentRows(), SourceRows()
    for part, alive, now in _differing_parts(old, new):
        table = read_columns(layout.chunks / part.docs_file, COLUMNS)
        had, has = live_chunks(table, alive), live_chunks(table, now)
        sources.add(table, had, has)
        gone.add(table, (had > 0) & (has == 0))
        come.add(table, (has > 0) & (had == 0))
    changes = compare_documents([gone.old()], come.new())
    fresh = np.array(changes.positions, dtype=np.int64)
    replacing = np.isin(come.identities(fresh), changes.replaced["name"])
    return GenerationsDifference(
        before=_side(before, old),
        after=_side(after, new),
        added=come.named(fresh[~replacing], names),
        removed=gone.named(np.sort(changes.vanished["row"]), names),
        replaced=gone.named(np.sort(changes.replaced["row"]), names),
        recut=changes.kept,
        sources=sources.changed(),
        index=tuple(_index_changes(before, after)),
    )


def _side(generation: Generation, found: Living) -> Side:
    return Side(generation.number, found.documents, int(found.rows.sum()), generation.rows)


def _differing_parts(old: Living, new: Living) -> Iterator[tuple[Part, Bits, Bits]]:
    """Each part with its live rows in both, (rows,) each, where these are not the same.

    A part that only one of the two has is wholly dead in the other.
    """
    # Ids are never used again. The older file of a part still names what was blanked since.
    parts = {part.base: part for part in (*new.chunks.parts, *old.chunks.parts)}
    before = {part.base for part in old.chunks.parts}
    after = {part.base for part in new.chunks.parts}
    for identity, part in sorted(parts.items()):
        span, dead = slice(part.base, part.base + part.rows), np.zeros(part.rows, dtype=bool)
        alive = old.rows[span] if identity in before else dead
        now = new.rows[span] if identity in after else dead
        if not np.array_equal(alive, now):
            yield part, alive, now


def _index_changes(before: Generation, after: Generation) -> Iterator[Setting]:
    for name, old, new in (
        ("factory", before.plan.factory, after.plan.factory),
        ("encoder", before.encoder.name, after.encoder.name),
        ("weights", before.encoder.fingerprint()[:12], after.encoder.fingerprint()[:12]),
        ("precision", before.precision, after.precision),
        ("training", before.template.sha256[:12], after.template.sha256[:12]),
        ("rules", len(before.filtered.rules), len(after.filtered.rules)),
        ("segments", len(before.segments), len(after.segments)),
        ("nprobe", before.nprobe, after.nprobe),
        ("candidates", before.candidates, after.candidates),
        ("recall target", before.quality.target, after.quality.target),
    ):
        if old != new:
            yield Setting(name, old, new)
