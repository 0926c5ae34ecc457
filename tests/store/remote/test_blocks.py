"""A file that is read by blocks gives the bytes of the file, and fetches only what is asked for."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_helpers import put

from retro_cli.errors import IntegrityError
from retro_cli.index.remote_rows import RemoteRows, load_rows
from retro_cli.store.remote.blocks import BLOCK, BlockFile, hashed, load
from retro_cli.store.remote.objects import ObjectCache
from retro_cli.store.remote.place import Place, Range
from retro_cli.store.remote.snapshot import Stored

SIZE = 5 * BLOCK + 77
BYTES = random.Random(1).randbytes(SIZE)


def stored_at(url: str, folder: Path, data: bytes = BYTES) -> Stored:
    """Put bytes and the digests of their blocks behind a URL."""
    path = folder / "file"
    path.write_bytes(data)
    sha256, blocks = hashed(path)
    stored = Stored(1, len(data), sha256, hashlib.sha256(blocks).hexdigest())
    put(url, stored.key, data)
    put(url, stored.blocks_key, blocks)
    return stored


@pytest.fixture
def opened(memory, tmp_path):
    """Opens the file anew, as another process would."""
    stored = stored_at(memory, tmp_path)
    return lambda: BlockFile(Place(memory), ObjectCache(tmp_path / "cache", 10**9), stored)


@settings(max_examples=20)
@given(reads=st.lists(st.tuples(st.integers(0, SIZE + 9), st.integers(0, 3 * BLOCK)), max_size=5))
def test_any_reads_give_the_bytes_of_the_file(reads, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blocks")
    url = f"memory://blocks{folder}"
    file = BlockFile(Place(url), ObjectCache(folder / "cache", 10**9), stored_at(url, folder))
    for start, count in reads:
        file.seek(start)
        assert file.read(count) == BYTES[start : start + count]


def test_only_the_blocks_that_are_read_are_fetched_and_only_once(opened):
    file = opened()
    before = file.place.traffic.bytes
    file.seek(BLOCK + 5)
    file.read(10)
    digests = 6 * 16
    assert file.place.traffic.bytes - before == BLOCK + digests
    again = opened()
    again.seek(BLOCK)
    assert again.read(BLOCK) == BYTES[BLOCK : 2 * BLOCK]
    assert file.place.traffic.bytes - before == BLOCK + digests


def test_blocks_of_several_places_of_a_file_come_in_one_round(opened, monkeypatch):
    file = opened()
    rounds = []
    read = Place.read
    monkeypatch.setattr(Place, "read", lambda *asked: rounds.append(asked[1]) or read(*asked))
    load([(file, 0, 10), (file, 3 * BLOCK, 4 * BLOCK), (file, 5 * BLOCK, SIZE)])
    assert [len(each) for each in rounds] == [4]
    assert file.pread(5 * BLOCK, SIZE) == BYTES[5 * BLOCK :]


@pytest.mark.parametrize("what", ["key", "blocks_key"])
@pytest.mark.parametrize("how", ["flipped", "truncated", "empty"])
def test_other_bytes_than_were_pushed_are_never_given(opened, memory, what, how):
    file = opened()
    key = getattr(file.stored, what)
    (data,) = file.place.read([Range(key, 0, 96)]) if what == "blocks_key" else [BYTES]
    bad = {"flipped": bytes([data[0] ^ 1]) + data[1:], "truncated": data[: len(data) // 2 - 3],
           "empty": b""}  # fmt: skip
    put(memory, key, bad[how])
    with pytest.raises(IntegrityError, match=r"sha256 differs|gave"):
        file.pread(0, SIZE)


def test_a_damaged_cache_is_fetched_again(opened, tmp_path):
    opened().pread(0, SIZE)
    (some,) = (tmp_path / "cache").glob("*.some")
    some.write_bytes(bytes(SIZE))
    assert opened().pread(0, SIZE) == BYTES
    (digests,) = (tmp_path / "cache").glob("*.blocks")
    digests.write_bytes(b"rubbish")
    assert opened().pread(0, SIZE) == BYTES


def test_rows_of_vectors_are_those_of_the_file(memory, tmp_path):
    rows = np.random.default_rng(0).standard_normal((3000, 24)).astype(np.float16)
    np.save(tmp_path / "v.npy", rows)
    stored = stored_at(memory, tmp_path, (tmp_path / "v.npy").read_bytes())
    cache = ObjectCache(tmp_path / "cache", 10**9)
    remote = RemoteRows(BlockFile(Place(memory), cache, stored), 3000, 24)
    before = remote.file.place.traffic.bytes
    ids = np.array([2999, 0, 7, 7, 1500])
    load_rows([(remote, ids), (rows, ids)])
    assert np.array_equal(remote[ids], rows[ids])
    assert remote.file.place.traffic.bytes - before < 4 * BLOCK
    assert np.array_equal(remote[10:2000], rows[10:2000])
    with pytest.raises(IntegrityError, match="does not hold"):
        RemoteRows(remote.file, 3001, 24)
