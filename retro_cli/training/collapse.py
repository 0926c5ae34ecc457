"""Whether retrieval still depends on what is asked (Lewis et al. 2020, appendix H).

Retrieval collapses when the same documents come back whatever the input; the reader then learns to
ignore them. What is measured over a window of look-ups is exp(I(x; z)), the mutual information of
input and document: the effective number of documents that all look-ups use together, divided by
the (geometric) mean of what one of them uses. It is 1 when every input gets the same documents
with the same weights, and the number of inputs when no two share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from retro_cli.events import SILENT, Progress
from retro_cli.models.marginal import effective_documents

Tensor = Any
WINDOW = 64  # look-ups
_ENOUGH = 16  # of them to judge by
NONE = -1 << 40  # an id that no document has, not even a null document
_LOST = 0.25  # of what a run's first window had: less is a collapse
_SAME = 1.5  # and so is this from the beginning, where more would be possible


@dataclass(frozen=True)
class Spread:
    """Of a window of look-ups. together: effective documents of all of them; each: of one, on
    average; apart: their ratio. possible: what ``apart`` could be at most. first: ``apart`` of the
    run's first whole window."""

    together: float
    each: float
    possible: float
    first: float

    @property
    def apart(self) -> float:
        return self.together / self.each

    @property
    def collapsed(self) -> bool:
        """A quarter of the run's first variety is left, or there never was any."""
        lost = self.apart - 1 < _LOST * (self.first - 1) and self.first > 2 * _SAME
        return lost or (self.apart < _SAME and self.possible > 2 * _SAME)

    def words(self) -> str:
        return (
            f"{self.together:.1f} documents answer all questions of a window and {self.each:.1f} "
            f"one of them: {self.apart:.1f} times as many (at first {self.first:.1f})"
        )


class Window:
    """The last look-ups of a run."""

    def __init__(
        self, size: int = WINDOW, *, documents: int | None = None, inputs: int | None = None,
        progress: Progress = SILENT,
    ) -> None:  # fmt: skip
        """documents, inputs: how many there are to find and to ask, if that is known. progress: is
        warned once."""
        self.size, self.documents, self.inputs = size, documents, inputs
        self.progress, self.warned = progress, False
        self.first = 0.0
        self.ids = torch.empty((0, 0), dtype=torch.int64)
        self.weights = torch.empty((0, 0))

    def add(self, ids: Tensor, weights: Tensor) -> None:
        """ids: (b, k) int64, NONE where there is none. weights: (b, k) p(z | x)."""
        ids, weights = ids.detach().cpu(), weights.detach().float().cpu()
        if self.ids.shape[1] != ids.shape[1]:
            self.ids, self.weights = ids[:0], weights[:0]
        self.ids = torch.cat([self.ids, ids])[-self.size :]
        self.weights = torch.cat([self.weights, weights])[-self.size :]
        if not self.first and len(self.ids) == self.size:
            self.first = self.spread().apart
        if len(self.ids) == self.size and self.collapsed and not self.warned:
            self.warned = True
            self.progress.warn(f"retrieval collapses: {self.spread().words()}")

    @property
    def collapsed(self) -> bool:
        """Whether the last look-ups, if they are enough, found the same whatever was asked."""
        return len(self.ids) >= min(self.size, _ENOUGH) and self.spread().collapsed

    def spread(self) -> Spread:
        """Of what the window holds: at least one look-up."""
        each = float(effective_documents(self.weights).log().mean().exp())
        _, places = np.unique(self.ids.numpy(), return_inverse=True)
        shares = torch.zeros(int(places.max()) + 1).index_add(
            0, torch.from_numpy(places.reshape(-1)), self.weights.reshape(-1)
        )
        together = float(effective_documents(shares / shares.sum()))
        possible = float(min(len(self.ids), self.inputs or len(self.ids)))
        if self.documents is not None:
            possible = min(possible, self.documents / each)
        return Spread(together, each, possible, self.first or together / each)

    def state(self) -> dict[str, Tensor]:
        facts = torch.tensor([self.first, float(self.warned)], dtype=torch.float64)
        return {"ids": self.ids, "weights": self.weights, "facts": facts}

    def resume(self, state: dict[str, Tensor]) -> None:
        self.ids, self.weights = state["ids"], state["weights"]
        self.first, self.warned = float(state["facts"][0]), bool(state["facts"][1])
