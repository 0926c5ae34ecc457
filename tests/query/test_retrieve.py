"""An open database: one generation, whatever is written meanwhile."""

from __future__ import annotations

from retro_cli import Database


def test_an_open_database_answers_from_its_generation_however_many_follow(retro, db, archive):
    with Database.open(db) as before:
        expected = before.retriever.generation.number
        for number in range(5):
            (archive / "light.txt").write_text(f"the harbour in storm {number}. " * 30)
            assert retro("build", archive, "--db", db).code == 0
        assert before.query("the keeper of the light", k=3)[0].source.endswith("light.txt")
        assert (db / "index" / f"gen-{expected:06d}.json").exists()
    (archive / "light.txt").write_text("the island. " * 30)
    assert retro("build", archive, "--db", db).code == 0
    assert not (db / "index" / f"gen-{expected:06d}.json").exists()


def test_a_reader_that_was_killed_holds_nothing(retro, db, archive):
    reader = Database.open(db)
    number = reader.retriever.generation.number
    del reader
    for turn in range(3):
        (archive / "light.txt").write_text(f"the harbour in storm {turn}. " * 30)
        assert retro("build", archive, "--db", db).code == 0
    assert not (db / "index" / f"gen-{number:06d}.json").exists()
