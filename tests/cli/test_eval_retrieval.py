"""retro eval retrieval: from queries and judgements to numbers, and what bad input gets."""

from __future__ import annotations

import json

import pytest
import pytrec_eval
from helpers import write_jsonl


@pytest.fixture
def files(tmp_path):
    """Queries and judgements about the archive: p0 ... p9 are posts."""
    write_jsonl(
        tmp_path / "queries.jsonl",
        [{"_id": f"q{n}", "text": f"a letter about boat {n}"} for n in range(8)],
    )
    lines = [f"q{n}\tp{n}\t{1 + n % 2}\nq{n}\tp{(n + 3) % 10}\t0\n" for n in range(6)]
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return ["--queries", "queries.jsonl", "--qrels", "qrels.tsv"]


@pytest.fixture
def ask(retro, db):
    return lambda *words: retro("eval", "retrieval", db, "--resamples", 200, *words)


def test_the_numbers_are_those_of_trec_eval_on_the_run_that_query_writes(
    retro, db, ask, files, tmp_path
):
    found = ask(*files, "-k", "3,10", "--depth", 20, "--save-run", "mine.trec", "--json")
    assert found.code == 0, found.err
    (report,) = found.rows
    assert (report["evaluation"], report["queries"]) == ("retrieval", 6)
    assert "2 of 8 queries have no judgements" in report["notes"][0]
    written = retro(
        "query", db, "--queries", "queries.jsonl", "-k", 20, "--format", "trec"
    ).out.splitlines()
    saved = (tmp_path / "mine.trec").read_text().splitlines()
    assert saved == [line for line in written if line.split()[0] in {f"q{n}" for n in range(6)}]
    run: dict = {}
    for line in saved:
        query, _, document, _, score, _ = line.split()
        run.setdefault(query, {})[document] = float(score)
    judged = {f"q{n}": {f"p{n}": 1 + n % 2, f"p{(n + 3) % 10}": 0} for n in range(6)}
    oracle = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.3,10", "map", "recip_rank"})
    values = oracle.evaluate(run).values()
    for name, theirs in (("ndcg@3", "ndcg_cut_3"), ("map", "map"), ("mrr", "recip_rank")):
        mean = sum(value[theirs] for value in values) / 6
        assert report["measures"][name]["value"] == pytest.approx(mean, abs=1e-6)
        assert report["measures"][name]["low"] <= mean <= report["measures"][name]["high"]
    again = retro("eval", "retrieval", "--run", "mine.trec", "--qrels", "qrels.tsv", "--json",
                  "-k", "3,10", "--resamples", 200)  # fmt: skip
    assert again.rows[0]["measures"] == report["measures"]


def test_the_table_the_queries_and_the_comparison(ask, files, tmp_path):
    assert ask(*files, "--save-run", "a.trec").code == 0
    run = (tmp_path / "a.trec").read_text().splitlines()
    worse = [line.replace(" p", " other") for line in run]
    (tmp_path / "b.trec").write_text("\n".join(worse))
    shown = ask(*files, "--against", "b.trec", "--per-query")
    assert shown.code == 0, shown.err
    assert "6 judged queries" in shown.out
    assert "less b.trec (paired over queries)" in shown.out
    assert all(f"  q{n}\n" in shown.out for n in range(6))
    report = ask(*files, "--against", "b.trec", "--per-query", "--json").rows[0]
    difference = report["against"]["differences"]["mrr"]
    assert difference["value"] == pytest.approx(report["measures"]["mrr"]["value"])
    assert (difference["better"], difference["worse"]) == (6, 0)
    assert len(report["per_query"]) == 6
    assert all(len(line) <= 80 for line in shown.out.splitlines())


def test_what_a_rule_takes_is_not_found_and_is_told(retro, db, ask, files):
    before = ask(*files, "--json").rows[0]["measures"]["recall@100"]["value"]
    rule = retro("filter", "add", db, "--doc", "p1", "--reason", "test")
    assert rule.code == 0, rule.err
    report = ask(*files, "--json").rows[0]
    assert report["measures"]["recall@100"]["value"] == pytest.approx(before - 1 / 6)
    assert any("1 of 6 relevant documents are not in the database (such as 'p1')" in note
               for note in report["notes"])  # fmt: skip


