"""Copies of rows elsewhere in the corpus: the same text, or nearly the same.

Near copies share most of their shingles (five tokens in a row) with what they copy. Shingles are
compared outright, which finds a copy also where other chunks begin and end than in the original;
MinHash would only tell how alike two whole chunks are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.blank import NO_HASH
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.chunks.rows import read_blocks
from retro_cli.store.atomic import write_bytes
from retro_cli.store.layout import Layout
from retro_cli.store.tables import read_columns

Bits = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
Tokens = list[npt.NDArray[np.unsignedinteger]]

SHINGLE = 5  # tokens
SHARE = 0.8  # of a chunk's shingles that make it a near copy
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Originals:
    """What copies are copies of: sorted digests of texts (S16), and sorted shingles."""

    texts: npt.NDArray[np.bytes_]
    shingles: Hashes

    @classmethod
    def none(cls) -> Originals:
        return cls(np.empty(0, "S16"), np.empty(0, np.uint64))

    def __or__(self, other: Originals) -> Originals:
        return Originals(
            np.union1d(self.texts, other.texts), np.union1d(self.shingles, other.shingles)
        )


def remembered(layout: Layout, rule: int) -> Originals:
    """The originals of a rule whose text has left the disk since."""
    path = _memory(layout, rule)
    if not path.is_file():
        return Originals.none()
    with np.load(path, allow_pickle=False) as found:
        return Originals(found["texts"], found["shingles"])


def remember(layout: Layout, rule: int, originals: Originals) -> None:
    """Keep digests of a rule's originals: their copies stay out when their text is gone."""
    buffer = io.BytesIO()
    known = remembered(layout, rule) | originals
    np.savez(buffer, texts=known.texts, shingles=known.shingles)
    write_bytes(_memory(layout, rule), buffer.getvalue())


def _memory(layout: Layout, rule: int) -> Path:
    return layout.filters / f"originals-{rule:06d}.npz"


def originals_of(folder: Path, manifest: ChunkManifest, rows: Bits, how: str) -> Originals:
    """The digests of some rows' texts, and with "near" their shingles too."""
    texts, pieces = [np.empty(0, "S16")], [np.empty(0, np.uint64)]
    width = np.dtype(f"<u{manifest.token_bytes}")
    for part in manifest.parts:
        mine = rows[part.base : part.base + part.rows]
        if not mine.any():
            continue
        table = read_columns(folder / part.chunks_file, ["hash"])["hash"].combine_chunks()
        table = table.filter(pa.array(mine))
        table = table.filter(pc.not_equal(table, pa.scalar(NO_HASH, table.type)))
        texts.append(np.array(table.to_pylist(), "S16"))
        if how == "near":
            for start, tokens, documents in _tokens(folder, part, width):
                pieces.append(_across(tokens, documents, mine[start : start + len(tokens)]))
    return Originals(np.unique(np.concatenate(texts)), np.unique(np.concatenate(pieces)))


def copies_of(folder: Path, manifest: ChunkManifest, originals: Originals, how: str) -> Bits:
    """(next_id,) the rows with one of these texts; with "near" also nearly the same."""
    found = np.zeros(manifest.next_id, dtype=bool)
    wanted = pa.array([text.ljust(16, b"\0") for text in originals.texts], pa.binary(16))
    for part in manifest.parts:
        rows = slice(part.base, part.base + part.rows)
        if len(wanted):
            column = read_columns(folder / part.chunks_file, ["hash"])["hash"]
            found[rows] = pc.is_in(column, value_set=wanted).to_numpy()
        if how == "near" and len(originals.shingles):
            found[rows] |= _near(folder, part, manifest.token_bytes, originals.shingles)
    return found


def _near(folder: Path, part: Part, token_bytes: int, wanted: Hashes) -> Bits:
    found = np.zeros(part.rows, dtype=bool)
    for start, tokens, _ in _tokens(folder, part, np.dtype(f"<u{token_bytes}")):
        hashes, owner = shingles(tokens)
        at = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
        shared = np.bincount(owner, weights=wanted[at] == hashes, minlength=len(tokens))
        all_of = np.bincount(owner, minlength=len(tokens))
        found[start : start + len(tokens)] = (all_of > 0) & (shared >= SHARE * all_of)
    return found


def _across(tokens: Tokens, documents: npt.NDArray[np.int64], taken: Bits) -> Hashes:
    """The shingles of the taken chunks, also those that cross from one into the next."""
    runs = np.cumsum(np.append(True, (np.diff(documents) != 0) | ~(taken[1:] & taken[:-1])))
    joined = [
        np.concatenate([tokens[row] for row in np.flatnonzero((runs == run) & taken)])
        for run in np.unique(runs[taken])
    ]
    return np.unique(shingles(joined)[0])


def _tokens(
    folder: Path, part: Part, width: np.dtype[np.unsignedinteger]
) -> Iterator[tuple[int, Tokens, npt.NDArray[np.int64]]]:
    """(first row, token ids of each chunk, their documents), some thousand rows at a time."""
    start = 0
    for batch in read_blocks(folder / part.chunks_file, ["tokens", "doc"]):
        ids = [np.frombuffer(ids, width) for ids in batch["tokens"].to_pylist()]
        yield start, ids, batch["doc"].to_numpy().astype(np.int64)
        start += len(batch)


def shingles(
    tokens: Sequence[npt.NDArray[np.integer]], size: int = SHINGLE
) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """A hash of every run of ``size`` tokens within a chunk, and the chunk it is in.

    A shorter chunk has none, so it is no near copy of anything.
    """
    lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
    flat = np.concatenate([*tokens, np.empty(0, np.uint16)]).astype(np.uint64)
    owner = np.repeat(np.arange(len(tokens)), lengths)
    count = max(0, len(flat) - size + 1)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        hashes = (hashes ^ (flat[offset : offset + count] + np.uint64(1))) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    whole = owner[:count] == owner[size - 1 : size - 1 + count]
    return hashes[whole], owner[:count][whole]
