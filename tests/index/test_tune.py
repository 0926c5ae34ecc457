from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.index.bench import interval
from retro_cli.index.exact import database_truth, exact_search
from retro_cli.index.plan import plan_index
from retro_cli.index.search import Searcher
from retro_cli.index.segments import build_segment
from retro_cli.index.train import train_template
from retro_cli.index.tune import list_places, tune
from retro_cli.index.vectors import VectorPart, Vectors


def chosen(built, **options):
    corpus = built.corpus
    searcher = built.searcher(candidates=options.pop("candidates", None))
    return tune(searcher, corpus.vectors, corpus.live, **{"queries": 400, **options})


def measured(built, result, seed):
    """Recall@10 of rows that tuning did not see, by ids, counted the plain way."""
    corpus = built.corpus
    own = np.random.default_rng(seed).choice(corpus.ids, 500, replace=False)
    own = own[~np.isin(own, [200, 201, 202, 3000])]
    queries = corpus.vectors.gather(own)
    truth, _ = exact_search(corpus.vectors, queries, 10, corpus.live, list(own[:, None]))
    searcher = built.searcher(nprobe=result.nprobe, candidates=result.candidates)
    found = searcher.search(queries, 11).ids
    hits = [len(set(f) & set(t)) for f, t in zip(found.tolist(), truth.tolist(), strict=True)]
    return np.mean(hits) / 10


@pytest.mark.parametrize("kind", ["sq8", "rabitq", "graph", "rotated"])
def test_the_choice_meets_the_target_on_other_queries_too(build, kind):
    built = build(kind)
    result = chosen(built)
    assert result.met
    assert result.low >= 0.95
    assert result.low <= result.recall <= result.high
    assert result.nprobe < 32
    assert result.queries > 380
    assert measured(built, result, 77) == pytest.approx(result.recall, abs=0.02)


def test_a_smaller_nprobe_would_not_have_met_the_target(build):
    built = build("sq8")
    result = chosen(built)
    searcher = built.searcher()
    corpus = built.corpus
    truth = database_truth(corpus.vectors, corpus.live, 10, 400, 0)
    less = searcher.search(
        truth.queries, 14, nprobe=result.nprobe - 1, candidates=result.candidates
    )
    assert interval(truth.recall(less.ids, less.scores))[1] < 0.95


def test_a_higher_target_takes_more(build):
    low, high = (chosen(build("sq8"), target=target) for target in (0.7, 0.98))
    assert low.nprobe < high.nprobe
    assert low.met
    assert high.met


def test_the_same_seed_gives_the_same_choice(build):
    one, two = (chosen(build("rabitq"), seed=5) for _ in range(2))
    assert (one.nprobe, one.candidates, one.recall, one.low) == (
        two.nprobe,
        two.candidates,
        two.recall,
        two.low,
    )


def test_candidates_grow_where_the_codes_lose_neighbours(build):
    result = chosen(build("pq"), candidates=20)
    assert result.candidates > 20
    assert result.met


def test_an_exact_index_needs_no_interval(build):
    result = chosen(build("exact"), target=1.0)
    assert (result.nprobe, result.recall, result.low, result.high) == (1, 1.0, 1.0, 1.0)
    assert result.met


def test_a_target_out_of_reach_is_admitted(build):
    result = chosen(build("pq"), target=1.0)
    assert result.nprobe == 32
    assert not result.met


def test_the_curve_rises_and_holds_the_choice(build):
    result = chosen(build("sq8"))
    tried = [nprobe for nprobe, _, _ in result.curve]
    recalls = [recall for _, recall, _ in result.curve]
    assert tried == sorted(set(tried))
    assert recalls == sorted(recalls)
    assert dict(zip(tried, recalls, strict=True))[result.nprobe] == result.recall
    assert 0 < result.latency_ms_p50 <= result.latency_ms_p95


