"""How chunks are looked up: what may be chosen, and what a chosen way promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from retro_cli.errors import NotBuiltYet, UsageError
from retro_cli.query.retrieve import Answer

DENSE, BM25, HYBRID = "dense", "bm25", "hybrid"
RETRIEVERS = (DENSE, BM25, HYBRID)
RRF, INTERPOLATE = "rrf", "interpolate"
FUSIONS = (RRF, INTERPOLATE)
LEVELS = ("chunk", "doc")

# Answers to some texts, in their order, of at most so many hits each.
Find = Callable[[Sequence[str], int], list[Answer]]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Search:
    """How hits are found and ranked. The default is the nearest chunks by cosine.

    retriever: of RETRIEVERS. fusion: how hybrid joins its two rankings, of FUSIONS. weight: of
    the dense score, where scores are interpolated. rerank: a model that scores the best hits
    again, by name or folder; "" for none. mmr: maximal marginal relevance, the weight of relevance
    against novelty; None for relevance alone. per_document: at most so many hits of one document.
    level: chunk, or doc for each document once. nprobe: lists to probe instead of the tuned number.
    """

    retriever: str = DENSE
    fusion: str = RRF
    weight: float = 0.5
    rerank: str = ""
    mmr: float | None = None
    per_document: int | None = None
    level: str = "chunk"
    nprobe: int | None = None

    def check(self) -> None:
        """Raises UsageError for what cannot be chosen."""
        _one_of("--retriever", self.retriever, RETRIEVERS)
        _one_of("--fusion", self.fusion, FUSIONS)
        _one_of("--level", self.level, LEVELS)
        _share("--weight", self.weight)
        if self.mmr is not None:
            _share("--mmr", self.mmr)
        if self.per_document is not None and self.per_document < 1:
            raise UsageError(f"--per-document {self.per_document}", "allow one at the least")

    @property
    def plain(self) -> bool:
        """Whether the index alone gives the ranking."""
        again = self.rerank or self.mmr is not None or self.per_document is not None
        return self.retriever == DENSE and not again


def hybrid_if_there(look: Callable[[Search], Found]) -> Found:
    """Hybrid search, or dense search of a database that has no lexical index."""
    try:
        return look(Search(HYBRID))
    except NotBuiltYet:
        return look(Search(DENSE))


def _one_of(flag: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{flag} {value}", f"choose one of {', '.join(choices)}")


def _share(flag: str, value: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise UsageError(f"{flag} {value:g}", "choose a number from 0 to 1")
