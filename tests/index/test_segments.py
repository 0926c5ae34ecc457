from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import IntegrityError
from retro_cli.index.merging import CHEAP_ROWS, MAX_OPEN, SEGMENT_ROWS, merge_plan
from retro_cli.index.segments import (
    build_segment,
    drop_ids,
    load_index,
    merge_segments,
    stored_ids,
)
from retro_cli.index.vectors import VectorPart, Vectors


def same_results(one, other, queries, k=15):
    first, second = one.search(queries, k), other.search(queries, k)
    assert (first.ids == second.ids).all()
    assert (first.scores == second.scores).all()


def test_a_segment_holds_the_embedded_rows_and_no_others(built, corpus, tmp_path, recorder):
    ids = np.arange(2500)
    info = build_segment(
        built.template, corpus.vectors, ids, tmp_path / "s", threads=1, progress=recorder
    )
    held = stored_ids(load_index(tmp_path / "s"))
    assert held.tolist() == [number for number in range(2500) if number not in (5, 1000)]
    assert info.rows == 2498
    assert (info.first_id, info.last_id) == (0, 2499)
    assert info.bytes == (tmp_path / "s").stat().st_size
    assert info.imbalance >= 1
    assert recorder.tasks["adding"] == [2500, 2500, "2,498 rows"]


def test_the_same_rows_give_the_same_bytes(built, corpus, tmp_path):
    build_segment(built.template, corpus.vectors, corpus.ids, tmp_path / "a", threads=1)
    build_segment(built.template, corpus.vectors, corpus.ids, tmp_path / "b", threads=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("kind", ["exact", "sq8", "rabitq", "pq", "graph"])
def test_neither_threads_nor_blocks_show_in_the_bytes(build, corpus, tmp_path, monkeypatch, kind):
    template = build(kind).template
    build_segment(template, corpus.vectors, corpus.ids, tmp_path / "a", threads=1)
    monkeypatch.setattr("retro_cli.index.segments.BLOCK_ROWS", 1000)
    build_segment(template, corpus.vectors, corpus.ids, tmp_path / "b", threads=2)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_segment_may_be_empty(built, corpus, tmp_path):
    info = build_segment(built.template, corpus.vectors, np.array([5, 1000]), tmp_path / "s")
    assert (info.rows, info.first_id, info.last_id) == (0, -1, -1)
    searcher = built.searcher(segments=[tmp_path / "s"])
    assert (searcher.search(corpus.queries(2), 3).ids == -1).all()


def test_merged_segments_hold_every_id_and_find_the_same(built, corpus, tmp_path):
    info = merge_segments(built.segments, tmp_path / "merged", corpus.vectors)
    assert stored_ids(load_index(tmp_path / "merged")).tolist() == corpus.ids.tolist()
    assert info.rows == len(corpus.ids)
    merged = built.everything(segments=[tmp_path / "merged"])
    same_results(built.everything(), merged, corpus.queries())


def test_merged_segments_are_those_built_at_once(build, corpus, tmp_path):
    built = build("sq8")
    merge_segments(built.segments, tmp_path / "merged")
    build_segment(built.template, corpus.vectors, corpus.ids, tmp_path / "whole")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "whole").read_bytes()


def test_dropping_leaves_the_living_with_their_ids_and_codes(built, corpus, tmp_path):
    dead = np.zeros(len(corpus.live), dtype=bool)
    dead[:3000:3] = True
    bits = np.packbits(dead, bitorder="little")
    kept = []
    for number, path in enumerate(built.segments):
        before = path.read_bytes()
        info = drop_ids(path, bits, tmp_path / str(number))
        assert path.read_bytes() == before
        alive = [i for i in stored_ids(load_index(path)) if not dead[i]]
        assert stored_ids(load_index(tmp_path / str(number))).tolist() == alive
        assert info.rows == len(alive)
        kept.append(tmp_path / str(number))
    compacted = built.everything(segments=kept)
    same_results(built.everything(dead), compacted, corpus.queries())
    merge_segments(kept, tmp_path / "merged")
    same_results(compacted, built.everything(segments=[tmp_path / "merged"]), corpus.queries())


def test_ids_past_the_end_of_the_bitmap_live(build, tmp_path):
    built = build("sq8")
    info = drop_ids(built.segments[0], np.full(10, 255, dtype=np.uint8), tmp_path / "s")
    assert info.first_id == 80
    info = drop_ids(built.segments[0], np.zeros(0, dtype=np.uint8), tmp_path / "s")
    assert info.first_id == 0


