"""Files that appear whole, a journal that survives a torn line, a lock that dies with its owner."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from retro_cli.errors import DiskFull, IntegrityError, LockedError
from retro_cli.store.atomic import read_json, replacing, sweep_temporaries, write_bytes, write_json
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.journal import Journal
from retro_cli.store.lock import writer_lock


def test_an_error_while_writing_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def stop_half_way():
        with replacing(path) as temporary:
            temporary.write_bytes(b"ne")
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half"):
        stop_half_way()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_said_to_be_one(tmp_path):
    with pytest.raises(DiskFull, match="no space left"), replacing(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_equal_values_are_equal_bytes(tmp_path):
    write_json(tmp_path / "one", {"b": 1, "a": [2]})
    write_json(tmp_path / "two", {"a": [2], "b": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_json(tmp_path / "one") == {"a": [2], "b": 1}


def test_broken_json_is_an_integrity_error(tmp_path):
    (tmp_path / "bad").write_bytes(b'{"a": ')
    with pytest.raises(IntegrityError, match="not valid JSON"):
        read_json(tmp_path / "bad")


def test_sweeping_takes_only_what_a_killed_writer_leaves(tmp_path):
    for name in ("part.tmp", "segment.staging", "part.parquet"):
        (tmp_path / name).touch()
    sweep_temporaries(tmp_path)
    assert os.listdir(tmp_path) == ["part.parquet"]


@pytest.mark.parametrize("torn", [b'{"key": "b", "rec', b'{"key": "b"}{\n', b"\xff\n"])
def test_a_torn_last_line_is_forgotten_and_does_not_swallow_the_next(tmp_path, torn):
    path = tmp_path / "journal.jsonl"
    Journal(path).append("a", {"n": 1})
    with path.open("ab") as file:
        file.write(torn)
    journal = Journal(path)
    assert journal.records == {"a": {"n": 1}}
    journal.append("c", {"n": 3})
    assert Journal(path).records == {"a": {"n": 1}, "c": {"n": 3}}


def test_the_cheap_check_notices_a_changed_size_time_or_byte(tmp_path):
    path = tmp_path / "part"
    path.write_bytes(b"12345")
    record = FileRecord.of(path)
    verified = Verified(tmp_path)
    assert verified.problem(record) == ""
    path.write_bytes(b"123456")
    assert "bytes instead of" in verified.problem(record)
    path.write_bytes(b"12346")
    assert "sha256 differs" in verified.problem(record)
    path.unlink()
    assert "is missing" in verified.problem(record)


def test_the_cheap_check_does_not_read_what_it_has_seen(tmp_path, monkeypatch):
    path = tmp_path / "part"
    path.write_bytes(b"12345")
    record = FileRecord.of(path)
    first = Verified(tmp_path)
    first.problem(record)
    first.save({"part"})
    monkeypatch.setattr("retro_cli.store.files.file_sha256", lambda _: pytest.fail("read again"))
    assert Verified(tmp_path).problem(record) == ""


def test_every_byte_is_read_when_asked_for(tmp_path):
    path = tmp_path / "part"
    path.write_bytes(b"12345")
    record, status = FileRecord.of(path), path.stat()
    verified = Verified(tmp_path)
    verified.problem(record)
    path.write_bytes(b"12346")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert verified.problem(record) == ""
    assert "sha256 differs" in verified.problem(record, every_byte=True)


def test_a_broken_cache_only_costs_time(tmp_path):
    (tmp_path / Verified.CACHE).write_bytes(b"[1, 2")
    path = tmp_path / "part"
    path.write_bytes(b"12345")
    assert Verified(tmp_path).problem(FileRecord.of(path)) == ""


HOLD = """
import sys, time
from pathlib import Path
from retro_cli.store.lock import writer_lock
with writer_lock(Path(sys.argv[1]), "embed"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_writers_at_once_is_refused_and_a_dead_writer_holds_nothing(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(LockedError, match=f"retro embed.*{holder.pid}"),
            writer_lock(tmp_path, "chunk"),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with writer_lock(tmp_path, "chunk"):
        pass
