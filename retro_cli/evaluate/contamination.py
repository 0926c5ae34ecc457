"""Documents to be evaluated that the database already holds, or nearly.

Borgeaud et al. 2021 (section 2.6) take out what has a 13-gram Jaccard similarity of 0.8 or more
with anything in the database. Here both sides are compared outright, by the hashes of all their
13-grams, over the database's own tokens; no candidate is missed, whatever the index finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.rows import read_blocks
from retro_cli.filters.copies import shingles
from retro_cli.query.retrieve import Retriever

Ids = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.integer]
GRAM = 13
LIMIT = 0.8


@dataclass(frozen=True)
class NearCopy:
    """``document``: which of the evaluated ones; ``chunk``: the first of its copy's chunks."""

    document: int
    chunk: int
    jaccard: float


def grams(tokens: Numbers) -> Hashes:
    """(distinct,) the sorted hashes of all runs of 13 tokens; a shorter text is one run."""
    if len(tokens) < GRAM:
        tokens = np.concatenate([tokens, np.full(GRAM - len(tokens), np.iinfo(np.int32).max)])
    return np.unique(shingles([tokens.astype(np.int64)], GRAM)[0])


def near_copies(
    texts: Sequence[Numbers], documents: Iterable[tuple[int, Numbers]], limit: float = LIMIT
) -> list[NearCopy]:
    """For each text that has one, the document with the highest Jaccard similarity from ``limit``.

    texts: (tokens,) each, without empty ones. documents: (first chunk, (tokens,)) each.
    """
    mine = [grams(text) for text in texts]
    sizes = np.array([len(hashes) for hashes in mine], dtype=np.int64)
    every = np.concatenate([*mine, np.empty(0, np.uint64)])
    owner = np.repeat(np.arange(len(mine)), sizes)
    order = np.argsort(every, kind="stable")
    every, owner = every[order], owner[order]
    best: dict[int, NearCopy] = {}
    for chunk, tokens in documents:
        theirs = grams(tokens)
        first, last = np.searchsorted(every, theirs), np.searchsorted(every, theirs, side="right")
        common = np.bincount(owner[_spans(first, last)], minlength=len(mine))
        jaccard = common / (sizes + len(theirs) - common)
        for text in np.flatnonzero(jaccard >= limit).tolist():
            if text not in best or jaccard[text] > best[text].jaccard:
                best[text] = NearCopy(text, chunk, float(jaccard[text]))
    return [best[text] for text in sorted(best)]


def _spans(first: Ids, last: Ids) -> Ids:
    """The numbers of all ranges [first, last), one after the other."""
    counts = last - first
    kept = counts > 0
    first, counts = first[kept], counts[kept]
    ends = np.cumsum(counts)
    spans: Ids = np.arange(int(counts.sum())) + np.repeat(first - ends + counts, counts)
    return spans


def database_documents(retriever: Retriever) -> Iterator[tuple[int, Numbers]]:
    """(id of the first, (tokens,) of all) chunks that may be shown, of every document with any."""
    width = np.dtype(f"<u{retriever.manifest.token_bytes}")
    for part in retriever.manifest.parts:
        held: list[Numbers] = []
        current, first, row = -1, part.base, part.base
        for batch in read_blocks(retriever.layout.chunks / part.chunks_file, ["doc", "tokens"]):
            for document, ids in zip(
                batch["doc"].to_pylist(), batch["tokens"].to_pylist(), strict=True
            ):
                if document != current:
                    if held:
                        yield first, np.concatenate(held)
                    held, current = [], document
                if retriever.own[row]:
                    first = first if held else row
                    held.append(np.frombuffer(ids, width))
                row += 1
        if held:
            yield first, np.concatenate(held)
