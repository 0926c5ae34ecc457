"""How likely an answer is: a log-linear model over its sentence, its passage and itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retro_cli.asking.asked import Asked
from retro_cli.asking.form import best_fit, fit
from retro_cli.asking.sentences import Sentence, passage, told
from retro_cli.asking.span_reader import Span

LETTERS = 4  # words are the same that begin alike, as "build" and "builder"


@dataclass(frozen=True)
class Belief:
    """The weights of what speaks for an answer, and when it is given.

    p(y, z | x) is proportional to the exponential of their sum, over the sentences z that are read
    and their spans y. They are the likeliest for SQuAD's answers among the sentences that a hybrid
    search found for 199 questions to 20 articles.

    sentences: how many are read at most. score: of the sentence. rank: -log of its passage's.
    covered: the share of the question's words that the passage holds. read: log p(y | x, z) of the
    language model, over its tokens to the power of ``length``, since in a sum every further word
    counts against an answer. fit: whether it is a number, a date or a name where the question asks
    for one. near: the share of the question's words around it.
    least: the confidence, which is the best sentence's score, below which no answer is given, and
    the sources are said not to hold it: of SQuAD's questions a twentieth stay below where the
    article is there, and five sixths where it is not.
    """

    sentences: int = 10
    score: float = 11.0
    rank: float = 1.5
    covered: float = 1.6
    read: float = 0.7
    length: float = 0.5
    fit: float = 1.1
    near: float = 9.0
    least: float = 0.35


def asked_of(question: str, found: Sequence[Sentence]) -> Asked:
    """The question's words, weighed by the sentences that were found for it."""
    return Asked.of(question, [told(each) for each in found], LETTERS)


def priors(
    question: str, asked: Asked, found: Sequence[Sentence], belief: Belief
) -> dict[Sentence, float]:
    """log p(z | x) of the sentences that are to be read, which sum to 1.

    Those are read of which a span could weigh most, whatever a language model said of it.
    """

    def most(weight: float, each: Sentence) -> float:
        fits = belief.fit * best_fit(question, each.text)
        return weight + fits + belief.near * asked.share(told(each))

    weighed = [
        (
            belief.score * each.score
            - belief.rank * math.log(each.number)
            + belief.covered * asked.share(f"{each.hit.title} {passage(each.hit)}"),
            each,
        )
        for each in found
    ]
    kept = sorted(weighed, key=lambda pair: -most(*pair))[: belief.sentences]
    whole = float(np.logaddexp.reduce([weight for weight, _ in kept])) if kept else 0.0
    return {each: weight - whole for weight, each in kept}


def weight(
    question: str, asked: Asked, prior: Mapping[Sentence, float], span: Span, belief: Belief
) -> float:
    """The logarithm of what a span weighs as an answer, up to a constant of the question."""
    return (
        prior[span.sentence]
        + belief.read * span.logprob / math.pow(span.tokens, belief.length)
        + belief.fit * fit(question, span.text)
        + belief.near * _near(asked, span)
    )


def _near(asked: Asked, span: Span) -> float:
    """The most of the places where a span stands in its sentence; 0 if it is spelled otherwise."""
    sentence = span.sentence
    since = max(0, sentence.context.rfind(sentence.text))
    places, at = [], sentence.context.find(span.text, since)
    while at >= 0:
        places.append(at)
        at = sentence.context.find(span.text, at + 1)
    ends = [(place, place + len(span.text)) for place in places]
    return max((asked.near(sentence.context, *each, since) for each in ends), default=0.0)
