"""The word-list scorer: how many of a text's words are on a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from retro_cli.config import fingerprint
from retro_cli.errors import InputNotFound
from retro_cli.filters.scorers.contract import Batch, Scores
from retro_cli.filters.scorers.tokens import words
from retro_cli.store.named import read_named

SHIPPED = Path(__file__).parent / "data" / "words.txt"
# Raised by one whenever the same list would give other scores.
_VERSION = 1
_HALF = 20  # words per hit at which the score is a half


class WordScorer:
    """Scores ``hits / (hits + words / 20)``: no hit is 0, one hit in 20 words is 0.5.

    A hit is a word or phrase of the list, whole words only, case folded. At one place the longest
    phrase counts, once.
    """

    needs_text = True
    needs_vectors = False

    def __init__(self, entries: Iterable[str], name: str = "words") -> None:
        """entries: words or phrases; what has no letters is left out."""
        self.name = name
        self._phrases = {tuple(found) for entry in entries if (found := words(entry))}
        # Only a word that begins a phrase is looked at twice.
        self._longest: dict[str, int] = {}
        for phrase in self._phrases:
            self._longest[phrase[0]] = max(self._longest.get(phrase[0], 0), len(phrase))
        self.fingerprint = fingerprint(["words", _VERSION, sorted(self._phrases)])

    def score(self, batch: Batch) -> Scores:
        texts = batch.need_texts()
        return np.fromiter(map(self._score, texts), np.float32, len(texts))

    def _score(self, text: str) -> float:
        found = words(text)
        hits = self._hits(found)
        return hits / (hits + len(found) / _HALF) if hits else 0.0

    def _hits(self, found: Sequence[str]) -> int:
        hits = at = 0
        while at < len(found):
            longest = self._longest.get(found[at], 0)
            sizes = range(longest, 0, -1)
            size = next((n for n in sizes if tuple(found[at : at + n]) in self._phrases), 0)
            hits += size > 0
            at += max(1, size)
        return hits


def load_words(path: Path = SHIPPED) -> WordScorer:
    """Read a list: UTF-8, one word or phrase a line, lines that begin with # are comments.

    Raises InputNotFound (no such file, or nothing in it) or UnreadableInput.
    """
    text = read_named(path, "a word list is UTF-8, one word or phrase a line")
    entries = [line for line in map(str.strip, text.splitlines()) if not line.startswith("#")]
    if not any(words(entry) for entry in entries):
        raise InputNotFound(f"{path} lists no words", "write one word or phrase a line")
    return WordScorer(entries, "words" if path == SHIPPED else f"words:{path}")
