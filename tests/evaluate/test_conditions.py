"""What a text is read with: each condition once, and the same rows for the same seed."""

from __future__ import annotations

import numpy as np
from evaluate_helpers import random_text

from retro_cli.evaluate.conditions import conditions

TEXT = random_text([13, 30, 21], k=10)


def lookup(percent):
    return np.full_like(TEXT.neighbours, int(percent))


def test_shuffled_rows_are_whole_rows_of_another_document():
    found = conditions(TEXT, 2, (), (), lookup, seed=1).neighbours
    rows = {tuple(row): number for number, row in enumerate(found["on"].tolist())}
    assert len(rows) == TEXT.rows
    for place, row in enumerate(found["shuffled"].tolist()):
        assert TEXT.document[rows[tuple(row)]] != TEXT.document[place]


def test_what_is_asked_for_twice_is_computed_once():
    found = conditions(TEXT, 2, (1, 2, 2, 4), (1, 100), lookup, seed=1)
    assert list(found.neighbours) == ["off", "on", "shuffled", "k=1", "k=4", "share=1"]
    assert found.counts == {1: "k=1", 2: "on", 4: "k=4"}
    assert found.shares == {1: "share=1", 100: "on"}
    assert found.neighbours["k=4"].tolist() == TEXT.neighbours[:, :4].tolist()
    assert found.neighbours["share=1"].shape == (TEXT.rows, 2)
