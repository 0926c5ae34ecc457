"""The closed-book reader: a causal language model alone, to compare the others with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retro_cli.query.hits import Hit
from retro_cli.readers.cached import CachedNetwork
from retro_cli.readers.causal import CausalReader
from retro_cli.readers.interface import Evidence, Step


class ClosedBookReader(CausalReader):
    """Looks nothing up: it writes what the model writes."""

    def start(self, prompt: Sequence[int]) -> ClosedBookReading:
        return ClosedBookReading(self, prompt)


class ClosedBookReading:
    """The rows' tokens, and the cache of what the model has seen of them."""

    def __init__(self, reader: CausalReader, prompt: Sequence[int]) -> None:
        self._ids = [list(prompt)]
        self._network = CachedNetwork(reader.network)

    def queries(self) -> list[str]:
        return []

    def receive(self, evidence: Sequence[Evidence]) -> None:
        """There is none that it asked for."""

    def forget(self, shown: Callable[[Hit], bool]) -> None:
        """There is nothing to forget."""

    def step(self) -> Step:
        logprobs = self._network.next_logprobs(self._ids)
        return Step(logprobs, None, [None] * len(self._ids))

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> None:
        self._network.pick(parents)
        self._ids = [[*self._ids[row], token] for row, token in zip(parents, tokens, strict=True)]

    def evidence(self, row: int) -> list[Evidence]:
        return []
