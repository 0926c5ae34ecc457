"""Where the passages of a rule are now: the same text, or most of it after an edit.

An edit earlier in a document moves the borders of all later chunks. So a passage that is no chunk
of its document any more is looked for by its sketch, in every window of the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.manifest import Part
from retro_cli.filters.copies import SHINGLE, Tokens, chunk_sketches, spans
from retro_cli.filters.rules import Passage
from retro_cli.filters.sketches import likeness, window_sketches
from retro_cli.store.tables import read_columns

Bits = npt.NDArray[np.bool_]
MOST = 0.4  # the similarity of a passage and a window that holds four sevenths of it
SCRAP = 0.1  # of a passage: a chunk that holds less of it stays


def sketched(tokens: npt.NDArray[np.unsignedinteger]) -> tuple[str, int]:
    """What a rule keeps of a passage's tokens: a sketch (hex) and how many shingles it had."""
    sketches, sizes = chunk_sketches([tokens])
    return (sketches[0].tobytes().hex(), int(sizes[0])) if sizes[0] else ("", 0)


def passage_rows(
    folder: Path, part: Part, token_bytes: int, passages: Sequence[Passage], own: Bits
) -> Bits:
    """(rows,) the chunks with the text of a passage of their document; where a living document
    has no such chunk, those with most of the passage. own: (rows,) of living documents."""
    documents = read_columns(folder / part.docs_file, ["uri", "key", "chunks"])
    uris = pa.array({passage.uri for passage in passages}, pa.string())
    taken = np.zeros(part.rows, dtype=bool)
    mine = np.flatnonzero(pc.is_in(documents["uri"], value_set=uris).to_numpy())
    if not len(mine):
        return taken
    hashes = read_columns(folder / part.chunks_file, ["hash"])["hash"].combine_chunks()
    counts = documents["chunks"].to_numpy().astype(np.int64)
    first = np.cumsum(counts) - counts
    names = documents.select(["uri", "key"]).take(pa.array(mine)).to_pylist()
    for passage in passages:
        same = _equal(hashes, passage)
        living = []
        for name, number in zip(names, mine.tolist(), strict=True):
            if (name["uri"], name["key"]) != (passage.uri, passage.key):
                continue
            rows = slice(first[number], first[number] + counts[number])
            taken[rows] |= same[rows]
            if own[rows].any():
                living.append(rows)
        # Of several documents without a key in one file, none is known to be the passage's.
        if len(living) == 1 and passage.sketch and not same[living[0]].any():
            taken[living[0]] |= _most(_tokens(folder, part, token_bytes, living[0]), passage)
    return taken


def _equal(hashes: pa.Array, passage: Passage) -> Bits:
    wanted = pa.scalar(bytes.fromhex(passage.hash), pa.binary(16))
    same: Bits = pc.equal(hashes, wanted).to_numpy(zero_copy_only=False)
    return same


def _tokens(folder: Path, part: Part, token_bytes: int, rows: slice) -> Tokens:
    column = read_columns(folder / part.chunks_file, ["tokens"])["tokens"]
    width = np.dtype(f"<u{token_bytes}")
    return [np.frombuffer(ids.as_py(), width) for ids in column[rows]]


def _most(tokens: Tokens, passage: Passage) -> Bits:
    """(chunks,) of one document: those that hold more than a scrap of a window that is like the
    passage, for the best window of each place."""
    taken = np.zeros(len(tokens), dtype=bool)
    hashes, _, _, _ = spans(tokens, np.zeros(len(tokens), dtype=np.int64))
    size = min(passage.shingles, len(hashes))
    if not size:
        return taken
    known = np.frombuffer(bytes.fromhex(passage.sketch), np.uint8)[None]
    alike = likeness(window_sketches(hashes, size, 1), known)
    chunk = np.repeat(np.arange(len(tokens)), [len(ids) for ids in tokens])
    length = size + SHINGLE - 1
    while alike.max() >= MOST:
        best = int(alike.argmax())
        held = np.bincount(chunk[best : best + length], minlength=len(tokens))
        taken |= held >= SCRAP * length
        alike[max(0, best - size + 1) : best + size] = -1
    return taken
