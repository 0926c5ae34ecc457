"""What can be chosen of kNN-LM (Khandelwal et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from retro_cli.errors import UsageError

AUTO, LOCAL, DATASTORE = "auto", "local", "datastore"


@dataclass(frozen=True)
class Votes:
    """weight: lambda of the paper, the share of the neighbours' vote in the next token.

    temperature: distances are divided by it; the paper's is 1, later work takes more. k: nearest
    tokens that vote. keys: made from the retrieved chunks, or of the datastore; "auto" is the
    datastore where there is one. Raises UsageError.
    """

    weight: float = 0.25
    temperature: float = 1.0
    k: int = 64
    keys: str = AUTO

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight < 1.0:
            raise UsageError(f"--lambda {self.weight:g}", "a share from 0 on, below 1")
        if not 0.0 < self.temperature < float("inf"):
            raise UsageError(f"--knn-temperature {self.temperature:g}", "a number above 0")
        if self.k < 1:
            raise UsageError(f"--knn-k {self.k}", "let at least one token vote")
        if self.keys not in (AUTO, LOCAL, DATASTORE):
            raise UsageError(f"--knn-keys {self.keys}", f"choose {AUTO}, {LOCAL} or {DATASTORE}")

    def changed(self, values: Mapping[str, Any]) -> Votes:
        """A copy with some values put in."""
        return replace(self, **values)
