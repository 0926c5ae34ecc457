"""A lexical model: the weights of a text's words, word pairs and letter sequences, added up.

Features are 32-bit hashes of words, pairs of neighbouring words, and letter sequences within a
word, so the table of weights holds no readable words. Letter sequences carry over to words that
the training never saw (fastText, Bojanowski et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zlib import crc32

import numpy as np
import numpy.typing as npt

from retro_cli.filters.scorers.linear import Logits
from retro_cli.filters.scorers.tokens import words

LETTERS = (3, 4, 5)
_LONGEST = 40  # letters; a longer "word" is an encoded file or a line of dashes
_CACHED = 1 << 17  # words; a vocabulary's common part, some 20 MB


def word_keys(word: str) -> list[int]:
    """The hashes of a word and of the letter sequences in it, its ends marked."""
    marked = f"<{word[:_LONGEST]}>"
    parts = [
        "#" + marked[start : start + size]
        for size in LETTERS
        for start in range(len(marked) - size + 1)
    ]
    return [_key(part) for part in (word, *parts)]


def pair_key(first: str, second: str) -> int:
    return _key(f"{first} {second}")


def pairs(found: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each pair of neighbouring words once, in order."""
    return iter(dict.fromkeys(pairwise(found)))


def scale(distinct: int) -> float:
    """What the sum over a text of so many distinct words is multiplied by."""
    return 1.0 / math.sqrt(distinct)


def _key(feature: str) -> int:
    return crc32(feature.encode("utf-8", "surrogatepass"))


class NgramModel:
    """Texts -> logits. A word's own part is kept, so a common word is hashed once."""

    def __init__(
        self, keys: npt.NDArray[np.uint32], weights: npt.NDArray[np.float32], bias: float
    ) -> None:
        """keys: (k,) hashes of the features that count; weights: (k,) theirs."""
        self._table: dict[int, float] = dict(zip(keys.tolist(), weights.tolist(), strict=True))
        self._bias = bias
        self._words: dict[str, float] = {}

    def logits(self, texts: Sequence[str]) -> Logits:
        """(n,) float64; minus infinity for a text without words."""
        return np.fromiter(map(self._logit, texts), np.float64, len(texts))

    def _logit(self, text: str) -> float:
        found = words(text)
        if not found:
            return -math.inf
        # Not a set: its order, and with it the rounding, would change from run to run.
        distinct = dict.fromkeys(found)
        table = self._table
        total = sum(map(self._word, distinct))
        total += sum(table.get(pair_key(*pair), 0.0) for pair in pairs(found))
        return self._bias + scale(len(distinct)) * total

    def _word(self, word: str) -> float:
        known = self._words.get(word)
        if known is None:
            known = sum(self._table.get(key, 0.0) for key in word_keys(word))
            if len(self._words) >= _CACHED:
                self._words.clear()
            self._words[word] = known
        return known
