"""What was generated, token by token, and where each token looked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from retro_cli.readers.interface import Evidence, Step


@dataclass(frozen=True)
class TracedToken:
    """One generated token.

    text: what it added to the text; empty while a character is not complete.
    logprob: natural, of the model itself, before temperature and truncation.
    position: in prompt and continuation together, from 0.
    read, evidence: the look-up that it read, from 0, and what that had found.
    mass: the share of each of the hits, of the attention or as its posterior; None if not recorded.
    detail: what else the reader told of this token.
    """

    token: int
    text: str
    logprob: float
    position: int
    read: int | None = None
    evidence: Evidence | None = None
    mass: tuple[float, ...] | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, step: Step, row: int, token: int, position: int, text: str = "") -> TracedToken:
        """The token that was chosen after a step of one row."""
        logprob, shares = float(step.logprobs[row, token]), step.shares(row, token)
        detail = {} if step.detail is None else step.detail(row, token)
        return cls(token, text, logprob, position, step.read, step.evidence[row], shares, detail)

    def to_json(self, texts_of: Collection[int] = ()) -> dict[str, Any]:
        """texts_of: the chunks whose title and text are given too."""
        hits = self.evidence.hits if self.evidence else ()
        masses = self.mass or (None,) * len(hits)
        return {
            "token": self.token,
            "text": self.text,
            "logprob": self.logprob,
            "position": self.position,
            "read": self.read,
            "neighbours": [
                {
                    "chunk": hit.chunk,
                    "document": hit.document,
                    "source": hit.source,
                    "score": hit.score,
                    "mass": mass,
                    **({"title": hit.title, "text": hit.text} if hit.chunk in texts_of else {}),
                }
                for hit, mass in zip(hits, masses, strict=True)
            ],
            **self.detail,
        }


@dataclass(frozen=True)
class Continuation:
    """The tokens that follow a prompt, and all that was looked up on the way, in order."""

    tokens: list[TracedToken]
    evidence: list[Evidence]


@dataclass(frozen=True)
class Timing:
    """Seconds. total: from the prompt's tokens to the last one; retrieval: the look-ups in it."""

    retrieval: float
    total: float


@dataclass(frozen=True)
class Trace:
    """A whole continuation. ``stopped`` is "end" (of the text) or "length"."""

    prompt: str
    prompt_tokens: int
    tokens: tuple[TracedToken, ...]
    evidence: tuple[Evidence, ...]
    timing: Timing
    stopped: str

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    @property
    def logprob(self) -> float:
        """Of the whole continuation, natural."""
        return sum(token.logprob for token in self.tokens)

    def to_json(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt,
            "text": self.text,
            "tokens": [token.token for token in self.tokens],
            "logprobs": [token.logprob for token in self.tokens],
            "prompt_tokens": self.prompt_tokens,
            "stopped": self.stopped,
            "chunks": [_chunk(number, found) for number, found in enumerate(self.evidence)],
            "seconds": {"retrieval": self.timing.retrieval, "total": self.timing.total},
            "tokens_per_second": len(self.tokens) / max(self.timing.total, 1e-9),
        }


def _chunk(number: int, found: Evidence) -> dict[str, Any]:
    neighbours = [hit.to_json() for hit in found.hits]
    return {"read": number, "query": found.query, "neighbours": neighbours}
