"""Echoes: runs of the document itself in a neighbour, near the chunk, and never of another text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_helpers import M, Shelf, material

from retro_cli.errors import UsageError
from retro_cli.reading.material import Material
from retro_cli.training.batches import Batches, batch_of
from retro_cli.training.echoes import with_echoes
from retro_cli.training.packing import continues
from retro_cli.training.settings import TrainingSettings

LENGTHS = (9, 14, 4, 21, 6)


def numbered():
    """Documents whose every token is a number of its own: 1000 times the document and its place."""
    plain = material(LENGTHS)
    tokens = plain.tokens.copy()
    document, place = -1, 0
    for row in range(plain.rows):
        if plain.start[row]:
            document, place = document + 1, 0
        for column in np.flatnonzero(tokens[row] >= 0):
            tokens[row, column] = 1000 * (document + 1) + place
            place += 1
    return Material(tokens, plain.start, plain.neighbours)


def echoed(share, seed=0, rows=None):
    given = numbered()
    rows = np.arange(given.rows)[None] if rows is None else rows
    before = batch_of(rows, given, Shelf(), pad=0).neighbour_ids
    return before, with_echoes(before, rows, given, share, np.random.default_rng(seed)), given, rows


@given(seed=st.integers(0, 500))
def test_an_echo_is_of_the_same_document_in_its_order_and_near_the_chunk(seed):
    before, after, _, _ = echoed(1.0, seed)
    for _, row, k, place in np.argwhere(before != after):
        token = after[0, row, k, place]
        document, at = divmod(int(token), 1000)
        assert document >= 1
        first = int(batch_first(row)[1])
        assert batch_first(row)[0] == document
        assert -(M // 2) <= at - (first + place) <= M // 2


def batch_first(row):
    """The document of a row, from 1, and the place of its first token in it."""
    count = 0
    for document, length in enumerate(LENGTHS, start=1):
        own = -(-length // M)
        if row < count + own:
            return document, (row - count) * M
        count += own
    raise AssertionError


@given(seed=st.integers(0, 500), share=st.sampled_from([0.0, 0.3, 1.0]))
def test_only_one_neighbour_of_a_chunk_that_goes_on_is_touched(seed, share):
    before, after, given, rows = echoed(share, seed)
    touched = (before != after).any(axis=-1)
    assert (touched.sum(axis=-1) <= 1).all()
    goes_on = continues(rows, given.start)[:, 1:]
    assert not touched[~goes_on].any()
    assert share > 0 or not touched.any()


def test_runs_of_the_neighbour_and_of_the_document_alternate_and_the_share_varies():
    long = material((4000,), seed=3)
    rows = np.arange(long.rows)[None]
    before = batch_of(rows, long, Shelf(64), pad=0).neighbour_ids
    after = with_echoes(before, rows, long, 1.0, np.random.default_rng(0))
    taken = (before != after).any(axis=2).mean(axis=-1)[0]
    assert taken.min() < 0.1 < 0.9 < taken.max()
    assert 0.3 < taken.mean() < 0.7


def test_the_text_to_be_predicted_is_among_the_echoes():
    _, after, given, _ = echoed(1.0, 4)
    following = [set(row[row >= 0]) for row in given.tokens[1:]]
    assert any(
        following[place] & set(after[0, place].ravel().tolist()) for place in range(len(following))
    )


def test_nothing_is_changed_in_place_and_fillings_find_no_echo():
    rows = np.array([[0, 1, 2, -1], [-1, -1, -1, -1]])
    before, after, _, _ = echoed(1.0, 1, rows)
    again = batch_of(rows, numbered(), Shelf(), pad=0).neighbour_ids
    assert (before == again).all()
    assert (after[1] == before[1]).all()
    assert (after[0, 2] == before[0, 2]).all()


@given(number=st.integers(0, 40))
def test_a_batch_with_echoes_is_the_same_whenever_it_is_asked_for(number):
    def stream(echoes):
        return Batches(material(), Shelf(), length=3, size=2, seed=0, pad=0, echoes=echoes)

    once = stream(0.5)
    once.at(number + 1)
    assert (once.at(number).neighbour_ids == stream(0.5).at(number).neighbour_ids).all()
    assert (once.at(number).input_ids == stream(0.0).at(number).input_ids).all()


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UsageError):
        TrainingSettings(echoes=share)


def test_runs_with_other_echoes_are_other_runs():
    assert (
        TrainingSettings(echoes=0.1).curve_fingerprint() != TrainingSettings().curve_fingerprint()
    )
