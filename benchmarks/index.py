"""``retro index`` on a million static vectors against autofaiss's own choice, at equal recall.

Both index the same vectors of generated chunks. Theirs is the call of ``build_index`` alone, with
its defaults, in an environment of its own (it wants numpy 1). Its recall@10 on queries that are in
neither index is measured against exact search and given to ``retro index --recall``; ours is the
whole command, start to end, its own measuring of recall included.
"""

from __future__ import annotations

import json
import statistics
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from context import (
    HELD_OUT,
    Context,
    Floats,
    database,
    exported_vectors,
    fresh,
    generated_file,
    main,
    without,
)
from environments import interpreter
from measure import ratio, retro, run, say
from results import Line, Result
from rows import MEGABYTES

ROUNDS = 1  # each takes many minutes, nearly all of them the other side's
K = 10
QUERIES = 1000
AUTOFAISS = "autofaiss==2.18.0"
OLDER = ("numpy==1.26.4", "pyarrow==19.0.1")  # autofaiss wants numpy 1, newer pyarrow numpy 2
MEMORY = "16G"
EQUAL = 0.005  # of recall
SCRIPT = Path(__file__).parent / "baselines" / "autofaiss_build.py"

Ids = npt.NDArray[np.int64]


def measure(context: Context) -> Result:
    tag = "quick-million" if context.quick else "million"
    corpus = generated_file(context, 5 if context.quick else MEGABYTES)
    db = database(context, tag, [corpus], "wordllama", "embed")
    folder = context.work / f"{tag}-vectors"
    folder.mkdir(exist_ok=True)
    vectors = exported_vectors(db, folder / "vectors.npy")
    held_out = database(
        context, "held-out", [generated_file(context, 1, HELD_OUT)], "wordllama", "embed"
    )
    queries = np.ascontiguousarray(
        exported_vectors(held_out, context.work / "held-out.npy")[:QUERIES]
    )
    queries_file = context.work / "queries.npy"
    np.save(queries_file, queries)
    truth = _exact(vectors, queries)
    say(f"{len(vectors):,} vectors of {vectors.shape[1]} dimensions, {len(queries)} queries")

    python = _autofaiss_python(context)
    sides: dict[str, list[dict[str, Any]]] = {"autofaiss": [], "retro": []}
    for number in range(ROUNDS):
        theirs = _autofaiss(context, python, folder, queries_file, truth)
        ours = _retro(context, db, theirs["recall"], vectors, queries, truth)
        sides["autofaiss"].append(theirs)
        sides["retro"].append(ours)
        say(f"  round {number + 1}: autofaiss {theirs}\n           retro {ours}")
    return Result("index", _lines(len(vectors), sides), {"vectors": len(vectors), **sides})


def _lines(rows: int, sides: dict[str, list[dict[str, Any]]]) -> list[Line]:
    seconds = {name: [float(run["seconds"]) for run in runs] for name, runs in sides.items()}
    recalls = {name: [float(run["recall"]) for run in runs] for name, runs in sides.items()}
    waits = {
        name: statistics.median(run["query_ms"] for run in runs) for name, runs in sides.items()
    }
    before = statistics.median(run["before tuning"] for run in sides["autofaiss"])
    share = ratio(seconds["retro"], seconds["autofaiss"])
    ours, theirs = (statistics.median(recalls[name]) for name in ("retro", "autofaiss"))
    return [
        Line(
            f"`retro index` on {rows:,} static vectors, against autofaiss's own choice "
            f"({sides['autofaiss'][0]['factory']})",
            "half its time",
            f"{share:.2f}x ({statistics.median(seconds['retro']):.0f} s, "
            f"{statistics.median(seconds['autofaiss']):.0f} s; {before:.0f} s of them before it "
            "tunes and measures)",
            share,
            0.5,
            False,
            {f"{name}, s": values for name, values in seconds.items()},
        ),
        Line(
            f"its recall@{K} on queries outside the corpus, against autofaiss's",
            f"no more than {EQUAL} below",
            f"{ours:.3f}, {theirs:.3f} (one query on one thread: {waits['retro']:.2f} ms, "
            f"{waits['autofaiss']:.2f} ms)",
            ours - theirs,
            -EQUAL,
            True,
            {f"{name}, recall": values for name, values in recalls.items()},
        ),
    ]


def _autofaiss_python(context: Context) -> Path:
    wanted = [AUTOFAISS, *OLDER, f"faiss-cpu=={version('faiss-cpu')}"]
    return interpreter(context.work / "autofaiss-env", wanted)


def _autofaiss(
    context: Context, python: Path, vectors: Path, queries: Path, truth: Ids
) -> dict[str, Any]:
    ids = context.work / "autofaiss-ids.npy"
    target = context.work / "autofaiss.index"
    done = run([python, SCRIPT, vectors, queries, target, ids, MEMORY])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "recall": _recall(np.load(ids), truth)}


def _retro(
    context: Context, db: Path, recall: float, vectors: Floats, queries: Floats, truth: Ids
) -> dict[str, Any]:
    """Index a copy of the database; answer the queries from it."""
    from retro_cli import Database

    copy = without(db, context.work / "index-copy.db", "index")
    # Perfect recall would ask for exact search, which no index by lists does.
    wanted = min(recall, 0.995)
    done = retro("index", copy, "--no-words", "--recall", f"{wanted:.4f}", "--json")
    report = json.loads(done.stdout.strip().splitlines()[-1])
    assert report["rows"] == len(vectors), "documents were replaced: remove the database"
    with Database.open(copy) as opened:
        answers = opened.search(queries, K)
    ids = np.array([[hit.chunk for hit in answer.hits] for answer in answers])
    fresh(copy)
    return {
        "seconds": done.seconds,
        "factory": report["factory"],
        "nprobe": report["nprobe"],
        "query_ms": report["latency_ms_p50"],
        "recall": _recall(ids, truth),
        "its own recall": report["quality_recall"],
    }


def _exact(vectors: Floats, queries: Floats) -> Ids:
    """(q, K) rows of the greatest inner product, by brute force."""
    _, ids = faiss.knn(queries, np.ascontiguousarray(vectors), K, metric=faiss.METRIC_INNER_PRODUCT)
    found: Ids = ids
    return found


def _recall(ids: Ids, truth: Ids) -> float:
    return float((ids[:, :, None] == truth[:, None, :]).any(axis=1).mean())


if __name__ == "__main__":
    main("index", measure)
