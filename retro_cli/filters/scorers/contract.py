"""What a scorer is: texts, vectors or both -> a score in [0, 1] for each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Batch:
    """The same rows as texts and as vectors; a scorer says which of them it needs.

    texts: n texts, or None where no scorer asked for them
    vectors: (n, dim) float16 rows of length one, or None likewise
    """

    texts: Sequence[str] | None
    vectors: Vectors | None

    def need_texts(self) -> Sequence[str]:
        if self.texts is None:
            raise ValueError("this scorer needs texts")
        return self.texts

    def need_vectors(self) -> Vectors:
        if self.vectors is None:
            raise ValueError("this scorer needs vectors")
        return self.vectors


class Scorer(Protocol):
    """Rates rows from 0 (harmless) to 1 (toxic). A row's score depends on that row alone."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def fingerprint(self) -> str:
        """A sha256 (hex) over weights and settings: equal fingerprints, equal scores."""

    @property
    def needs_text(self) -> bool: ...

    @property
    def needs_vectors(self) -> bool: ...

    def score(self, batch: Batch) -> Scores:
        """(n,) float32 in [0, 1]."""
