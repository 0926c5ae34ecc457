"""Fusion, interpolation, caps and diversity, as functions of arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.query.ranking import (
    Ranking,
    capped,
    diverse,
    interpolate,
    ranked,
    reciprocal_rank_fusion,
    standard,
)

ids = st.lists(st.integers(0, 30), unique=True, max_size=20)


def ranking(*names):
    found = np.array(names, np.int64)
    return Ranking(found, found, np.arange(len(names), 0, -1.0))


@given(st.lists(ids, min_size=1, max_size=3))
def test_fusion_is_the_sum_of_reciprocal_ranks(lists):
    fused = reciprocal_rank_fusion([ranking(*names) for names in lists])
    expected = {}
    for names in lists:
        for rank, name in enumerate(names, 1):
            expected[name] = expected.get(name, 0) + 1 / (60 + rank)
    assert dict(zip(fused.keys.tolist(), fused.scores.tolist(), strict=True)) == pytest.approx(
        expected
    )
    assert fused.ids.tolist() == sorted(
        fused.ids.tolist(), key=lambda n: (-dict(zip(fused.keys, fused.scores, strict=True))[n], n)
    )


@given(ids)
def test_one_ranking_fused_with_itself_or_with_nothing_keeps_its_order(names):
    assert reciprocal_rank_fusion([ranking(*names), ranking(*names)]).ids.tolist() == names
    assert reciprocal_rank_fusion([ranking(), ranking(*names)]).ids.tolist() == names


def test_a_fused_documents_chunk_is_that_of_the_ranking_where_it_stands_highest():
    first = Ranking(np.array([10, 20]), np.array([1, 2]), np.array([0.9, 0.8]))
    second = Ranking(np.array([21, 11]), np.array([2, 1]), np.array([5.0, 4.0]))
    fused = reciprocal_rank_fusion([first, second])
    assert dict(zip(fused.keys.tolist(), fused.ids.tolist(), strict=True)) == {1: 10, 2: 21}


def test_of_one_key_only_the_best_entry_is_kept_and_ties_go_to_the_lower_id():
    found = ranked(np.array([5, 4, 9]), np.array([1, 1, 2]), np.array([0.5, 0.5, 0.7]))
    assert (found.ids.tolist(), found.keys.tolist()) == ([9, 4], [2, 1])


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.floats(0.1, 50), st.floats(-9, 9)
)
def test_standard_scores_forget_scale_and_origin(values, scale, shift):
    scores = np.array(values)
    if np.ptp(scores) < 1e-3:
        return
    np.testing.assert_allclose(standard(scores), standard(scale * scores + shift), atol=1e-6)
    assert abs(standard(scores).mean()) < 1e-9
    assert standard(scores).std() == pytest.approx(1)


def test_equal_scores_say_nothing():
    assert standard(np.array([3.0, 3.0])).tolist() == [0.0, 0.0]
    assert standard(np.array([])).tolist() == []


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20))
def test_a_weight_of_one_is_that_part_alone(values):
    scores, other = np.array(values), np.array(values[::-1])
    names = np.arange(len(values))
    found = interpolate(names, names, [(1.0, scores), (0.0, other)])
    alone = interpolate(names, names, [(1.0, scores)])
    assert found.ids.tolist() == alone.ids.tolist()


@given(st.lists(st.integers(0, 4)), st.integers(1, 3))
def test_a_cap_keeps_the_first_of_each_document_in_order(documents, most):
    kept = capped(np.array(documents, np.int64), most).tolist()
    assert kept == sorted(kept)
    for place, document in enumerate(documents):
        assert (place in kept) == (documents[:place].count(document) < most)


def unit(seed, n, dim=6):
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(0, 50), st.integers(1, 15), st.floats(0, 1), st.integers(1, 20))
def test_each_next_entry_is_the_one_of_most_marginal_relevance(seed, n, share, k):
    relevance = np.sort(np.random.default_rng(seed).random(n))[::-1]
    vectors = unit(seed, n)
    places, values = diverse(relevance, vectors, share, k)
    assert len(places) == min(n, k)
    assert len(set(places.tolist())) == len(places)
    assert (np.diff(values) <= 1e-6).all()
    scaled = (relevance - relevance[-1]) / np.ptp(relevance) if n > 1 else np.ones(1)
    for step, place in enumerate(places):
        before = places[:step]

        def worth(row, before=before):
            likest = max([0.0, *(vectors[before] @ vectors[row])]) if len(before) else 0.0
            return share * scaled[row] - (1 - share) * likest

        left = [row for row in range(n) if row not in before]
        assert worth(place) == pytest.approx(max(map(worth, left)), abs=1e-5)


@given(st.integers(0, 50), st.integers(1, 15))
def test_relevance_alone_keeps_the_order(seed, n):
    relevance = np.sort(np.random.default_rng(seed).random(n))[::-1]
    assert diverse(relevance, unit(seed, n), 1.0, n)[0].tolist() == list(range(n))
