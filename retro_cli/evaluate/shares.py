"""A random share of a database's documents, as a mask: nothing is built anew."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.evaluate.text import EvaluationText
from retro_cli.filters.exclusion import corpus_of
from retro_cli.filters.match import document_of
from retro_cli.query.overfetch import surviving
from retro_cli.query.retrieve import Retriever
from retro_cli.query.twins import Documents, Entries

Ids = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
_BLOCK = 1024  # chunks searched together


def share_mask(document: Ids, own: Bits, aliases: Aliases, share: float, seed: int) -> Bits:
    """(next_id,) index entries of a share of the living documents; a larger one holds a smaller.

    document: (next_id,) numbers, -1 where there is no row. own: (next_id,) rows that may be
    shown. share: in (0, 1]. An entry that stands for merged rows is in if any of them is.
    """
    living = np.unique(document[own & (document >= 0)])
    order = np.random.default_rng(seed).permutation(living)
    chosen = np.zeros(int(document.max(initial=-1)) + 1, dtype=bool)
    chosen[order[: math.ceil(share * len(order))]] = True
    mask: Bits = own & (document >= 0)
    mask[mask] = chosen[document[mask]]
    entries = mask.copy()
    entries[aliases.canonical[mask[aliases.member]]] = True
    return entries


class ShareLookup:
    """Neighbours of a text's chunks among a share of the documents, by the vectors it was given."""

    def __init__(self, retriever: Retriever, texts: Sequence[bytes]) -> None:
        """texts: the hash of each document's text; what has the same text is no neighbour of it."""
        corpus = corpus_of(retriever.layout, retriever.manifest, retriever.aliases)
        self._document = document_of(corpus)[0]
        self._retriever, self._texts = retriever, texts
        self._entries = Entries(retriever)
        self._equal = Documents(retriever, self._entries).entries(texts)

    def neighbours(self, text: EvaluationText, k: int, share: float, seed: int) -> Ids:
        """(n, k) chunk ids, best first, -1 where there are fewer."""
        aliases, own = self._retriever.aliases, self._retriever.own
        mask = share_mask(self._document, own, aliases, share, seed)
        found = [
            self._block(text, np.arange(first, min(first + _BLOCK, text.rows)), k, mask)
            for first in range(0, text.rows, _BLOCK)
        ]
        return np.concatenate(found)

    def _block(self, text: EvaluationText, rows: Ids, k: int, mask: Bits) -> Ids:
        barred = [self._equal.get(self._texts[number]) for number in text.document[rows].tolist()]

        def keep(asked: Ids, found: Ids) -> Ids:
            found = found.copy()
            for place, row in enumerate(asked.tolist()):
                if (entries := barred[row]) is not None:
                    found[place, np.isin(found[place], entries)] = -1
            return self._entries.shown(found)

        vectors = text.vectors[rows].astype(np.float32)
        neighbours, _ = surviving(self._retriever, vectors, k, keep, mask)
        neighbours[~vectors.any(axis=1)] = -1
        return neighbours
