"""retro query --retriever and its company, through the command."""

from __future__ import annotations

import shutil

import pytest
from helpers import imported_by


def hits(retro, db, *words, **named):
    done = retro("query", db, *words, "--json", **named)
    assert done.code == 0, done.err
    return done.rows[0]


@pytest.mark.parametrize("retriever", ["dense", "bm25", "hybrid"])
def test_each_retriever_answers_and_names_its_metric(retro, db, retriever):
    row = hits(retro, db, "the ferry number 3", "--retriever", retriever, "-k", 3)
    assert len(row["hits"]) == 3
    assert row["metric"] == {"dense": "cosine", "bm25": "bm25", "hybrid": "rrf"}[retriever]


def test_words_find_what_holds_them(retro, db):
    row = hits(retro, db, "letters lights", "--retriever", "bm25", "--level", "doc", "-k", 99)
    names = {hit["document"].rsplit("/")[-1] for hit in row["hits"]}
    assert names == {f"p{n}" for n in range(10)} | {"light.txt"}


def test_explain_shows_each_parts_rank_and_score(retro, db):
    how = ("--retriever", "hybrid", "--explain", "-k", 2)
    row = hits(retro, db, "the ferry number 3", *how)
    parts = {part["name"] for hit in row["hits"] for part in hit["parts"]}
    assert parts == {"dense", "bm25"}
    assert row["explanation"]["retriever"] == "hybrid"
    table = retro("query", db, "the ferry number 3", *how).out
    assert "dense: rank 1" in table
    assert "bm25: rank" in table


def test_filters_and_conditions_hold_in_every_retriever(retro, db):
    assert retro("filter", "add", db, "--source", "letters", "--reason", "x").code == 0
    for retriever in ("dense", "bm25", "hybrid"):
        how = ("--retriever", retriever, "-k", 99)
        found = hits(retro, db, "a letter about the boat", *how)["hits"]
        assert found
        assert "letters" not in {hit["source"] for hit in found}
        some = hits(retro, db, "a letter about the boat", *how, "--where", "year >= 1996")["hits"]
        assert {hit["document"] for hit in some} == {"p6", "p8"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--retriever", "tfidf"], "dense, bm25, hybrid"),
        (["--retriever", "hybrid", "--fusion", "sum"], "rrf, interpolate"),
        (["--weight", "2"], "from 0 to 1"),
        (["--mmr", "1.5"], "from 0 to 1"),
        (["--rerank", "no/such/model"], "hf:org/name"),
    ],
)
def test_what_cannot_be_is_said_without_a_traceback(retro, db, words, said):
    done = retro("query", db, "the ferry", *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_database_of_an_older_version_is_told_what_to_run(retro, db):
    shutil.rmtree(db / "lexical")
    done = retro("query", db, "the ferry", "--retriever", "bm25")
    assert done.code == 2
    assert "retro index" in done.err
    assert retro("query", db, "the ferry").code == 0
    status = retro("status", db, "--json", "--check")
    assert status.code == 3
    assert [s["state"] for s in status.rows[0]["stages"] if s["name"] == "lexical"] == ["missing"]
    assert retro("index", db).code == 0
    assert retro("query", db, "the ferry", "--retriever", "bm25").code == 0


def test_vectors_and_words_do_not_mix(retro, db, tmp_path):
    import numpy as np

    np.save(tmp_path / "v.npy", np.ones((1, 24), np.float32))
    done = retro("query", db, "--vectors", tmp_path / "v.npy", "--retriever", "bm25")
    assert done.code == 2
    assert "no words" in done.err


def test_an_unknown_stemmer_is_refused_before_anything_is_written(retro, db):
    done = retro("index", db, "--stemmer", "klingon")
    assert done.code == 2
    assert "english" in done.err
    assert retro("index", db, "--stemmer", "none").code == 0
    assert 'stemmer = "none"' in (db / "retro.toml").read_text()


def test_a_cold_dense_query_imports_no_lexical_index_and_a_lexical_one_no_torch(db):
    assert "tantivy" not in imported_by("query", db, "the ferry")
    loaded = imported_by("query", db, "the ferry", "--retriever", "hybrid")
    assert "tantivy" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "onnxruntime"})
