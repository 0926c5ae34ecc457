from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import ConfigError, NotBuiltYet
from retro_cli.index import train
from retro_cli.index.plan import plan_index
from retro_cli.index.train import probe, train_template, training_sample
from retro_cli.index.vectors import VectorPart, Vectors, sample_ids


def make(corpus, factory, live=None, **options):
    plan = plan_index(len(corpus.ids), 32, 1 << 30, factory=factory)
    return train_template(corpus.vectors, corpus.live if live is None else live, plan, **options)


def as_bytes(index):
    return faiss.serialize_index(index).tobytes()


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 80), st.integers(0, 2**32))
def test_a_sample_holds_distinct_live_ids_in_order(live, count, seed):
    live = np.array(live, dtype=bool)
    ids = sample_ids(live, count, seed)
    assert len(ids) == min(count, live.sum())
    assert (np.diff(ids) > 0).all()
    assert live[ids].all()
    assert (ids == sample_ids(live, count, seed)).all()


def test_every_live_row_is_as_likely_as_the_others():
    live = np.arange(100) % 2 == 0
    drawn = np.bincount(
        np.concatenate([sample_ids(live, 10, s) for s in range(2000)]), minlength=100
    )
    assert (drawn[1::2] == 0).all()
    assert abs(drawn[::2] - 400).max() < 5 * np.sqrt(400 * 0.8)


def test_the_training_sample_has_no_copies_and_no_empty_rows(corpus):
    rows = training_sample(corpus.vectors, rows_held(corpus), 9000, 0)
    assert len(np.unique(rows, axis=0)) == len(rows) == len(corpus.ids) - 3
    assert rows.any(axis=1).all()


def rows_held(corpus):
    """Ids that have a row, embedded or not."""
    held = np.zeros(len(corpus.live), dtype=bool)
    for part in corpus.vectors.parts:
        held[part.base : part.base + part.rows] = True
    return held


def test_the_sample_is_as_large_as_asked_although_copies_are_dropped(tmp_path):
    rows = np.repeat(np.eye(16, dtype=np.float16), 100, axis=0)
    rows[:20] = np.random.default_rng(0).standard_normal((20, 16))
    np.save(tmp_path / "v.npy", rows)
    vectors = Vectors([VectorPart(str(tmp_path / "v.npy"), 0, 1600)], 16)
    assert len(training_sample(vectors, np.ones(1600, dtype=bool), 30, 0)) == 30
    assert len(training_sample(vectors, np.ones(1600, dtype=bool), 300, 0)) == 36


@pytest.mark.parametrize("factory", ["Flat", "IVF32,SQ8", "IVF32,RaBitQfs", "IVF32_HNSW32,SQ8"])
def test_the_same_input_gives_the_same_bytes(corpus, factory):
    first = make(corpus, factory, seed=3, threads=1)
    assert first.is_trained
    assert first.ntotal == 0
    assert first.metric_type == faiss.METRIC_INNER_PRODUCT
    assert as_bytes(first) == as_bytes(make(corpus, factory, seed=3, threads=1))


def test_another_seed_trains_another_template(corpus):
    assert as_bytes(make(corpus, "IVF32,SQ8", seed=1)) != as_bytes(
        make(corpus, "IVF32,SQ8", seed=2)
    )


def test_rows_that_are_not_live_do_not_shape_the_template(corpus):
    first = corpus.live & (np.arange(len(corpus.live)) < 2500)
    part = Vectors(corpus.vectors.parts[:1], 32)
    whole = make(corpus, "IVF8,SQ8", first, seed=1, threads=1)
    plan = plan_index(len(corpus.ids), 32, 1 << 30, factory="IVF8,SQ8")
    assert as_bytes(whole) == as_bytes(train_template(part, first[:2500], plan, seed=1, threads=1))


def test_an_exact_template_needs_no_rows():
    index = train_template(Vectors([], 8), np.zeros(0, dtype=bool), plan_index(0, 8, 1 << 20))
    assert index.is_trained
    assert not index.by_residual


def test_nothing_to_train_on_says_which_stage_is_missing(corpus):
    with pytest.raises(NotBuiltYet) as caught:
        make(corpus, "IVF32,SQ8", np.zeros(len(corpus.live), dtype=bool))
    assert "embed" in caught.value.hint


def test_copies_of_few_vectors_get_fewer_lists_and_a_warning(tmp_path, recorder):
    rows = np.repeat(np.random.default_rng(0).standard_normal((200, 16)), 20, axis=0)
    np.save(tmp_path / "v.npy", rows.astype(np.float16))
    vectors = Vectors([VectorPart(str(tmp_path / "v.npy"), 0, 4000)], 16)
    plan = plan_index(4000, 16, 1 << 30, factory="IVF64,SQ8")
    index = train_template(vectors, np.ones(4000, dtype=bool), plan, progress=recorder)
    assert index.nlist == 64 * 200 // (64 * 39)
    assert any("200 distinct" in message for message in recorder.warnings)


def test_a_factory_that_does_not_divide_the_dimension_is_a_config_error(corpus):
    with pytest.raises(ConfigError, match="PQ7x4fs") as caught:
        make(corpus, "IVF8,PQ7x4fs")
    assert "divide" in caught.value.hint


@pytest.mark.parametrize("factory", ["IVF1,PQ8", "IVF2,PQ8x4fs", "IVF1,PQ4x12"])
def test_a_factory_that_needs_more_rows_than_there_are_is_a_config_error(corpus, factory):
    few = corpus.live & (np.cumsum(corpus.live) <= 9)
    with pytest.raises(ConfigError, match="on 9 rows") as caught:
        make(corpus, factory, few)
    assert "number of clusters" in caught.value.message
    assert ".cpp" not in caught.value.message
    assert "SQ8" in caught.value.hint


def brief(index):
    """The same index, which learns its codes in a round or two."""
    if isinstance(index, faiss.IndexPreTransform):
        opq = faiss.downcast_VectorTransform(index.chain.at(0))
        opq.niter, opq.niter_pq, opq.niter_pq_0 = 2, 1, 1
    ivf = faiss.downcast_index(faiss.extract_index_ivf(index))
    if hasattr(ivf, "pq"):
        ivf.pq.cp.niter = 1
    return index


@pytest.mark.parametrize(
    ("factory", "warnings"),
    [("IVF200,PQ8x4fs", 0), ("OPQ2,IVF8,PQ2", 1), ("OPQ2_16,IVF8,SQ8", 1)],
)
def test_faiss_writes_no_warning_of_its_own(
    corpus, capfd, monkeypatch, recorder, factory, warnings
):
    def made(words, dim, metric):
        return brief(faiss.index_factory(dim, words, metric))

    monkeypatch.setattr(train, "_make", made)
    make(corpus, factory, progress=recorder, threads=1)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert len(recorder.warnings) == warnings
    assert all("9,984" in message for message in recorder.warnings)


def test_the_threads_are_put_back(corpus):
    before = faiss.omp_get_max_threads()
    make(corpus, "IVF8,SQ8", threads=before + 1)
    assert faiss.omp_get_max_threads() == before


def test_a_probe_measures_positive_speeds():
    speed = probe(32, lists=64)
    assert min(speed.assigned_flops, speed.encoded_floats, speed.read_floats) > 0