def test_documents_with_the_same_text_are_found_together(retro, static_encoder, tmp_path, files):
    texts = {"a": "the ferry left", "b": "the ferry left", "c": "the keeper slept"}
    write_jsonl(tmp_path / "c.jsonl", [{"id": n, "text": text} for n, text in texts.items()])
    assert retro("build", "c.jsonl", "--db", "c.db", "--encoder", static_encoder).code == 0
    write_jsonl(tmp_path / "q.jsonl", [{"id": "1", "text": "the ferry left", "doc_id": "b"}])
    found = retro("eval", "retrieval", "c.db", "--queries", "q.jsonl", "-k", 2, "--json")
    assert found.code == 0, found.err
    assert found.rows[0]["measures"]["hit@2"]["value"] == 1


def test_only_some_sources_and_some_queries(ask, files):
    report = ask(*files, "--limit", 2, "--source", "letters", "--json").rows[0]
    assert report["queries"] == 2
    assert report["measures"]["recall@100"]["value"] == 0.5  # p1 is a letter, p0 of the forum


@pytest.mark.parametrize(
    "how",
    [["--retriever", "bm25"], ["--retriever", "hybrid"], ["--mmr", "0.3"],
     ["--retriever", "hybrid", "--fusion", "interpolate", "--weight", "0.3"]],
)  # fmt: skip
def test_every_way_to_retrieve_is_measured_as_query_finds(retro, db, ask, files, tmp_path, how):
    report = ask(*files, "--depth", 20, "-k", 10, *how, "--save-run", "a.trec", "--json").rows[0]
    assert report["settings"]["retriever"] == (how[1] if "--retriever" in how else "dense")
    written = retro("query", db, "--queries", "queries.jsonl", "-k", 20, "--format", "trec", *how)
    (tmp_path / "b.trec").write_text(written.out)
    again = retro("eval", "retrieval", "--run", "b.trec", "--qrels", "qrels.tsv", "-k", 10,
                  "--resamples", 200, "--json").rows[0]  # fmt: skip
    assert again["measures"] == report["measures"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing says which documents"),
        (["--qrels", "qrels.tsv"], "--queries FILE"),
        (["--queries", "queries.jsonl"], "nothing says which documents"),
        (["--queries", "none.jsonl", "--qrels", "qrels.tsv"], "no file none.jsonl"),
        (["--queries", "empty", "--qrels", "qrels.tsv"], "holds no questions"),
        (["--queries", "queries.jsonl", "--qrels", "empty"], "holds no judgements"),
        (["--queries", "queries.jsonl", "--qrels", "other.tsv"], "1 of the 2 judged queries"),
        (["--queries", "queries.jsonl", "--qrels", "alien.tsv"], "none of the 1 judged query"),
        (["--queries", "queries.jsonl", "--qrels", "gone.tsv"], "none of the 1 relevant document"),
        (["--queries", "queries.jsonl", "--qrels", "qrels.tsv", "--run", "empty"], "--run"),
        (["--queries", "queries.jsonl", "--qrels", "qrels.tsv", "--against", "empty"], "no run"),
        (["--queries", "queries.jsonl", "--qrels", "qrels.tsv", "-k", "0"], "cuts"),
        (["--queries", "queries.jsonl", "--qrels", "qrels.tsv", "-k", "x"], "whole numbers"),
        (["--queries", "queries.jsonl", "--qrels", "qrels.tsv", "--level", "chunk"], "--level"),
        (["--queries", "queries.jsonl", "--qrels", "qrels.tsv", "--retriever", "x"], "--retriever"),
    ],
)
def test_bad_input_is_told_in_words_and_nothing_is_written(ask, files, tmp_path, words, says):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "other.tsv").write_text("q1\tp1\t1\nq99\tp1\t1\n")
    (tmp_path / "alien.tsv").write_text("PLAIN-1\tp1\t1\n")
    (tmp_path / "gone.tsv").write_text("q1\tMED-10\t1\n")
    refused = ask(*words, "--save-run", "out.trec")
    assert (refused.code, refused.out) == (2, ""), refused.err
    assert says in refused.err
    assert "hint:" in refused.err
    assert "defect" not in refused.err
    assert not (tmp_path / "out.trec").exists()


def test_partial_leaves_out_what_only_the_judgements_have(ask, files, tmp_path):
    (tmp_path / "other.tsv").write_text("q1\tp1\t1\nq99\tp1\t1\n")
    found = ask("--queries", "queries.jsonl", "--qrels", "other.tsv", "--partial", "--json")
    assert (found.code, found.rows[0]["queries"]) == (0, 1)


def test_neither_a_database_nor_a_run(retro):
    refused = retro("eval", "retrieval", "--qrels", "q", "--json")
    assert refused.code == 2
    assert "name a database" in json.loads(refused.err)["message"]
