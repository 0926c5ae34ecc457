"""Peak memory of ``retro chunk`` and ``retro embed``, workers included, as the corpus grows.

The peak of the proportional set sizes of the process and its children, asked for ten times a
second. Mapped files count while they are in memory.
"""

from __future__ import annotations

from pathlib import Path

from context import Context, fresh, generated_file, main
from measure import retro, say
from results import Line, Result

# Megabytes of corpus, the largest first. The default encoder is slow on a CPU.
CHUNKED, QUICK_CHUNKED = (300.0, 75.0), (20.0, 5.0)
STATIC, QUICK_STATIC = (200.0, 100.0, 50.0), (4.0, 2.0, 1.0)
DEFAULT, QUICK_DEFAULT = (4.0, 2.0, 1.0), (0.4, 0.2, 0.1)
DEFAULT_PART = "1"  # megabytes in a part: some parts of each corpus, however small it is


def measure(context: Context) -> Result:
    quick = context.quick
    chunked = {
        size: _chunk(context, generated_file(context, size))
        for size in (QUICK_CHUNKED if quick else CHUNKED)
    }
    static = {
        size: _embed(context, size, "--encoder", "wordllama")
        for size in (QUICK_STATIC if quick else STATIC)
    }
    default = {
        size: _embed(context, size, "--part-size", DEFAULT_PART)
        for size in (QUICK_DEFAULT if quick else DEFAULT)
    }
    lines = [
        *_lines("`retro chunk`", chunked, 1e9, "under 1 GB"),
        *_lines("`retro embed` with a static encoder", static, 1.5e9, "under 1.5 GB"),
        *_lines("`retro embed`", default, 1.5e9, "under 1.5 GB"),
    ]
    facts = {"chunk, MB": [*chunked], "embed, static, MB": [*static], "embed, MB": [*default]}
    return Result("memory", lines, facts)


def _lines(command: str, peaks: dict[float, int], limit: float, target: str) -> list[Line]:
    (large, most), *others = peaks.items()
    sides = {f"{size:g} MB corpus, bytes": [float(peak)] for size, peak in peaks.items()}
    growth = most / others[-1][1]
    smaller = " and ".join(f"{size:g}" for size, _ in others)
    figures = ", ".join(f"{peak / 1e6:,.0f}" for peak in peaks.values())
    return [
        Line(
            f"peak memory of {command} on a corpus of {large:g} MB",
            target,
            f"{most / 1e6:,.0f} MB",
            most,
            limit,
            False,
            sides,
        ),
        Line(
            f"the same against a corpus of {smaller} MB: does it grow?",
            "at most 1.2x, for 4x the corpus",
            f"{growth:.2f}x ({figures} MB)",
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


def _embed(context: Context, megabytes: float, *options: str) -> int:
    """In fp32. A part is mapped whole, so corpora compare only in parts of one size."""
    corpus = generated_file(context, megabytes)
    db = fresh(context.work / f"memory-{megabytes:g}M.db")
    retro("chunk", corpus, "--db", db, *options)
    peak = retro("embed", db, memory=True).peak_bytes
    say(f"retro embed {corpus.name} {' '.join(options)}: {peak / 1e6:,.0f} MB")
    fresh(db)
    return peak


if __name__ == "__main__":
    main("memory", measure)
