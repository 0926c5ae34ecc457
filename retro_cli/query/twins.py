"""Which found rows may be neighbours: none of the same document, none that copies the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.schema import DOCS
from retro_cli.filters.copies import shingles
from retro_cli.filters.exclusion import corpus_of
from retro_cli.filters.match import document_of
from retro_cli.query.retrieve import Retriever
from retro_cli.store.tables import read_columns

Ids = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
Tokens = npt.NDArray[np.unsignedinteger[Any]]
NONE = -1
_NO_IDS = np.empty(0, np.int64)
_PARTS = 8  # whose token ids are held


class Entries:
    """Index entries, and the rows in whose names they are shown.

    canonical: (next_id,) the row whose vector and index entry stand for each row.
    """

    def __init__(self, retriever: Retriever) -> None:
        aliases, rows = retriever.aliases, retriever.manifest.next_id
        self.canonical = aliases.representatives(rows)
        self._shown = np.where(retriever.own, np.arange(rows), NONE)
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


class Documents:
    """Which document each row of a generation belongs to."""

    def __init__(self, retriever: Retriever) -> None:
        corpus = corpus_of(retriever.layout, retriever.manifest, retriever.aliases)
        self._document, _ = document_of(corpus)

    def same(self, found: Ids, *own: Ids) -> Bits:
        """(n, m) which of ``found`` belong to a document of the (n,) rows ``own``, or are none."""
        bad: Bits = found == NONE
        theirs = np.where(bad, NONE, self._document[found])
        for rows in own:
            bad |= theirs == self._document[rows][:, None]
        return bad


class EqualDocuments:
    """The documents of a generation, known by their texts."""

    def __init__(self, retriever: Retriever, entries: Entries) -> None:
        folder, self._own, self._entries = retriever.layout.chunks, retriever.own, entries
        hashes, firsts, counts = [], [_NO_IDS], [_NO_IDS]
        for part in retriever.manifest.parts:
            table = read_columns(folder / part.docs_file, ["text_hash", "first", "chunks"])
            hashes += table["text_hash"].chunks
            firsts.append(table["first"].to_numpy().astype(np.int64) + part.base)
            counts.append(table["chunks"].to_numpy().astype(np.int64))
        self._hashes = pa.chunked_array(hashes, DOCS.field("text_hash").type)
        self._firsts, self._counts = np.concatenate(firsts), np.concatenate(counts)

    def entries(self, texts: Sequence[bytes]) -> dict[bytes, Ids]:
        """The index entries that stand for any row of a document with one of these texts' hashes,
        by that hash: also where another document's row is indexed in its place."""
        wanted = pa.array(sorted(set(texts)), self._hashes.type)
        found: dict[bytes, Ids] = {}
        for document in np.flatnonzero(pc.is_in(self._hashes, value_set=wanted).to_numpy()):
            rows = self._firsts[document] + np.arange(self._counts[document])
            mine = self._entries.canonical[rows[self._own[rows]]]
            text = self._hashes[document].as_py()
            found[text] = np.union1d(found.get(text, _NO_IDS), mine)
        return found


class StoredTokens:
    """The token ids of a generation's rows, as they were chunked."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._width = f"<u{retriever.manifest.token_bytes}"

    def __call__(self, row: int) -> Tokens:
        part = self._retriever.rows.part_of(row)
        return np.frombuffer(self._column(part.chunks_file)[row - part.base].as_py(), self._width)

    @lru_cache(maxsize=_PARTS)  # noqa: B019 - it lives as long as one run
    def _column(self, name: str) -> Any:
        return read_columns(self._retriever.layout.chunks / name, ["tokens"])["tokens"]


class Copies:
    """Rows that repeat most of a text: that have ``share`` or more of its runs of five tokens."""

    def __init__(self, share: float, tokens: Callable[[int], Tokens]) -> None:
        """tokens: the token ids of a row. A share of 1.0 takes nothing for a copy."""
        self._share, self._tokens = share, tokens

    def mark(self, texts: Callable[[int], Tokens], found: Ids, bad: Bits) -> None:
        """Set (n, m) ``bad`` where a row of ``found`` copies the n-th of the texts' tokens."""
        if self._share >= 1.0:
            return
        for row in range(len(found)):
            mine = _distinct(texts(row))
            for column in np.flatnonzero(~bad[row]).tolist() if len(mine) else ():
                theirs = _distinct(self._tokens(int(found[row, column])))
                bad[row, column] = np.isin(mine, theirs).mean() >= self._share


def _distinct(tokens: Tokens) -> npt.NDArray[np.uint64]:
    return np.unique(shingles([tokens])[0])
