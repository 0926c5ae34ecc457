"""Where retro query writes its answers, and in which shape."""

from __future__ import annotations

import json

import pytest
from helpers import without_override, write_jsonl


@pytest.mark.parametrize("shape", ["json", "csv", "trec", "parquet"])
def test_answers_that_cannot_be_written_are_refused_before_anything_is_done(
    retro, db, tmp_path, shape
):
    (tmp_path / "file").write_text("x")
    for out, says in ((tmp_path, "is a folder"), (tmp_path / "file" / "x", "cannot write")):
        refused = retro("query", db, "the ferry", "--format", shape, "--out", out)
        assert (refused.code, says in refused.err) == (2, True), refused.err
        assert "name a" in refused.err
        assert "defect" not in refused.err


def test_a_folder_for_the_answers_is_made(retro, db, tmp_path):
    out = tmp_path / "new" / "folder" / "o.json"
    assert retro("query", db, "the ferry", "--format", "json", "--out", out).code == 0
    assert len(json.loads(out.read_text())["hits"]) == 5


@pytest.mark.parametrize("forbidden", ["file", "folder"])
def test_a_forbidden_file_is_refused(retro, db, tmp_path, forbidden):
    out = tmp_path / "folder" / "o.json"
    out.parent.mkdir()
    if forbidden == "file":
        out.touch(0o444)
    else:
        out.parent.chmod(0o555)
    with without_override():
        refused = retro("query", db, "the ferry", "--out", out)
    assert (refused.code, "Permission denied" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "wrong", [("--where", "nofield = 1"), ("--where", "year >="), ("--source", "zzz")]
)
def test_a_refused_query_leaves_the_answers_of_an_earlier_one(retro, db, tmp_path, wrong):
    out = tmp_path / "o.json"
    out.write_text("kept")
    assert retro("query", db, "the ferry", "--out", out, *wrong).code == 2
    assert out.read_text() == "kept"


def run_of(result):
    """The columns of a TREC run."""
    assert result.code == 0, result.err
    return [line.split() for line in result.out.splitlines()]


def test_a_trec_run_names_each_document_once_by_its_best_chunk(retro, db):
    ask = ("query", db, "the ferry", "-k", 8)
    run = run_of(retro(*ask, "--format", "trec"))
    hits = retro(*ask, "--level", "doc", "--json").rows[0]["hits"]
    assert [line[2] for line in run] == [hit["document"] for hit in hits]
    assert len({line[2] for line in run}) == 8
    assert [line[3] for line in run] == [str(hit["rank"]) for hit in hits]
    assert run_of(retro(*ask, "--format", "trec", "--level", "doc")) == run


def test_a_trec_run_of_chunks_is_refused(retro, db):
    refused = retro("query", db, "the ferry", "--format", "trec", "--level", "chunk")
    assert (refused.code, "leave --level out" in refused.err) == (2, True)


def test_white_space_in_names_breaks_no_column_and_a_name_of_two_files_comes_once(
    retro, static_encoder, tmp_path
):
    (tmp_path / "in").mkdir()
    names = ["a b", "ab", "c\td\u00a0e", "same"]
    write_jsonl(tmp_path / "in" / "1.jsonl", [{"id": n, "text": f"boat {n}"} for n in names])
    write_jsonl(tmp_path / "in" / "2.jsonl", [{"id": "same", "text": "another boat"}])
    assert retro("build", "in", "--db", "s.db", "--encoder", static_encoder).code == 0
    lines = json.dumps({"id": "q 1", "text": "boat"}).encode()
    run = run_of(retro("query", "s.db", "--queries", "-", "--format", "trec", stdin=lines))
    assert {(line[0], len(line)) for line in run} == {("q%201", 6)}
    assert sorted(line[2] for line in run) == ["a%20b", "ab", "c%09d%C2%A0e", "same"]
    assert [line[3] for line in run] == ["1", "2", "3", "4"]


def test_the_help_says_which_shape_one_query_and_many_have(retro, db):
    said = " ".join(retro("query", "--help").out.replace("│", " ").split())
    assert "default: table for a TEXT, else json" in said
    assert retro("query", db, "the ferry").out.startswith(" 1  ")
    many = retro("query", db, "--queries", "-", stdin=b"the ferry\n")
    assert [row["query"] for row in many.rows] == ["1"]


def test_tables_of_several_queries_begin_with_each(retro, db):
    found = retro(
        "query", db, "--queries", "-", "--format", "table", stdin=b"the ferry\nthe boat\n"
    )
    assert [line for line in found.out.splitlines() if line in ("the ferry", "the boat")] == [
        "the ferry",
        "the boat",
    ]


@pytest.mark.parametrize("wrong", [("--json", "--format", "csv"), ("--explain", "--format", "csv")])
def test_what_an_output_cannot_say_is_refused_rather_than_left_out(retro, db, wrong):
    refused = retro("query", db, "the boat", *wrong)
    assert (refused.code, refused.out) == (2, "")
