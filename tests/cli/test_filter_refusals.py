"""What retro filter refuses, with a hint, and without writing anything."""

from __future__ import annotations

import pytest
from helpers import fingerprint

WHY = ("--reason", "insults")


def hits(retro, db, *how):
    return retro("query", db, "a letter about a boat", "-k", 200, "--json", *how).rows[0]["hits"]


@pytest.mark.parametrize(
    ("said", "words"),
    [((), "nothing in particular"),
     (("--only",), "nothing in particular"),
     (("--source", "fourm"), "near: forum"),
     (("--doc", "p11"), "near: p1"),
     (("--source", "zzz"), "retro sources"),
     (("--match", "("), "not a regular expression"),
     (("--match", "(?=look)boat"), "RE2"),
     (("--where", "year is odd"), "--where does not understand"),
     (("--where", "year = 1990 or year = 1991"), "as one value"),
     (("--where", "year >="), "lacks a value"),
     (("--chunk", "99999"), "there is no chunk 99999"),
     (("--chunk", "-1"), "there is no chunk -1"),
     (("--min-toxicity", "0.5"), "no scores called default"),
     (("--min-toxicity", "1.5"), "min-toxicity"),
     (("--min-toxicity", "nan"), "min-toxicity"),
     (("--match", "boat", "--level", "word"), "choose one of"),
     (("--match", "boat", "--copies", "some"), "choose one of"),
     (("--from-file", "missing.txt"), "missing.txt"),
     (("--source", "forum", "--source", "lettres"), "near: letters")],
)  # fmt: skip
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_rule_that_cannot_be_meant_is_refused_and_nothing_written(retro, db, said, words, more):
    before = fingerprint(db)
    refused = retro("filter", "add", db, *said, *WHY, *more)
    assert refused.code == 2, refused.err
    assert words in " ".join(refused.err.split())
    assert "defect" not in refused.err
    assert fingerprint(db) == before


@pytest.mark.parametrize(
    ("said", "words", "chunks"),
    [(("--match", "submarine"), "takes none of the", 0),
     (("--match", "."), "takes all", 63),
     (("--only", "--match", "."), "takes none", 0),
     (("--only", "--match", "submarine"), "takes all", 63)],
)  # fmt: skip
def test_a_rule_that_takes_nothing_or_everything_is_refused_and_a_dry_run_counts_it(
    retro, db, said, words, chunks
):
    before = fingerprint(db)
    refused = retro("filter", "add", db, *said, *WHY)
    assert refused.code == 2
    assert words in " ".join(refused.err.split())
    assert "--yes" in refused.err
    assert "defect" not in refused.err
    assert fingerprint(db) == before
    counted = retro("filter", "add", db, *said, *WHY, "--dry-run", "--json").rows[0]
    assert (counted["chunks"], counted["chunks_before"]) == (chunks, 63)
    assert fingerprint(db) == before


@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", "  \n")])
def test_a_rule_needs_a_reason(retro, db, reason):
    refused = retro("filter", "add", db, "--source", "forum", *reason)
    assert (refused.code, "reason" in refused.err) == (2, True)
    assert not (db / "filters").exists()


def test_yes_adds_a_rule_that_takes_nothing_yet_or_everything(retro, db, add):
    assert add("--match", "submarine", "--yes").code == 0
    assert add("--source", "forum", "--source", "letters").code == 0
    assert add("--match", ".", "--yes").code == 0
    assert hits(retro, db) == []
    assert retro("filter", "verify", db).code == 0


@pytest.mark.parametrize("command", [("undo", 1), ("show", 1)])
def test_a_number_that_no_rule_has_is_refused(retro, db, command):
    refused = retro("filter", command[0], db, command[1])
    assert (refused.code, "there are no rules" in refused.err) == (2, True)
    assert retro("filter", command[0], db, 0).code == 2
    assert retro("filter", command[0], db, "one").code == 2


def test_an_undo_of_an_undo_is_refused_and_changes_nothing(retro, db, add):
    add("--source", "forum")
    assert retro("filter", "undo", db, 1).code == 0
    before = fingerprint(db)
    refused = retro("filter", "undo", db, 1)
    assert (refused.code, "was undone before" in refused.err) == (2, True)
    assert fingerprint(db) == before


