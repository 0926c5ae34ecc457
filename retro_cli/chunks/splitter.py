"""Cut a document's tokens into chunks: a pure function over arrays.

The unit is a *word*: a run of tokens that is not cut unless it alone is longer than a chunk
(``cut="word"``). With ``cut="exact"`` every token is a word of its own and every chunk but a
document's last has exactly ``size`` tokens, as in Borgeaud et al. 2021, section 2.1.

Chunks cover their document: chunk ``i`` runs from its first token's first character to the next
chunk's, the first from 0 and the last to the end. So the texts of a document's chunks, joined,
are the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Words:
    """Tokenised text, by words.

    ids:     (tokens,) token ids
    counts:  (words,) int64, tokens of each word; their sum is ``len(ids)``
    starts:  (words,) int64, character at which each word begins, in the document
    """

    ids: npt.NDArray[np.unsignedinteger]
    counts: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def tail(self, word: int, token: int) -> Words:
        return Words(self.ids[token:], self.counts[word:], self.starts[word:])

    def followed_by(self, other: Words) -> Words:
        return Words(
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.starts, other.starts]),
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """One chunk: its token ids and its characters ``[start, end)`` in the document."""

    ids: npt.NDArray[np.unsignedinteger]
    start: int
    end: int


def boundaries(counts: npt.NDArray[np.int64], size: int) -> list[int]:
    """The word at which each chunk begins, packing whole words greedily into ``size`` tokens.

    No count may exceed ``size``. Words without tokens go with the chunk before them.
    """
    total = np.cumsum(counts)
    words = len(counts)
    result: list[int] = []
    first, taken = 0, 0
    while first < words and taken < total[-1]:
        result.append(first)
        first = int(np.searchsorted(total, taken + size, side="right"))
        taken = int(total[first - 1])
    return result


def split(windows: Iterable[Words], length: int, size: int) -> Iterator[Cut]:
    """Yield the chunks of a document of ``length`` characters, given window by window.

    The last chunk of a window waits for the next one, so windows leave no trace in the cuts.
    """
    held: tuple[npt.NDArray[np.unsignedinteger], int] | None = None
    carry: Words | None = None
    begun = False
    for window in windows:
        words = window if carry is None else carry.followed_by(window)
        firsts = boundaries(words.counts, size)
        if not firsts:
            carry = words
            continue
        tokens = np.concatenate([[0], np.cumsum(words.counts)])
        for first, following in pairwise(firsts):
            start = int(words.starts[first]) if begun else 0
            begun = True
            yield Cut(
                words.ids[tokens[first] : tokens[following]], start, int(words.starts[following])
            )
        carry = words.tail(firsts[-1], int(tokens[firsts[-1]]))
        held = (carry.ids, int(carry.starts[0]))
    if held is not None and carry is not None:
        yield Cut(carry.ids, held[1] if begun else 0, length)
