from __future__ import annotations

import hashlib
import json
import os

import pytest

from retro_cli.embeddings import hashes
from retro_cli.embeddings.hashes import cache_file, model_sha256

BIG = bytes(5 << 20)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(BIG)
    return path


@pytest.fixture
def hashed(monkeypatch):
    """Which files have been read."""
    seen = []
    real = hashes.file_sha256
    monkeypatch.setattr(hashes, "file_sha256", lambda path: seen.append(path) or real(path))
    return seen


def test_a_known_file_is_not_read_again(weights, hashed):
    first = model_sha256(weights, every_byte=False)
    assert first == hashlib.sha256(BIG).hexdigest()
    assert model_sha256(weights, every_byte=False) == first
    assert len(hashed) == 1


def test_every_byte_means_every_byte(weights, hashed):
    model_sha256(weights, every_byte=False)
    model_sha256(weights, every_byte=True)
    assert len(hashed) == 2


def test_a_changed_file_is_read_again(weights):
    model_sha256(weights, every_byte=False)
    changed = b"x" + BIG[1:]
    weights.write_bytes(changed)
    os.utime(weights, ns=(1, 1))
    assert model_sha256(weights, every_byte=False) == hashlib.sha256(changed).hexdigest()


def test_bytes_that_changed_behind_the_clock_are_seen_when_every_byte_is_read(weights):
    status = weights.stat()
    before = model_sha256(weights, every_byte=False)
    weights.write_bytes(b"x" + BIG[1:])
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert model_sha256(weights, every_byte=False) == before
    assert model_sha256(weights, every_byte=True) != before


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"KEY": [1]}', b'{"KEY": "x"}', b"\xff"])
def test_a_broken_record_is_ignored(weights, content):
    cache_file().parent.mkdir(parents=True, exist_ok=True)
    cache_file().write_bytes(content.replace(b"KEY", str(weights).encode()))
    assert model_sha256(weights, every_byte=False) == hashlib.sha256(BIG).hexdigest()
    assert str(weights) in json.loads(cache_file().read_bytes())


def test_a_cache_that_cannot_be_written_does_no_harm(weights, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert model_sha256(weights, every_byte=False) == hashlib.sha256(BIG).hexdigest()
