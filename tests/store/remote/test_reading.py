"""A database is read where it lies: the same answers, only what they need, and nothing stale."""

from __future__ import annotations

import os

import numpy as np
import pytest
from remote_helpers import SECRET, as_new_process, objects, put

from retro_cli import Database
from retro_cli.errors import IntegrityError, NotBuiltYet, RemoteError
from retro_cli.store.cache import cache_folder
from retro_cli.store.layout import Layout
from retro_cli.store.remote import view
from retro_cli.store.remote.place import TRAFFIC, Place
from retro_cli.store.remote.push import newest_snapshot, push

QUESTIONS = ["boat 7 in storm 49", SECRET, "the harbour"]


@pytest.fixture
def pushed(local, memory, in_blocks) -> str:
    push(Layout(local), memory)
    return memory


def forget_views() -> None:
    """As a new process would: views are held until a process ends."""
    from retro_cli.store import cache

    as_new_process()
    while cache._holds:
        os.close(cache._holds.popitem()[1])


def answers(place, **how) -> list:
    with Database.open(place) as database:
        return [database.query(question, k=3, **how) for question in QUESTIONS]


@pytest.mark.parametrize("retriever", ["dense", "bm25", "hybrid"])
def test_a_remote_database_answers_as_the_local_one(pushed, local, retriever):
    assert answers(pushed, retriever=retriever) == answers(local, retriever=retriever)


def test_every_vector_is_that_of_the_local_one(pushed, local):
    with Database.open(pushed) as there, Database.open(local) as here:
        ids = np.flatnonzero(here.retriever.live())
        found = there.retriever.vectors.gather(ids)
        assert np.array_equal(found, here.retriever.vectors.gather(ids))
        for (a, b), (c, d) in zip(
            there.retriever.vectors.blocks(50), here.retriever.vectors.blocks(50), strict=True
        ):
            assert np.array_equal(a, c)
            assert np.array_equal(b, d)


def test_a_second_query_fetches_nothing_again(pushed):
    first = answers(pushed)
    forget_views()
    assert answers(pushed) == first
    assert TRAFFIC[pushed].bytes == 0


def test_a_query_does_not_fetch_what_it_does_not_need(pushed, local):
    before = TRAFFIC[pushed].bytes
    answers(pushed)
    words = sum(path.stat().st_size for path in (local / "lexical").rglob("*") if path.is_file())
    assert 0 < TRAFFIC[pushed].bytes - before < Layout(local).size() - words


def test_an_open_database_stays_as_it_was_and_renews_when_it_is_asked(
    pushed, local, update, monkeypatch
):
    with Database.open(pushed) as database:
        before = database.query("the new boat", k=3)
        update(local)
        push(Layout(local), pushed)
        assert database.is_current  # asked a moment ago
        assert database.query("the new boat", k=3) == before
        monkeypatch.setattr(view, "FRESH", 0.0)
        assert not database.is_current
        assert database.renew()
        assert database.query("the new boat", k=3) == Database.open(local).query(
            "the new boat", k=3
        )
        assert not database.renew()


def test_a_place_that_is_out_of_reach_does_not_end_who_has_it_open(pushed, monkeypatch):
    with Database.open(pushed) as database:
        database.query(QUESTIONS[0])
        monkeypatch.setattr(view, "FRESH", 0.0)
        monkeypatch.setattr(Place, "listed", lambda *_: (_ for _ in ()).throw(RemoteError("no")))
        assert database.is_current
        assert database.query(QUESTIONS[0])


def test_what_is_purged_leaves_the_cache_of_who_opens_it_again(pushed, local, retro):
    answers(pushed)
    assert [SECRET in each for each in _texts_in_cache()].count(True)
    retro("filter", "add", local, "--source", "letters", "--reason", "private")
    assert retro("compact", local, "--purge", "--yes").code == 0
    push(Layout(local), pushed)
    forget_views()
    answers(pushed)
    assert not any(SECRET in each for each in _texts_in_cache())
    assert len(list((cache_folder() / "remote" / "views").glob("*[0-9a-f]"))) == 1


def _texts_in_cache() -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for path in (cache_folder() / "remote" / "objects").iterdir():
        try:
            found.append(str(pq.read_table(path).to_pydict()))
        except (pa.ArrowException, OSError):
            found.append(path.read_bytes().decode("latin-1"))
    return found


def test_objects_removed_while_somebody_reads_are_a_clear_error(pushed):
    with Database.open(pushed) as database:
        Place(pushed).remove([key for key in objects(pushed) if key.startswith("objects")])
        with pytest.raises(RemoteError, match="it is not there"):
            database.query(QUESTIONS[0])


@pytest.mark.parametrize("how", ["flipped", "truncated"])
@pytest.mark.parametrize("kind", [".json", ".chunks.parquet", ".npy", ".faiss", ".bitmap"])
def test_no_answer_comes_from_damaged_objects(pushed, how, kind):
    snapshot = newest_snapshot(Place(pushed))
    keys = {stored.key for name, stored in snapshot.files.items() if name.endswith(kind)}
    for key in keys:
        data = objects(pushed)[key]
        put(pushed, key, data[:-1] if how == "truncated" else bytes([data[0] ^ 255]) + data[1:])
    with pytest.raises(IntegrityError, match=r"sha256 differs|gave"):
        answers(pushed)


def test_a_snapshot_that_climbs_out_writes_nothing(pushed, tmp_path):
    (key,) = (key for key in objects(pushed) if key.startswith("snapshots"))
    data = objects(pushed)[key].replace(b'"retro.toml"', b'"../../../../../../evil"')
    put(pushed, key, data)
    with pytest.raises(IntegrityError, match="is not a snapshot"):
        Database.open(pushed)
    assert not list(tmp_path.rglob("evil"))


def test_a_place_without_a_database_says_so(memory):
    with pytest.raises(NotBuiltYet, match="is not a retrieval database"):
        Database.open(memory)


def test_a_cache_that_is_removed_is_filled_again(pushed):
    import shutil

    first = answers(pushed)
    shutil.rmtree(cache_folder() / "remote" / "objects")
    forget_views()
    assert answers(pushed) == first


def test_a_small_cache_gives_the_same_answers(pushed, local, monkeypatch):
    largest = max(path.stat().st_size for path in local.rglob("*") if path.is_file())
    monkeypatch.setenv("RETRO_CACHE_SIZE", str(2 * largest / 1e9))
    assert answers(pushed) == answers(local)
