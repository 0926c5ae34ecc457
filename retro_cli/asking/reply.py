"""An answer, what it cites, and the check that every quote stands in what it cites."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retro_cli.asking.quotes import find_verbatim, quoted_in, sentences
from retro_cli.asking.sentences import passage
from retro_cli.query.retrieve import Hit

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Citation:
    """number: of the passage, from 1. verbatim: whether the quote stands in it, word for word.

    start, end: its characters in the document, where it does.
    """

    number: int
    hit: Hit | None
    quote: str
    verbatim: bool
    start: int | None = None
    end: int | None = None

    def to_json(self) -> dict[str, Any]:
        hit = self.hit
        return {
            "number": self.number,
            "chunk": hit and hit.chunk,
            "document": hit and hit.document,
            "source": hit and hit.source,
            "title": hit and hit.title,
            "quote": self.quote,
            "verbatim": self.verbatim,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True)
class Reply:
    """answer: empty where the sources do not say. text: what the model wrote, as it wrote it.

    hits: what was found, in order; a citation's number counts them. confidence: from 0 to 1,
    where the way of reading has one. shown: how many of the hits the model was shown.
    """

    question: str
    answer: str
    text: str
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    confidence: float | None = None
    shown: int = 0

    @property
    def found(self) -> bool:
        return bool(self.answer)

    def to_json(self) -> dict[str, Any]:
        return {
            "question": self.question,
            "answer": self.answer,
            "found": self.found,
            "text": self.text,
            "citations": [citation.to_json() for citation in self.citations],
            "confidence": self.confidence,
            "evidence": [hit.to_json() for hit in self.hits],
        }


def cite(number: int, hits: Sequence[Hit], quote: str) -> Citation:
    """A citation of the n-th hit, checked against its text. There may be no such hit."""
    hit = hits[number - 1] if 1 <= number <= len(hits) else None
    span = None if hit is None else find_verbatim(quote, passage(hit))
    if hit is None or span is None:
        return Citation(number, hit, quote, verbatim=False)
    return Citation(number, hit, quote, True, hit.start + span[0], hit.start + span[1])


def citations_of(text: str, answer: str, hits: Sequence[Hit]) -> tuple[Citation, ...]:
    """What a written answer cites, each quote checked.

    A number without a quote is given the sentence of its passage that supports the answer, if
    there is one. An answer that cites nothing is given the first sentence that holds its words.
    """
    found = []
    for quoted in quoted_in(text):
        words = quoted.words
        if not words and 1 <= quoted.number <= len(hits):
            words = supporting(answer, passage(hits[quoted.number - 1]))
        found.append(cite(quoted.number, hits, words))
    if found:
        return tuple(found)
    for number, hit in enumerate(hits, 1):
        span = find_verbatim(answer, passage(hit)) if answer else None
        if span is not None:
            return (cite(number, hits, supporting(answer, passage(hit))),)
    return ()


def supporting(answer: str, text: str) -> str:
    """The sentence of a text that shares most words with an answer: half of them, or none."""
    wanted = set(_WORD.findall(answer.lower()))
    best, share = "", 0.0
    for start, end in sentences(text):
        words = set(_WORD.findall(text[start:end].lower()))
        mine = len(wanted & words) / max(1, len(wanted))
        if mine > share:
            best, share = text[start:end], mine
    return best if share >= 0.5 else ""
