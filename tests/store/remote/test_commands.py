"""Commands take a URL where they read a database; all that goes wrong there has a plain message."""

from __future__ import annotations

import json

import pytest
from helpers import imported_by
from remote_helpers import SECRET, as_new_process, content, forget_connections, objects

from retro_cli import pipeline
from retro_cli.errors import UsageError
from retro_cli.store.layout import Layout, database_folder
from retro_cli.store.remote.place import Place


@pytest.fixture
def pushed(retro, local, memory) -> str:
    assert retro("push", local, memory).code == 0
    return memory


@pytest.mark.parametrize(
    "command",
    [
        ["query", "DB", SECRET, "-k", "2"],
        ["query", "DB", SECRET, "--retriever", "hybrid", "--json"],
        ["show", "DB", "3"],
        ["sources", "DB", "--json"],
        ["history", "DB"],
        ["filter", "list", "DB"],
    ],
)
def test_a_command_says_of_a_url_what_it_says_of_a_folder(retro, local, pushed, command):
    there = retro(*[pushed if each == "DB" else each for each in command])
    here = retro(*[local if each == "DB" else each for each in command])
    assert there.code == here.code == 0, there.err
    if command[0] != "history":  # which tells times
        assert there.out == here.out


def test_status_names_the_url_and_all_its_bytes(retro, local, pushed):
    found = retro("status", pushed)
    assert found.code == 0
    assert found.out.startswith(f"{pushed}  ")
    assert "missing" not in found.out
    value = json.loads(retro("status", pushed, "--json").out)
    assert value["bytes"] == sum(
        path.stat().st_size for path in local.rglob("*") if path.is_file() and path.name[0] != "."
    ) + sum(path.stat().st_size for path in local.rglob(".managed.json"))


def test_verify_reads_all_of_a_remote_database(retro, pushed):
    assert retro("verify", pushed).code == 0


def test_a_reading_command_says_how_many_bytes_it_read(retro, pushed):
    first = retro("query", pushed, SECRET)
    assert f"of {pushed} in" in first.err
    as_new_process()
    assert retro("query", pushed, SECRET).err == f"read 0 B of {pushed} in 1 request\n"


@pytest.mark.parametrize(
    "command",
    [
        ["embed", "DB"],
        ["index", "DB"],
        ["compact", "DB"],
        ["filter", "add", "DB", "--source", "letters", "--reason", "x"],
        ["rollback", "DB", "1"],
        ["neighbours", "DB"],
    ],
)
def test_what_writes_is_refused_and_says_how_it_is_done(retro, pushed, command):
    before = objects(pushed)
    found = retro(*[pushed if each == "DB" else each for each in command])
    assert found.code == 2, found.err
    said = " ".join(found.err.replace("│", " ").split())
    assert "is a URL, and this needs a folder" in said
    assert "retro push" in said
    assert objects(pushed) == before


def test_a_view_is_not_written_to_from_python_either(pushed):
    with pytest.raises(UsageError, match="can only be read where it lies"):
        pipeline.embed(Layout(database_folder(pushed)))


def test_chunk_and_build_name_push(retro, memory, archive):
    for command in ("chunk", "build"):
        found = retro(command, archive, "--db", memory)
        assert found.code == 2
        assert "retro push" in found.err


def test_pull_brings_a_folder_up_to_date_and_keeps_its_changes(
    retro, local, update, pushed, tmp_path
):
    other = tmp_path / "b.db"
    assert retro("pull", pushed, other).code == 0
    update(local)
    assert retro("push", local, pushed).code == 0
    again = json.loads(retro("pull", pushed, other, "--json").out)
    assert 0 < again["fetched"] < again["files"]
    assert content(other) == content(local)
    (other / "retro.toml").write_text((other / "retro.toml").read_text() + "\n")
    changed = content(other)
    refused = retro("pull", pushed, other)
    assert refused.code == 2
    assert "has changes of its own (retro.toml)" in refused.err
    assert content(other) == changed
    assert retro("pull", pushed, other, "--force").code == 0
    assert content(other) == content(local)


