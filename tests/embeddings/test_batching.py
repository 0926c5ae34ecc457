from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.embeddings.batching import plan_batches

LENGTHS = st.lists(st.integers(0, 300), max_size=200).map(np.array)
LIMITS = {"token_budget": st.integers(1, 2000), "max_rows": st.integers(1, 70)}


@given(lengths=LENGTHS, same_length=st.booleans(), **LIMITS)
def test_every_row_is_in_exactly_one_batch(lengths, token_budget, max_rows, same_length):
    plan = plan_batches(lengths, token_budget, max_rows, same_length=same_length)
    assert sorted(int(row) for rows in plan for row in rows) == list(range(len(lengths)))
    assert all(len(rows) for rows in plan)


@given(lengths=LENGTHS, same_length=st.booleans(), **LIMITS)
def test_no_batch_is_over_its_limits(lengths, token_budget, max_rows, same_length):
    for rows in plan_batches(lengths, token_budget, max_rows, same_length=same_length):
        assert len(rows) <= max_rows
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= token_budget


@given(lengths=LENGTHS, **LIMITS)
def test_lengths_are_not_mixed_when_they_must_not_be(lengths, token_budget, max_rows):
    plan = plan_batches(lengths, token_budget, max_rows, same_length=True)
    assert all(len(set(lengths[rows])) == 1 for rows in plan)
    full = [rows for rows in plan if len(rows) == min(max_rows, token_budget // lengths[rows[0]])
            or lengths[rows[0]] > token_budget] if lengths.all() else []  # fmt: skip
    # At most one batch of each length is not full.
    assert len(plan) - len(full) <= len(set(lengths.tolist())) or not lengths.all()


@given(lengths=LENGTHS, **LIMITS)
def test_batches_run_from_long_to_short(lengths, token_budget, max_rows):
    plan = plan_batches(lengths, token_budget, max_rows)
    ordered = [int(lengths[row]) for rows in plan for row in rows]
    assert ordered == sorted(ordered, reverse=True)


def test_unsigned_lengths_are_ordered_as_numbers():
    plan = plan_batches(np.array([1, 3, 2], dtype=np.uint16), 10, 1)
    assert [rows.tolist() for rows in plan] == [[1], [2], [0]]


@pytest.mark.parametrize("limits", [(0, 1), (1, 0)])
def test_limits_must_be_positive(limits):
    with pytest.raises(ValueError, match="positive"):
        plan_batches(np.array([1]), *limits)
