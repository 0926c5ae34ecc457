"""The gold chunk of a question: the one of its documents that holds the answer."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow.compute as pc

from retro_cli.asking.sentences import passage, shares
from retro_cli.evaluate.answers import contains
from retro_cli.exchange.questions import Question
from retro_cli.query.retrieve import Hit, Retriever
from retro_cli.store.tables import read_columns


class GoldChunks:
    """The chunks of the documents that questions name, as far as they may be shown."""

    def __init__(self, retriever: Retriever, questions: Iterable[Question]) -> None:
        """A document goes by its name, or by the end of its path."""
        self._retriever = retriever
        wanted = {name for question in questions for name in question.documents}
        self._rows = _rows_by_document(retriever, wanted)

    def of(self, question: Question) -> tuple[Hit, ...]:
        """One hit, or none where no chunk of the named documents holds an answer.

        Of several, one that holds it itself goes before one whose continuation does; then that
        which shares most words with the question.
        """
        rows = [row for name in question.documents for row in self._rows.get(name, ())]
        hits = [hit for hit in map(self._hit, rows) if contains(passage(hit), question.answers)]
        if not hits:
            return ()
        shared = shares(question.text, [passage(hit) for hit in hits])
        best = max(
            range(len(hits)),
            key=lambda n: (contains(hits[n].text, question.answers), float(shared[n])),
        )
        return (hits[best],)

    def _hit(self, row: int) -> Hit:
        (chunk,) = self._retriever.rows.get([row])
        continues = chunk.has_next and self._retriever.own[row + 1]
        after = self._retriever.rows.get([row + 1])[0].text if continues else ""
        return Hit(
            rank=1, score=1.0, chunk=row, document=chunk.document, source=chunk.source,
            title=chunk.title, text=chunk.text, continuation=after, start=chunk.start,
            end=chunk.end, position=chunk.position,
        )  # fmt: skip


def same_document(name: str, document: str) -> bool:
    """Whether a question means a document: its name, or the end of its path."""
    return document == name or document.endswith("/" + name)


def _rows_by_document(retriever: Retriever, wanted: set[str]) -> dict[str, list[int]]:
    """The rows of each wanted document that may be shown, in order."""
    found: dict[str, list[int]] = {}
    for part in retriever.manifest.parts:
        if not part.live_rows:
            continue
        folder = retriever.layout.chunks
        column = read_columns(folder / part.chunks_file, ["document"])["document"]
        names = pc.unique(column).to_pylist()
        own = retriever.own[part.base : part.base + part.rows]
        for name in names:
            means = [each for each in wanted if same_document(each, name)]
            if not means:
                continue
            rows = np.flatnonzero(pc.equal(column, name).to_numpy(zero_copy_only=False) & own)
            for each in means:
                found.setdefault(each, []).extend((part.base + rows).tolist())
    return found
