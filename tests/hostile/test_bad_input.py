"""Bad input, one by one: a clear line, a hint, the documented exit code, and nothing lost."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import wordpiece
from safetensors.numpy import save_file

from retro_cli.store.lock import writer_lock


def refused(result, code: int, *words: str) -> None:
    """One error line, one hint line, no traceback, the exit code."""
    assert result.code == code, result.err
    assert result.err.count("error:") == 1
    assert "hint:" in result.err
    assert "Traceback" not in result.err
    assert "defect" not in result.err
    for word in words:
        assert word in result.err


def test_a_missing_input_names_what_is_near(retro, archive, static_encoder):
    wrong = str(archive / "notes").replace("notes", "nots")
    result = retro("chunk", wrong, "--db", "x.db", "--encoder", static_encoder)
    refused(result, 2, "nots")
    assert "notes" in result.err


def test_a_missing_input_leaves_no_database_behind(retro, static_encoder, tmp_path):
    retro("chunk", "nowhere", "--db", "x.db", "--encoder", static_encoder)
    assert not (tmp_path / "x.db").exists()


def test_an_empty_folder_and_an_empty_stream(retro, static_encoder, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(retro("chunk", "empty", "--db", "x.db", "--encoder", static_encoder), 2)
    result = retro("chunk", "-", "--db", "x.db", "--encoder", static_encoder, stdin=b"")
    refused(result, 2, "standard input is empty")


def test_an_empty_file_is_set_aside(retro, static_encoder, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("the boat")
    (tmp_path / "in" / "b.txt").write_text("")
    result = retro("chunk", "in", "--db", "x.db", "--encoder", static_encoder)
    assert result.code == 3
    assert "records set aside: 1" in result.err
    assert "1 documents" in result.err or "1 document," in result.err


def test_an_unreadable_encoding_is_never_guessed_into_mojibake(retro, static_encoder, tmp_path):
    (tmp_path / "latin.txt").write_bytes("the café of the harbour".encode("latin-1"))
    ask = ["chunk", "latin.txt", "--db", "x.db", "--encoder", static_encoder]
    refused(retro(*ask), 2, "latin.txt")
    assert retro(*ask, "--encoding", "latin-1").code == 0


def test_a_truncated_gz_gives_what_came_before_the_break(retro, static_encoder, tmp_path):
    lines = [json.dumps({"id": f"r{n}", "text": f"boat {n} {n * 7919}"}) for n in range(3000)]
    data = gzip.compress("\n".join(lines).encode(), mtime=0)
    (tmp_path / "r.jsonl.gz").write_bytes(data[: len(data) // 2])
    result = retro("chunk", "r.jsonl.gz", "--db", "x.db", "--encoder", static_encoder, "--json")
    assert result.code == 3
    report = result.rows[0]
    assert report["rejected"] == 1
    assert 1000 < report["live_docs"] < 2000
    assert "truncated" in report["first_rejection"]


def test_broken_json_on_line_71203_is_named_and_the_rest_is_kept(retro, static_encoder, tmp_path):
    line = '{"text": "the boat %d"}\n'
    with (tmp_path / "r.jsonl").open("w") as file:
        for number in range(1, 71_210):
            file.write('{"text": "the\n' if number == 71_203 else line % number)
    ask = ["chunk", "r.jsonl", "--db", "x.db", "--encoder", static_encoder, "--part-size", "1"]
    result = retro(*ask, "--json")
    assert result.code == 3
    assert "line 71203" in result.rows[0]["first_rejection"]
    assert result.rows[0]["live_docs"] == 71_208


def test_a_parquet_file_without_text_lists_its_columns(retro, static_encoder, tmp_path):
    pq.write_table(pa.table({"number": [1], "place": ["x"]}), tmp_path / "t.parquet")
    result = retro("chunk", "t.parquet", "--db", "x.db", "--encoder", static_encoder)
    refused(result, 2, "number", "place", "--text-field")
    named = ["--text-field", "place"]
    assert (
        retro("chunk", "t.parquet", "--db", "x.db", "--encoder", static_encoder, *named).code == 0
    )


@pytest.mark.parametrize("poison", [np.nan, np.inf, 0.0])
def test_vectors_with_nan_infinity_or_nothing_are_refused(retro, db, poison):
    assert retro("export", db, "v.npy").code == 0
    vectors = np.load("v.npy")
    vectors[7] = poison
    np.save("bad.npy", vectors)
    refused(retro("embed", db, "--from", "bad.npy"), 2, "row 7")
    assert retro("query", db, "the ferry", "-q").code == 0


def test_vectors_of_another_shape_are_refused(retro, db):
    np.save("short.npy", np.ones((3, 24), np.float32))
    refused(retro("embed", db, "--from", "short.npy"), 2, "(3, 24)")
    np.save("q.npy", np.ones((1, 7), np.float32))
    refused(retro("query", db, "--vectors", "q.npy"), 2, "24 dimensions")


def test_vectors_that_lack_a_chunk_are_refused_and_the_hint_leads_on(retro, db):
    assert retro("export", db, "v.parquet", "--vectors").code == 0
    pq.write_table(pq.read_table("v.parquet").slice(1), "short.parquet")
    result = retro("embed", db, "--from", "short.parquet")
    refused(result, 2, "lacks vectors for 1 chunk, the first is 0")
    words = result.err.split("hint:")[1].split(" lists")[0].split()
    assert words[:2] == ["retro", "export"]
    assert retro(*(db if word == "DB" else word for word in words[1:])).code == 0
    assert 0 in pq.read_table("chunks.parquet")["id"].to_pylist()


def test_a_pickled_array_is_not_opened(retro, db):
    np.save("evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(retro("embed", db, "--from", "evil.npy"), 2)
    refused(retro("query", db, "--vectors", "evil.npy"), 2)


def test_a_newer_database_is_refused_untouched(retro, db):
    settings = db / "retro.toml"
    newer = settings.read_text().replace("format = 1", "format = 99")
    settings.write_text(newer)
    for ask in (["query", db, "x"], ["status", db], ["embed", db], ["index", db]):
        refused(retro(*ask), 2, "format 99", "upgrade")
    assert settings.read_text() == newer


def test_another_encoder_than_the_index_has_is_refused(retro, db, static_encoder, tmp_path):
    weights = static_encoder / "model.safetensors"
    before = weights.read_bytes()
    words = len(json.loads((static_encoder / "tokenizer.json").read_text())["model"]["vocab"])
    try:
        other = np.random.default_rng(9).standard_normal((words, 24)).astype(np.float32)
        save_file({"embedding.weight": other}, str(weights))
        refused(retro("query", db, "the ferry"), 2, "other weights")
    finally:
        weights.write_bytes(before)
    assert retro("query", db, "the ferry").code == 0


def test_two_writers_at_once_is_refused_and_readers_go_on(retro, db):
    with writer_lock(db, "index"):
        for ask in (["embed", db], ["index", db], ["chunk", "archive", "--db", db]):
            refused(retro(*ask), 5, "is being written by")
        assert retro("query", db, "the ferry").code == 0


def test_stages_out_of_order_say_which_comes_first(retro, archive, static_encoder):
    refused(retro("query", "no.db", "x"), 2, "retro chunk")
    retro("chunk", archive, "--db", "x.db", "--encoder", static_encoder)
    refused(retro("index", "x.db"), 2, "retro embed")
    refused(retro("query", "x.db", "the ferry"), 2, "retro index")


def test_a_folder_that_is_no_database_is_not_written_into(retro, archive, static_encoder, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    result = retro("chunk", archive, "--db", "precious", "--encoder", static_encoder)
    refused(result, 2, "thesis.tex")
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["thesis.tex"]


def test_an_unknown_encoder_lists_the_known(retro, archive):
    refused(retro("build", archive, "--db", "x.db", "--encoder", "gpt-9"), 2, "all-MiniLM-L6-v2")


def test_a_broken_settings_file_is_named(retro, db):
    (db / "retro.toml").write_text("format = 1\ntokens = 'many'\n")
    refused(retro("status", db), 2, "tokens must be int")
    (db / "retro.toml").write_text("format = \n")
    refused(retro("status", db), 2, "retro.toml")


@pytest.mark.parametrize("name", ["chunks/manifest.json", "embeddings/manifest.json"])
def test_a_manifest_that_is_not_one_any_more_is_an_integrity_error(retro, db, name):
    (db / name).write_text('{"parts": 3}')
    refused(retro("status", db), 4, "manifest.json")


def test_a_pointer_that_leads_out_of_the_database_is_not_followed(retro, db):
    (db / "index" / "CURRENT").write_text("gen-/../../../etc/passwd\n")
    refused(retro("query", db, "the ferry"), 4, "does not name a generation")


def test_bad_conditions_and_formats_are_usage_errors(retro, db):
    refused(retro("query", db, "x", "--where", "nonsense"), 2, "--where")
    refused(retro("query", db, "x", "--where", "year = 1990 or year = 1991"), 2, "'and' alone")
    refused(retro("query", db, "x", "--source", "leters"), 2, "letters")
    refused(retro("query", db, "x", "--format", "xml"), 2, "xml")
    refused(retro("query", db, "x", "--format", "parquet"), 2, "--out")
    refused(retro("query", db, "x", "--level", "page"), 2, "doc")
    refused(retro("query", db, "  "), 2, "empty")
    refused(retro("query", db), 2, "--queries")
    refused(retro("show", db, 10**9), 2, "no chunk")
    refused(retro("plan", "many"), 2, "many")
    refused(retro("index", db, "--factory", "HNSW32"), 2)


def test_an_index_that_so_few_rows_cannot_train_leaves_the_one_there_is(retro, db):
    before = retro("query", db, "the ferry", "--json").rows
    refused(retro("index", db, "--factory", "IVF1,PQ8"), 2, "'IVF1,PQ8' on", "without --factory")
    assert retro("query", db, "the ferry", "--json").rows == before
    assert retro("index", db).code == 0


def test_a_bad_line_in_a_query_file_is_named(retro, db, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"text": "the ferry"}\n{"text": \n')
    done = retro("query", db, "--queries", "q.jsonl", "--format", "csv")
    assert done.code == 3
    assert "query 2 has no answer: Expecting value" in done.err


def test_a_huge_field_and_deep_nesting_do_not_end_a_run(retro, static_encoder, tmp_path):
    deep = '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}"
    good = json.dumps({"id": "good", "text": "the boat", "notes": "x" * 3_000_000})
    (tmp_path / "r.jsonl").write_text(f"{deep}\n{good}\n")
    result = retro("chunk", "r.jsonl", "--db", "x.db", "--encoder", static_encoder, "--json")
    assert result.code == 3
    assert (result.rows[0]["live_docs"], result.rows[0]["rejected"]) == (1, 1)


def test_errors_are_json_where_json_was_asked_for(retro):
    result = retro("status", "no.db", "--json")
    error = json.loads(result.err)
    assert (error["exit_code"], result.code) == (2, 2)
    assert error["hint"]


def test_another_tokenizer_is_said_and_still_answers(retro, archive, static_encoder, tmp_path):
    (tmp_path / "other").mkdir()
    path = wordpiece(tmp_path / "other")
    changed = json.loads(path.read_text())
    changed["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(changed))
    build = ["build", archive, "--db", "x.db", "--encoder", static_encoder]
    assert retro("chunk", *build[1:], "--tokenizer", path).code == 0
    said = retro("embed", "x.db")
    assert "tokenising the text again" in said.err
    assert retro("index", "x.db").code == 0
    assert retro("query", "x.db", "the ferry").code == 0


def test_vectors_of_an_unknown_encoder_answer_no_words_and_say_what_would(retro, db, tmp_path):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    retro("export", db, tmp_path / "v.npy", "--vectors")
    assert retro("embed", db, "--from", tmp_path / "v.npy").code == 0
    assert retro("index", db).code == 0
    refused = retro("query", db, "the boat")
    assert refused.code == 2
    assert "what made them is not known" in refused.err
    assert "--encoder NAME" in refused.err
    count = len(np.load(tmp_path / "v.npy"))
    pq.write_table(pa.table({"row": list(range(count))}), tmp_path / "v.parquet")
    lacking = retro("embed", db, "--from", tmp_path / "v.parquet")
    assert lacking.code == 2
    assert "has no column id and none vector" in lacking.err
