"""Copies of rows elsewhere in the corpus: the same text, or nearly the same.

Near copies share most of their shingles (five tokens in a row) with what they copy. Shingles are
compared outright, which finds a copy also where other chunks begin and end than in the original;
MinHash would only tell how alike two whole chunks are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.blank import NO_HASH
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.chunks.rows import read_blocks
from retro_cli.store.tables import read_columns

Bits = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
Tokens = list[npt.NDArray[np.unsignedinteger]]

SHINGLE = 5  # tokens
SHARE = 0.8  # of a chunk's shingles that make it a near copy
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def copies_of(folder: Path, manifest: ChunkManifest, rows: Bits, how: str) -> Bits:
    """(next_id,) the rows with the text of any of ``rows``; with "near" also nearly the same."""
    found = _exact(folder, manifest, rows)
    return found | _near(folder, manifest, rows) if how == "near" else found


def _exact(folder: Path, manifest: ChunkManifest, rows: Bits) -> Bits:
    hashes = []
    for part in manifest.parts:
        mine = rows[part.base : part.base + part.rows]
        if mine.any():
            table = read_columns(folder / part.chunks_file, ["hash"])["hash"].combine_chunks()
            hashes.append(table.filter(pa.array(mine)))
    found = np.zeros(len(rows), dtype=bool)
    if hashes:
        wanted = pa.concat_arrays(hashes)
        wanted = wanted.filter(pc.not_equal(wanted, pa.scalar(NO_HASH, wanted.type)))
        for part in manifest.parts:
            column = read_columns(folder / part.chunks_file, ["hash"])["hash"]
            same = pc.is_in(column, value_set=wanted).to_numpy()
            found[part.base : part.base + part.rows] = same
    return found


def _near(folder: Path, manifest: ChunkManifest, rows: Bits) -> Bits:
    width = np.dtype(f"<u{manifest.token_bytes}")
    pieces = [np.empty(0, np.uint64)]
    for part in manifest.parts:
        mine = rows[part.base : part.base + part.rows]
        if mine.any():
            for start, tokens, runs in _tokens(folder, part, width):
                taken = mine[start : start + len(tokens)]
                pieces.append(_across(tokens, runs, taken))
    wanted = np.unique(np.concatenate(pieces))
    found = np.zeros(len(rows), dtype=bool)
    if not len(wanted):
        return found
    for part in manifest.parts:
        for start, tokens, _ in _tokens(folder, part, width):
            hashes, owner = shingles(tokens)
            at = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
            shared = np.bincount(owner, weights=wanted[at] == hashes, minlength=len(tokens))
            all_of = np.bincount(owner, minlength=len(tokens))
            copies = (all_of > 0) & (shared >= SHARE * all_of)
            found[part.base + start : part.base + start + len(tokens)] = copies
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


def shingles(tokens: Tokens) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """A hash of every run of SHINGLE tokens within a chunk, and the chunk it is in.

    A shorter chunk has none, so it is no near copy of anything.
    """
    lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
    flat = np.concatenate([*tokens, np.empty(0, np.uint16)]).astype(np.uint64)
    owner = np.repeat(np.arange(len(tokens)), lengths)
    count = max(0, len(flat) - SHINGLE + 1)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(SHINGLE):
        hashes = (hashes ^ (flat[offset : offset + count] + np.uint64(1))) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    whole = owner[:count] == owner[SHINGLE - 1 : SHINGLE - 1 + count]
    return hashes[whole], owner[:count][whole]
