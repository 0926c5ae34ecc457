"""A database that may not be written: readers read it, writers say so, and nothing is a defect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import fingerprint, without_override

from retro_cli.database import Database
from retro_cli.errors import UsageError
from retro_cli.store.atomic import replacing, write_bytes

WRITERS = {
    "chunk": ["chunk", "archive", "--db", "a.db"],
    "build": ["build", "archive", "--db", "a.db"],
    "embed": ["embed", "a.db"],
    "index": ["index", "a.db"],
    "compact": ["compact", "a.db"],
    "neighbours": ["neighbours", "a.db"],
    "rollback": ["rollback", "a.db", 1],
    "filter add": ["filter", "add", "a.db", "--doc", "p1", "--reason", "x"],
    "filter score": ["filter", "score", "a.db", "--scorer", "words"],
}
READERS = {
    "query": ["query", "a.db", "the ferry"],
    "show": ["show", "a.db", 0],
    "sources": ["sources", "a.db"],
    "status": ["status", "a.db"],
    "verify": ["verify", "a.db"],
    "history": ["history", "a.db"],
    "diff": ["diff", "a.db", "archive"],
    "filter list": ["filter", "list", "a.db"],
    "filter verify": ["filter", "verify", "a.db"],
    "export": ["export", "a.db", "o.npy"],
}


@pytest.fixture
def locked(db: Path) -> Iterator[Path]:
    """A database that nobody may write in."""
    for path in (db / ".lock", *db.rglob(".verified.json")):  # what a reader could do without
        path.unlink(missing_ok=True)
    found = [db, *db.rglob("*")]
    modes = {path: path.stat().st_mode for path in found}
    for path in found:
        path.chmod(modes[path] & ~0o222)
    with without_override():
        yield db
    for path in found:
        path.chmod(modes[path])


def refused(result, *words: object) -> None:
    assert result.code == 2, result.err
    assert result.err.count("error:") == 1
    assert "hint:" in result.err
    assert "defect" not in result.err
    for word in words:
        assert str(word) in result.err


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_says_that_it_may_not_write(retro, locked, name):
    before = fingerprint(locked)
    refused(retro(*WRITERS[name]), "cannot write a.db/.lock: Permission denied")
    assert fingerprint(locked) == before


@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_and_says_nothing_of_it(retro, locked, name):
    before = fingerprint(locked)
    done = retro(*READERS[name])
    assert done.code == 0, done.err
    assert "error" not in done.err
    assert fingerprint(locked) == before


def test_the_lock_may_be_anothers(retro, db):
    (db / ".lock").chmod(0o444)
    with without_override():
        refused(retro("embed", db), "cannot write", "/.lock: Permission denied")


def test_so_may_a_file_of_a_stage(retro, db, archive):
    (archive / "more.txt").write_text("the boat of an island")
    for folder in (db / "chunks", db / "embeddings"):
        folder.chmod(0o555)
    with without_override():
        refused(retro("chunk", archive, "--db", db), "cannot write", "Permission denied", "chunks")
    (db / "chunks").chmod(0o755)
    assert retro("chunk", archive, "--db", db).code == 0
    with without_override():
        refused(retro("embed", db), "cannot write", "Permission denied", "embeddings")


@pytest.mark.parametrize("command", ["chunk", "build"])
def test_a_new_database_in_a_folder_that_may_not_be_written(retro, archive, tmp_path, command):
    (tmp_path / "in").mkdir(mode=0o555)
    with without_override():
        done = retro(command, archive, "--db", "in/new.db")
    refused(done, "cannot write in/new.db: Permission denied")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_places_where_nothing_can_be_made(retro, db, archive):
    refused(retro("chunk", archive, "--db", "/proc/x.db"), "cannot write /proc/x.db: No such file")
    refused(retro("export", db, "/proc/o.npy"), "cannot write /proc/o.npy: No such file")
    refused(retro("query", db, "the boat", "--out", "/proc/o.json"), "/proc/o.json: No such file")


def test_what_may_not_be_read_is_not_said_to_be_written(retro, db):
    (db / "retro.toml").chmod(0)
    with without_override():
        done = retro("status", db)
    refused(done, "cannot read", "retro.toml: Permission denied")


def test_python_is_told_the_same(archive, tmp_path):
    (tmp_path / "in").mkdir(mode=0o555)
    with without_override(), pytest.raises(UsageError, match="cannot write"):
        Database.build(tmp_path / "in" / "new.db", [str(archive)])


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_what_cannot_be_opened_for_writing_is_said_to_be_that():
    with pytest.raises(UsageError, match="cannot write /proc/a: No such file"):
        write_bytes(Path("/proc/a"), b"")


def test_an_error_of_what_fills_a_file_is_its_own(tmp_path):
    """Only the file itself that cannot be opened is one that cannot be written."""
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a") as temporary:
        temporary.with_name("nowhere").rename(temporary)
    assert list(tmp_path.iterdir()) == []
