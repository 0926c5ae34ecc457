"""Which found rows may be neighbours: none of the same document, none that copies the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.dedup import first_of_equal, hash_words
from retro_cli.chunks.schema import DOCS
from retro_cli.filters.copies import shingles
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
        aliases = retriever.aliases
        self.canonical = aliases.representatives(retriever.manifest.next_id)
        self._shown = aliases.shown(retriever.own)

    def shown(self, found: Ids) -> Ids:
        """The rows in whose name index entries are shown: themselves, or a living copy."""
        result = np.full_like(found, NONE)
        known = found >= 0
        result[known] = self._shown[found[known]]
        return result


class Documents:
    """The documents of a generation, known by their texts."""

    def __init__(self, retriever: Retriever, entries: Entries) -> None:
        folder, self._own, self._entries = retriever.layout.chunks, retriever.own, entries
        hashes, firsts, counts = [], [_NO_IDS], [_NO_IDS]
        for part in retriever.manifest.parts:
            table = read_columns(folder / part.docs_file, ["text_hash", "first", "chunks"])
            some = pc.greater(table["chunks"], 0)
            table = table.filter(some)
            hashes += table["text_hash"].chunks
            firsts.append(table["first"].to_numpy().astype(np.int64) + part.base)
            counts.append(table["chunks"].to_numpy().astype(np.int64))
        self._hashes = pa.chunked_array(hashes, DOCS.field("text_hash").type)
        self._firsts, self._counts = np.concatenate(firsts), np.concatenate(counts)

    @cached_property
    def _same_text(self) -> Ids:
        """(documents,) the first chunk of the first document with each one's text."""
        words = hash_words(self._hashes)
        told = words.any(axis=1)  # what was blanked equals nothing
        member, first = first_of_equal(words[told], self._firsts[told])
        leader = self._firsts.copy()
        leader[np.searchsorted(self._firsts, member)] = first
        return leader

    def same(self, found: Ids, own: Ids) -> Bits:
        """(n, m) which index entries ``found`` stand for a row of the document of the (n,) rows
        ``own``, or of another one with its text; or are none."""
        bad: Bits = found == NONE
        mine, theirs = self._document(own), self._document(np.where(bad, own[:, None], found))
        bad |= self._same_text[theirs] == self._same_text[mine][:, None]
        # A merged row's entry is that of a row elsewhere, in a document that may say other things.
        documents, which = np.unique(mine, return_inverse=True)
        rows = [
            self._entries.canonical[first : first + count]
            for first, count in zip(self._firsts[documents], self._counts[documents], strict=True)
        ]
        total = len(self._entries.canonical)
        held = np.concatenate([number * total + entries for number, entries in enumerate(rows)])
        bad |= np.isin(which[:, None] * total + found, held)
        return bad

    def _document(self, rows: Ids) -> Ids:
        return np.searchsorted(self._firsts, rows, side="right") - 1

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
