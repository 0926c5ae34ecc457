"""The splitter: packs words into chunks, covers the document, leaves no trace of windows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.splitter import Words, boundaries, split


def words_of(counts: list[int], first_id: int = 0, first_char: int = 0) -> Words:
    """Words of the given token counts, each token one character long, one space between words."""
    counts_array = np.array(counts, dtype=np.int64)
    ids = np.arange(first_id, first_id + counts_array.sum(), dtype=np.uint16)
    lengths = counts_array + 1
    return Words(ids, counts_array, np.cumsum(lengths) - lengths + first_char)


def length_of(counts: list[int]) -> int:
    return sum(counts) + len(counts)


@given(st.lists(st.integers(1, 7), max_size=60), st.integers(7, 20))
def test_chunks_hold_every_token_once_in_order(counts, size):
    cuts = list(split([words_of(counts)], length_of(counts), size))
    tokens = [token for cut in cuts for token in cut.ids.tolist()]
    assert tokens == list(range(sum(counts)))
    assert all(len(cut.ids) <= size for cut in cuts)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=60), st.integers(7, 20))
def test_chunks_cover_the_document_without_gap_or_overlap(counts, size):
    cuts = list(split([words_of(counts)], length_of(counts), size))
    assert cuts[0].start == 0
    assert cuts[-1].end == length_of(counts)
    assert all(a.end == b.start for a, b in pairwise(cuts))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=60), st.integers(7, 20))
def test_packing_is_greedy_so_the_next_word_would_not_have_fitted(counts, size):
    firsts = boundaries(np.array(counts), size)
    for first, following in pairwise(firsts):
        assert sum(counts[first:following]) <= size < sum(counts[first : following + 1])


@given(st.lists(st.integers(1, 70), max_size=60), st.integers(1, 9))
def test_single_tokens_give_full_chunks_but_for_the_last(counts, size):
    tokens = sum(counts)
    cuts = list(split([words_of([1] * tokens)], 2 * tokens, size))
    assert [len(cut.ids) for cut in cuts[:-1]] == [size] * max(0, len(cuts) - 1)


@given(
    st.lists(st.lists(st.integers(1, 6), max_size=15), max_size=8),
    st.integers(6, 20),
)
def test_windows_leave_no_trace_in_the_cuts(windows, size):
    whole = [count for window in windows for count in window]
    parts, ids, chars = [], 0, 0
    for window in windows:
        parts.append(words_of(window, ids, chars))
        ids += sum(window)
        chars += length_of(window)
    together = split([words_of(whole)], length_of(whole), size)
    apart = split(parts, length_of(whole), size)
    shapes = [[(c.ids.tolist(), c.start, c.end) for c in cuts] for cuts in (together, apart)]
    assert shapes[0] == shapes[1]


def test_a_document_without_tokens_has_no_chunks():
    assert list(split([], 12, 64)) == []
    assert list(split([words_of([])], 12, 64)) == []
