"""retro eval index: what it measures is what an exact search and a query say."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import everything, write_jsonl

from retro_cli.evaluate.index import IndexSettings, evaluate_index, probe_counts
from retro_cli.index.vectors import sample_ids
from retro_cli.query.retrieve import Retriever
from retro_cli.store.layout import Layout

WORDS = ["the", "ferry", "harbour", "light", "keeper", "island", "storm", "boat", "rope", "lamp"]


@pytest.fixture
def lists(retro, static_encoder, tmp_path):
    """A database of 900 documents in 16 lists."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 12)) + f" {n}" for n in range(900)]
    write_jsonl(tmp_path / "c.jsonl", [{"id": str(n), "text": t} for n, t in enumerate(texts)])
    built = retro("build", "c.jsonl", "--db", "l.db", "--encoder", static_encoder)
    assert built.code == 0, built.err
    built = retro("index", "l.db", "--factory", "IVF16,SQ8")
    assert built.code == 0, built.err
    return tmp_path / "l.db"


def test_recall_grows_with_the_lists_and_all_of_them_find_all(retro, lists):
    before = everything(lists)
    found = retro("eval", "index", lists, "--probes", "1,4,16", "--sample", 300, "--json")
    assert found.code == 0, found.err
    assert everything(lists) == before
    (report,) = found.rows
    points = {point["nprobe"]: point for point in report["points"]}
    assert {1, 4, 16} <= points.keys()
    recalls = [points[n]["recall"]["value"] for n in (1, 4, 16)]
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.9
    assert recalls[-1] > 0.99
    (tuned,) = [point for point in report["points"] if point["tuned"]]
    status = retro("status", lists, "--json").rows[0]["stages"][2]["facts"]
    assert tuned["nprobe"] == status["nprobe"]
    for point in points.values():
        for name in ("recall", "latency_ms"):
            value = point[name]
            assert value["low"] <= value["value"] <= value["high"]
    assert report["exact_latency_ms"]["value"] > 0


def test_the_recall_is_that_of_counting_ids(lists):
    retriever = Retriever(Layout(lists))
    report = evaluate_index(retriever, IndexSettings(queries=150, probes=(2,), resamples=200))
    rows = np.flatnonzero(retriever.live())
    vectors = retriever.vectors.gather(rows)
    own = sample_ids(retriever.live()[: retriever.vectors.total], 150, 0)
    assert len(own) == report.queries  # no two documents here are the same
    shares = []
    for query_id, query in zip(own, retriever.vectors.gather(own), strict=True):
        scores = vectors @ query
        scores[rows == query_id] = -2
        truth = set(rows[np.argsort(-scores)[:10]].tolist())
        found = retriever.searcher.search(query[None], 11, nprobe=2).ids[0].tolist()
        shares.append(len(truth & (set(found) - {int(query_id)})) / 10)
    (point,) = [point for point in report.points if point.nprobe == 2]
    assert point.recall.value == pytest.approx(np.mean(shares), abs=0.005)
    retriever.close()


def test_texts_may_be_the_queries_and_the_table_marks_the_tuned_point(retro, lists, tmp_path):
    (tmp_path / "q.txt").write_text("the ferry in the storm\nthe keeper of the light\n")
    shown = retro("eval", "index", lists, "--queries", "q.txt", "-k", 5)
    assert shown.code == 0, shown.err
    assert "2 queries" in shown.out
    assert "recall@5" in shown.out
    marked = [line for line in shown.out.splitlines() if line.endswith("tuned")]
    assert len(marked) == 1
    assert max(map(len, shown.out.splitlines())) <= 80


def test_an_exact_index_leaves_nothing_to_chance(retro, db):
    (point,) = retro("eval", "index", db, "--json").rows[0]["points"]
    assert point["recall"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_what_cannot_be_measured_is_told(retro, static_encoder, tmp_path):
    write_jsonl(tmp_path / "one.jsonl", [{"id": "1", "text": "the ferry"}])
    assert retro("build", "one.jsonl", "--db", "one.db", "--encoder", static_encoder).code == 0
    refused = retro("eval", "index", "one.db")
    assert (refused.code, "too few different rows" in refused.err) == (2, True)
    for words in (["--probes", "0"], ["--probes", "a"], ["--queries", "none"]):
        refused = retro("eval", "index", "one.db", *words)
        assert (refused.code, "defect" in refused.err) == (2, False)


@pytest.mark.parametrize(
    ("tuned", "lists", "expected"),
    [(1, 1, (1,)), (3, 512, (1, 2, 4, 8, 16)), (32, 512, (1, 2, 4, 8, 16, 32, 64, 128)),
     (5, 18, (1, 2, 4, 8, 16, 18)), (10, 12, (1, 2, 4, 8, 12))],
)  # fmt: skip
def test_the_numbers_of_lists_go_beyond_the_tuned_one(tuned, lists, expected):
    assert probe_counts(tuned, lists) == expected
