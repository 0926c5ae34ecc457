"""The longest common run of tokens, against a search by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.evaluate.overlap import longest_common_runs

rows = st.lists(st.integers(0, 3), max_size=9)


def brute_force(one, other):
    best = 0
    for first in range(len(one)):
        for last in range(first + 1, len(one) + 1):
            run = one[first:last]
            if any(other[at : at + len(run)] == run for at in range(len(other))):
                best = max(best, len(run))
    return best


def padded(lists, width):
    return np.array([row + [-1] * (width - len(row)) for row in lists], dtype=np.int32)


@given(st.lists(st.tuples(rows, rows, rows), min_size=1, max_size=4))
def test_it_is_what_a_search_over_all_runs_finds(examples):
    chunks = padded([chunk for chunk, _, _ in examples], 9)
    neighbours = np.stack([padded([a, b], 9) for _, a, b in examples])
    expected = [max(brute_force(chunk, a), brute_force(chunk, b)) for chunk, a, b in examples]
    assert longest_common_runs(chunks, neighbours).tolist() == expected


def test_a_planted_copy_is_found_whole_wherever_it_stands():
    rng = np.random.default_rng(0)
    chunks = rng.integers(0, 10_000, (3, 64)).astype(np.int32)
    neighbours = rng.integers(10_000, 20_000, (3, 10, 128)).astype(np.int32)
    neighbours[1, 7, 33 : 33 + 64] = chunks[1]
    assert longest_common_runs(chunks, neighbours).tolist() == [0, 64, 0]


def test_padding_is_like_nothing():
    chunks = np.full((1, 8), -1, dtype=np.int32)
    assert longest_common_runs(chunks, np.full((1, 2, 16), -1, np.int32)).tolist() == [0]
    assert longest_common_runs(chunks, np.empty((1, 0, 16), np.int32)).tolist() == [0]
    assert longest_common_runs(chunks[:0], np.empty((0, 2, 16), np.int32)).tolist() == []


def test_chunks_of_more_than_255_tokens_are_counted_in_full():
    chunk = np.arange(300, dtype=np.int32)[None]
    assert longest_common_runs(chunk, chunk[:, None]).tolist() == [300]


def test_many_chunks_at_once_are_what_they_are_one_by_one():
    rng = np.random.default_rng(1)
    chunks = rng.integers(0, 3, (700, 16)).astype(np.int32)
    neighbours = rng.integers(0, 3, (700, 10, 64)).astype(np.int32)
    together = longest_common_runs(chunks, neighbours)
    apart = [longest_common_runs(chunks[i : i + 1], neighbours[i : i + 1])[0] for i in range(700)]
    assert together.tolist() == apart
