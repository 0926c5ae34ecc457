"""Which rows stand beside one another: each once, documents whole and in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.training.packing import FILLING, continues, pack

documents = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def starts(lengths):
    start = np.zeros(sum(lengths), dtype=bool)
    start[np.cumsum([0, *lengths[:-1]])] = True
    return start


@given(lengths=documents, length=st.integers(1, 6), seed=st.integers(0, 5))
def test_every_row_comes_once(lengths, length, seed):
    packed = pack(starts(lengths), length, np.random.default_rng(seed))
    kept = packed[packed != FILLING]
    assert sorted(kept) == list(range(sum(lengths)))
    assert packed.size - len(kept) < length


@given(lengths=documents, length=st.integers(1, 6), seed=st.integers(0, 5))
def test_a_row_goes_on_with_the_one_before_just_inside_a_document(lengths, length, seed):
    start = starts(lengths)
    packed = pack(start, length, np.random.default_rng(seed))
    owner = np.cumsum(start) - 1
    joins = continues(packed, start)
    for row, sequence in zip(joins, packed, strict=True):
        for place in range(length):
            here, before = sequence[place], sequence[place - 1] if place else FILLING
            same = FILLING not in (here, before) and owner[here] == owner[before]
            assert row[place] == same
            if same:
                assert here == before + 1


def test_the_order_follows_from_the_seed_alone():
    start = starts([3, 4, 2, 5, 1])
    once, again, other = (
        pack(start, 4, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )  # fmt: skip
    assert (once == again).all()
    assert (once != other).any()


def test_no_rows_make_no_sequences():
    assert pack(np.empty(0, bool), 4, np.random.default_rng(0)).shape == (0, 4)
