"""Exact duplicates: which rows say the same as an earlier row, and what a merged row stands for.

The first row with a text (by id, over every part ever kept) is its canonical row: it alone is
embedded and indexed, and it lives while any row that it stands for lives. Ids only grow, so a
canonical row stays one, and merging later rows never costs a new vector. Rows that were blanked
(a hash of zeros) equal nothing: then the next row with their text takes their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retro_cli.chunks.inputs import write_table
from retro_cli.chunks.manifest import Part
from retro_cli.chunks.piles import Piles, piles_for
from retro_cli.store.files import FileRecord
from retro_cli.store.scratch import Scratch
from retro_cli.store.tables import read_columns

Ids = npt.NDArray[np.int64]
# A document, or a chunk: the hash of its text, its id (of its first chunk) and how many chunks.
_TEXT = np.dtype([("hash", "u8", (2,)), ("id", "i8"), ("chunks", "i4")])

SCHEMA = pa.schema([("member", pa.int64()), ("canonical", pa.int64())])


@dataclass(frozen=True)
class Aliases:
    """Merged rows, sorted by member: row ``member[i]`` is represented by ``canonical[i]``."""

    member: Ids
    canonical: Ids

    @classmethod
    def none(cls) -> Aliases:
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    def representatives(self, next_id: int) -> Ids:
        """(next_id,) the row whose vector and index entry stand for each row: itself, mostly."""
        rows = np.arange(next_id, dtype=np.int64)
        rows[self.member] = self.canonical
        return rows

    def members_of(self, canonical: int) -> list[int]:
        return [int(m) for m in self.member[self.canonical == canonical]]

    def shown(self, own: npt.NDArray[np.bool_]) -> Ids:
        """(next_id,) the row in whose name an index entry is shown: itself, or the first living
        row that it stands for; -1 for none. own: (next_id,) rows that may be shown."""
        result = np.where(own, np.arange(len(own), dtype=np.int64), -1)
        # The last written wins, so the first living member is written last.
        living = own[self.member]
        members, stands = self.member[living][::-1], self.canonical[living][::-1]
        behind = ~own[stands]
        result[stands[behind]] = members[behind]
        return result

    def save(self, folder: Path) -> FileRecord | None:
        if not len(self.member):
            return None
        table = pa.table([self.member, self.canonical], schema=SCHEMA)
        return write_table(folder, "aliases", SCHEMA, [table])

    @classmethod
    def load(cls, folder: Path, record: FileRecord | None) -> Aliases:
        if record is None:
            return cls.none()
        table = read_columns(folder / record.name)
        return cls(table["member"].to_numpy(), table["canonical"].to_numpy())


@dataclass(frozen=True)
class Duplicates:
    aliases: Aliases
    docs: int
    rows: int


def find_duplicates(folder: Path, parts: Sequence[Part], level: str) -> Duplicates:
    """Group equal texts over all parts. ``level`` is none, document or chunk.

    With ``none`` the duplicates are counted, but no row is merged.
    """
    doc_member, doc_canonical, lengths = _equal_documents(folder, parts)
    rows = int(lengths.sum())
    if level == "none":
        return Duplicates(Aliases.none(), len(doc_member), rows)
    if level == "chunk":
        member, canonical = _equal_chunks(folder, parts)
        rows = len(member)
    else:
        within = np.arange(rows) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        member = np.repeat(doc_member, lengths) + within
        canonical = np.repeat(doc_canonical, lengths) + within
    order = np.argsort(member, kind="stable")
    return Duplicates(Aliases(member[order], canonical[order]), len(doc_member), rows)


def first_of_equal(hashes: npt.NDArray[np.uint64], ids: Ids) -> tuple[Ids, Ids]:
    """(member, canonical) for every id whose 16-byte hash an earlier id has. hashes: (n, 2)."""
    order = np.lexsort((ids, hashes[:, 1], hashes[:, 0]))
    sorted_hashes, sorted_ids = hashes[order], ids[order]
    new = np.ones(len(ids), dtype=bool)
    new[1:] = (sorted_hashes[1:] != sorted_hashes[:-1]).any(axis=1)
    leader = sorted_ids[np.maximum.accumulate(np.where(new, np.arange(len(ids)), 0))]
    return sorted_ids[~new], leader[~new]


def _equal_documents(folder: Path, parts: Sequence[Part]) -> tuple[Ids, Ids, Ids]:
    """Documents by the id of their first chunk: (member, canonical, chunks of the member)."""
    piles = Piles(Scratch(folder), _TEXT, piles_for(sum(part.written.docs for part in parts)))
    for part in parts:
        table = read_columns(folder / part.docs_file, ["text_hash", "first", "chunks"])
        firsts = table["first"].to_numpy().astype(np.int64) + part.base
        _deal(piles, table["text_hash"], firsts, table["chunks"].to_numpy())
    found = [_equal_texts(pile) for pile in piles]
    member, canonical, lengths = (np.concatenate(columns) for columns in zip(*found, strict=True))
    return member, canonical, lengths


def _equal_chunks(folder: Path, parts: Sequence[Part]) -> tuple[Ids, Ids]:
    piles = Piles(Scratch(folder), _TEXT, piles_for(sum(part.rows for part in parts)))
    for part in parts:
        hashes = read_columns(folder / part.chunks_file, ["hash"])["hash"]
        _deal(piles, hashes, np.arange(part.rows) + part.base, np.ones(part.rows, np.int32))
    found = [_equal_texts(pile) for pile in piles]
    return np.concatenate([m for m, _, _ in found]), np.concatenate([c for _, c, _ in found])


def _deal(piles: Piles, hashes: pa.ChunkedArray, ids: Ids, chunks: npt.NDArray[np.int32]) -> None:
    """Texts without chunks, and those that were blanked, equal nothing and are left out."""
    words = hash_words(hashes)
    mine = (chunks > 0) & words.any(axis=1)
    texts = np.empty(int(mine.sum()), _TEXT)
    texts["hash"], texts["id"], texts["chunks"] = words[mine], ids[mine], chunks[mine]
    piles.add(texts, texts["hash"][:, 0])


def _equal_texts(pile: npt.NDArray[np.void]) -> tuple[Ids, Ids, Ids]:
    ids = pile["id"]
    member, canonical = first_of_equal(pile["hash"], ids)
    by_id = np.argsort(ids, kind="stable")
    where = by_id[np.searchsorted(ids[by_id], member)]
    return member, canonical, pile["chunks"][where].astype(np.int64)


def hash_words(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """A fixed 16-byte column as (rows, 2) uint64."""
    arrays = [
        np.frombuffer(chunk.buffers()[1], np.uint64)[2 * chunk.offset :][: 2 * len(chunk)]
        for chunk in column.chunks
    ]
    flat = np.concatenate(arrays) if arrays else np.empty(0, np.uint64)
    return flat.reshape(-1, 2)
