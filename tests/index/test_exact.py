from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retro_cli.index.exact import exact_search, faiss_threads, rescore


def test_it_equals_plain_arithmetic(corpus):
    queries = corpus.queries()
    ids, scores = exact_search(corpus.vectors, queries, 10)
    assert np.allclose(scores, corpus.truth(queries, 10), atol=1e-6)
    found = np.einsum(
        "qkd,qd->qk", corpus.vectors.gather(ids.ravel()).reshape(*ids.shape, -1), queries
    )
    assert (found == scores).all()


def test_ties_come_in_id_order(corpus):
    query = corpus.vectors.gather([200])
    ids, scores = exact_search(corpus.vectors, query, 4)
    assert ids[0].tolist() == [200, 201, 202, 3000]
    assert len(set(scores[0].tolist())) == 1


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.001, 0.01, 0.5, 1.0]))
def test_only_live_rows_are_found_and_all_of_them_when_they_are_few(corpus, seed, share):
    live = np.random.default_rng(seed).random(len(corpus.live)) < share
    ids, scores = exact_search(corpus.vectors, corpus.queries(3), 12, live)
    there = int((live & corpus.live).sum())
    assert ((ids >= 0).sum(axis=1) == min(12, there)).all()
    assert live[ids[ids >= 0]].all()
    assert corpus.live[ids[ids >= 0]].all()
    assert ((ids < 0) == np.isneginf(scores)).all()


def test_rows_past_the_end_of_live_are_not_found(corpus):
    ids, _ = exact_search(corpus.vectors, corpus.queries(3), 10, np.ones(100, dtype=bool))
    assert ids.max() < 100


def test_excluded_ids_make_room_for_the_next(corpus):
    queries = corpus.queries(5)
    ids, scores = exact_search(corpus.vectors, queries, 12)
    rest, rest_scores = exact_search(corpus.vectors, queries, 7, exclude=list(ids[:, :5]))
    assert (rest == ids[:, 5:]).all()
    assert (rest_scores == scores[:, 5:]).all()


def test_small_blocks_find_the_same(corpus, monkeypatch):
    queries = corpus.queries(5)
    expected = exact_search(corpus.vectors, queries, 10)
    blocks = corpus.vectors.blocks
    monkeypatch.setattr(corpus.vectors, "blocks", lambda: blocks(97))
    found = exact_search(corpus.vectors, queries, 10)
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()


def test_a_row_scores_the_same_bits_alone_and_among_many(corpus):
    queries = corpus.queries(7)
    ids = np.random.default_rng(0).permuted(np.tile(corpus.ids[:300], (7, 1)), axis=1)
    found, scores = rescore(corpus.vectors, queries, ids, 300)
    for row in range(7):
        for place in range(0, 300, 50):
            alone = rescore(
                corpus.vectors, queries[row : row + 1], found[row : row + 1, [place]], 1
            )
            assert alone[1][0, 0] == scores[row, place]


def test_rescoring_in_pieces_gives_the_same(corpus, monkeypatch):
    queries, ids = corpus.queries(9), np.tile(corpus.ids[:50], (9, 1))
    expected = rescore(corpus.vectors, queries, ids, 10)
    monkeypatch.setattr("retro_cli.index.exact.RESCORED_FLOATS", 4000)
    found = rescore(corpus.vectors, queries, ids, 10)
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()


def test_fewer_candidates_than_results_are_padded(corpus):
    ids, scores = rescore(corpus.vectors, corpus.queries(1), np.array([[-1, 7]]), 4)
    assert ids.tolist() == [[7, -1, -1, -1]]
    assert np.isneginf(scores[0, 1:]).all()


def test_the_number_of_threads_is_put_back_even_after_an_error():
    before = faiss.omp_get_max_threads()

    def fail():
        with faiss_threads(before + 3):
            assert faiss.omp_get_max_threads() == before + 3
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert faiss.omp_get_max_threads() == before
    with faiss_threads(0):
        assert faiss.omp_get_max_threads() == before
