"""retro filter sources: scoring what has no score first, and how many sources are shown."""

from __future__ import annotations

import json

import pytest
from helpers import fingerprint

from retro_cli.store.lock import writer_lock


def test_sources_score_first_what_has_no_score_and_show_the_same_as_two_commands(
    retro, db, archive, tmp_path
):
    ask = ("filter", "sources", db, "--scorer", "words")
    first = retro(*ask, "--score", "--show")
    assert first.code == 0, first.err
    chunks = sum(row["chunks"] for row in retro("sources", db, "--json").rows)
    assert f"score: {chunks} chunks" in first.err
    assert retro("filter", "score", db, "--scorer", "words", "--json").rows[0]["scored"] == 0
    assert retro("filter", "sources", db, "--scores", "words", "--show").out == first.out
    assert retro(*ask, "--show").out == first.out  # the scorer names its table
    (archive / "new.txt").write_text("a new storm")
    assert retro("build", archive, "--db", db).code == 0
    again = retro("filter", "sources", db, "--scores", "words", "--score", "--json")
    assert again.err == ""
    assert any(row["source"].endswith("new.txt") for row in again.rows)


def test_a_table_is_scored_further_by_the_scorer_that_began_it(retro, scored, archive):
    (archive / "new.txt").write_text("the storm keeper")
    assert retro("build", archive, "--db", scored).code == 0
    rows = retro("filter", "sources", scored, "--scores", "w", "--score", "--json").rows
    (new,) = [row for row in rows if row["source"].endswith("new.txt")]
    assert new["mean"] > 0.5  # the shipped list knows neither word
    table = json.loads((scored / "attributes" / "w" / "manifest.json").read_text())
    assert table["spec"].startswith("words:")


def test_sources_score_takes_the_lock_only_to_score(retro, scored, archive):
    ask = ("filter", "sources", scored, "--scores", "w", "--score")
    (archive / "new.txt").write_text("a new storm")
    with writer_lock(scored, "test"):
        before = fingerprint(scored)
        assert retro(*ask).code == 0
        assert fingerprint(scored) == before
    assert retro("build", archive, "--db", scored).code == 0
    with writer_lock(scored, "test"):
        assert retro(*ask).code == 5
    assert retro(*ask).code == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [(("--scores", "x"), "--scorer"), (("--scores", "../x"), "no name"),
     (("--scorer", "wrods"), "words")],
)  # fmt: skip
def test_sources_score_refuses_what_it_cannot_score_by(retro, db, said, words):
    before = fingerprint(db)
    refused = retro("filter", "sources", db, "--score", *said)
    assert (refused.code, words in refused.err) == (2, True)
    assert fingerprint(db) == before


def test_json_shows_as_many_sources_as_it_is_told_and_all_by_default(retro, db, archive, tmp_path):
    for number in range(50):
        (archive / f"more-{number}.txt").write_text(f"the keeper of light {number}")
    assert retro("build", archive, "--db", db).code == 0
    assert retro("filter", "score", db, "--scorer", "words", "--as", "w").code == 0
    ask = ("filter", "sources", db, "--scores", "w", "--show")
    every = retro(*ask, "--json").rows
    assert len(every) > 50
    assert all(row["text"] for row in every)
    assert retro(*ask, "--json", "--limit", 3).rows == every[:3]
    assert retro(*ask).out.count("chunk ") == 40
