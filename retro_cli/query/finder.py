"""One object that looks texts up, however that was chosen: for answers and for readers alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from retro_cli.errors import UsageError
from retro_cli.query.retrieve import Answer, Retriever
from retro_cli.query.search import Search
from retro_cli.query.select import Selection

Floats = npt.NDArray[np.float32]
Encode = Callable[[list[str]], Floats]
_NOTHING = Answer((), {})


class Finder:
    """Finds chunks for texts, in one opened generation, under one condition."""

    def __init__(
        self,
        retriever: Retriever,
        encode: Encode,
        search: Search,
        selection: Selection | None = None,
    ) -> None:
        """encode: texts -> (n, dim) float32 unit rows, or zeros for a text without words.
        selection: the rows to search among. Raises UsageError."""
        search.check()
        if not search.plain:
            raise UsageError("this way of searching", "choose --retriever dense")
        self.retriever, self.search, self.selection = retriever, search, selection
        self._encode = encode

    def __call__(self, texts: Sequence[str], k: int) -> list[Answer]:
        """Fewer than ``k`` hits if fewer may be shown; none for a text without words."""
        vectors = self._encode(list(texts))
        known = [row for row, text in enumerate(texts) if text.strip() and vectors[row].any()]
        if not known:
            return [_NOTHING] * len(texts)
        answers = dict(zip(known, self.vectors(vectors[known], k), strict=True))
        return [answers.get(row, _NOTHING) for row in range(len(texts))]

    def vectors(self, queries: Floats, k: int) -> list[Answer]:
        """The same for (n, dim) float32 unit rows."""
        search = self.search
        return self.retriever.search(
            queries, k, selection=self.selection, level=search.level, nprobe=search.nprobe
        )
