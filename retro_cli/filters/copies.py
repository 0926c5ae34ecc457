"""Copies of rows elsewhere in the corpus: the same text, or nearly the same.

Near copies share most of their shingles (five tokens in a row) with what they copy. While the
text is there, shingles are compared outright, which finds a copy also where other chunks begin and
end than in the original. Of a text that is gone only MinHash sketches are left, and windows of the
documents are compared with those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.blank import NO_HASH
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.chunks.rows import read_blocks
from retro_cli.filters.memory import Memory
from retro_cli.filters.sketches import (
    PERMUTATIONS,
    Sketches,
    likeness,
    sketches_of,
    window_sketches,
)
from retro_cli.store.tables import read_columns

Bits = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
Tokens = list[npt.NDArray[np.unsignedinteger]]

SHINGLE = 5  # tokens
SHARE = 0.8  # of a chunk's shingles that make it a near copy
LIKE = SHARE / (2 - SHARE)  # the same as a similarity of two sets of one size
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Originals:
    """What copies are copies of: sorted digests of texts (S16), and sorted shingles."""

    texts: npt.NDArray[np.bytes_]
    shingles: Hashes

    @classmethod
    def none(cls) -> Originals:
        return cls(np.empty(0, "S16"), np.empty(0, np.uint64))


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


def memory_of(folder: Path, manifest: ChunkManifest, rows: Bits) -> Memory:
    """What may be kept of some rows' texts when they are gone."""
    pieces, counts = [Memory.none().sketches], [Memory.none().sizes]
    width = np.dtype(f"<u{manifest.token_bytes}")
    for part in manifest.parts:
        mine = rows[part.base : part.base + part.rows]
        if not mine.any():
            continue
        for start, tokens, _ in _tokens(folder, part, width):
            taken = np.flatnonzero(mine[start : start + len(tokens)]).tolist()
            sketches, sizes = chunk_sketches([tokens[row] for row in taken])
            pieces.append(sketches[sizes > 0])
            counts.append(sizes[sizes > 0])
    texts = originals_of(folder, manifest, rows, "exact").texts
    return Memory(texts, np.concatenate(pieces), np.concatenate(counts))


def copies_of(
    folder: Path,
    manifest: ChunkManifest,
    originals: Originals,
    how: str,
    memory: Memory | None = None,
) -> Bits:
    """(next_id,) the rows with one of these texts; with "near" also nearly the same.

    memory: of originals that are not there any more
    """
    found = np.zeros(manifest.next_id, dtype=bool)
    known = memory or Memory.none()
    texts = np.union1d(originals.texts, known.texts)
    wanted = pa.array([text.ljust(16, b"\0") for text in texts], pa.binary(16))
    for part in manifest.parts:
        rows = slice(part.base, part.base + part.rows)
        if len(wanted):
            column = read_columns(folder / part.chunks_file, ["hash"])["hash"]
            found[rows] = pc.is_in(column, value_set=wanted).to_numpy()
        if how == "near" and len(originals.shingles):
            found[rows] |= _near(folder, part, manifest.token_bytes, originals.shingles)
        if how == "near" and len(known.sketches):
            found[rows] |= _like(folder, part, manifest.token_bytes, known)
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


def _like(folder: Path, part: Part, token_bytes: int, memory: Memory) -> Bits:
    """By sketches: a chunk that is like a remembered one, or lies in windows that are."""
    found = np.zeros(part.rows, dtype=bool)
    size = max(1, int(np.median(memory.sizes)))
    stride = max(1, size // 8)
    for start, tokens, documents in _tokens(folder, part, np.dtype(f"<u{token_bytes}")):
        sketches, sizes = chunk_sketches(tokens)
        like = (likeness(sketches, memory.sketches) >= LIKE) & (sizes > 0)
        hashes, document, first, last = spans(tokens, documents)
        alike = likeness(window_sketches(hashes, size, stride), memory.sketches) >= LIKE
        covered = np.zeros(len(hashes), dtype=bool)
        for begin in (np.flatnonzero(alike) * stride).tolist():
            end = begin + size // stride * stride
            if document[begin] == document[end - 1]:
                covered[begin:end] = True
        own = first == last
        shared = np.bincount(first[own & covered], minlength=len(tokens))
        like |= (sizes > 0) & (shared >= SHARE * sizes)
        found[start : start + len(tokens)] = like
    return found


def chunk_sketches(tokens: Tokens) -> tuple[Sketches, npt.NDArray[np.int64]]:
    """A sketch of each chunk and how many shingles it has; zeros for one that has none."""
    hashes, owner = shingles(tokens)
    sizes = np.bincount(owner, minlength=len(tokens)).astype(np.int64)
    found = np.zeros((len(tokens), PERMUTATIONS // 8), dtype=np.uint8)
    starts = (np.cumsum(sizes) - sizes)[sizes > 0]
    found[sizes > 0] = sketches_of(hashes, starts)
    return found, sizes


def spans(
    tokens: Tokens, documents: npt.NDArray[np.int64]
) -> tuple[Hashes, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The shingles of whole documents, also across chunks: each one's hash and document, and the
    chunks that it begins and ends in."""
    chunk = np.repeat(np.arange(len(tokens)), [len(ids) for ids in tokens])
    edges = np.flatnonzero(np.diff(documents)) + 1
    bounds = [0, *edges.tolist(), len(tokens)]
    joined = [np.concatenate(tokens[begin:end]) for begin, end in pairwise(bounds) if begin < end]
    hashes, run = shingles(joined)
    lengths = np.array([len(ids) for ids in joined], dtype=np.int64)
    places = [np.arange(max(0, length - SHINGLE + 1)) for length in lengths.tolist()]
    begins = np.repeat(np.cumsum(lengths) - lengths, [len(each) for each in places])
    at = np.concatenate([np.empty(0, np.int64), *places]) + begins
    return hashes, run, chunk[at], chunk[at + SHINGLE - 1]


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
