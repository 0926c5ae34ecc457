"""Sliding windows: every token that has something before it is scored, and scored once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import UsageError
from retro_cli.evaluate.windows import (
    batches,
    check_window,
    default_stride,
    default_window,
    plan_windows,
)

lengths = st.lists(st.integers(1, 60), max_size=6)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)).filter(
    lambda shape: shape[2] <= shape[1]
)


@given(lengths, shapes)
def test_every_token_but_a_documents_first_is_scored_once(lengths, shape):
    m, window, stride = shape[0], shape[0] * shape[1], shape[0] * shape[2]
    times = np.zeros(sum(lengths), dtype=int)
    for one in plan_windows(lengths, window, stride):
        times[one.start + one.skip + 1 : one.start + one.inputs + 1] += 1
        assert one.scored > 0
    expected = np.ones(sum(lengths), dtype=int)
    expected[np.cumsum([0, *lengths])[:-1] if lengths else []] = 0
    assert times.tolist() == expected.tolist()
    assert m >= 1


@given(lengths, shapes)
def test_a_window_stays_in_its_document_and_begins_where_a_chunk_does(lengths, shape):
    m, window, stride = shape[0], shape[0] * shape[1], shape[0] * shape[2]
    begins = np.cumsum([0, *lengths])
    for one in plan_windows(lengths, window, stride):
        document = int(np.searchsorted(begins, one.start, side="right")) - 1
        assert (one.start - begins[document]) % m == 0
        assert one.start + one.inputs < begins[document + 1]
        assert one.inputs <= window


@given(lengths, shapes)
def test_later_windows_are_scored_with_a_whole_overlap_before_them(lengths, shape):
    window, stride = shape[0] * shape[1], shape[0] * shape[2]
    for one in plan_windows(lengths, window, stride):
        assert one.skip in (0, window - stride)
        assert one.scored <= (window if one.skip == 0 else stride)


def test_a_stride_of_a_whole_window_is_the_plain_evaluation():
    found = plan_windows([10], 4, 4)
    assert [(one.start, one.inputs, one.skip) for one in found] == [(0, 4, 0), (4, 4, 0), (8, 1, 0)]


@given(lengths, shapes, st.integers(1, 4))
def test_batches_hold_every_window_once(lengths, shape, size):
    windows = plan_windows(lengths, shape[0] * shape[1], shape[0] * shape[2])
    found = list(batches(windows, size))
    assert all(len(batch) <= size for batch in found)
    assert sorted((one for batch in found for one in batch), key=windows.index) == windows


@pytest.mark.parametrize(("window", "stride"), [(6, 4), (8, 6), (0, 4), (4, 8), (8, 0)])
def test_windows_that_would_cut_chunks_or_leave_tokens_out_are_refused(window, stride):
    with pytest.raises(UsageError):
        check_window(window, stride, 4)


def test_the_default_window_fits_the_model_and_holds_whole_chunks():
    assert default_window(None, None, 64) == 1024
    assert default_window(None, 500, 64) == 448
    assert default_window(None, 40, 64) == 64
    assert default_window(128, 500, 64) == 128
    assert default_stride(448, 64) == 192
    assert default_stride(64, 64) == 64
    with pytest.raises(UsageError, match="500 positions"):
        default_window(512, 500, 64)
