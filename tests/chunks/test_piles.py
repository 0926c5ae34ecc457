"""More rows than fit in memory are dealt by a hash and come back whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks import piles
from retro_cli.chunks.piles import Piles, piles_for
from retro_cli.store.scratch import Scratch

ROW = np.dtype([("word", "u8"), ("turn", "i4")])
BLOCKS = st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=9), max_size=6)


def rows_of(blocks: list[list[int]]) -> list[np.ndarray]:
    flat = np.array([word for block in blocks for word in block], np.uint64)
    rows = np.empty(len(flat), ROW)
    rows["word"], rows["turn"] = flat, np.arange(len(flat))
    return np.split(rows, np.cumsum([len(block) for block in blocks])[:-1]) if blocks else []


@pytest.mark.parametrize("waiting", [0, 1 << 20])
@given(blocks=BLOCKS, count=st.integers(1, 7))
def test_every_row_comes_back_once_beside_its_equals_and_in_order(waiting, blocks, count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piles, "_WAITING_BYTES", waiting)
        dealt = Piles(Scratch(), ROW, count)
        for rows in rows_of(blocks):
            dealt.add(rows, rows["word"])
        found = [pile.tolist() for pile in dealt]
    everything = [row for rows in rows_of(blocks) for row in rows.tolist()]
    assert len(found) == count
    assert sorted(row for pile in found for row in pile) == sorted(everything)
    assert all(pile == sorted(pile, key=lambda row: row[1]) for pile in found)
    homes = {(word, number) for number, pile in enumerate(found) for word, _ in pile}
    assert len(homes) == len({word for word, _ in homes})


def test_more_rows_make_more_piles_not_larger_ones():
    assert piles_for(0) == 1
    assert piles_for(40 * piles.ROWS_A_PILE) == 41
