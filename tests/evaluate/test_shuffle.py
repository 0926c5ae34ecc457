"""Neighbours of another document: never of its own, each chunk once, the same for a seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.evaluate.shuffle import derangement

sizes = st.lists(st.integers(1, 9), min_size=2, max_size=8)


@given(sizes, st.integers(0, 5))
def test_no_chunk_gets_one_of_its_own_document(sizes, seed):
    document = np.repeat(np.arange(len(sizes)), sizes)
    found = derangement(document, seed)
    assert (document[found] != document).all()


@given(sizes, st.integers(0, 5))
def test_each_chunk_serves_once_unless_a_document_has_more_than_half(sizes, seed):
    document = np.repeat(np.arange(len(sizes)), sizes)
    found = derangement(document, seed)
    if 2 * max(sizes) <= sum(sizes):
        assert sorted(found.tolist()) == list(range(len(document)))


def test_a_seed_decides():
    document = np.repeat(np.arange(20), 10)
    assert derangement(document, 1).tolist() == derangement(document, 1).tolist()
    assert derangement(document, 1).tolist() != derangement(document, 2).tolist()


def test_a_single_document_has_no_other():
    assert derangement(np.zeros(5, dtype=np.int64), 0) is None