def test_text_queries_are_a_second_figure(build, corpus):
    built = build("sq8")
    texts = np.vstack([corpus.queries(30), np.zeros((2, 32), dtype=np.float32)])
    result = chosen(built, text_queries=texts)
    assert result.text_queries == 30
    assert 0.5 < result.text_recall <= 1
    assert chosen(built).text_recall is None
    assert chosen(built, text_queries=texts[30:]).text_recall is None


def test_the_truth_leaves_out_the_own_row_its_copies_and_the_dead(corpus):
    live = corpus.live.copy()
    live[1000:2000] = False
    truth = database_truth(corpus.vectors, live, 10, 6000, 0)
    assert live[truth.ids].all()
    rows = corpus.vectors.gather(truth.ids.ravel()).reshape(*truth.ids.shape, -1)
    assert not (rows == truth.queries[:, None]).all(axis=2).any()
    copies = np.sort(truth.barred[(truth.barred >= 0).sum(axis=1) == 4], axis=1)
    assert len(copies) == 4
    assert (copies == [200, 201, 202, 3000]).all()


def test_a_result_is_right_if_it_is_as_near_as_the_truth(corpus):
    truth = database_truth(corpus.vectors, corpus.live, 10, 50, 0)
    assert (truth.recall(truth.ids, truth.scores) == 1).all()
    assert (truth.recall(truth.ids[:, :5], truth.scores[:, :5]) == 0.5).all()
    others = np.where(np.arange(10) < 3, -1, truth.ids)
    assert np.allclose(truth.recall(others, truth.scores), 0.7)
    own = np.hstack([truth.barred[:, :1], truth.ids[:, :9]])
    assert np.allclose(truth.recall(own, truth.scores), 0.9)


def test_places_of_lists_foretell_recall(build, corpus):
    searcher = build("sq8").searcher()
    truth = database_truth(corpus.vectors, corpus.live, 10, 200, 0)
    places = list_places(searcher, corpus.vectors, truth)
    for nprobe in (1, 4, 16):
        found = searcher.search(truth.queries, 14, nprobe=nprobe, candidates=6000)
        expected = (places < nprobe).mean(axis=1)
        assert np.allclose(truth.recall(found.ids, found.scores), expected)


@given(st.lists(st.integers(0, 10), min_size=1, max_size=200))
def test_an_interval_holds_its_mean_and_stays_a_share(hits):
    mean, low, high = interval(np.array(hits) / 10)
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1
    assert low < high


def test_a_perfect_sample_does_not_prove_perfection():
    assert 0.9 < interval(np.ones(50))[1] < 0.95 < interval(np.ones(500))[1] < 1


def test_nineteen_intervals_in_twenty_hold_the_truth():
    rng = np.random.default_rng(0)
    shares = np.minimum(1, rng.binomial(10, 0.96, (2000, 300)) / 10)
    held = [low <= 0.96 <= high for _, low, high in map(interval, shares)]
    assert 0.93 < np.mean(held) < 0.975


@pytest.mark.parametrize(("rows", "copies"), [(0, 1), (1, 1), (3, 1), (4, 100)])
def test_a_database_of_hardly_any_rows_is_tuned(tmp_path, rows, copies):
    table = np.repeat(np.eye(16, dtype=np.float16)[:rows], copies, axis=0)
    np.save(tmp_path / "v.npy", table)
    parts = [VectorPart(str(tmp_path / "v.npy"), 0, len(table))]
    vectors, live = Vectors(parts, 16), np.ones(len(table), dtype=bool)
    plan = plan_index(len(table), 16, 1 << 30)
    import faiss

    faiss.write_index(train_template(vectors, live, plan), str(tmp_path / "t"))
    build_segment(tmp_path / "t", vectors, np.arange(len(table)), tmp_path / "s")
    result = tune(Searcher([tmp_path / "s"], vectors, None, 1, 40), vectors, live)
    assert result.met
    assert result.recall == 1
    assert result.queries == (3 if rows == 3 else 0)
