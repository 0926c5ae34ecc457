from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retro_cli.errors import EncoderMismatch, IntegrityError
from retro_cli.index import search
from retro_cli.index.search import Searcher

REMOVED = (0.001, 0.1, 0.9, 0.999)
many = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["survivors scored", "lists probed"])
def path(request, monkeypatch):
    """Both ways to answer a query under a filter."""
    if request.param == "lists probed":
        monkeypatch.setattr(search, "SURVIVOR_FLOATS", 0)
    return request.param


def removed(corpus, share, seed=0):
    return np.random.default_rng(seed).random(len(corpus.live)) < share


def check(result, corpus, queries, may, k):
    """Exactly k while k survive, only survivors, no repeats, true cosines in order."""
    there = int((may & corpus.live).sum())
    assert ((result.ids >= 0).sum(axis=1) == min(k, there)).all()
    for ids, scores, query in zip(result.ids, result.scores, queries, strict=True):
        found = ids[ids >= 0]
        assert may[found].all()
        assert corpus.live[found].all()
        assert len(set(found.tolist())) == len(found)
        cosines = corpus.vectors.gather(found) @ query
        assert np.allclose(scores[: len(found)], cosines, atol=1e-6)
        assert (np.diff(scores[: len(found)]) <= 0).all()
        assert (ids[len(found) :] == -1).all()
        assert np.isneginf(scores[len(found) :]).all()


def test_looking_everywhere_equals_brute_force(built, corpus):
    queries = corpus.queries()
    result = built.everything().search(queries, 10)
    assert np.allclose(result.scores, corpus.truth(queries, 10), atol=1e-6)
    assert result.stats["exact"]
    assert result.stats["probed"] == result.stats["lists"]


@pytest.mark.parametrize("share", REMOVED)
def test_a_filter_leaves_k_results_and_no_dead_row(built, corpus, path, share):
    queries, dead = corpus.queries(), removed(corpus, share)
    result = built.searcher(dead, nprobe=1).search(queries, 10)
    check(result, corpus, queries, ~dead, 10)
    assert built.everything(dead).search(queries, 10).scores == pytest.approx(
        corpus.truth(queries, 10, ~dead), abs=1e-6
    )


@many
@given(
    st.sampled_from(["exact", "sq8", "rabitq", "graph"]),
    st.integers(0, 2**32),
    st.sampled_from([0.0, *REMOVED]),
    st.sampled_from([*REMOVED, 1.0]),
    st.integers(1, 40),
)
def test_allowed_and_dead_hold_together(build, corpus, path, kind, seed, share, other, k):
    dead, allowed = removed(corpus, share, seed), ~removed(corpus, other, seed + 1)
    queries = corpus.queries(6, seed)
    result = build(kind).searcher(dead, nprobe=2).search(queries, k, allowed=allowed)
    check(result, corpus, queries, allowed & ~dead, k)


@many
@given(st.integers(0, 2**32), st.integers(0, 6100), st.integers(0, 6100))
def test_short_bitmaps_show_new_rows_unless_only_some_are_allowed(
    build, corpus, seed, dead_length, allowed_length
):
    total = len(corpus.live)
    dead = removed(corpus, 0.5, seed)[:dead_length]
    allowed = removed(corpus, 0.5, seed + 1)[:allowed_length]
    may = ~np.pad(dead, (0, total - len(dead)))
    queries = corpus.queries(3, seed)
    searcher = build("sq8").searcher(dead)
    check(searcher.search(queries, 8), corpus, queries, may, 8)
    both = may & np.pad(allowed, (0, total - len(allowed)))
    check(searcher.search(queries, 8, allowed=allowed), corpus, queries, both, 8)


def test_more_results_than_living_rows_are_padded(built, corpus, path):
    dead = np.ones(len(corpus.live), dtype=bool)
    dead[[3, 9, 5000]] = False
    result = built.searcher(dead).search(corpus.queries(4), 10)
    assert (np.sort(result.ids[:, :3], axis=1) == [3, 9, 5000]).all()
    assert (result.ids[:, 3:] == -1).all()


def test_every_living_row_can_be_asked_for(built, corpus):
    queries = corpus.queries(2)
    result = built.searcher(nprobe=1).search(queries, len(corpus.ids) + 5)
    assert (np.sort(result.ids[:, :-5], axis=1) == corpus.ids).all()
    assert (result.ids[:, -5:] == -1).all()


def test_nothing_survives(built, corpus, path):
    searcher = built.searcher(np.ones(len(corpus.live), dtype=bool))
    assert (searcher.search(corpus.queries(3), 5).ids == -1).all()
    none = np.zeros(0, dtype=bool)
    assert (built.searcher().search(corpus.queries(3), 5, allowed=none).ids == -1).all()


def test_equal_rows_come_in_id_order(built, corpus):
    result = built.searcher().search(corpus.vectors.gather([200]), 4)
    assert result.ids[0].tolist() == [200, 201, 202, 3000]
    assert len(set(result.scores[0].tolist())) == 1


def test_one_query_and_many_get_the_same_answer(built, corpus, path):
    queries, dead = corpus.queries(), removed(corpus, 0.9)
    searcher = built.searcher(dead)
    together = searcher.search(queries, 7, threads=2)
    for row, query in enumerate(queries):
        alone = searcher.search(query[None], 7, threads=1)
        assert (alone.ids[0] == together.ids[row]).all()
        assert (alone.scores[0] == together.scores[row]).all()


