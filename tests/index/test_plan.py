from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import ConfigError
from retro_cli.index.plan import (
    EXACT_FACTORY,
    EXACT_ROWS,
    MIN_POINTS_PER_LIST,
    Speed,
    code_size,
    list_count,
    parse_factory,
    plan_index,
    predict,
)

GIB = 1 << 30


@pytest.mark.parametrize(
    ("rows", "dim", "memory", "factory"),
    [
        (0, 384, GIB, "IVF1,SQfp16"),
        (1, 384, GIB, "IVF1,SQfp16"),
        (EXACT_ROWS, 384, GIB, "IVF1,SQfp16"),
        (EXACT_ROWS + 1, 384, GIB, "IVF256,SQ8"),
        (200_000, 256, GIB, "IVF1024,SQ8"),
        (1_000_000, 256, GIB, "IVF2048,SQ8"),
        (1_000_000, 256, GIB // 8, "IVF2048,RaBitQfs"),
        (1_000_000, 256, GIB // 32, "IVF2048,PQ32x4fs"),
        (1_000_000, 256, GIB // 50, "IVF2048,PQ16x4fs"),
        (66_000_000, 384, 32 * GIB, "IVF16384_HNSW32,SQ8"),
        (66_000_000, 384, 8 * GIB, "IVF16384_HNSW32,RaBitQfs"),
    ],
)
def test_the_factory_follows_from_rows_and_memory(rows, dim, memory, factory):
    assert plan_index(rows, dim, memory).factory == factory


@given(st.integers(0, 10**9), st.integers(8, 1024), st.integers(0, 1 << 40))
def test_every_plan_can_be_trained_and_says_why(rows, dim, memory):
    plan = plan_index(rows, dim, memory)
    assert plan.nlist == 1 or plan.nlist * MIN_POINTS_PER_LIST <= rows
    assert plan.exact or plan.nlist * MIN_POINTS_PER_LIST <= plan.training_rows <= rows
    assert plan.exact == (rows <= EXACT_ROWS)
    assert plan.reason
    assert parse_factory(plan.factory)[0] == plan.nlist
    assert faiss.index_factory(dim, plan.factory, faiss.METRIC_INNER_PRODUCT).d == dim


@given(st.integers(EXACT_ROWS + 1, 10**8), st.integers(16, 1024))
def test_less_memory_never_makes_a_larger_index(rows, dim):
    sizes = [plan_index(rows, dim, memory << 20).bytes_total for memory in (10**7, 1000, 100, 1)]
    assert sizes == sorted(sizes, reverse=True)


def test_the_reason_admits_when_nothing_fits():
    assert "not within" in plan_index(10**8, 768, 1 << 20).reason
    assert "fit in" in plan_index(10**6, 256, GIB).reason


@given(st.integers(1, 10**9))
def test_the_number_of_lists_is_near_twice_the_root_of_the_rows(rows):
    lists = list_count(rows)
    assert 1 <= lists <= max(1, rows // MIN_POINTS_PER_LIST)
    if rows > 10_000:
        assert 0.7 <= lists / (2 * rows**0.5) <= 1.42


@pytest.mark.parametrize(
    "factory",
    [
        "IVF64,Flat",
        "IVF64,SQ4",
        "IVF64,SQ6",
        "IVF64,SQ8",
        "IVF64,SQfp16",
        "IVF64,RaBitQ",
        "IVF64,RaBitQ4",
        "IVF64,RaBitQfs",
        "IVF64,RaBitQfs4",
        "IVF64,PQ8",
        "IVF64,PQ8x4fs",
        "IVF64,PQ8x4fsr",
        "IVF64,PQ8x6",
        "IVF64_HNSW16,SQ8",
        "OPQ8_32,IVF64,PQ8x4fs",
    ],
)
def test_a_factory_of_the_user_is_kept_and_its_code_size_known(factory):
    plan = plan_index(10_000, 64, GIB, factory=factory)
    assert plan.factory == factory
    assert factory in plan.reason
    index = faiss.index_factory(64, factory, faiss.METRIC_INNER_PRODUCT)
    inverted = faiss.extract_index_ivf(index)
    assert plan.code_bytes == inverted.code_size + 8


def test_flat_means_exact_search():
    plan = plan_index(10**6, 64, GIB, factory="Flat")
    assert plan.factory == EXACT_FACTORY
    assert plan.exact
    assert plan.training_rows == 0


@pytest.mark.parametrize(
    "factory",
    ["HNSW32", "IVF64", "IVF0,SQ8", "SQ8", "IVF64,SQ8,RFlat", "IVF64,SQ8,Refine(SQ8)", "flat", "$"],
)
def test_a_factory_that_is_not_an_inverted_file_is_refused_with_a_hint(factory):
    with pytest.raises(ConfigError, match="factory") as caught:
        plan_index(10_000, 64, GIB, factory=factory)
    assert "IVF" in caught.value.hint


def test_more_lists_than_rows_are_refused():
    with pytest.raises(ConfigError, match="1,024 lists for 1,000 rows") as caught:
        plan_index(1000, 64, GIB, factory="IVF1024,SQ8")
    assert "IVF25" in caught.value.hint


@pytest.mark.parametrize("recall", [0.0, -1.0, 1.01])
def test_a_recall_that_is_no_share_is_refused(recall):
    with pytest.raises(ConfigError, match="recall"):
        plan_index(1000, 64, GIB, recall)


def test_coarse_codes_and_high_recall_ask_for_more_candidates():
    def candidates(code, recall=0.95):
        return plan_index(10**5, 64, GIB, recall, f"IVF64,{code}").candidates

    assert candidates("SQ8") < candidates("RaBitQfs") < candidates("RaBitQfs", 0.99)
    assert candidates("PQ16x4fs") == candidates("RaBitQfs")


def test_code_sizes_are_those_of_whole_bytes():
    assert code_size("SQ6", 10) == 8 + 8
    assert code_size("PQ5x4fs", 10) == 3 + 8


def test_costs_grow_with_rows_and_shrink_with_speed():
    slow, fast = Speed(1e10, 1e8, 1e8), Speed(1e11, 1e9, 1e9)
    small, large = (plan_index(rows, 256, GIB) for rows in (10**5, 10**6))
    one, many = predict(small, 10**5, 256, slow), predict(large, 10**6, 256, slow)
    quick = predict(large, 10**6, 256, fast)
    assert one.train_seconds < many.train_seconds
    assert one.add_seconds < many.add_seconds
    assert many.disk_bytes > large.bytes_total
    assert many.peak_bytes > large.bytes_total
    assert np.isclose(quick.train_seconds * 10, many.train_seconds)
    assert np.isclose(quick.add_seconds * 10, many.add_seconds)


def test_an_exact_index_costs_no_training():
    assert predict(plan_index(1000, 256, GIB), 1000, 256, Speed(1e10, 1e8, 1e8)).train_seconds == 0
