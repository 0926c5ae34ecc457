"""Which rows get keys after which text, and windows in which each state is made once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.datastore import plan
from retro_cli.datastore.plan import Slice, slices, windows


@given(st.integers(0, 90), st.integers(2, 20), st.data())
def test_every_state_from_the_first_on_is_kept_once_with_half_a_window_before_it(n, size, data):
    first = data.draw(st.integers(0, max(n - 1, 0)))
    kept = []
    for each in windows(n, size, first):
        assert 0 <= each.start <= each.start + each.skip < each.end <= n
        assert each.end - each.start <= size
        here = range(each.start + each.skip, each.end)
        assert all(place - each.start >= min(place, size // 2) for place in here)
        kept.extend(here)
    assert kept == list(range(first, n))


@given(st.data())
def test_slices_hold_each_wanted_row_once_and_read_only_what_may_be_read(data):
    rows = data.draw(st.integers(0, 40))
    bits = st.lists(st.booleans(), min_size=rows, max_size=rows)
    doc = np.cumsum(np.array(data.draw(bits), dtype=int))
    readable, asked = (np.array(data.draw(bits), dtype=bool) for _ in range(2))
    wanted = readable & asked
    found = list(slices(doc, readable, wanted))
    assert [row for each in found for row in range(each.first, each.last)] == (
        np.flatnonzero(wanted).tolist()
    )
    for each in found:
        assert each.context <= each.first < each.last
        assert readable[each.context : each.last].all()
        assert len(set(doc[each.context : each.last])) == 1


def test_the_context_begins_with_the_document_or_behind_what_is_hidden():
    doc = np.array([0, 0, 0, 1, 1, 1, 1])
    readable = np.array([1, 1, 1, 1, 0, 1, 1], dtype=bool)
    wanted = np.array([0, 0, 1, 1, 0, 1, 1], dtype=bool)
    assert list(slices(doc, readable, wanted)) == [Slice(0, 2, 3), Slice(3, 3, 4), Slice(5, 5, 7)]


@pytest.mark.parametrize("rows", [1, 5, 6, 7, 18])
def test_a_long_document_is_cut_into_pieces_with_text_before_each(monkeypatch, rows):
    monkeypatch.setattr(plan, "PIECE_ROWS", 6)
    monkeypatch.setattr(plan, "CONTEXT_ROWS", 2)
    everything = np.ones(rows, dtype=bool)
    found = list(slices(np.zeros(rows, dtype=int), everything, everything))
    assert [each.last - each.first for each in found][:-1] == [6] * ((rows - 1) // 6)
    assert all(each.context == max(0, each.first - 2) for each in found)
