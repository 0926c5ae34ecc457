"""Peak memory of ``retro chunk`` and ``retro embed``, workers included, at two sizes of corpus.

The peak of the proportional set sizes of the process and its children, asked for twenty times a
second. Mapped files count while they are in memory.
"""

from __future__ import annotations

from pathlib import Path

from context import Context, fresh, generated_file, main, without
from measure import retro, say
from results import Line, Result


def measure(context: Context) -> Result:
    sizes = (20.0, 5.0) if context.quick else (300.0, 75.0)
    chunked = {size: _chunk(context, generated_file(context, size)) for size in sizes}
    embed_sizes = (0.4, 0.1) if context.quick else (6.0, 1.5)
    embedded = {size: _embed(context, size) for size in embed_sizes}
    facts = {
        "retro chunk, megabytes of corpus": list(sizes),
        "retro embed, megabytes of corpus": list(embed_sizes),
    }
    lines = [
        *_lines("retro chunk", chunked, 1e9, "under 1 GB"),
        *_lines("retro embed", embedded, 1.5e9, "under 1.5 GB"),
    ]
    return Result("memory", lines, facts)


def _lines(command: str, peaks: dict[float, int], limit: float, target: str) -> list[Line]:
    (large, most), (small, less) = peaks.items()
    sides = {f"{size:g} MB corpus, bytes": [float(peak)] for size, peak in peaks.items()}
    growth = most / less
    return [
        Line(
            f"peak memory of `{command}` on a corpus of {large:g} MB",
            target,
            f"{most / 1e6:,.0f} MB",
            most,
            limit,
            False,
            sides,
        ),
        Line(
            f"the same against a corpus of {small:g} MB: does it grow?",
            "at most 1.2x, for 4x the corpus",
            f"{growth:.2f}x ({most / 1e6:,.0f}, {less / 1e6:,.0f} MB)",
            growth,
            1.2,
            False,
            sides,
        ),
    ]


def _chunk(context: Context, corpus: Path) -> int:
    db = fresh(context.work / "memory-chunk.db")
    peak = retro("chunk", corpus, "--db", db, memory=True).peak_bytes
    say(f"retro chunk {corpus.name}: {peak / 1e6:,.0f} MB")
    fresh(db)
    return peak


def _embed(context: Context, megabytes: float) -> int:
    """With the default encoder in fp32, and parts of one megabyte: a part is mapped whole, so
    corpora of different sizes compare only in parts of one size."""
    corpus = generated_file(context, megabytes)
    db = fresh(context.work / f"memory-{megabytes:g}M.db")
    retro("chunk", corpus, "--db", db, "--part-size", "1")
    copy = without(db, context.work / "memory-embed.db", "embeddings", "index")
    peak = retro("embed", copy, memory=True).peak_bytes
    say(f"retro embed {corpus.name}: {peak / 1e6:,.0f} MB")
    return peak


if __name__ == "__main__":
    main("memory", measure)
