"""The likeliest span of the sentences that are nearest to a question, and where it stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from retro_cli.asking.asked import words_of
from retro_cli.asking.belief import Belief, asked_of, priors, weight
from retro_cli.asking.reply import Reply, cite
from retro_cli.asking.sentences import Encode, Sentence, scored
from retro_cli.asking.span_reader import Span, SpanReader
from retro_cli.query.retrieve import Hit

CITED = 2  # sentences


@dataclass(frozen=True)
class Pooled:
    """Equal spans of several sentences as one answer. logprob: log p(answer | question).

    sentences: those that hold it, by what each adds to it.
    """

    text: str
    logprob: float
    sentences: tuple[Sentence, ...]


class Extracting:
    """p(y | x) = sum_z p(y, z | x) over sentences z: RAG-Sequence with sentences for documents, and
    with more than a model's word for an answer (see ``Belief``)."""

    reads = True

    def __init__(
        self, reader: SpanReader, queries: Encode, documents: Encode, belief: Belief | None = None
    ) -> None:
        """queries, documents: encode questions, and pieces of text, to unit rows."""
        self._reader = reader
        self._queries, self._documents = queries, documents
        self.belief = belief or Belief()

    def sure(self) -> Extracting:
        """The same for evidence that is known to hold the answer: it never refuses."""
        belief = replace(self.belief, least=0.0)
        return Extracting(self._reader, self._queries, self._documents, belief)

    def answer(self, question: str, hits: Sequence[Hit]) -> Reply:
        found = scored(question, hits, self._queries, self._documents)
        ranked = self._ranked(question, found)
        if not ranked:
            return Reply(question, "", "", (), tuple(hits), 0.0)
        best, confidence = ranked[0], min(1.0, max(0.0, found[0].score))
        given = best.text if confidence >= self.belief.least else ""
        cited = best.sentences[:CITED] if given else ()
        citations = tuple(cite(each.number, hits, each.text) for each in cited)
        return Reply(question, given, best.text, citations, tuple(hits), confidence)

    def nats(self, question: str, hits: Sequence[Hit], reference: str) -> float | None:
        """By the sentences' prior and the language model alone, which are probabilities."""
        found = scored(question, hits, self._queries, self._documents)
        prior = priors(question, asked_of(question, found), found, self.belief)
        if not prior:
            return None
        logprobs = self._reader.score(question, list(prior), reference)
        return -float(np.logaddexp.reduce(np.array(logprobs) + np.array(list(prior.values()))))

    def _ranked(self, question: str, found: Sequence[Sentence]) -> list[Pooled]:
        asked = asked_of(question, found)
        prior = priors(question, asked, found, self.belief)
        spans = self._reader.read(question, list(prior))
        weighed = [(weight(question, asked, prior, span, self.belief), span) for span in spans]
        return pooled(weighed, question)


def pooled(weighed: Sequence[tuple[float, Span]], question: str) -> list[Pooled]:
    """The answers, likeliest first. What mostly repeats words of the question answers nothing.

    weighed: spans with the logarithms of their weights.
    """
    asked = set(words_of(question))
    same: dict[str, list[tuple[float, Span]]] = {}
    for value, span in weighed:
        if _says_something(words := words_of(span.text)) and not _repeats(words, asked):
            same.setdefault(" ".join(words), []).append((value, span))
    found = []
    for group in same.values():
        group.sort(key=lambda pair: -pair[0])
        total = math.log(sum(math.exp(value - group[0][0]) for value, _ in group)) + group[0][0]
        places = tuple(dict.fromkeys(span.sentence for _, span in group))
        found.append(Pooled(group[0][1].text, total, places))
    return sorted(found, key=lambda each: -each.logprob)


def _says_something(words: Sequence[str]) -> bool:
    """Whether any word is a number or longer than two letters, which articles seldom are alone."""
    return any(len(word) > 2 or word.isdigit() for word in words) and words not in (
        ["the"],
        ["and"],
    )


def _repeats(words: Sequence[str], asked: set[str]) -> bool:
    """Whether all words are the question's, or most of those with more than three letters."""
    long = [word for word in words if len(word) > 3 or word.isdigit()] or words
    return set(words) <= asked or sum(word in asked for word in long) > len(long) / 2