def test_rows_unlike_the_training_show_as_quantisation_error(build, corpus, tmp_path):
    built = build("sq8")
    rows = np.random.default_rng(5).standard_normal((500, 32))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(tmp_path / "other.npy", rows.astype(np.float16))
    others = Vectors([VectorPart(str(tmp_path / "other.npy"), 0, 500)], 32)
    same = build_segment(built.template, corpus.vectors, corpus.ids[:500], tmp_path / "a")
    other = build_segment(built.template, others, np.arange(500), tmp_path / "b")
    assert other.quantisation_error > 1.15 * same.quantisation_error
    assert merge_segments([tmp_path / "a"], tmp_path / "c").quantisation_error is None
    again = merge_segments([tmp_path / "a"], tmp_path / "c", corpus.vectors)
    assert again.quantisation_error == same.quantisation_error


@pytest.mark.parametrize("content", [None, b"", b"not an index", "truncated"])
def test_a_damaged_file_is_an_integrity_error(build, tmp_path, content):
    built, path = build("sq8"), tmp_path / "s.faiss"
    if content == "truncated":
        path.write_bytes(built.segments[0].read_bytes()[:5000])
    elif content is not None:
        path.write_bytes(content)
    for flags in (0, faiss.IO_FLAG_MMAP_IFC):
        with pytest.raises(IntegrityError, match=r"s\.faiss"):
            load_index(path, flags)


SIZES = st.lists(st.integers(1, 10**7), max_size=20)


@given(SIZES, st.integers(0, 10**6), st.integers(1, 10))
def test_a_merge_plan_leaves_few_segments_and_names_each_once(sizes, new, most):
    counts = [*sizes, *([new] if new else [])]
    groups = merge_plan(sizes, new, most)
    merged = [position for group in groups for position in group]
    assert len(merged) == len(set(merged))
    assert all(len(group) > 1 and 0 <= min(group) <= max(group) < len(counts) for group in groups)
    # Two merges side by side are more than a segment may hold.
    assert len(counts) - len(merged) + len(groups) <= most + 1 + sum(counts) // (SEGMENT_ROWS // 2)


@given(st.lists(st.integers(1, SEGMENT_ROWS), max_size=40), st.integers(1, 10))
def test_no_merge_holds_more_rows_than_a_segment_may_have(sizes, most):
    for group in merge_plan(sizes, 0, most):
        assert sum(sizes[position] for position in group) <= SEGMENT_ROWS


def test_what_a_first_build_of_many_rows_makes_stays_as_it_is():
    assert merge_plan([SEGMENT_ROWS] * 20) == []
    assert merge_plan([*[SEGMENT_ROWS] * 20, 10_000], 10_000) == []
    assert merge_plan([*[SEGMENT_ROWS] * 20, 10_000, 10_000], 10_000) == [[20, 21, 22]]


@given(SIZES)
def test_the_smallest_segments_are_merged_first(sizes):
    merged = {position for group in merge_plan(sizes) for position in group}
    kept = [size for position, size in enumerate(sizes) if position not in merged]
    assert max((sizes[position] for position in merged), default=0) <= min(kept, default=10**9)


def test_a_small_update_does_not_rewrite_a_large_segment():
    assert merge_plan([10_000_000], 100_000) == []
    assert merge_plan([10_000_000, 100_000, 100_000], 100_000) == [[1, 2, 3]]
    assert merge_plan([10_000_000, 4_000_000, 600_000, 100_000], 100_000) == []


def test_what_is_cheap_to_rewrite_is_a_large_segment_and_a_small_one_at_most():
    assert merge_plan([100_000], 1_000) == []
    assert merge_plan([100_000, 1_000], 1_000) == [[1, 2]]
    assert merge_plan([100_000, 9_000], 3_000) == [[0, 1, 2]]
    assert merge_plan([100_000], 1_000, dead=20_000) == [[0, 1]]
    assert merge_plan([1_000, 100_000, 1_000]) == [[0, 2]]
    assert merge_plan([CHEAP_ROWS, 1, 1], dead=10**6) == []
    assert merge_plan([5], dead=5) == []


def test_a_thousand_updates_stay_few_segments_and_rewrite_each_row_a_few_times():
    sizes, written = [10_000_000], 0
    for _ in range(1000):
        sizes.append(10_000)
        for group in merge_plan(sizes):
            merged = sum(sizes[position] for position in group)
            written += merged
            sizes = [s for position, s in enumerate(sizes) if position not in group] + [merged]
        full = sum(2 * size > SEGMENT_ROWS for size in sizes)
        assert len(sizes) <= max(MAX_OPEN, full + MAX_OPEN // 2)
    assert sum(sizes) == 20_000_000
    assert written < 10 * 10_000 * 1000
