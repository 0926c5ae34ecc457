"""The lexical index follows updates, rollbacks and purges, and a kill leaves it good."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from helpers import every_word
from upkeep_library import Library, posts

from retro_cli.database import Database
from retro_cli.lexical import build
from retro_cli.lexical.state import states
from retro_cli.store.layout import Layout
from retro_cli.upkeep.compact import compact
from retro_cli.upkeep.filtering import undo_rule
from retro_cli.upkeep.history import rollback
from retro_cli.upkeep.proof import prove
from retro_cli.verify import verify


@pytest.fixture
def shelf(tmp_path, static_encoder):
    """Twenty documents, and a file of one that changes."""
    library = Library(tmp_path, static_encoder)
    library.write("a", posts("a", *[f"the boat {n} in storm" for n in range(20)]))
    library.write("b", posts("b", "a secret xylophone"))
    library.update()
    return library


def bm25(library, text="the boat", **how):
    return [hit.document for hit in library.hits(text, retriever="bm25", **how)]


def newest(library):
    return next(states(library.layout.lexical))


def files(library):
    return {record.name for record in newest(library).files if len(record.name) > 32}


def sound(library):
    assert verify(library.layout).problems == []
    return True


def test_an_update_adds_what_is_new_and_takes_out_what_died(shelf):
    before = files(shelf)
    shelf.write("b", posts("b", "a plain harbour"))
    shelf.update()
    assert bm25(shelf, "xylophone") == []
    assert bm25(shelf, "harbour") == ["b0"]
    assert files(shelf) > before  # the old segment is there, and a small one beside it
    assert (newest(shelf).rows, newest(shelf).dead) == (21, 1)
    assert sound(shelf)


def test_an_update_that_changes_nothing_changes_nothing(shelf):
    before = newest(shelf)
    shelf.update()
    assert newest(shelf) == before


def test_files_are_shared_with_the_states_of_older_generations(shelf):
    shelf.write("c", posts("c", "a plain harbour"))
    shelf.update()
    new, old = states(shelf.layout.lexical)
    shared = {record.name for record in old.files} & {record.name for record in new.files}
    same = [n for n in shared if os.path.samefile(old.folder / n, new.folder / n)]
    assert len(same) >= 5
    assert shelf.layout.size() < sum(
        path.stat().st_size for path in shelf.layout.root.rglob("*") if path.is_file()
    )


def test_once_a_tenth_is_dead_the_index_is_written_anew(shelf):
    shelf.write("a", posts("a", *[f"the boat {n} in storm" for n in range(17)]))
    shelf.update()
    assert (newest(shelf).rows, newest(shelf).dead) == (18, 0)
    assert sound(shelf)


def test_without_hard_links_files_are_copied(shelf, monkeypatch):
    def refused(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    shelf.write("b", posts("b", "a plain harbour"))
    shelf.update()
    assert bm25(shelf, "harbour") == ["b0"]
    assert sound(shelf)


def test_a_reader_of_an_older_generation_is_answered_by_it(shelf):
    with Database.open(shelf.layout.root) as early, Database.open(shelf.layout.root) as late:
        (before,) = early.query("xylophone", retriever="bm25")
        for number in range(4):  # more generations than are kept
            shelf.write("b", posts("b", f"a plain harbour {number}"))
            shelf.update()
        assert early.query("xylophone", retriever="bm25") == (before,)
        assert late.query("xylophone", retriever="bm25") == (before,)  # opens its words only now
    assert bm25(shelf, "xylophone") == []


def test_a_rollback_finds_the_words_of_then_again(shelf):
    shelf.write("b", posts("b", "a plain harbour"))
    shelf.update()
    rollback(shelf.layout, 1)
    assert (bm25(shelf, "xylophone"), bm25(shelf, "harbour")) == (["b0"], [])
    assert sound(shelf)
    shelf.update()
    assert (bm25(shelf, "xylophone"), bm25(shelf, "harbour")) == ([], ["b0"])


def test_a_rule_masks_and_its_undo_unmasks_without_any_writing(shelf):
    before = newest(shelf)
    shelf.add(sources=("b",))
    assert bm25(shelf, "xylophone") == []
    assert prove(shelf.layout).leaks == []
    undo_rule(shelf.layout, 1)
    assert bm25(shelf, "xylophone") == ["b0"]
    assert newest(shelf) == before


def words_on_disk(library):
    return {word for path in library.layout.lexical.glob("*") for word in every_word(path)}


def test_a_purge_takes_the_words_off_the_disk(shelf):
    shelf.add(sources=("b",))
    assert {"xylophon", "secret"} <= words_on_disk(shelf)
    compact(shelf.layout, purge=True, yes=True)
    assert not {"xylophon", "secret"} & words_on_disk(shelf)
    for path in shelf.layout.lexical.rglob("*"):
        assert path.is_dir() or b"xylophon" not in path.read_bytes()
    assert sound(shelf)
    assert len(bm25(shelf)) == 20


def test_a_purge_also_takes_the_words_of_what_was_replaced_before(shelf):
    shelf.write("b", posts("b", "a plain harbour"))
    shelf.update()
    assert "xylophon" in words_on_disk(shelf)
    compact(shelf.layout, purge=True, yes=True)
    assert "xylophon" not in words_on_disk(shelf)


def test_a_purge_that_was_killed_and_overtaken_by_an_update_still_takes_the_words(
    shelf, monkeypatch
):
    shelf.add(sources=("b",))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("retro_cli.upkeep.compact._new_generation", killed)
        with pytest.raises(KeyboardInterrupt):
            compact(shelf.layout, purge=True, yes=True)
    shelf.update()
    compact(shelf.layout, purge=True, yes=True)
    assert "xylophon" not in words_on_disk(shelf)
    assert sound(shelf)


@pytest.mark.parametrize("moment", ["write_rows", "_finished"])
def test_what_a_killed_run_left_is_no_index_and_goes(shelf, monkeypatch, moment):
    real = getattr(build, moment)

    def killed(*args):
        real(*args)
        raise KeyboardInterrupt

    shelf.write("b", posts("b", "a plain harbour"))
    with monkeypatch.context() as patched:
        patched.setattr(build, moment, killed)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)  # as a kill leaves it
        with pytest.raises(KeyboardInterrupt):
            shelf.update()
    assert bm25(shelf, "xylophone") == ["b0"]
    shelf.update()
    assert (bm25(shelf, "xylophone"), bm25(shelf, "harbour")) == ([], ["b0"])
    assert not list(shelf.layout.lexical.glob("*.tmp"))
    assert sound(shelf)


def test_another_stemmer_makes_the_index_anew(shelf):
    assert bm25(shelf, "xylophones") == ["b0"]
    shelf.update(stemmer="none")
    assert bm25(shelf, "xylophones") == []
    assert newest(shelf).stemmer == "none"
    shelf.write("c", posts("c", "xylophones"))
    shelf.update()  # it is remembered
    assert bm25(shelf, "xylophones") == ["c0"]
    assert len(list(states(shelf.layout.lexical))) == 2


def test_merged_rows_are_found_by_their_words_once(tmp_path, static_encoder):
    twins = Library(tmp_path, static_encoder)
    for source in "ab":
        twins.write(source, posts(source, "the boat in storm"))
    twins.update()
    documents = bm25(twins, "boat")
    assert documents == ["a0"]
    (hit,) = twins.hits("boat", retriever="bm25")
    assert hit.also == (("b0", "b"),)
    twins.add(documents=("a0",))
    assert bm25(twins, "boat") == ["b0"]


@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_every_chunk_is_found_by_its_words_and_no_other_is(
    tmp_path, static_encoder, seed
):
    random = np.random.default_rng(seed)
    library = Library(tmp_path, static_encoder)
    kept: dict[str, str] = {}
    for _ in range(8):
        for _ in range(3):
            name = f"f{random.integers(6)}"
            kept[name] = " ".join(random.choice(["boat", "storm", "light", "the"], 3))
            library.write(name, posts(name, kept[name]))
        library.update()
        wanted = {f"{n}0" for n, text in kept.items() if {"boat", "storm"} & set(text.split())}
        assert library.documents(text="boat storm", retriever="bm25") == wanted
    assert sound(library)


def test_a_database_may_do_without_and_keeps_to_that_until_told_otherwise(retro, db):
    assert retro("index", db, "--no-words").code == 0
    assert not Layout(db).lexical.exists()
    assert retro("index", db).code == 0
    assert not Layout(db).lexical.exists()
    assert retro("status", db, "--check").code == 0
    assert retro("verify", db).code == 0
    refused = retro("query", db, "the boat", "--retriever", "bm25")
    assert refused.code == 2
    assert "--words" in refused.err
    assert retro("query", db, "the boat").code == 0
    assert retro("index", db, "--words").code == 0
    assert retro("query", db, "the boat", "--retriever", "hybrid").code == 0
