"""Rules under damage and rivalry: nothing is shown that a rule might forbid."""

from __future__ import annotations

import fcntl
import json
import shutil

import pytest
from helpers import write_jsonl

from retro_cli.store.lock import writer_lock

WHY = ("--reason", "insults")


@pytest.fixture
def shown(retro, db):
    def sources():
        asked = retro("query", db, "a letter about a boat", "-k", 200, "--json")
        assert asked.code == 0, asked.err
        return {hit["source"] for hit in asked.rows[0]["hits"]}

    return sources


@pytest.fixture
def forbidden(retro, db, tmp_path):
    """A rule by toxicity that takes whoever says "keeper", and a rule by name."""
    (tmp_path / "list.txt").write_text("keeper\n")
    made = retro("filter", "score", db, "--scorer", f"words:{tmp_path / 'list.txt'}", "--as", "w")
    assert made.code == 0, made.err
    added = retro("filter", "add", db, "--min-toxicity", "0.01", "--scores", "w", *WHY)
    assert added.code == 0, added.err
    return db


def keepers(retro, db):
    asked = retro("query", db, "the keeper", "-k", 200, "--json")
    if asked.code:
        return []
    hits = asked.rows[0]["hits"]
    return [hit for hit in hits if "keeper" in (hit["text"] + hit["continuation"])]


def test_a_second_writer_is_refused_and_writes_nothing(retro, db):
    with writer_lock(db, "index"):
        for command in (
            ("add", db, "--source", "forum", *WHY),
            ("undo", db, 1),
            ("score", db, "--scorer", "words"),
        ):
            refused = retro("filter", *command)
            assert (refused.code, "retro index" in refused.err) == (5, True), refused.err
        assert retro("filter", "list", db).code == 0
        assert retro("filter", "verify", db).code == 0
    assert not (db / "filters").exists()
    assert not (db / "attributes").exists()
    assert retro("filter", "add", db, "--source", "forum", *WHY).code == 0


def test_a_dry_run_and_a_look_need_no_lock_and_leave_none(retro, db):
    with writer_lock(db, "index"):
        dry = retro("filter", "add", db, "--source", "forum", *WHY, "--dry-run")
        assert dry.code == 0
    with (db / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_ledger_of_a_newer_format_stops_every_command_that_heeds_rules(retro, db, archive):
    retro("filter", "add", db, "--source", "forum", *WHY)
    path = db / "filters" / "ledger.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    for command in (
        ("filter", "list", db),
        ("filter", "add", db, "--source", "letters", *WHY),
        ("filter", "undo", db, 1),
        ("filter", "verify", db),
        ("index", db),
    ):
        refused = retro(*command)
        assert (refused.code, "format 99" in refused.err) == (2, True), refused.err


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "rules": [1]}'])
def test_a_broken_ledger_stops_what_would_apply_it_and_reveals_nothing(retro, db, shown, content):
    retro("filter", "add", db, "--source", "forum", *WHY)
    path = db / "filters" / "ledger.json"
    path.write_text(content)
    for command in (("filter", "list", db), ("filter", "verify", db), ("index", db),
                    ("filter", "add", db, "--source", "letters", *WHY)):  # fmt: skip
        refused = retro(*command)
        assert (refused.code, "defect" in refused.err) == (4, False), refused.err
        assert path.read_text() == content
    assert "forum" not in shown()


def test_a_lost_ledger_reveals_nothing_that_its_rules_forbade(retro, db, shown):
    retro("filter", "add", db, "--source", "forum", *WHY)
    shutil.rmtree(db / "filters")
    assert "forum" not in shown()
    retro("index", db)
    assert "forum" not in shown()


def test_a_rule_whose_score_table_vanished_fails_closed(retro, forbidden, archive):
    shutil.rmtree(forbidden / "attributes")
    assert keepers(retro, forbidden) == []
    write_jsonl(archive / "new.jsonl", [{"id": "n", "text": "a new keeper"}])
    assert retro("chunk", archive, "--db", forbidden).code == 0
    assert retro("embed", forbidden).code == 0
    refused = retro("index", forbidden)
    assert (refused.code, "defect" in refused.err) == (2, False), refused.err
    assert keepers(retro, forbidden) == []
    assert retro("filter", "verify", forbidden).code == 2