def test_searching_in_blocks_gives_the_same(build, corpus, monkeypatch):
    searcher, queries = build("sq8").searcher(), corpus.queries()
    whole = searcher.search(queries, 7)
    monkeypatch.setattr(search, "BLOCK_CELLS", 1000)
    pieces = searcher.search(queries, 7)
    assert (whole.ids == pieces.ids).all()
    assert (whole.scores == pieces.scores).all()


def test_many_segments_find_what_one_finds(build, corpus, tmp_path):
    from retro_cli.index.segments import build_segment

    built = build("rabitq")
    one, pieces = tmp_path / "one", []
    build_segment(built.template, corpus.vectors, corpus.ids, one)
    for number, ids in enumerate(np.array_split(corpus.ids, 30)):
        build_segment(built.template, corpus.vectors, ids, tmp_path / str(number))
        pieces.append(tmp_path / str(number))
    queries = corpus.queries()
    whole = built.searcher(segments=[one], candidates=300).search(queries, 10)
    parts = built.searcher(segments=pieces, candidates=300).search(queries, 10)
    assert (whole.ids == parts.ids).mean() > 0.999  # equal codes at the last candidate
    assert parts.stats["segments"] == 30


def test_filters_survive_garbage_collection(build, corpus):
    dead = removed(corpus, 0.3)
    searcher = build("sq8").searcher(dead.copy())
    allowed = removed(corpus, 0.5, 1)
    queries = corpus.queries(5)
    for _ in range(5):
        gc.collect()
        check(searcher.search(queries, 5), corpus, queries, ~dead, 5)
        check(searcher.search(queries, 5, allowed=allowed), corpus, queries, allowed & ~dead, 5)


def test_a_filter_widens_the_search_and_a_given_nprobe_does_not(build, corpus, monkeypatch):
    monkeypatch.setattr(search, "SURVIVOR_FLOATS", 0)
    searcher = build("sq8").searcher(nprobe=4)
    allowed = ~removed(corpus, 0.75)
    queries = corpus.queries(4)
    assert searcher.search(queries, 3).stats["probed"] == 4
    assert 7 <= searcher.search(queries, 3, allowed=allowed).stats["probed"] <= 9
    assert searcher.search(queries, 3, allowed=allowed, nprobe=5).stats["probed"] == 5


def test_candidates_grow_with_k_but_not_without_end(build, corpus):
    searcher = build("rabitq").searcher(nprobe=32)
    query = corpus.queries(1)
    assert searcher.search(query, 10).stats["candidates"] == 100
    assert searcher.search(query, 30).stats["candidates"] == 300
    assert searcher.search(query, 1000).stats["candidates"] == 2000
    assert searcher.search(query, 10, candidates=50).stats["candidates"] == 50


def test_few_survivors_are_scored_exactly(build, corpus):
    allowed = np.zeros(len(corpus.live), dtype=bool)
    allowed[100:600] = True
    queries = corpus.queries(5)
    result = build("pq").searcher(nprobe=1).search(queries, 10, allowed=allowed)
    assert result.stats["exact"]
    assert np.allclose(result.scores, corpus.truth(queries, 10, allowed), atol=1e-6)


def test_rows_in_no_segment_are_not_found_though_allowed(build, corpus, path):
    built = build("sq8")
    searcher = built.searcher(segments=built.segments[:1])
    result = searcher.search(corpus.queries(4), 5, allowed=corpus.ids[-1] - 5 < np.arange(6077))
    assert (result.ids == -1).all()


def test_an_exact_index_says_that_it_is_exact(build, corpus):
    assert build("exact").searcher(nprobe=1).search(corpus.queries(2), 30).stats["exact"]
    assert not build("sq8").searcher(nprobe=4).search(corpus.queries(2), 3).stats["exact"]


def test_explain_tells_which_lists_were_read(build, corpus):
    stats = build("sq8").searcher(nprobe=4).search(corpus.queries(3), 3, explain=True).stats
    assert [len(lists) for lists in stats["probed_lists"]] == [4, 4, 4]
    assert all(0 < rows < len(corpus.ids) for rows in stats["rows_scanned"])
    everywhere = build("sq8").everything().search(corpus.queries(1), 3, explain=True).stats
    assert everywhere["rows_scanned"] == [len(corpus.ids)]


def test_no_segments_and_no_queries_are_answered(corpus, build):
    empty = Searcher([], corpus.vectors, None, 4, 40)
    assert (empty.search(corpus.queries(2), 3, explain=True).ids == -1).all()
    nothing = build("sq8").searcher().search(np.zeros((0, 32), dtype=np.float32), 3)
    assert nothing.ids.shape == (0, 3)


def test_queries_of_another_dimension_are_refused(build):
    with pytest.raises(EncoderMismatch, match="32 dimensions"):
        build("sq8").searcher().search(np.ones((1, 31), dtype=np.float32), 3)


def test_segments_of_different_templates_are_refused(build, corpus):
    paths = [build("sq8").segments[0], build("exact").segments[1]]
    with pytest.raises(IntegrityError, match="lists"):
        Searcher(paths, corpus.vectors, None, 4, 40)


def test_searching_leaves_the_files_as_they_are(built, corpus):
    before = [path.read_bytes() for path in built.segments]
    searcher = built.searcher(removed(corpus, 0.9))
    searcher.search(corpus.queries(), 10)
    searcher.close()
    assert [path.read_bytes() for path in built.segments] == before
    assert (searcher.search(corpus.queries(1), 2).ids == -1).all()
