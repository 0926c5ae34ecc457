"""A push brings what is missing, appears in one step, and loses to another that came first."""

from __future__ import annotations

import json
import shutil

import pytest
from remote_helpers import SECRET, content, objects, put

from retro_cli import Database
from retro_cli.errors import LockedError, RemoteError, UsageError
from retro_cli.store.layout import Layout
from retro_cli.store.remote.place import Place
from retro_cli.store.remote.pull import pull
from retro_cli.store.remote.push import push

QUESTION = "boat 7 in storm 49"


def texts(place, question=QUESTION) -> list[str]:
    with Database.open(place) as database:
        return [hit.text for hit in database.query(question, k=5)]


def test_a_pushed_database_comes_back_byte_for_byte(local, bucket, tmp_path):
    report = push(Layout(local), f"{bucket}/a.db")
    assert report.number == 1
    assert report.changed
    fetched = pull(f"{bucket}/a.db", Layout(tmp_path / "b.db"))
    assert fetched.files == report.files
    assert content(tmp_path / "b.db") == content(local)


def test_nothing_is_pushed_twice(local, memory):
    push(Layout(local), memory)
    before = objects(memory)
    again = push(Layout(local), memory)
    assert (again.changed, again.uploaded, again.number) == (False, 0, 1)
    assert objects(memory) == before


def test_an_update_brings_only_what_changed(local, update, memory):
    push(Layout(local), memory)
    before = objects(memory)
    update(local)
    report = push(Layout(local), memory)
    assert report.number == 2
    after = objects(memory)
    assert before.items() <= after.items()  # who reads the one before goes on
    new = {key for key in after if key not in before}
    assert {key.split("/")[1] for key in new} == {"000002", "000002.json"}
    assert 0 < report.uploaded < report.files
    assert texts(memory) == texts(local)


def test_a_second_machine_does_not_lose_the_first_ones_push(local, update, memory, tmp_path):
    url = memory
    push(Layout(local), url)
    other = tmp_path / "b.db"
    pull(url, Layout(other))
    update(local)
    push(Layout(local), url)
    mine = content(other)
    (other / "retro.toml").write_text((other / "retro.toml").read_text() + "\n")
    changed = content(other)
    assert changed != mine
    with pytest.raises(LockedError, match=r"from elsewhere: it has number 2.*last number 1"):
        push(Layout(other), url)
    assert content(other) == changed
    assert texts(url) == texts(local)
    assert push(Layout(other), url, force=True).number == 3


def test_of_two_pushes_at_once_one_wins_and_the_other_loses_nothing(
    local, update, bucket, tmp_path, monkeypatch
):
    url = f"{bucket}/a.db"
    push(Layout(local), url)
    other = tmp_path / "b.db"
    pull(url, Layout(other))
    update(local)
    (other / "retro.toml").write_text((other / "retro.toml").read_text() + "\n")
    create = Place.create

    def late(self, key, data):
        monkeypatch.setattr(Place, "create", create)
        push(Layout(local), url)  # the other one is faster in this very moment
        return create(self, key, data)

    monkeypatch.setattr(Place, "create", late)
    mine = content(other)
    with pytest.raises(LockedError, match="number 2 appeared just now"):
        push(Layout(other), url)
    assert content(other) == mine
    assert texts(url) == texts(local)
    pull(url, Layout(tmp_path / "c.db"))
    assert content(tmp_path / "c.db") == content(local)


def test_whoever_never_pushed_there_does_not_replace_a_database(local, memory, tmp_path):
    push(Layout(local), memory)
    other = tmp_path / "b.db"
    shutil.copytree(local, other, ignore=shutil.ignore_patterns(".pushed.json"))
    (other / "filters").mkdir(exist_ok=True)
    (other / "filters" / "note.json").write_text("{}")
    with pytest.raises(LockedError, match="never pushed there"):
        push(Layout(other), memory)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["upload", "write", "create", "remove"])
def test_a_push_killed_at_any_step_leaves_a_database_that_answers(
    local, update, memory, tmp_path, monkeypatch, step, in_blocks
):
    """The old one before the snapshot is created, the new one after; a rerun completes it."""
    url = memory
    push(Layout(local), url)
    old = texts(url)
    update(local)
    original = getattr(Place, step)

    def dies(self, *args):
        if step in ("upload", "write"):
            original(self, *[type(each)(list(each.items() if isinstance(each, dict) else each)[:1])
                             for each in args])  # fmt: skip
        raise Killed

    monkeypatch.setattr(Place, step, dies)
    with pytest.raises(Killed):
        push(Layout(local), url, prune=True)
    monkeypatch.setattr(Place, step, original)
    assert texts(url) == (texts(local) if step == "remove" else old)
    report = push(Layout(local), url, prune=True)
    assert report.number == 2
    assert texts(url) == texts(local)
    pull(url, Layout(tmp_path / "b.db"))
    assert content(tmp_path / "b.db") == content(local)


