from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retro_cli.errors import IntegrityError
from retro_cli.index.vectors import VectorPart, Vectors, embedded, row_keys


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """Parts of 5, 0, 1 and 7 rows at 0, 5, 8 and 20; every row repeats its id."""
    folder = tmp_path_factory.mktemp("parts")
    parts = []
    for base, rows in ((20, 7), (0, 5), (8, 1), (5, 0)):
        path = folder / f"{base}.npy"
        ids = np.arange(base, base + rows, dtype=np.float16)
        np.save(path, np.repeat(ids[:, None], 3, axis=1))
        parts.append(VectorPart(str(path), base, rows))
    return Vectors(parts, 3)


HELD = [*range(5), 8, *range(20, 27)]


@given(st.lists(st.sampled_from(HELD), max_size=30))
def test_gather_returns_the_rows_of_any_ids_in_any_order(vectors, ids):
    rows = vectors.gather(np.array(ids, dtype=np.int64))
    assert rows.dtype == np.float32
    assert rows.shape == (len(ids), 3)
    assert rows[:, 2].tolist() == ids


@settings(max_examples=30)
@given(st.integers(1, 20))
def test_blocks_cover_every_row_once_in_id_order(vectors, size):
    blocks = list(vectors.blocks(size))
    assert [len(ids) for ids, _ in blocks[:-1]] == [size] * (len(blocks) - 1)
    assert np.concatenate([ids for ids, _ in blocks]).tolist() == HELD
    assert all((rows[:, 0] == ids).all() for ids, rows in blocks)


@pytest.mark.parametrize("number", [-1, 5, 7, 9, 19, 27])
def test_an_id_without_a_row_is_an_integrity_error(vectors, number):
    with pytest.raises(IntegrityError, match=str(number)):
        vectors.gather([0, number])


def test_total_is_one_past_the_last_id(vectors):
    assert vectors.total == 27
    assert Vectors([], 3).total == 0


def test_no_parts_hold_no_ids():
    assert list(Vectors([], 3).blocks()) == []
    assert Vectors([], 3).gather([]).shape == (0, 3)
    with pytest.raises(IntegrityError):
        Vectors([], 3).gather([0])


def test_parts_that_overlap_are_refused():
    with pytest.raises(IntegrityError, match="same ids"):
        Vectors([VectorPart("a", 0, 5), VectorPart("b", 4, 5)], 3)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "missing"),
        (b"", "not a vector file"),
        (b"no numpy here", "not a vector file"),
        (np.zeros((4, 3), dtype=np.float32), "float32"),
        (np.zeros((3, 3), dtype=np.float16), r"\(3, 3\)"),
        (np.array([{"a": 1}] * 4, dtype=object), "not a vector file"),
    ],
)
def test_a_file_that_is_not_the_part_is_an_integrity_error(tmp_path, content, problem):
    path = tmp_path / "part.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(IntegrityError, match=problem):
        Vectors([VectorPart(str(path), 0, 4)], 3).gather([1])


def test_a_row_of_zeros_is_not_embedded():
    rows = np.array([[0, 0], [0, 1], [-1, 0]], dtype=np.float32)
    assert embedded(rows).tolist() == [False, True, True]


def test_equal_rows_share_a_key_and_others_do_not():
    rows = np.random.default_rng(0).standard_normal((2000, 8)).astype(np.float16)
    keys = row_keys(np.vstack([rows, rows]).astype(np.float32))
    assert (keys[:2000] == keys[2000:]).all()
    assert len(np.unique(keys)) == 2000
