"""What answers questions from what was found for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from retro_cli.asking.reply import Reply
from retro_cli.query.retrieve import Hit


class Answerer(Protocol):
    """One way to answer: with spans of the evidence, a reader's own words, or a server's."""

    @property
    def reads(self) -> bool:
        """Whether it reads any evidence."""

    def answer(self, question: str, hits: Sequence[Hit]) -> Reply:
        """The answer, its citations checked; an empty one where the hits do not say."""

    def nats(self, question: str, hits: Sequence[Hit], reference: str) -> float | None:
        """- log p(reference | question, hits), natural; None where that cannot be known."""
