"""Which found rows may be a chunk's neighbours: none of its own document, none that copies it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.filters.copies import shingles
from retro_cli.filters.exclusion import corpus_of
from retro_cli.filters.match import document_of
from retro_cli.query.retrieve import Retriever
from retro_cli.store.tables import read_columns

Ids = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
NONE = -1
_PARTS = 8  # whose token ids are held


class Twins:
    """Rows of one generation that say the same, or belong together.

    copies: the share of a chunk's shingles from which a row that has them too is a copy of it.
    canonical: (next_id,) the row whose vector and index entry stand for each row.
    """

    def __init__(self, retriever: Retriever, copies: float) -> None:
        manifest, aliases = retriever.manifest, retriever.aliases
        self._copies = copies
        self._retriever = retriever
        self._document, _ = document_of(corpus_of(retriever.layout, manifest, aliases))
        self.canonical = aliases.representatives(manifest.next_id)
        self._shown = np.where(retriever.own, np.arange(manifest.next_id), NONE)
        # The last written wins, so the first living member is written last.
        living = retriever.own[aliases.member]
        members, stands = aliases.member[living][::-1], aliases.canonical[living][::-1]
        behind = ~retriever.own[stands]
        self._shown[stands[behind]] = members[behind]

    def shown(self, found: Ids) -> Ids:
        """The rows in whose name index entries are shown: themselves, or a living copy."""
        result = np.full_like(found, NONE)
        known = found >= 0
        result[known] = self._shown[found[known]]
        return result

    def forbidden(self, ids: Ids, found: Ids) -> Bits:
        """(n, m) which of ``found`` may not be neighbours of (n,) ``ids``; missing ones may not."""
        bad: Bits = found == NONE
        theirs = np.where(bad, NONE, self._document[found])
        for own in (ids, self.canonical[ids]):
            bad |= theirs == self._document[own][:, None]
        if self._copies < 1.0:
            for row in range(len(ids)):
                self._mark_copies(int(ids[row]), found[row], bad[row])
        return bad

    def _mark_copies(self, chunk: int, found: Ids, bad: Bits) -> None:
        mine = self._shingles(chunk)
        if not len(mine):
            return
        for column in np.flatnonzero(~bad).tolist():
            theirs = self._shingles(int(found[column]))
            bad[column] = np.isin(mine, theirs).mean() >= self._copies

    def _shingles(self, chunk: int) -> npt.NDArray[np.uint64]:
        part = self._retriever.rows.part_of(chunk)
        tokens = self._tokens(part.chunks_file)[chunk - part.base].as_py()
        width = f"<u{self._retriever.manifest.token_bytes}"
        return np.unique(shingles([np.frombuffer(tokens, width)])[0])

    @lru_cache(maxsize=_PARTS)  # noqa: B019 - it lives as long as one run
    def _tokens(self, name: str) -> Any:
        return read_columns(self._retriever.layout.chunks / name, ["tokens"])["tokens"]
