"""Duplicates and who lives: against a plain Python account of the same rules."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.dedup import Aliases, first_of_equal
from retro_cli.chunks.live import searchable


@given(st.lists(st.integers(0, 6), max_size=40))
def test_the_first_of_equal_hashes_stands_for_the_others(values):
    hashes = np.array([[v, v * 7] for v in values], dtype=np.uint64).reshape(-1, 2)
    ids = np.arange(100, 100 + len(values), dtype=np.int64)
    member, canonical = first_of_equal(hashes, ids)
    expected = {
        100 + i: 100 + values.index(v) for i, v in enumerate(values) if values.index(v) != i
    }
    assert dict(zip(member.tolist(), canonical.tolist(), strict=True)) == expected


def test_hashes_that_share_only_their_first_half_are_not_equal():
    hashes = np.array([[1, 2], [1, 3]], dtype=np.uint64)
    member, _ = first_of_equal(hashes, np.array([0, 1]))
    assert len(member) == 0


@given(st.lists(st.booleans(), min_size=8, max_size=8))
def test_a_merged_row_lives_until_the_last_it_stands_for(alive):
    own = np.array(alive)
    aliases = Aliases(np.array([3, 5, 6]), np.array([1, 1, 2]))
    found = searchable(own, aliases)
    assert not found[[3, 5, 6]].any()
    assert found[1] == (own[1] or own[3] or own[5])
    assert found[2] == (own[2] or own[6])
    assert (found[[0, 4, 7]] == own[[0, 4, 7]]).all()
