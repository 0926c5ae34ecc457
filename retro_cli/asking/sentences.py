"""The sentences of the evidence, ranked by how well they fit the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retro_cli.asking.asked import Asked
from retro_cli.asking.quotes import sentences
from retro_cli.query.retrieve import Hit

Floats = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]
WORDS = 0.5  # what sharing all words with the question weighs, against a cosine of 1
BEFORE = 0.25  # what the sentence before weighs


@dataclass(frozen=True)
class Sentence:
    """A sentence of one hit's passage. number: the hit's, from 1. text: the sentence itself.

    context: the sentence with the one before it, which says who "she" is. score: how well it fits
    the question, at most 1.
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


def scored(
    question: str, hits: Sequence[Hit], queries: Encode, documents: Encode
) -> list[Sentence]:
    """The sentences of some hits with their scores, best first.

    A sentence fits by its cosine with the question, and half of the share of the question's words
    that it holds, rare words counting more. Its score is that and a quarter of what the sentence
    before it has, divided by what they come to at most. The weights are those that found most
    answers in articles of SQuAD. queries, documents: encode questions, and pieces of text, to
    (n, dim) float32 unit rows.
    """
    found = sentences_of(hits)
    if not found:
        return []
    texts = [told(sentence) for sentence in found]
    cosines = documents(texts) @ queries([question])[0]
    fits = (cosines + WORDS * shares(question, texts)) / (1 + WORDS)
    scores = (fits + BEFORE * _before(found, fits)) / (1 + BEFORE)
    order = np.argsort(-scores, kind="stable")
    return [replace(found[place], score=float(scores[place])) for place in order.tolist()]


def _before(found: Sequence[Sentence], fits: Floats) -> Floats:
    """(sentences,) the fit of the sentence before each; of a passage's first, nine tenths of its
    own."""
    before = fits * np.float32(0.9)
    for place in range(1, len(found)):
        if found[place].number == found[place - 1].number:
            before[place] = fits[place - 1]
    return before


def shares(question: str, texts: Sequence[str]) -> Floats:
    """(texts,) float32, of the question's words those that each text holds, by what they weigh."""
    asked = Asked.of(question, texts)
    return np.array([asked.share(each) for each in texts], dtype=np.float32)


def told(sentence: Sentence) -> str:
    """A sentence with the title of its document, unless it holds that."""
    title = sentence.hit.title.strip()
    return f"{title}. {sentence.text}" if title and title not in sentence.text else sentence.text
