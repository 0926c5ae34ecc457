"""Each command on a small archive: what it prints, where, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import process, write_jsonl

from retro_cli import Database


def test_building_says_what_it_did_on_stderr_and_nothing_on_stdout(retro, archive, static_encoder):
    result = retro("build", archive, "--db", "x.db", "--encoder", static_encoder)
    assert result.code == 0
    assert result.out == ""
    assert "chunk: 18 documents" in result.err
    assert "recall@10 1.000" in result.err


def test_building_again_finds_nothing_to_do(retro, db, archive):
    result = retro("build", archive, "--db", db)
    assert result.code == 0
    assert result.err.count("up to date") == 3


def test_the_stages_print_one_json_object_each(retro, archive, static_encoder):
    result = retro("build", archive, "--db", "x.db", "--encoder", static_encoder, "--json")
    assert [row["stage"] for row in result.rows] == ["chunk", "embed", "index"]
    assert result.err == ""


def test_a_hit_carries_everything_promised(retro, db):
    hit = retro("query", db, "the ferry left the harbour", "-k", 1, "--json").rows[0]["hits"][0]
    promised = {"rank", "score", "chunk", "document", "source", "title", "text"}
    assert promised | {"continuation", "start", "end"} <= hit.keys()
    assert 0 < hit["score"] <= 1.001


def test_the_text_and_continuation_of_a_hit_are_the_documents_own(retro, db, archive):
    for hit in retro("query", db, "the ferry", "-k", 10, "--json").rows[0]["hits"]:
        if not hit["document"].endswith(".md"):
            continue
        text = (archive.parent / hit["document"]).read_text()
        assert text[hit["start"] : hit["end"]] == hit["text"]
        assert text[hit["end"] :].startswith(hit["continuation"])


def test_the_table_fits_the_terminal(db):
    for columns in ("40", "80"):
        for asked in (["query", db, "the ferry"], ["sources", db]):
            result = process(*asked, env={"COLUMNS": columns})
            assert result.returncode == 0
            assert max(map(len, result.stdout.splitlines())) <= int(columns)


def test_a_query_stream_answers_line_by_line(db):
    command = [sys.executable, "-m", "retro_cli", "query", str(db), "--queries", "-", "-k", "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as running:
        for number, words in enumerate(["the ferry", '{"id": "q7", "text": "the light"}'], 1):
            running.stdin.write(words + "\n")
            running.stdin.flush()
            answer = json.loads(running.stdout.readline())
            assert answer["query"] == ("q7" if number == 2 else "1")
            assert len(answer["hits"]) == 1
        running.stdin.close()
        assert running.wait(30) == 0


def test_every_format_holds_the_same_hits(retro, db, tmp_path):
    ask = ["query", db, "the keeper", "-k", 4, "--level", "doc"]
    hits = retro(*ask, "--format", "json").rows[0]["hits"]
    names = [hit["document"] for hit in hits]
    table = list(csv.DictReader(io.StringIO(retro(*ask, "--format", "csv").out)))
    assert [row["document"] for row in table] == names
    trec = [line.split() for line in retro(*ask, "--format", "trec").out.splitlines()]
    assert [fields[2] for fields in trec] == names
    assert [fields[3] for fields in trec] == ["1", "2", "3", "4"]
    assert retro(*ask, "--format", "parquet", "--out", tmp_path / "o.parquet").code == 0
    assert pq.read_table(tmp_path / "o.parquet")["document"].to_pylist() == names


def test_source_and_where_narrow_the_results_and_still_fill_k(retro, db):
    result = retro("query", db, "a letter", "-k", 5, "--source", "forum", "--json")
    assert [hit["source"] for hit in result.rows[0]["hits"]] == ["forum"] * 5
    narrowed = retro(
        "query", db, "a letter", "--where", "year >= 1997 and source = letters", "--json"
    )
    assert {hit["document"] for hit in narrowed.rows[0]["hits"]} == {"p7", "p9"}


def test_document_level_names_each_document_once(retro, db):
    hits = retro("query", db, "the ferry", "-k", 8, "--level", "doc", "--json").rows[0]["hits"]
    names = [hit["document"] for hit in hits]
    assert len(names) == len(set(names)) == 8


def test_explaining_says_how_the_hits_were_found(retro, db):
    explanation = retro("query", db, "the ferry", "--explain", "--json").rows[0]["explanation"]
    assert {"lists", "probed", "candidates", "exact"} <= explanation.keys()


def test_show_puts_a_chunk_in_its_document(retro, db):
    hit = retro("query", db, "the keeper of the light", "-k", 1, "--json").rows[0]["hits"][0]
    shown = retro("show", db, hit["chunk"], "--json").rows[0]
    assert shown["document"] == hit["document"]
    assert hit["text"] in [piece["text"] for piece in shown["around"]]
    assert retro("show", db, hit["chunk"]).code == 0


def test_sources_lists_documents_and_chunks(retro, db):
    rows = {row["source"]: row for row in retro("sources", db, "--json").rows}
    assert rows["forum"]["docs"] == rows["letters"]["docs"] == 5


def test_status_from_another_folder_does_not_call_relative_inputs_gone(
    retro, archive, static_encoder, tmp_path, monkeypatch
):
    assert retro("build", "archive", "--db", "r.db", "--encoder", static_encoder).code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    away = retro("status", "../r.db", "--check", "--json")
    assert away.code == 0
    assert away.rows[0]["stages"][0]["facts"]["inputs_elsewhere"] == 9
    monkeypatch.chdir(tmp_path)
    (archive / "light.txt").unlink()
    home = retro("status", "r.db", "--check", "--json")
    assert home.code == 3
    assert home.rows[0]["stages"][0]["facts"]["inputs_gone"] == 1


def test_status_is_ok_then_stale_then_ok_again(retro, db, archive):
    assert retro("status", db, "--check").code == 0
    (archive / "light.txt").write_text("the light went out")
    stale = retro("status", db, "--check")
    assert stale.code == 3
    assert "1 input file changed" in stale.out
    retro("chunk", archive, "--db", db)
    assert "1 chunk has no vector" in retro("status", db).out
    retro("embed", db)
    assert "gone still answer" in retro("status", db).out
    retro("index", db)
    assert retro("status", db, "--check").code == 0


def test_an_update_answers_with_the_new_text_and_never_the_old(retro, db, archive):
    (archive / "light.txt").write_text("the keeper moved to the island of boats")
    assert retro("build", archive, "--db", db).code == 0
    found = retro("query", db, "the keeper moved to the island", "-k", 50, "--json").rows[0]
    texts = " ".join(hit["text"] + hit["continuation"] for hit in found["hits"])
    assert "the keeper moved to the island of boats" in texts
    assert "saw the boat" not in texts


def test_verify_passes_then_notices_one_flipped_byte(retro, db):
    assert retro("verify", db).code == 0
    victim = sorted((db / "embeddings").glob("*.npy"))[0]
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    status = victim.stat()
    victim.write_bytes(data)
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    broken = retro("verify", db)
    assert broken.code == 4
    assert "sha256 differs" in broken.out


@pytest.mark.parametrize("stage", ["chunks", "embeddings", "index"])
def test_what_is_damaged_is_mended_by_running_again(retro, db, archive, stage):
    pattern = {"chunks": "*.chunks.parquet", "embeddings": "*.npy", "index": "segment-*"}[stage]
    for victim in (db / stage).glob(pattern):
        victim.write_bytes(b"rubbish")
    assert retro("build", archive, "--db", db).code == 0
    assert retro("verify", db).code == 0
    assert retro("status", db, "--check").code == 0
    assert len(retro("query", db, "the ferry", "-k", 5, "--json").rows[0]["hits"]) == 5


def test_vectors_go_out_and_come_back_the_same(retro, db, static_encoder):
    before = retro("query", db, "the storm", "-k", 9, "--json").rows
    assert retro("export", db, "v.npy").code == 0
    assert retro("embed", db, "--from", "v.npy", "--encoder", static_encoder).code == 0
    assert retro("index", db).code == 0
    assert [
        h["chunk"] for h in retro("query", db, "the storm", "-k", 9, "--json").rows[0]["hits"]
    ] == [h["chunk"] for h in before[0]["hits"]]


def test_query_vectors_that_are_not_there_are_named_and_what_to_give_instead(retro, db):
    done = retro("query", db, "--vectors", "nowhere.npy")
    assert done.code == 2
    assert "error: nowhere.npy cannot be read (No such file or directory)" in done.err
    assert "Errno" not in done.err
    assert "a .npy file" in done.err


def test_vectors_of_an_unnamed_encoder_answer_vectors_but_refuse_text(retro, db):
    retro("export", db, "v.parquet", "--vectors")
    assert retro("embed", db, "--from", "v.parquet").code == 0
    assert retro("index", db).code == 0
    refused = retro("query", db, "the storm")
    assert refused.code == 2
    table = pq.read_table("v.parquet")
    np.save("q.npy", np.stack(table["vector"].to_numpy()[:2]))
    answers = retro("query", db, "--vectors", "q.npy", "-k", 1).rows
    assert [a["hits"][0]["chunk"] for a in answers] == table["id"].to_pylist()[:2]


def test_standard_input_is_a_corpus(retro, static_encoder):
    lines = "".join(json.dumps({"id": f"d{n}", "text": f"boat {n}"}) + "\n" for n in range(3))
    ask = ["chunk", "-", "--db", "s.db", "--encoder", static_encoder]
    assert retro(*ask, stdin=lines.encode()).code == 0
    again = retro(*ask, "--json", stdin=lines.encode()).rows[0]
    assert (again["docs_written"], again["files_unchanged"]) == (0, 1)
    changed = retro(*ask, "--json", stdin=lines.replace("boat 1", "ship 1").encode()).rows[0]
    assert (changed["docs_written"], changed["docs_replaced"]) == (1, 1)


def test_standard_input_is_read_beside_files(retro, static_encoder, tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("the ferry left the harbour")
    ask = ["chunk", "corpus", "-", "--db", "s.db", "--encoder", static_encoder, "--json"]
    found = retro(*ask, stdin=b'{"id": "b", "text": "the keeper saw it go"}').rows[0]
    assert (found["files_new"], found["docs_written"]) == (2, 2)


def test_duplicates_answer_once_and_name_every_source(retro, static_encoder):
    same = "the keeper of the light saw a storm"
    for name in ("a", "b"):
        record = {"id": name, "text": same, "source": f"paper-{name}"}
        write_jsonl(Path(f"{name}.jsonl"), [record])
    assert (
        retro("build", "a.jsonl", "b.jsonl", "--db", "d.db", "--encoder", static_encoder).code == 0
    )
    hits = retro("query", "d.db", same, "-k", 5, "--json").rows[0]["hits"]
    assert len(hits) == 1
    assert hits[0]["also"] == [{"document": "b", "source": "paper-b"}]
    only = retro("query", "d.db", same, "--source", "paper-b", "--json").rows[0]["hits"]
    assert [hit["document"] for hit in only] == ["b"]


def test_a_merged_row_survives_the_first_of_its_documents(retro, static_encoder, tmp_path):
    same = "the keeper of the light saw a storm"
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.txt").write_text(same)
    build = ["build", tmp_path / "in", "--db", "d.db", "--encoder", static_encoder, "--prune"]
    retro(*build)
    (tmp_path / "in" / "a.txt").unlink()
    assert retro(*build).code == 0
    (hit,) = retro("query", "d.db", same, "--json").rows[0]["hits"]
    assert hit["document"].endswith("b.txt")
    (tmp_path / "in" / "b.txt").write_text("a boat")
    assert retro(*build).code == 0
    hits = retro("query", "d.db", same, "--json").rows[0]["hits"]
    assert [hit["text"] for hit in hits] == ["a boat"]


def test_planning_the_index_writes_nothing(retro, db):
    before = sorted(path.name for path in (db / "index").iterdir())
    result = retro("index", db, "--dry-run", "--json")
    assert result.rows[0]["exact"] is True
    assert sorted(path.name for path in (db / "index").iterdir()) == before


def test_a_plan_marks_its_estimates(retro, static_encoder):
    result = retro("plan", "2T", "--encoder", static_encoder)
    assert result.code == 0
    assert "estimate" in result.out
    rows = retro("plan", "2T", "--encoder", static_encoder, "--json").rows[0]["rows"]
    assert 2e12 / 64 <= rows <= 2e12 / 60


def test_python_builds_what_the_command_builds(db, archive, static_encoder, tmp_path):
    with Database.build(
        tmp_path / "b.db", [str(archive)], encoder=str(static_encoder), tokens=16
    ) as built:
        mine = built.retriever.generation
    with Database.open(db) as commanded:
        assert mine == commanded.retriever.generation


def test_the_python_interface_mirrors_the_command(retro, db):
    with Database.open(db) as database:
        hits = database.query("the ferry", k=3)
    printed = retro("query", db, "the ferry", "-k", 3, "--json").rows[0]["hits"]
    assert [hit.chunk for hit in hits] == [hit["chunk"] for hit in printed]


def test_a_factory_that_was_asked_for_is_said_once(retro, db):
    done = retro("index", db, "--factory", "IVF4,Flat")
    assert done.code == 0
    assert done.err.count("IVF4,Flat was asked for") == 1
    assert "training: --factory IVF4,Flat was asked for\n" in done.err