def test_scoring_again_brings_a_vanished_table_back_into_force(retro, forbidden, tmp_path):
    shutil.rmtree(forbidden / "attributes")
    ask = ("filter", "score", forbidden, "--scorer", f"words:{tmp_path / 'list.txt'}")
    assert retro(*ask, "--as", "w").code == 0
    assert retro("index", forbidden).code == 0
    assert retro("filter", "verify", forbidden).code == 0
    assert keepers(retro, forbidden) == []


@pytest.mark.parametrize("how", ["truncated", "missing", "empty"])
def test_a_damaged_score_file_is_an_integrity_error_until_index_mends_it(retro, forbidden, how):
    for path in (forbidden / "attributes" / "w").glob("*.f4"):
        if how == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: 0 if how == "empty" else -5])
    for command in (("verify", forbidden), ("add", forbidden, "--source", "forum", *WHY)):
        refused = retro("filter", *command)
        assert (refused.code, "defect" in refused.err) == (4, False), refused.err
    assert keepers(retro, forbidden) == []
    assert retro("index", forbidden).code == 0
    assert retro("filter", "verify", forbidden).code == 0
    assert keepers(retro, forbidden) == []


def test_a_damaged_score_manifest_reveals_nothing(retro, forbidden):
    (forbidden / "attributes" / "w" / "manifest.json").write_text("{")
    for command in (("filter", "verify", forbidden), ("index", forbidden)):
        assert retro(*command).code == 4
    assert keepers(retro, forbidden) == []


def test_a_lost_word_list_lets_nothing_new_through_unscored(retro, forbidden, archive, tmp_path):
    (tmp_path / "list.txt").unlink()
    write_jsonl(archive / "new.jsonl", [{"id": "n", "text": "a new keeper"}])
    assert retro("chunk", archive, "--db", forbidden).code == 0
    assert retro("embed", forbidden).code == 0
    refused = retro("index", forbidden)
    assert (refused.code, "defect" in refused.err) == (2, False)
    assert keepers(retro, forbidden) == []


@pytest.mark.parametrize("how", ["missing", "rubbish"])
def test_a_damaged_excluded_bitmap_shows_nothing_forbidden(retro, db, shown, how):
    retro("filter", "add", db, "--source", "forum", *WHY)
    (path,) = (db / "index").glob("excluded-*")
    path.unlink() if how == "missing" else path.write_bytes(b"")
    asked = retro("query", db, "a letter about a boat", "-k", 200, "--json")
    assert asked.code in (0, 4)
    assert "defect" not in asked.err
    if not asked.code:
        assert "forum" not in {hit["source"] for hit in asked.rows[0]["hits"]}
    assert retro("index", db).code == 0
    assert "forum" not in shown()
    assert retro("filter", "verify", db).code == 0


def test_a_damaged_segment_leaves_the_rule_written_and_index_applies_it(retro, db, shown):
    for path in (db / "index").glob("segment-*"):
        path.write_bytes(b"rubbish")
    refused = retro("filter", "add", db, "--source", "forum", *WHY)
    assert (refused.code, "defect" in refused.err) == (4, False), refused.err
    assert "not all of this is in force" in retro("filter", "list", db).err
    assert retro("index", db).code == 0
    assert "forum" not in shown()


def test_a_database_whose_chunks_are_damaged_adds_no_rule(retro, db):
    for path in (db / "chunks").glob("*.docs.parquet"):
        path.write_bytes(b"rubbish")
    refused = retro("filter", "add", db, "--source", "forum", *WHY)
    assert (refused.code, "defect" in refused.err) == (4, False), refused.err
    assert not (db / "filters").exists()


def test_verify_of_the_files_notices_a_damaged_ledger_and_damaged_scores(retro, forbidden):
    assert retro("verify", forbidden).code == 0
    (path, *_) = (forbidden / "attributes" / "w").glob("*.f4")
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    assert retro("verify", forbidden).code == 4
