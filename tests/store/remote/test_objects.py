"""The cache keeps to its limit, spares what is in use, and says so when the disk is full."""

from __future__ import annotations

import errno
import os

import pytest

from retro_cli.errors import ConfigError, DiskFull
from retro_cli.store.remote.objects import ObjectCache, cache_limit

KB = b"x" * 4096


def names(cache: ObjectCache) -> set[str]:
    return {path.name for path in cache.folder.iterdir()}


@pytest.fixture
def cache(tmp_path) -> ObjectCache:
    return ObjectCache(tmp_path / "objects", 4 * len(KB))


def aged(cache: ObjectCache, *order: str) -> None:
    for age, name in enumerate(reversed(order), 1):
        os.utime(cache.whole(name), ns=(10**18 - age * 10**9,) * 2)


def test_what_was_not_used_for_longest_goes_first(cache, tmp_path):
    for name in "abcd":
        cache.put(name, KB)
    aged(cache, *"abcd")
    assert ObjectCache(cache.folder, cache.limit).hold(cache.whole("a"))  # used just now
    ObjectCache(cache.folder, cache.limit).put("e", KB)
    assert names(cache) == {"a", "c", "d", "e"}


def test_what_another_works_with_stays(cache):
    for name in "abcd":
        cache.put(name, KB)
    aged(cache, *"abcd")
    other = ObjectCache(cache.folder, cache.limit)
    assert other.hold(cache.whole("a"))
    aged(cache, *"abcd")
    ObjectCache(cache.folder, cache.limit).put("e", KB)
    assert names(cache) == {"a", "c", "d", "e"}
    del other
    aged(cache, *"acde")
    ObjectCache(cache.folder, cache.limit).put("f", KB)
    assert names(cache) == {"c", "d", "e", "f"}


def test_a_file_that_never_fits_is_refused(cache):
    cache.put("a", KB)
    with pytest.raises(ConfigError, match="does not fit"):
        cache.put("b", KB * 5)
    assert names(cache) == {"a"}


def test_a_full_disk_leaves_nothing_half_written(cache, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("retro_cli.store.remote.objects.os.fsync", full)
    with pytest.raises(DiskFull, match="no space left in the cache"):
        cache.put("a", KB)
    assert names(cache) == set()


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        ObjectCache(tmp_path / "file" / "objects", 10**9).put("a", KB)


def test_what_a_killed_process_left_goes(cache):
    cache.put("a", KB)
    left = cache.folder / "b.123.tmp"
    left.write_bytes(KB)
    os.utime(left, (1, 1))
    ObjectCache(cache.folder, cache.limit).put("c", KB)
    assert names(cache) == {"a", "c"}


@pytest.mark.parametrize("text", ["much", "-1", "0", "nan", "inf", "1e99"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch, text):
    monkeypatch.setenv("RETRO_CACHE_SIZE", text)
    with pytest.raises(ConfigError, match="is no size"):
        cache_limit()


def test_the_limit_is_in_gigabytes(monkeypatch):
    assert cache_limit() == 10 * 10**9
    monkeypatch.setenv("RETRO_CACHE_SIZE", "0.5")
    assert cache_limit() == 5 * 10**8
