"""What the decoding loop, the readers and the retrievers know of each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from retro_cli.query.retrieve import Hit

Tensor = Any


@dataclass(frozen=True)
class Evidence:
    """What one query found, best first.

    query: the text that was looked up. hits: at most k, higher scores first.
    tokens: (hits, r) int32, each hit's chunk and continuation as the reader's tokens, -1 behind;
    (hits, 0) for a reader that does not ask for them. metric: what the scores are, "cosine" or as
    the retriever names it.
    """

    query: str
    hits: tuple[Hit, ...]
    tokens: npt.NDArray[np.int32]
    metric: str = "cosine"


@dataclass(frozen=True)
class Step:
    """What a reader makes of the tokens so far, for each of its rows.

    logprobs: (rows, vocabulary) float32, natural logarithms, of the next token.
    read: the number of the look-up whose evidence the step read, from 0; None without any.
    evidence: that evidence, row by row. mass: (rows, k) float32, the share of the attention that
    each hit got; None if it was not asked for, or nothing was there to read.
    joint: (rows, k, vocabulary) float32, for a mixture over its hits: log p(hit) + log p(token |
    hit), whose softmax over the hits is the posterior of each, given the token.
    detail: what else a reader can say of one row and the token chosen for it, for the trace.
    """

    logprobs: Tensor
    read: int | None
    evidence: Sequence[Evidence | None]
    mass: Tensor | None = None
    joint: Tensor | None = None
    detail: Callable[[int, int], Mapping[str, Any]] | None = None

    def shares(self, row: int, token: int) -> tuple[float, ...] | None:
        """Of each hit of a row in its next token: of the attention, or its posterior."""
        evidence = self.evidence[row]
        if evidence is None:
            return None
        if self.joint is not None:
            posterior = self.joint[row, : len(evidence.hits), token].softmax(dim=-1)
            return tuple(posterior.tolist())
        if self.mass is None:
            return None
        return tuple(self.mass[row, : len(evidence.hits)].tolist())


class Retriever(Protocol):
    """Where evidence comes from."""

    def search(self, queries: Sequence[str], k: int) -> list[Evidence]:
        """The evidence of each query, found together; fewer than ``k`` hits if there are fewer."""


@runtime_checkable
class RenewedRetriever(Retriever, Protocol):
    """One whose database may change while a text is written."""

    def renewed(self) -> Callable[[Hit], bool] | None:
        """Whether a hit of before may be shown still; None where nothing has changed."""


class Reading(Protocol):
    """One prompt under way, as rows that continue it differently: one row, or a row a beam."""

    def queries(self) -> list[str]:
        """What has to be looked up before the next step, row after row; often nothing."""

    def receive(self, evidence: Sequence[Evidence]) -> None:
        """The answers to ``queries``, in its order."""

    def forget(self, shown: Callable[[Hit], bool]) -> None:
        """Where a hit that was read may not be shown any more, go on as if nothing had been
        read: no later step is conditioned by it, and ``queries`` asks for everything anew."""

    def step(self) -> Step:
        """The next token's distribution, given all tokens so far."""

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> None:
        """Row i becomes row ``parents[i]`` and ``tokens[i]``: rows may end, and may fork."""

    def evidence(self, row: int) -> list[Evidence]:
        """All that a row has received, in order."""


@runtime_checkable
class ReadingByDocument(Reading, Protocol):
    """One that can also be asked what each document alone would make of the prompt."""

    def log_prior(self) -> Tensor:
        """(documents,) float32, log p(z | x)."""

    def alone(self) -> Sequence[Reading]:
        """A reading of the prompt for each document, from its beginning."""

    def whole(self, document: int, targets: Sequence[Sequence[int]]) -> Tensor:
        """(targets, longest) float32, log p(y_i | x, z, y_<i) of texts; 0 behind the end of one."""


class Reader(Protocol):
    """A language model that reads what a retriever finds."""

    @property
    def k(self) -> int:
        """Hits a look-up."""

    @property
    def ends(self) -> Collection[int]:
        """The tokens that end a text."""

    @property
    def longest(self) -> int | None:
        """Most tokens of prompt and continuation together; None where there is no such limit."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a prompt."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Their text, without special tokens; U+FFFD where a character is cut."""

    def start(self, prompt: Sequence[int]) -> Reading:
        """Begin to read. prompt: at least one token."""
