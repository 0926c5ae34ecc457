"""What a question's passages are: one that answers it, and some that only look as if they did.

As DPR has it (Karpukhin et al. 2020, section 3.2): hard negatives are the passages that BM25 ranks
highest and that do not hold an answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.exchange.questions import Question

Ids = npt.NDArray[np.int64]
Rank = Callable[[str, int], list[int]]  # a text -> places of the best passages, at most so many
_WORDS = re.compile(r"\w+")
_DEEP = 100  # passages that are looked through for an answer


@dataclass(frozen=True)
class Passages:
    """Chunks to learn from, each with its id, its text and the key of its document."""

    ids: Ids
    texts: Sequence[str]
    documents: Sequence[str]


@dataclass(frozen=True)
class Mined:
    """A question with places in ``Passages``: of one that answers it, and of hard negatives."""

    question: str
    positive: int
    negatives: tuple[int, ...]


class BM25:
    """Okapi BM25 over texts in memory, enough to mine with (Robertson and Zaragoza 2009)."""

    def __init__(self, texts: Sequence[str], k1: float = 0.9, b: float = 0.4) -> None:
        counts = [Counter(words(text)) for text in texts]
        lengths = np.array([max(count.total(), 1) for count in counts], dtype=np.float32)
        postings: dict[str, list[tuple[int, int]]] = {}
        for place, count in enumerate(counts):
            for word, times in count.items():
                postings.setdefault(word, []).append((place, times))
        self.size = len(texts)
        self._postings: dict[str, tuple[Ids, npt.NDArray[np.float32]]] = {}
        norm = k1 * (1 - b + b * lengths / max(float(lengths.mean()) if len(texts) else 1.0, 1.0))
        for word, listed in postings.items():
            places, times = np.array(listed, dtype=np.int64).T
            rarity = np.log(1 + (self.size - len(places) + 0.5) / (len(places) + 0.5))
            weight = rarity * times * (k1 + 1) / (times + norm[places])
            self._postings[word] = (places, weight.astype(np.float32))

    def __call__(self, query: str, k: int) -> list[int]:
        """The places of the k best, best first, ties by place; none that shares no word."""
        scores = np.zeros(self.size, dtype=np.float32)
        for word in set(words(query)):
            if word in self._postings:
                places, weights = self._postings[word]
                scores[places] += weights
        best = np.argsort(-scores, kind="stable")[:k]
        return [int(place) for place in best if scores[place] > 0]


def mine(questions: Sequence[Question], passages: Passages, rank: Rank, hard: int) -> list[Mined]:
    """Those questions that have a passage with an answer in it, with ``hard`` negatives at most.

    The positive is the highest ranked passage that holds an answer: among those of the documents
    that the question names, if it names any that are there, else among the first hundred.
    """
    of_document: dict[str, list[int]] = {}
    for place, name in enumerate(passages.documents):
        of_document.setdefault(name, []).append(place)
    normal = [normalised(text) for text in passages.texts]
    found = []
    for question in questions:
        ranked = rank(question.text, _DEEP)
        own = {place for name in question.documents for place in of_document.get(name, ())}
        answers = [normalised(answer) for answer in question.answers]
        holding = [place for place in ranked if holds(normal[place], answers)]
        mine = [place for place in holding if place in own] if own else holding
        if own and not mine:  # the question may share no word with it
            mine = [place for place in sorted(own) if holds(normal[place], answers)]
        if mine:
            others = [place for place in ranked if place not in own and place not in holding]
            found.append(Mined(question.text, mine[0], tuple(others[:hard])))
    return found


def words(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())


def normalised(text: str) -> str:
    """For matching answers: decomposed, without case, words with one space around each."""
    return f" {' '.join(words(unicodedata.normalize('NFD', text)))} "


def holds(text: str, answers: Sequence[str]) -> bool:
    """Whether a normalised text holds one of some normalised answers, as whole words."""
    return any(answer.strip() and answer in text for answer in answers)
