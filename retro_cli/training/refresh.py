"""An index in memory whose vectors follow a document encoder that learns (Guu et al. 2020, 3.3).

Every so many steps the document encoder is copied, and a thread encodes all chunks with the copy
while training goes on; when the next such step comes, its vectors take the place of the old ones.
So the index is between one and two intervals behind, whatever the machine's speed: what is found
at a step depends on the step, and a run that resumes finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from retro_cli.models.tower import Tower

Tensor = Any
Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
_ROWS = 64  # chunks encoded at once
_NOW, _NEXT, _MADE = "index.", "next.", "made"


class FreshIndex:
    """Exact search over the chunks of a database, all in memory: 4 bytes a dimension and chunk."""

    def __init__(
        self, ids: Ids, texts: Sequence[str], vectors: Floats, tower: Tower, every: int
    ) -> None:
        """ids: (n,) of the chunks, rising. vectors: (n, dim), by ``tower`` as it is now."""
        self.ids, self.texts, self.vectors = ids, texts, vectors
        self.tower, self.every = tower, every
        self.made = 0  # the step whose weights made the vectors
        self.refreshed = 0  # times
        self._now: dict[str, Tensor] = {}  # those weights; none for the first ones
        self._next: dict[str, Tensor] = {}
        self._coming: Future[Floats] | None = None
        self._thread = ThreadPoolExecutor(1)

    def at(self, step: int) -> None:
        """A step begins: put new vectors in place, and have newer ones made, if it is time."""
        if not step or step % self.every:
            return
        if self._coming is not None:
            self.vectors, self._now = self._coming.result(), self._next
            self.made = step - self.every
            self.refreshed += 1
        self._next = {name: w.detach().clone() for name, w in self.tower.weights().items()}
        self._coming = self._encode(self._next)

    def search(self, queries: Floats, k: int, without: Sequence[int]) -> list[Ids]:
        """Places in ``ids`` of the k nearest of each query, best first; fewer if there are fewer.

        without: an id for each query that it does not find; one that nobody has for none.
        """
        scores = queries @ self.vectors.T
        found = []
        for row, own in zip(scores, without, strict=True):
            row[self.ids == own] = -np.inf
            best = np.argsort(-row, kind="stable")[:k]
            found.append(best[np.isfinite(row[best])])
        return found

    def _encode(self, weights: dict[str, Tensor]) -> Future[Floats]:
        twin = self.tower.snapshot()
        with torch.no_grad():
            for name, parameter in twin.weights().items():
                parameter.copy_(weights[name])
        return self._thread.submit(encode_all, twin, self.texts)

    def state(self) -> dict[str, Tensor]:
        kept = {_NOW + name: weight for name, weight in self._now.items()}
        kept |= {_NEXT + name: weight for name, weight in self._next.items()}
        return {**kept, _MADE: torch.tensor([self.made, self.refreshed])}

    def resume(self, state: dict[str, Tensor]) -> None:
        """Make the vectors again that were in place, and those that were being made."""
        self.made, self.refreshed = state[_MADE].tolist()
        self._now = _named(state, _NOW)
        self._next = _named(state, _NEXT)
        if self._now:
            self.vectors = self._encode(self._now).result()
        if self._next:
            self._coming = self._encode(self._next)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


def encode_all(tower: Tower, texts: Sequence[str]) -> Floats:
    """(n, dim) float32 unit rows of documents."""
    with torch.no_grad():
        blocks = [
            tower.documents(texts[first : first + _ROWS]).cpu().numpy()
            for first in range(0, len(texts), _ROWS)
        ]
    return np.concatenate(blocks)


def _named(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
