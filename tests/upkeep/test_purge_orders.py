"""Purges of copies, of scored rows, after a killed run, of everything, and once more."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import write_jsonl
from upkeep_library import Library, posts

from retro_cli.chunks import stage
from retro_cli.upkeep.compact import compact


@pytest.fixture
def purge(succeed):
    """Purge a database, which must succeed; the report."""
    return lambda db: succeed("compact", db, "--purge", "--yes", "--json").rows[0]


def facts(succeed, db, name) -> dict:
    """What ``retro status`` says of a stage."""
    stages = json.loads(succeed("status", db, "--json").out)["stages"]
    (found,) = [stage for stage in stages if stage["name"] == name]
    assert found["state"] == "ok"
    return found["facts"]


def test_a_row_that_takes_the_place_of_a_purged_one_has_its_score(
    succeed, ask, score_word, take_word, name_sources, purge, island
):
    _, db = island
    take_word(db, "zebra", 0.9)
    name_sources(db, "bad")
    assert purge(db)["rules_ended"] == [2]
    assert {hit["document"] for hit in ask(db, "the keeper")} == {"b", "c"}
    succeed("filter", "verify", db)
    again = score_word(db, "zebra")
    assert (again["scored"], again["kept"]) == (0, 6)


def test_copies_stay_out_after_their_original_is_purged(succeed, ask, purge, copied):
    root, db = copied
    purge(db)
    with (root / "b.jsonl").open("a") as file:
        record = {"id": "n", "text": "the island ferry", "source": "good"}
        file.write(json.dumps(record) + "\n")
    succeed("build", root, "--db", db)
    assert {hit["document"] for hit in ask(db, "the keeper")} == {"c", "n"}


def test_a_purge_after_a_killed_run_leaves_no_text_and_the_run_is_repeated(
    retro, succeed, ask, name_sources, purge, db, archive, monkeypatch
):
    def texts():
        tables = [pq.read_table(path) for path in sorted((db / "chunks").glob("*.parquet"))]
        return "".join(repr(table.to_pylist()) for table in tables)

    def interrupted(*args, **named):
        raise KeyboardInterrupt

    (archive / "new.txt").write_text("the island storm")
    with monkeypatch.context() as patched:
        patched.setattr(stage.ChunkManifest, "save", interrupted)
        assert retro("chunk", archive, "--db", db).code == 130
    assert (db / "chunks" / "journal.jsonl").exists()
    assert "letter about boat 1 " in texts()
    name_sources(db, "letters")
    purge(db)
    assert not (db / "chunks" / "journal.jsonl").exists()
    assert "letter about boat 1 " not in texts()
    assert "letter about boat 2 " in texts()
    succeed("build", archive, "--db", db)
    assert "the island storm" in {hit["text"] for hit in ask(db, "the island storm")}


def test_a_rule_that_is_added_again_after_its_purge_is_the_same_rule(
    succeed, name_sources, purge, db
):
    name_sources(db, "letters")
    purge(db)
    again = name_sources(db, "letters")
    assert "rule 1 takes 0 of 53 chunks" in again.err
    (rule,) = succeed("filter", "list", db, "--json").rows
    assert (rule["number"], rule["state"]) == (1, "purged")


def test_a_second_purge_counts_nothing_and_does_nothing(retro, name_sources, purge, db):
    name_sources(db, "letters")
    purge(db)
    refused = retro("compact", db, "--purge")
    assert refused.code == 2
    assert "removes the text of 0 chunks for good, 0 of them taken by rules" in refused.err
    again = purge(db)
    assert again["rewritten"] == {"rows": 0, "parts_rewritten": 0, "parts_gone": 0}
    assert (again["removed"], again["rules_ended"], again["segments"]) == (0, [], 0)
    assert again["bytes_after"] == again["bytes_before"]


def test_every_command_goes_on_after_everything_was_purged(succeed, ask, purge, db, archive):
    succeed("filter", "add", db, "--match", ".", "--reason", "all", "--yes")
    assert purge(db)["removed"] == 63
    for command in (
        ["status", db],
        ["verify", db],
        ["filter", "verify", db],
        ["filter", "list", db],
        ["sources", db],
        ["history", db],
        ["index", db],
        ["embed", db],
        ["query", db, "boat"],
        ["build", archive, "--db", db],
    ):
        succeed(*command)
    assert ask(db, "the boat") == []


def test_scores_of_purged_rows_leave_the_disk(score_word, name_sources, purge, db):
    score_word(db, "letter")
    folder = db / "attributes" / "words"
    before = {path.name for path in folder.glob("*.f4")}
    name_sources(db, "letters")
    purge(db)
    parts = json.loads((folder / "manifest.json").read_text())["parts"].values()
    names = {file["name"] for _, file in parts}
    assert {path.name for path in folder.glob("*.f4")} == names
    assert names.isdisjoint(before)


def test_everything_is_purged_under_a_rule_by_the_scores_of_documents(
    succeed, ask, take_word, purge, db
):
    take_word(db, "letter", 0.1, "--level", "document")
    succeed("filter", "add", db, "--match", ".", "--reason", "all", "--yes")
    assert purge(db)["removed"] == 63
    assert ask(db, "the boat") == []
    succeed("filter", "verify", db)


def test_status_counts_the_vectors_that_a_purge_left(succeed, name_sources, purge, db):
    assert facts(succeed, db, "embeddings")["vectors"] == 63
    name_sources(db, "letters")
    purge(db)
    assert facts(succeed, db, "embeddings")["vectors"] == 53
    assert facts(succeed, db, "index")["rows"] == 53
    succeed("verify", db)


@pytest.mark.parametrize("dedup", ["chunk", "document", "none"])
def test_a_purge_within_one_file_of_many_parts_changes_no_answer(
    succeed, ask, name_sources, purge, static_encoder, tmp_path, dedup
):
    said = "the keeper of the light saw the storm. " * 4
    records = [
        {"id": f"d{n}", "text": f"{said} {n % 7}", "source": "bad" if n % 3 else "good"}
        for n in range(60)
    ]
    write_jsonl(tmp_path / "posts.jsonl", records)
    db = tmp_path / "parts.db"
    how = ["--tokens", 16, "--dedup", dedup, "--part-size", 2000]
    succeed("chunk", "posts.jsonl", "--db", db, "--encoder", static_encoder, *how)
    succeed("embed", db)
    succeed("index", db)
    name_sources(db, "bad")

    def view():
        return sorted(
            (
                round(hit["score"], 3),
                hit["text"],
                hit["continuation"],
                hit["document"],
                tuple(sorted(other["document"] for other in hit["also"])),
            )
            for hit in ask(db, said, 999)
        )

    before = view()
    assert before
    assert purge(db)["removed"] > 0
    assert view() == before
    succeed("verify", db)
    assert succeed("embed", db, "--json").rows[0]["parts_done"] == 0
    succeed("index", db)
    assert view() == before


@pytest.mark.parametrize("moved", ["", "x y z "])
def test_near_copies_stay_out_after_their_original_is_purged(tmp_path, static_encoder, moved):
    library = Library(tmp_path, static_encoder, tokens=64)
    letters = np.random.default_rng(1).choice([*"abcdefghijklmnopqrstuvwxyz"], 640)
    other = np.random.default_rng(2).choice([*"abcdefghijklmnopqrstuvwxyz"], 640)
    library.write("a", posts("a", " ".join(letters)))
    library.write("c", posts("c", " ".join(other)))
    library.update()
    library.add(sources=("a",), copies="near")
    compact(library.layout, purge=True, yes=True)
    with np.load(library.layout.filters / "originals-000001.npz") as kept:
        assert {name: kept[name].nbytes for name in kept} == {
            "texts": 160, "sketches": 160, "sizes": 80
        }  # fmt: skip
    library.write("b", posts("b", moved + " ".join(letters)))
    library.update()
    assert len(library.hits(source=["c"])) == 10
    copy = library.hits(source=["b"])
    assert len(copy) <= (2 if moved else 0)  # where it begins, and the scrap where it ends
