"""What a search answers with: hits, and how they were found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """A hit's place in one of the rankings that made the result, from 1, and its score there."""

    name: str
    rank: int
    score: float


@dataclass(frozen=True)
class Hit:
    """One result. ``score`` is the answer's metric, the cosine if no other was asked for; ``also``
    are other documents with the same text; ``parts`` says where the score comes from."""

    rank: int
    score: float
    chunk: int
    document: str
    source: str
    title: str
    text: str
    continuation: str
    start: int
    end: int
    position: int
    also: tuple[tuple[str, str], ...] = ()
    parts: tuple[Part, ...] = ()

    def to_json(self) -> dict[str, Any]:
        value = asdict(self)
        value["also"] = [{"document": d, "source": s} for d, s in self.also]
        if not self.parts:
            del value["parts"]
        return value


@dataclass(frozen=True)
class Answer:
    """The hits of one query, and how they were found. ``metric``: what their scores are."""

    hits: tuple[Hit, ...]
    explanation: dict[str, Any]
    metric: str = "cosine"
