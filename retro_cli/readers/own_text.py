"""Which hits are the text's own: the passage that it was taken from would give the answer away."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from retro_cli.query.retrieve import Hit

_WORD = re.compile(r"\w+")
_WIDEST = 4  # words that a mask may hide
LEAST = 4  # known words; fewer are common to any two texts


class OwnText:
    """A text with gaps, and the names of the documents that it is known to come from.

    A hit is its own if it holds the text, whatever stands in the gaps; or if it is of a document
    that is named, or one that a hit with the text is of.
    """

    def __init__(self, parts: Sequence[str], documents: Collection[str] = ()) -> None:
        """parts: what stands between the gaps, in order."""
        self._pieces = [_words(part) for part in parts]
        self._known = sum(map(len, self._pieces)) >= LEAST
        self._documents = frozenset(documents)

    def among(self, hits: Sequence[Hit]) -> list[bool]:
        """For each hit, whether it is the text's own."""
        own = {name for hit in hits if self._holds(hit) for name in _names(hit)}
        return [
            bool(own & _names(hit) or self._documents & {document for document, _ in _names(hit)})
            for hit in hits
        ]

    def _holds(self, hit: Hit) -> bool:
        return self._known and contains(_words(f"{hit.text}{hit.continuation}"), self._pieces)


def contains(words: Sequence[str], pieces: Sequence[Sequence[str]]) -> bool:
    """Whether the pieces stand in a text in order, with one to four words between any two."""
    first, *rest = pieces
    ends = _ends(words, first, set(range(len(words) + 1)))
    for piece in rest:
        starts = {end + gap for end in ends for gap in range(1, _WIDEST + 1)}
        ends = _ends(words, piece, {start for start in starts if start <= len(words)})
    return bool(ends)


def _ends(words: Sequence[str], piece: Sequence[str], starts: Collection[int]) -> set[int]:
    """Where a piece ends that begins at one of some places."""
    length = len(piece)
    return {start + length for start in starts if words[start : start + length] == piece}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _names(hit: Hit) -> set[tuple[str, str]]:
    """Of all documents with the hit's text: (document, source)."""
    return {(hit.document, hit.source), *hit.also}
