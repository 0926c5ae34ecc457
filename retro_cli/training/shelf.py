"""A database as what a reader in training looks its questions up in: index and vectors stay."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retro_cli.errors import UsageError
from retro_cli.query.retrieve import Retriever
from retro_cli.training.rag import Found

Floats = npt.NDArray[np.float32]


class DatabaseShelf:
    """Rules hold: what a filter keeps out is not found in training either."""

    def __init__(self, retriever: Retriever) -> None:
        """Raises UsageError for a database with nothing to find."""
        self.retriever = retriever
        live = retriever.live()
        self.documents = int(live.sum())
        if not self.documents:
            raise UsageError("the database has no chunk that may be shown", "index some documents")
        self._stands = retriever.aliases.representatives(retriever.manifest.next_id)

    def find(self, queries: Floats, k: int) -> list[Found]:
        """queries: (n, dim) unit rows."""
        return [
            Found(answer.hits, self.vectors([hit.chunk for hit in answer.hits]))
            for answer in self.retriever.search(queries, k)
        ]

    def vectors(self, chunks: list[int]) -> Floats:
        """(n, dim) the stored vectors of chunks, merged ones by the row that stands for them."""
        wanted = np.array(chunks, dtype=np.int64)
        return self.retriever.vectors.gather(self._stands[wanted])
