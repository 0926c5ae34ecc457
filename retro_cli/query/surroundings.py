"""A chunk in its document, with the chunks around it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from retro_cli.chunks.rows import Chunk
from retro_cli.query.retrieve import Retriever


@dataclass(frozen=True)
class Surroundings:
    """document: its row. around: the chunk among its neighbours in the document, in order; the
    texts of those not in ``shown`` are for nobody but the owner of the database."""

    chunk: Chunk
    document: dict[str, Any]
    around: tuple[Chunk, ...]
    shown: frozenset[int]

    @property
    def alive(self) -> bool:
        """Whether an answer may show the chunk."""
        return self.chunk.id in self.shown

    def to_json(self, everything: bool = False) -> dict[str, Any]:
        """everything: also the texts that no answer may show."""
        return {
            **self.document,
            "metadata": json.loads(self.document["metadata"]),
            "chunk": self.chunk.id,
            "alive": self.alive,
            "around": [
                {
                    "chunk": each.id,
                    "start": each.start,
                    "end": each.end,
                    "text": each.text if everything or each.id in self.shown else None,
                }
                for each in self.around
            ],
        }


def surroundings(retriever: Retriever, chunk: int, context: int) -> Surroundings:
    """A chunk, and ``context`` chunks before and after it. Raises UsageError for an unknown id."""
    (wanted,) = retriever.rows.get([chunk])
    document = retriever.rows.document(chunk)
    first = max(document["first"], chunk - context)
    last = min(document["first"] + document["chunks"] - 1, chunk + context)
    around = retriever.rows.get(range(first, last + 1))
    shown = frozenset(each.id for each in around if retriever.own[each.id])
    return Surroundings(wanted, document, tuple(around), shown)