def test_a_rerun_does_not_bring_again_what_a_killed_push_brought(local, memory, monkeypatch):
    create = Place.create
    monkeypatch.setattr(Place, "create", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        push(Layout(local), memory)
    monkeypatch.setattr(Place, "create", create)
    brought = []
    monkeypatch.setattr(Place, "upload", lambda self, files: brought.extend(files))
    push(Layout(local), memory)
    assert not brought


def test_a_lost_answer_is_not_taken_for_a_defeat(local, bucket, monkeypatch):
    """The snapshot was created, but the connection broke before the server could say so."""
    import s3fs

    pipe = s3fs.S3FileSystem.pipe_file

    def breaks(self, path, data, **how):
        pipe(self, path, data, **how)
        if how and path.endswith("000001.json"):
            raise ConnectionResetError

    monkeypatch.setattr(s3fs.S3FileSystem, "pipe_file", breaks)
    assert push(Layout(local), f"{bucket}/a.db").number == 1


def test_a_server_that_heeds_no_condition_is_named(local, memory, monkeypatch):
    monkeypatch.setattr(Place, "refuses_to_replace", lambda *_: False)
    with pytest.raises(UsageError, match="lets one push replace another unseen"):
        push(Layout(local), memory)


def test_what_a_purge_took_is_nowhere_in_the_bucket_after_a_push(local, bucket, retro):
    url = f"{bucket}/a.db"
    push(Layout(local), url)
    chunks = {hit.chunk for hit in Database.open(local).query(SECRET, k=1)}
    stored = set(objects(bucket))
    assert retro("filter", "add", local, "--source", "letters", "--reason", "private").code == 0
    push(Layout(local), url)  # the rule alone removes nothing
    assert stored <= set(objects(bucket))
    assert retro("compact", local, "--purge", "--yes").code == 0
    old = {key: data for key, data in objects(bucket).items() if key.startswith("objects")}
    report = push(Layout(local), url)
    assert report.removed
    left = objects(bucket)
    assert [key for key in left if key.startswith("a.db/snapshots")] == [
        f"a.db/snapshots/{report.number:06d}.json"
    ]
    named = json.loads(left[f"a.db/snapshots/{report.number:06d}.json"])["files"].values()
    keys = {f"a.db/objects/{f['push']:06d}/{f['sha256']}" for f in named}
    assert {key for key in left if key.startswith("a.db/objects")} == keys
    assert not any(_holds(data, SECRET, local) for data in left.values())
    assert chunks
    assert old.keys() - left.keys() == old.keys() - keys


def _holds(data: bytes, text: str, local) -> bool:
    """Whether bytes hold a text, also inside a Parquet file."""
    import io

    import pyarrow.parquet as pq

    if data[:4] == b"PAR1":
        data = str(pq.read_table(io.BytesIO(data)).to_pydict()).encode()
    return text[:20].encode() in data


def test_the_look_for_purged_text_finds_it_where_it_is(local, memory):
    push(Layout(local), memory)
    assert any(_holds(data, SECRET, local) for data in objects(memory).values())


def test_replaced_files_stay_for_a_while_and_prune_does_not_wait(local, update, memory):
    url = memory
    push(Layout(local), url)
    first = set(objects(memory))
    update(local)
    push(Layout(local), url)
    assert first <= set(objects(memory))
    assert push(Layout(local), url, prune=True).removed
    left = set(objects(memory))
    assert not first <= left
    assert "snapshots/000001.json" not in left
    assert texts(url) == texts(local)


def test_a_database_that_is_damaged_there_is_mended_by_repair(local, memory, tmp_path):
    url = memory
    push(Layout(local), url)
    for key in objects(memory):
        if key.startswith("objects"):
            put(memory, key, b"rubbish")
    report = push(Layout(local), url, repair=True, prune=True)
    assert report.number == 2
    pull(url, Layout(tmp_path / "b.db"))
    assert content(tmp_path / "b.db") == content(local)


def test_files_that_change_while_they_are_pushed_are_refused(local, memory, monkeypatch):
    monkeypatch.setattr("retro_cli.store.remote.push.hashed", lambda path: ("0" * 64, b""))
    with pytest.raises(RemoteError, match="changed while it was pushed"):
        push(Layout(local), memory)
