"""The sentences of the evidence, ranked by how near they are to the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.asking.quotes import sentences
from retro_cli.query.retrieve import Hit

Floats = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]


@dataclass(frozen=True)
class Sentence:
    """A sentence of one hit's passage. number: the hit's, from 1. text: the sentence itself.

    context: the sentence with the one before it, which says who "she" is. score: its cosine with
    the question.
    """

    number: int
    hit: Hit
    text: str
    context: str
    score: float = 0.0


def passage(hit: Hit) -> str:
    """What is read of a hit: the chunk and its continuation."""
    return hit.text + hit.continuation


def sentences_of(hits: Sequence[Hit]) -> list[Sentence]:
    """Each sentence of each passage once: where passages overlap, of the better hit.

    A sentence that is cut by the end of a passage gives way to the whole one, if that is there.
    """
    found: list[Sentence] = []
    for number, hit in enumerate(hits, 1):
        text = passage(hit)
        before = None
        for start, end in sentences(text):
            context = text[start if before is None else before : end]
            found.append(Sentence(number, hit, text[start:end], context))
            before = start
    kept: list[Sentence] = []
    for sentence in sorted(found, key=lambda each: -len(each.text)):
        if not any(sentence.text in other.text for other in kept):
            kept.append(sentence)
    return sorted(kept, key=found.index)


def nearest(
    question: str, hits: Sequence[Hit], count: int, queries: Encode, documents: Encode
) -> list[Sentence]:
    """The ``count`` sentences nearest to the question by cosine, best first.

    queries, documents: encode questions, and pieces of text, to (n, dim) float32 unit rows.
    """
    all_of_them = sentences_of(hits)
    if not all_of_them:
        return []
    vectors = documents([_titled(sentence) for sentence in all_of_them])
    scores = vectors @ queries([question])[0]
    order = np.argsort(-scores, kind="stable")[:count]
    return [
        Sentence(s.number, s.hit, s.text, s.context, float(scores[place]))
        for place in order
        for s in (all_of_them[place],)
    ]


def _titled(sentence: Sentence) -> str:
    title = sentence.hit.title.strip()
    return f"{title}. {sentence.text}" if title and title not in sentence.text else sentence.text
