"""How good the retrievers are: dense, BM25, hybrid and reranked, on three public sets.

nDCG@10 with binary gain on cranfield and cisi, hit@5 on squad20, of documents as ``retro query``
ranks them. Differences are paired over queries (percentile bootstrap). A language model on a CPU
takes seconds a query, so reranking is measured on some queries of each set, evenly spread.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from context import Context, main
from measure import retro, say
from ndcg import ndcg, read_qrels, read_trec
from results import Line, Result

from retro_cli.evaluate.bootstrap import Estimate, ratios

SETS = {"cranfield": "nDCG@10", "cisi": "nDCG@10", "squad20": "hit@5"}
K, HITS = 10, 5
WAYS = {
    "dense": [],
    "bm25": ["--retriever", "bm25"],
    "hybrid": ["--retriever", "hybrid"],
    "hybrid, interpolated": ["--retriever", "hybrid", "--fusion", "interpolate"],
}
RERANKED = ["--retriever", "hybrid", "--rerank", "lm"]
RERANKED_QUERIES = 40

Judged = dict[str, set[str]]


def measure(context: Context) -> Result:
    facts = {name: _measure_set(context, name) for name in SETS}
    lines = [_not_below(name, facts[name]) for name in SETS]
    return Result("retrieval_quality", [*lines, _on_average(facts)], facts)


def _measure_set(context: Context, name: str) -> dict[str, Any]:
    tag = f"quick-{name}" if context.quick else name
    db = context.work / f"retrieval-{tag}.db"
    queries, judged = _questions(context, name, context.work / f"retrieval-{tag}.jsonl")
    if not (db / "index" / "CURRENT").exists():
        say(f"{name}: build")
        retro("build", _corpus(context, name), "--db", db, "--with-title")
    scores = {way: _scores(name, db, queries, judged, words) for way, words in WAYS.items()}
    say(f"{name}: { ({way: round(float(values.mean()), 4) for way, values in scores.items()}) }")
    step = max(1, len(judged) // context.pick(RERANKED_QUERIES, 2))
    some = {query: judged[query] for query in list(judged)[::step]}
    again = _scores(name, db, _only(queries, some), some, RERANKED)
    say(f"{name}: reranked {float(again.mean()):.4f} of {len(some)} queries")
    parts = max(("dense", "bm25"), key=lambda way: float(scores[way].mean()))
    return {
        "metric": SETS[name],
        "queries": len(judged),
        "scores": {way: asdict(_estimate(values)) for way, values in scores.items()},
        "better part": parts,
        "hybrid - better part": asdict(_estimate(scores["hybrid"] - scores[parts])),
        "interpolated - better part": asdict(
            _estimate(scores["hybrid, interpolated"] - scores[parts])
        ),
        "reranked": {
            "queries": len(some),
            "score": asdict(_estimate(again)),
            "reranked - hybrid": asdict(_estimate(again - scores["hybrid"][::step])),
        },
    }


def _questions(context: Context, name: str, out: Path) -> tuple[Path, Judged]:
    """A file of the queries that have a relevant document, and what is relevant to each."""
    folder = context.data / name
    if name == "squad20":
        rows = [json.loads(line) for line in (folder / "qa.jsonl").open(encoding="utf-8")]
        asked = {row["id"]: row["question"] for row in rows}
        judged = {row["id"]: {row["doc_id"]} for row in rows}
    else:
        rows = [json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8")]
        asked = {row["_id"]: row["text"] for row in rows}
        judged = read_qrels(folder / "qrels.tsv")
    known = [query for query in asked if judged.get(query)]
    known = known[:: max(1, len(known) // 6)] if context.quick else known
    lines = [json.dumps({"id": query, "text": asked[query]}) + "\n" for query in known]
    out.write_text("".join(lines), encoding="utf-8")
    return out, {query: judged[query] for query in known}


def _only(queries: Path, some: Judged) -> Path:
    out = queries.with_suffix(".some.jsonl")
    lines = queries.read_text(encoding="utf-8").splitlines(keepends=True)
    out.write_text("".join(line for line in lines if json.loads(line)["id"] in some))
    return out


def _corpus(context: Context, name: str) -> Path:
    """The set's corpus; for a quick run its first documents."""
    whole = context.data / name / "corpus.jsonl"
    if not context.quick:
        return whole
    part = context.work / f"quick-{name}" / "corpus.jsonl"
    part.parent.mkdir(exist_ok=True)
    head = whole.read_text(encoding="utf-8").splitlines(keepends=True)[:60]
    part.write_text("".join(head), encoding="utf-8")
    return part


def _scores(
    name: str, db: Path, queries: Path, judged: Judged, words: list[str]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(queries,) the metric of each."""
    ask = ["--queries", str(queries), "--level", "doc", "-k", str(K), "--format", "trec"]
    found = read_trec(retro("query", db, *ask, *words).stdout)
    if SETS[name] == "hit@5":
        values = [float(bool(set(found.get(q, [])[:HITS]) & judged[q])) for q in judged]
    else:
        values = [ndcg(found.get(q, []), judged[q], K) for q in judged]
    return np.array(values)


def _estimate(values: np.ndarray[Any, np.dtype[np.float64]]) -> Estimate:
    return ratios(values[None], np.ones((1, len(values))), seed=0)[0]


def _not_below(name: str, found: dict[str, Any]) -> Line:
    difference, part = found["hybrid - better part"], found["better part"]
    measured = (
        f"{found['scores']['hybrid']['value']:.3f}, {found['scores'][part]['value']:.3f} by {part} "
        f"({difference['value']:+.3f}, {difference['low']:+.3f} to {difference['high']:+.3f})"
    )
    return Line(
        f"{found['metric']} of `--retriever hybrid` on {name}, against the better of its parts",
        "not significantly below",
        measured,
        difference["high"],
        0.0,
        True,
    )


def _on_average(facts: dict[str, Any]) -> Line:
    hybrid = np.mean([facts[name]["scores"]["hybrid"]["value"] for name in SETS])
    part = np.mean([facts[name]["scores"][facts[name]["better part"]]["value"] for name in SETS])
    return Line(
        "the same, mean of the three sets",
        "above",
        f"{hybrid:.3f}, {part:.3f}",
        float(hybrid - part),
        0.0,
        True,
    )


if __name__ == "__main__":
    main("retrieval_quality", measure)
