"""The words of a question: which of them a text holds, and how near to a place in it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
SCALE = 6.0  # words, over which nearness falls to a third
ELSEWHERE = 0.5  # what a word in the sentence before counts, against one in the sentence itself


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Asked:
    """letters: words are the same whose first so many letters are; None is all of them.

    weights: what each word of a question weighs, 1 in all; empty if no word tells texts apart.
    """

    weights: Mapping[str, float]
    letters: int | None = None

    @classmethod
    def of(cls, question: str, texts: Sequence[str], letters: int | None = None) -> Asked:
        """A word weighs log((n + 1) / (m + 1/2)) where m of n texts hold it: most if none does."""
        asked = {word[:letters] for word in words_of(question)}
        held = [{word[:letters] for word in words_of(text)} for text in texts]
        weights = {
            word: math.log((len(texts) + 1) / (sum(word in each for each in held) + 0.5))
            for word in sorted(asked)
        }
        whole = sum(weights.values())
        if whole <= 0:
            return cls({}, letters)
        return cls({word: weight / whole for word, weight in weights.items()}, letters)

    def share(self, text: str) -> float:
        """What the words weigh that a text holds, 0 to 1."""
        held = {word[: self.letters] for word in words_of(text)}
        return sum(weight for word, weight in self.weights.items() if word in held)

    def near(self, text: str, start: int, end: int, since: int = 0) -> float:
        """What the words weigh that stand around ``text[start:end]``, 0 to 1.

        One that stands n words away counts exp(-(n - 1) / 6) of its weight, and before ``since``
        half of that; of a word that is there twice, the nearer counts.
        """
        words = [(match.start(), match.group().lower()) for match in _WORD.finditer(text)]
        before = [n for n, (at, _) in enumerate(words) if at < start]
        behind = [n for n, (at, _) in enumerate(words) if at >= end]
        first, last = len(before), len(words) - len(behind) - 1
        counts: dict[str, float] = {}
        for place in (*before, *behind):
            at, word = words[place][0], words[place][1][: self.letters]
            distance = first - place if place < first else place - last
            count = math.exp(-(distance - 1) / SCALE) * (ELSEWHERE if at < since else 1.0)
            counts[word] = max(counts.get(word, 0.0), count)
        return sum(weight * counts.get(word, 0.0) for word, weight in self.weights.items())
