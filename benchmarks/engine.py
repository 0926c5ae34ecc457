"""What an engine costs over the work that it runs, and what a small job pays for a large one's.

A part here is arithmetic for a time of its process, and tells when it began and ended. What the
engine costs is the time in which its workers were at no part, of all the time from the call to the
last result: start, dealing and waiting included, but not what else the machine does.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from context import Context, main
from measure import alternate, say
from results import Line, Result

from retro_cli.engine import Load, Where, open_engine

WORKERS = 2
SMALL_PARTS, SMALL_SECONDS = 10, 0.05
_BLOCK = bytes(1 << 16)


def arithmetic(seconds: float, number: int) -> tuple[float, float]:
    """Use a processor for so long; returns when that began and ended (of the whole machine)."""
    begun, until = time.monotonic(), time.process_time() + seconds
    while time.process_time() < until:
        hashlib.sha256(_BLOCK)
    return begun, time.monotonic()


def elapsed(engine: str, folder: Path, parts: int, seconds: float) -> tuple[float, float]:
    """Seconds from the call to the last result, and seconds that workers were at work."""
    workers = 1 if engine == "local" else WORKERS
    begun = time.monotonic()
    load = Load(parts, parts * seconds, folder, workers, threads=1)
    running = open_engine(Where(engine, "", workers), load)
    spans = [span for _, span in running.run(partial(arithmetic, seconds), range(parts))]
    return time.monotonic() - begun, sum(end - start for start, end in spans)


def measure(context: Context) -> Result:
    parts, seconds = context.pick(8, 4), float(context.pick(60, 5))
    lines = [_large(context.work, engine, parts, seconds) for engine in ("processes", "ray")]
    times: dict[str, Callable[[int], float]] = {
        f"{engine}, s": partial(_small, context.work, engine)
        for engine in ("local", "processes", "ray")
    }
    taken = alternate(times, context.pick(5, 2))
    return Result(
        "engine",
        [*lines, *(_times_as_long(taken, engine) for engine in ("processes", "ray"))],
        {"workers": WORKERS, "parts": parts, "seconds a part": seconds},
    )


def _large(folder: Path, engine: str, parts: int, seconds: float) -> Line:
    all_of_it, at_work = elapsed(engine, folder, parts, seconds)
    share = 100 * (1 - at_work / (WORKERS * all_of_it))
    say(f"{engine}: {all_of_it:.1f} s, of which {WORKERS} workers worked {at_work:.1f} s")
    return Line(
        f"`--engine {engine}` on {parts} parts of {seconds:.0f} s, {WORKERS} workers: time in "
        "which they were at no part",
        "at most 5 %",
        f"{share:.1f} % of {all_of_it:.0f} s",
        share,
        5.0,
        False,
        {"elapsed, s": [all_of_it], "at work, s": [at_work]},
    )


def _small(folder: Path, engine: str, _: int) -> float:
    return elapsed(engine, folder, SMALL_PARTS, SMALL_SECONDS)[0]


def _times_as_long(taken: dict[str, list[float]], engine: str) -> Line:
    here, there = (statistics.median(taken[f"{name}, s"]) for name in ("local", engine))
    return Line(
        f"half a second of work with `--engine {engine}`, against `local`, which is the default "
        "for so little",
        "no target",
        f"{there / here:.1f}x ({there:.1f}, {here:.1f} s)",
        there / here,
        1e9,
        False,
        taken,
    )


if __name__ == "__main__":
    main("engine", measure)
