"""Damage, odd sequences of commands, and inputs that lie about: nothing good is ever lost."""

from __future__ import annotations

import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import write_jsonl


@pytest.fixture
def build(retro, static_encoder):
    def run(*args, stage="build"):
        return retro(stage, *args, "--db", "d", "--encoder", static_encoder, "--tokens", 16)

    return run


@pytest.fixture
def texts(retro):
    """document -> text of the best hits of a very wide query."""

    def found(*options):
        hits = retro("query", "d", "the boat", "-k", 500, "--json", *options).rows[0]["hits"]
        return {hit["document"]: hit["text"] for hit in hits}

    return found


def flip(path):
    """Bit rot: one bit, and neither size nor time tells."""
    data, status = bytearray(path.read_bytes()), path.stat()
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_damaged_part_is_found_again_when_its_input_is_named(build, texts, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(f"the boat {name}")
        build(name)
    next((tmp_path / "d" / "chunks").glob("part-00000*chunks.parquet")).unlink()
    assert build("b").code == 0
    assert set(texts()) == {"b/x.txt"}
    assert build("a", "b").code == 0
    assert set(texts()) == {"a/x.txt", "b/x.txt"}


@pytest.mark.parametrize("how", ["missing", "rubbish"])
def test_a_lost_input_table_loses_no_document(build, texts, tmp_path, how):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(f"the boat {name}")
    build("a", "b")
    table = next((tmp_path / "d" / "chunks").glob("inputs-*"))
    table.unlink() if how == "missing" else table.write_bytes(b"rubbish")
    assert build("b").code == 0
    assert set(texts()) == {"a/x.txt", "b/x.txt"}
    assert "up to date" in build("a", "b").err


def test_a_database_inside_its_corpus_does_not_eat_itself(retro, static_encoder, tmp_path):
    (tmp_path / "x.txt").write_text("the boat")
    ask = ["build", ".", "--db", "wiki.db", "--encoder", static_encoder]
    shutil.copytree(tmp_path, tmp_path / "older", ignore=shutil.ignore_patterns("older"))
    for _ in range(2):
        assert retro(*ask).code == 0
    shutil.copytree(tmp_path / "wiki.db", tmp_path / "copy.db")
    assert retro(*ask).code == 0
    sources = {row["source"] for row in retro("sources", "wiki.db", "--json").rows}
    assert sources == {"x.txt", "older/x.txt"}


@pytest.mark.parametrize(
    "victim", ["chunks/*.chunks.parquet", "embeddings/*.npy", "index/segment-*"]
)
def test_what_verify_finds_the_next_run_mends(retro, db, archive, victim):
    flip(next(db.glob(victim)))
    assert retro("verify", db).code == 4
    assert retro("build", archive, "--db", db).code == 0
    assert retro("verify", db).code == 0


def test_a_lost_pointer_is_rebuilt_beyond_the_generations_there_were(retro, db, archive):
    for number in range(3):
        (archive / "light.txt").write_text(f"the boat {number}")
        retro("build", archive, "--db", db)
    (db / "index" / "CURRENT").unlink()
    assert retro("index", db).code == 0
    assert retro("query", db, "the boat").code == 0
    assert (db / "index" / "CURRENT").read_text() == "gen-000005.json\n"


@pytest.mark.parametrize("victim", ["gen-*.json", "chunks-*.json", "dead-*", "indexed-*"])
@pytest.mark.parametrize("how", ["missing", "rubbish"])
def test_a_damaged_index_is_an_integrity_error_until_index_runs_again(retro, db, victim, how):
    path = next((db / "index").glob(victim))
    path.unlink() if how == "missing" else path.write_bytes(b"{")
    asked = retro("query", db, "the boat")
    assert asked.code in (0, 4), asked.err  # rubbish bits of an empty mask may still be a mask
    assert "defect" not in asked.err
    assert retro("index", db).code == 0
    assert retro("query", db, "the boat").code == 0
    assert retro("verify", db).code == 0


@pytest.mark.parametrize("how", ["missing", "rubbish"])
def test_a_damaged_table_of_duplicates_is_made_again(build, retro, tmp_path, how):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("the boat and the boat")
    build("a.txt", "b.txt")
    path = next((tmp_path / "d" / "chunks").glob("aliases-*"))
    path.unlink() if how == "missing" else path.write_bytes(b"rubbish")
    (tmp_path / "d" / "chunks" / ".verified.json").unlink()
    assert retro("query", "d", "the boat").code == 4
    assert build("a.txt", "b.txt").code == 0
    assert len(retro("query", "d", "the boat", "--json").rows[0]["hits"]) == 1
    assert retro("verify", "d").code == 0


def test_export_gives_only_what_is_alive(build, retro, tmp_path):
    path = write_jsonl(tmp_path / "r.jsonl", [{"id": n, "text": f"boat {n}"} for n in "abc"])
    build(path)
    write_jsonl(path, [{"id": "a", "text": "ship a"}, {"id": "b", "text": "boat b"}])
    build(path, "--prune")
    assert retro("export", "d", "o.parquet", "--vectors").code == 0
    table = pq.read_table("o.parquet")
    assert sorted(table["text"].to_pylist()) == ["boat b", "ship a"]


def test_when_the_last_document_goes_no_query_finds_it(build, retro, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("the boat")
    build("in")
    (tmp_path / "in" / "a.txt").write_text("\u200b\x01")
    (tmp_path / "in" / "b.txt").write_text("\u200b\x02")
    assert build("in", "--prune").code == 0
    asked = retro("query", "d", "the boat", "--json")
    assert asked.code == 0, asked.err
    assert asked.rows[0]["hits"] == []


def test_an_emptied_file_is_pruned(build, texts, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.txt").write_text(f"the boat {name}")
    build("in")
    (tmp_path / "in" / "a.txt").write_text("")
    assert build("in", "--prune").code == 3
    assert set(texts()) == {"in/b.txt"}


def test_document_level_tells_equal_names_of_different_files_apart(build, retro, tmp_path):
    for name in "ab":
        records = [{"id": str(n), "text": f"boat {n} of {name}"} for n in range(4)]
        write_jsonl(tmp_path / f"{name}.jsonl", records)
    build("a.jsonl", "b.jsonl")
    ask = ["query", "d", "boat", "--level", "doc", "--json"]
    assert len(retro(*ask, "-k", 20).rows[0]["hits"]) == 8
    assert len(retro(*ask, "-k", 10**10).rows[0]["hits"]) == 8


def test_a_refused_command_changes_no_setting(build, retro, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("the boat " + name)
    build("a.txt", "b.txt")
    before = (tmp_path / "d" / "retro.toml").read_text()
    assert retro("chunk", "a.txt", "--db", "d", "--tokens", 8).code == 2
    assert (tmp_path / "d" / "retro.toml").read_text() == before
    assert retro("chunk", "a.txt", "--db", "d").code == 0


def test_embedding_with_another_encoder_does_not_cut_the_corpus_anew(
    build, retro, static_encoder, tmp_path
):
    other = tmp_path / "other"
    shutil.copytree(static_encoder, other)
    tokenizer = other / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"lowercase": true', '"lowercase": false'))
    (tmp_path / "a.txt").write_text("the boat")
    build("a.txt")
    assert retro("embed", "d", "--encoder", "other").code == 0
    assert "up to date" in retro("chunk", "a.txt", "--db", "d").err
    (tmp_path / "sub").mkdir()
    os.chdir(tmp_path / "sub")
    assert retro("embed", "../d").code == 0


def test_recall_and_factory_stay_as_they_were_asked_for(retro, db):
    ask = ["index", db, "--recall", "0.8", "--factory", "IVF1,SQ8", "--json"]
    assert retro(*ask).code == 0
    again = retro("index", db, "--retrain", "--json").rows[0]
    assert (again["factory"], again["quality_target"]) == ("IVF1,SQ8", 0.8)
    assert retro("index", db, "--factory", "auto", "--json").rows[0]["factory"] == "IVF1,SQfp16"


def test_imported_vectors_are_not_thrown_away_unasked(retro, db, archive):
    retro("export", db, "v.npy")
    assert retro("embed", db, "--from", "v.npy").code == 0
    assert retro("index", db).code == 0
    assert "up to date" in retro("embed", db).err
    (archive / "light.txt").write_text("a new light")
    retro("chunk", archive, "--db", db)
    refused = retro("embed", db)
    assert (refused.code, "--from" in refused.err) == (2, True)


def test_imported_vectors_of_unequal_length_are_refused(retro, db):
    retro("export", db, "v.parquet", "--vectors")
    ids = pq.read_table("v.parquet")["id"].to_pylist()
    vectors = [[1.0] * (2 + n % 2) for n in range(len(ids))]
    pq.write_table(pa.table({"id": ids, "vector": vectors}), "bad.parquet")
    assert retro("embed", db, "--from", "bad.parquet").code == 2
    pq.write_table(pa.table({"id": [str(i) for i in ids], "vector": vectors}), "bad.parquet")
    refused = retro("embed", db, "--from", "bad.parquet")
    assert (refused.code, "defect" in refused.err) == (2, False)