@pytest.mark.parametrize("command", ["list", "verify", "sources", "score"])
def test_what_is_no_database_is_refused(retro, tmp_path, command):
    assert retro("filter", command, tmp_path / "none.db").code == 2
    (tmp_path / "empty.db").mkdir()
    refused = retro("filter", command, tmp_path / "empty.db")
    assert (refused.code, "defect" in refused.err) == (2, False)
    assert list((tmp_path / "empty.db").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code", "tables"),
    [("..", 2, []), ("a/b", 2, []), (".hidden", 2, []), ("a b", 2, []), ("", 0, ["words"])],
)
def test_a_table_gets_no_name_that_leaves_its_folder(retro, db, name, code, tables):
    made = retro("filter", "score", db, "--scorer", "words", "--as", name)
    assert made.code == code, made.err
    assert [path.name for path in (db / "attributes").glob("*")] == tables
    assert {path.name for path in db.parent.iterdir()} == {"a.db", "archive"}


def test_an_unknown_scorer_is_refused_with_the_nearest(retro, db):
    refused = retro("filter", "score", db, "--scorer", "wrods")
    assert (refused.code, "words" in refused.err) == (2, True)


def test_the_hint_of_a_missing_score_names_the_very_table(retro, scored, archive, tmp_path):
    assert retro("filter", "add", scored, "--min-toxicity", "0.1", "--scores", "w", *WHY).code == 0
    (archive / "new.txt").write_text("a new storm")
    retro("chunk", archive, "--db", scored)
    refused = retro("filter", "add", scored, "--source", "forum", *WHY)
    assert refused.code == 2
    (hint,) = [line for line in refused.err.splitlines() if line.startswith("hint:")]
    command = hint.split("retro ")[1].split()
    assert retro(*command).code == 0
    assert retro("filter", "add", scored, "--source", "forum", *WHY).code == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [(("--source", "\udcff"), "no source matches"),
     (("--match", "\udcff"), "is not a regular expression"),
     (("--doc", "\udcff"), "no document matches"),
     (("--where", "a = \udcff"), "takes none"),
     (("--match", "boat\x00"), "takes none")],
)  # fmt: skip
def test_bytes_that_are_no_text_are_refused(retro, db, said, words):
    before = fingerprint(db)
    refused = retro("filter", "add", db, *said, *WHY)
    assert refused.code == 2
    assert words in refused.err
    assert "defect" not in refused.err
    assert fingerprint(db) == before
    assert "there are no rules" in retro("filter", "list", db).err
    assert retro("index", db).code == 0


def test_a_name_of_scores_that_no_condition_asks_for_is_refused_and_not_kept(retro, db):
    refused = retro("filter", "add", db, "--match", "boat", "--scores", "\udcff", *WHY, "--json")
    assert refused.code == 2
    assert "defect" not in refused.err
    assert retro("filter", "list", db, "--json").rows == []
    assert retro("index", db).code == 0


def test_a_reason_in_bytes_that_are_no_text_leaves_a_ledger_that_reads(retro, db):
    added = retro("filter", "add", db, "--source", "forum", "--reason", "caf\udce9 \x1b[31m")
    assert added.code == 0
    assert "defect" not in added.err
    listed = retro("filter", "list", db)
    assert listed.code == 0
    assert "caf" in listed.out
    assert "\x1b" not in listed.out
    shown = retro("filter", "show", db, 1)
    assert (shown.code, "caf" in shown.out, "\x1b" in shown.out) == (0, True, False)


def test_adding_a_rule_again_after_its_purge_promises_no_undo(retro, db, add):
    add("--source", "forum")
    assert retro("compact", db, "--purge", "--yes").code == 0
    again = add("--source", "forum")
    assert again.code == 0
    assert "its text is gone" in again.err
    assert retro("filter", "undo", db, 1).code == 2
    assert retro("filter", "undo", db, 1, "--lift").code == 0