def test_pull_does_not_fill_a_folder_of_other_things(retro, pushed, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    found = retro("pull", pushed, tmp_path / "photos")
    assert found.code == 2
    assert "is not empty" in found.err
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["1.jpg"]


def test_an_interrupted_pull_is_completed_by_the_next(retro, local, pushed, tmp_path, monkeypatch):
    from retro_cli.store.remote import pull

    replace, done = pull.os.replace, []

    def dies(*args):
        if len(done) == 20:
            raise KeyboardInterrupt
        done.append(replace(*args))

    monkeypatch.setattr(pull.os, "replace", dies)
    assert retro("pull", pushed, tmp_path / "b.db").code == 130
    monkeypatch.setattr(pull.os, "replace", replace)
    assert retro("pull", pushed, tmp_path / "b.db").code == 0
    assert content(tmp_path / "b.db") == content(local)


def test_a_bucket_that_is_not_there(retro, local, s3):
    for command in (["push", local, "s3://nowhere-at-all/a.db"],
                    ["query", "s3://nowhere-at-all/a.db", "x"]):  # fmt: skip
        found = retro(*command)
        assert found.code == 1
        assert "it is not there" in found.err
        assert "see that the bucket is" in found.err


def test_a_bucket_that_vanishes_while_it_is_pushed_to(retro, local, bucket, monkeypatch, s3):
    upload = Place.upload

    def gone(self, files):
        upload(self, files)
        s3.rm(bucket, recursive=True)

    monkeypatch.setattr(Place, "upload", gone)
    before = content(local)
    assert retro("push", local, f"{bucket}/a.db").code == 1
    monkeypatch.setattr(Place, "upload", upload)
    assert content(local) == before
    s3.mkdir(bucket)
    assert retro("push", local, f"{bucket}/a.db").code == 0


def test_credentials_that_expire_half_way(retro, local, pushed, update, tmp_path, monkeypatch):
    """Nothing is lost there or here, and the next run with new ones completes it."""
    answered = retro("query", pushed, SECRET).out
    update(local)
    upload = Place.upload

    def expired(self, files):
        from retro_cli.store.remote.systems import reaching

        upload(self, files[:2])
        with reaching("write to", self.url):
            raise PermissionError("The provided token has expired.")

    monkeypatch.setattr(Place, "upload", expired)
    found = retro("push", local, pushed)
    assert found.code == 1
    assert "access was refused" in found.err
    assert "renew the credentials and run the same command again" in found.err
    assert retro("query", pushed, SECRET).out == answered
    monkeypatch.setattr(Place, "upload", upload)
    assert retro("push", local, pushed).code == 0
    assert retro("pull", pushed, tmp_path / "b.db").code == 0
    assert content(tmp_path / "b.db") == content(local)


def test_a_server_that_does_not_answer(retro, s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget_connections()
    found = retro("query", "s3://bucket/a.db", "x")
    assert found.code == 1
    assert "cannot list s3://bucket/a.db" in found.err
    assert "see that the network and the address are right" in found.err


@pytest.mark.parametrize(
    "url", ["s3://", "memory://", "nonsense://a/b", "s3://a::s3://b", "http://", "s3:///x"]
)
def test_a_url_of_nothing_is_refused_before_anything_is_asked_for(retro, local, tmp_path, url):
    before = set(tmp_path.iterdir())
    for command in (["push", local, url], ["query", url, "x"], ["pull", url, "new.db"]):
        found = retro(*command)
        assert found.code == 2, found.err
        assert "defect" not in found.err
    assert set(tmp_path.iterdir()) == before


def test_a_folder_is_no_place_to_push_to(retro, local, tmp_path):
    found = retro("push", local, tmp_path / "b.db")
    assert found.code == 2
    assert "is no URL" in found.err


def test_a_plain_query_imports_nothing_of_all_this(local):
    loaded = imported_by("query", local, SECRET)
    assert not loaded & {"fsspec", "s3fs", "aiohttp", "botocore"}
