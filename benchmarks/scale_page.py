"""Write the tables of docs/scale.md: what ``results/scale.json`` measured, and what follows.

    python benchmarks/scale_page.py [--check]

What is computed is computed here, by the functions behind ``retro plan`` and from the measured
figures; a formula stands beside each. Tables of what was not measured yet are left empty.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

from results import FOLDER
from table import describe, keep

from retro_cli.chunks.job import PART_BYTES
from retro_cli.index.merging import SEGMENT_ROWS
from retro_cli.index.plan import IndexPlan, Speed, plan_index
from retro_cli.index.tune import QUERIES
from retro_cli.planning import (
    BYTES_A_TOKEN,
    CHUNK_BYTES_A_TOKEN,
    FILL,
    CorpusPlan,
    Probe,
    estimate,
    rows_of,
)

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
RESULT = FOLDER / "scale.json"
TOKENS = 64
DIM, DEFAULT_DIM = 256, 384  # of wordllama, of all-MiniLM-L6-v2
MEMORY = 4 * 10**9  # the default of ``--memory``
PLENTY = 10**15
WIKIPEDIA, RETRO = 66_000_000, 28_000_000_000  # chunks
PILE_BYTES = 825 * 2**30  # Gao et al. 2020
SIZES = {
    "Wikipedia": round(WIKIPEDIA * TOKENS * FILL),
    "the Pile": round(PILE_BYTES / BYTES_A_TOKEN),
    "RETRO": round(RETRO * TOKENS * FILL),
}  # name -> tokens
SHARDS_A_MACHINE = 16  # of the measured size: a machine of 32 cores
K = 10
HIT_BYTES = 12  # an id and a score

Notes = dict[str, Any]
Rows = list[list[str]]


def arithmetic() -> str:
    """Rows, bytes and the index of each size, which need no measurement."""
    tokens = list(SIZES.values())
    chunks = [rows_of(count) for count in tokens]
    small, large = ([plan_index(n, DIM, memory) for n in chunks] for memory in (MEMORY, PLENTY))
    rows = [
        ["tokens", f"chunks x {TOKENS} x {FILL}", *map(_count, tokens)],
        ["chunks", "", *map(_count, chunks)],
        ["text", f"tokens x {BYTES_A_TOKEN}", *(_size(n * BYTES_A_TOKEN) for n in tokens)],
        [
            "chunks on disk",
            f"tokens x {CHUNK_BYTES_A_TOKEN}",
            *(_size(n * CHUNK_BYTES_A_TOKEN) for n in tokens),
        ],
        ["vectors, wordllama", f"chunks x {DIM} x 2", *(_size(n * DIM * 2) for n in chunks)],
        [
            "vectors, all-MiniLM-L6-v2",
            f"chunks x {DEFAULT_DIM} x 2",
            *(_size(n * DEFAULT_DIM * 2) for n in chunks),
        ],
        ["index within `--memory 4`", "`plan_index`", *map(_index, small)],
        ["index with memory to spare", "`plan_index`", *map(_index, large)],
    ]
    return _table(["*computed*", "bytes, or what they come from", *SIZES], rows)


def limits() -> str:
    """What of one database grows with its chunks, as the code stands."""
    chunks = [rows_of(count) for count in SIZES.values()]
    segments = [math.ceil(n / SEGMENT_ROWS) for n in chunks]
    parts = [math.ceil(count * BYTES_A_TOKEN / PART_BYTES) for count in SIZES.values()]
    rows = [
        ["parts in each manifest", f"text / {PART_BYTES >> 20} MiB", *map(_count, parts)],
        ["ids of new rows in a first `retro index`", "chunks x 8", *_sizes(chunks, 8)],
        ["one mask of them while it runs", "chunks x 1", *_sizes(chunks, 1)],
        ["one mask on the disk", "chunks / 8", *_sizes(chunks, 1 / 8)],
        ["segments of a first build", f"chunks / {SEGMENT_ROWS:,}", *map(_count, segments)],
        ["truth of the recall", f"chunks x {DIM} x 2 x {QUERIES:,}", *map(_truth, chunks)],
    ]
    return _table(["*computed*", "bytes, or what they come from", *SIZES], rows)


def measured(facts: Notes) -> str:
    """Every stage and query, beside those of a tenth."""
    small, large = sizes(facts)
    rows = [
        ["chunks", *(f"{_rows(each):,}" for each in (small, large)), ""],
        *(_stage(name, small[name], large[name]) for name in ("chunk", "embed")),
        *(_stage(name, small[name], large[name]) for name in ("index, vectors", "index, words")),
        _beside("build, whole", small, large, _built, _time),
        *_kept(small, large),
        _beside("recall@10 (95 % interval)", small, large, _quality, lambda text: text),
        _beside("index", small, large, _kind, lambda text: text),
        _beside("one query of the index, one thread", small, large, _latency, _millis),
        _beside("95 % of them under", small, large, _slow, _millis),
        _beside("cold `retro query`", small, large, _cold, _seconds),
        _beside("the same, hybrid", small, large, _hybrid, _seconds),
        _beside("the first, off the disk", small, large, _first, _seconds),
        _beside("its own memory", small, large, _query_memory, _size),
        *(_beside(f"0.1 % {what}", small, large, _night(what), _time) for what in NIGHTS),
    ]
    resumed = [name for name, notes in large.items() if notes.get("resumed")]
    said = f"\n\nInterrupted, so the time is that of the last run: {', '.join(resumed)}."
    return _table(["*measured*", "a tenth", "all", "growth"], rows) + (said if resumed else "")


NIGHTS = ("added", "edited")


def sizes(facts: Notes) -> list[dict[str, Notes]]:
    """The notes of the tenth and of the whole."""
    return [facts["sizes"][key] for key in sorted(facts["sizes"], key=int)]


def _rows(notes: Notes) -> int:
    return int(notes["index, vectors"]["report"]["rows"])


def _stage(name: str, small: Notes, large: Notes) -> list[str]:
    cells = [f"{_time(each['seconds'])}, {_size(each['own_bytes'])}" for each in (small, large)]
    growth = [large[key] / small[key] for key in ("seconds", "own_bytes")]
    return [f"{name}: time, own memory", *cells, f"{growth[0]:.1f}x, {growth[1]:.2f}x"]


def _beside(what: str, small: Notes, large: Notes, value: Any, form: Any) -> list[str]:
    values = [value(each) for each in (small, large)]
    growth = "" if isinstance(values[0], str) else f"{values[1] / values[0]:.2f}x"
    return [what, *map(form, values), growth]


def _kept(small: Notes, large: Notes) -> Rows:
    return [
        _beside(f"{name}/ on disk", small, large, lambda each, n=name: each["disk"]["bytes"][n],
                _size)
        for name in large["disk"]["bytes"]
    ]  # fmt: skip


def _built(notes: Notes) -> float:
    return float(sum(notes[name]["seconds"] for name in STAGES))


STAGES = ("chunk", "embed", "index, vectors", "index, words")


def _quality(notes: Notes) -> str:
    found = notes["index, vectors"]["report"]
    low, high = found["quality_low"], found["quality_high"]
    return f"{found['quality_recall']:.3f} ({low:.3f} to {high:.3f})"


def _kind(notes: Notes) -> str:
    found = notes["index, vectors"]["report"]
    segments = f"{found['segments']} segment" + "s" * (found["segments"] != 1)
    return f"{found['factory']}, nprobe {found['nprobe']}, {segments}"


def _latency(notes: Notes) -> float:
    return float(notes["index, vectors"]["report"]["latency_ms_p50"])


def _slow(notes: Notes) -> float:
    return float(notes["index, vectors"]["report"]["latency_ms_p95"])


def _cold(notes: Notes) -> float:
    return float(statistics.median(notes["query"]["dense, s"]))


def _hybrid(notes: Notes) -> float:
    return float(statistics.median(notes["query"]["hybrid, s"]))


def _first(notes: Notes) -> float:
    return float(notes["query"]["off the disk, s"])


def _query_memory(notes: Notes) -> float:
    return float(notes["query"]["own_bytes"])


def _night(what: str) -> Any:
    return lambda notes: sum(notes[f"{what}: {s}"]["seconds"] for s in ("chunk", "embed", "index"))


def probed(facts: Notes) -> Probe:
    """What the probe of ``retro plan`` found beside the measurements."""
    found = facts["plan"]["probe"]
    return Probe(**{**found, "index": Speed(**found["index"])})


def against_plan(facts: Notes) -> str:
    """The plan of as many tokens as were measured, beside what they took."""
    _, large = sizes(facts)
    tokens = large["chunk"]["report"]["tokens_written"]
    plan = estimate(tokens, DIM, probed(facts), memory_bytes=MEMORY)
    disk = large["disk"]["bytes"]
    took = {
        "chunk": (large["chunk"]["seconds"], disk["chunks"]),
        "embed": (large["embed"]["seconds"], disk["embeddings"]),
        "index": (large["index, vectors"]["seconds"], disk["index"]),
    }
    rows = [["chunks", f"{plan.rows:,}", f"{_rows(large):,}", f"{_rows(large) / plan.rows:.2f}x"]]
    for cost in plan.costs:
        seconds, size = took[cost.stage]
        for what, said, was, form in (
            ("time", cost.seconds, seconds, _time),
            ("disk", cost.disk, size, _size),
        ):
            rows.append([f"{cost.stage}: {what}", form(said), form(was), f"{was / said:.2f}x"])
    return _table(["", "`retro plan`, *computed*", "*measured*", "measured / plan"], rows)


def times(facts: Notes) -> str:
    """Each stage on one such machine: from what was measured, and as ``retro plan`` says."""
    _, large = sizes(facts)
    tokens = large["chunk"]["report"]["tokens_written"]
    here = estimate(tokens, DIM, probed(facts), memory_bytes=MEMORY)
    there = [estimate(n, DIM, probed(facts), memory_bytes=MEMORY) for n in SIZES.values()]
    rows = []
    for at, (stage, how) in enumerate(
        (
            ("chunk", "measured x tokens"),
            ("embed", "measured x chunks"),
            ("index, vectors", "measured x `predict`"),
        )
    ):
        shares = [_growth(stage, here, plan) for plan in there]
        grown = [large[stage]["seconds"] * share for share in shares]
        rows.append([f"{stage}, from the measured", how, *map(_time, grown)])
        planned = [plan.costs[at].seconds for plan in there]
        rows.append([f"{stage}, by `retro plan`", "probe", *map(_time, planned)])
    words = [large["index, words"]["seconds"] * plan.rows / _rows(large) for plan in there]
    rows.append(["index, words, from the measured", "measured x chunks", *map(_time, words)])
    return _table(["*computed*: one machine", "from", *SIZES], rows)


def _growth(stage: str, here: CorpusPlan, there: CorpusPlan) -> float:
    if stage == "chunk":
        return there.tokens / here.tokens
    if stage == "embed":
        return there.rows / here.rows
    return there.costs[2].seconds / here.costs[2].seconds


def cluster(facts: Notes) -> str:
    """Shards that are what was measured: how many, on how many machines, and what a query costs."""
    _, large = sizes(facts)
    chunks = [rows_of(count) for count in SIZES.values()]
    shards = [math.ceil(n / _rows(large)) for n in chunks]
    machines = [math.ceil(n / SHARDS_A_MACHINE) for n in shards]
    fullest = [min(SHARDS_A_MACHINE, n) for n in shards]
    disk = large["disk"]["bytes"]
    work = [n * _latency(large) / 1000 for n in shards]
    rows = [
        ["shards", f"chunks / {_rows(large):,}", *map(_count, shards)],
        ["machines", f"shards / {SHARDS_A_MACHINE}", *map(_count, machines)],
        ["index in each one's memory", "shards x measured", *_sizes(fullest, disk["index"])],
        ["disk of each", "shards x measured", *_sizes(fullest, sum(disk.values()))],
        ["build, all machines at once", "measured", *[_time(_built(large))] * len(chunks)],
        ["work of a query", "shards x measured median", *map(_seconds, work)],
        ["answers to merge", f"shards x {K} x {HIT_BYTES}", *_sizes(shards, K * HIT_BYTES)],
        [
            "quantile of a shard that is the median of all",
            "0.5 ^ (1 / shards)",
            *(f"{0.5 ** (1 / n):.3%}" for n in shards),
        ],
    ]
    return _table(["*computed*: shards as measured", "from", *SIZES], rows)


def _index(plan: IndexPlan) -> str:
    return f"{plan.factory}, {_size(plan.bytes_total)}"


def _truth(rows: int) -> str:
    return f"{rows * DIM * 2.0 * QUERIES / 1e12:,.0f} Tflop"


def _sizes(counts: list[int], factor: float) -> list[str]:
    return [_size(count * factor) for count in counts]


def _count(count: int) -> str:
    for unit, factor in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if count >= factor:
            return f"{count / factor:.3g}{unit}"
    return f"{count:,}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _time(seconds: float) -> str:
    for unit, factor, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 86_400:,.0f} days"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _millis(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms"


def _table(head: list[str], rows: Rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def sections(result: Notes | None) -> dict[str, str]:
    """The text between each pair of marks."""
    found = {"arithmetic": arithmetic(), "limits": limits()}
    made = {"measured": measured, "plan": against_plan, "times": times, "cluster": cluster}
    if result is None:
        return {**found, **dict.fromkeys(made, "Not measured yet."), "machine": ""}
    found |= {name: make(result["facts"]) for name, make in made.items()}
    return {**found, "machine": f"Measured on {describe(result['machine'])}."}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the tables of docs/scale.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of step")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    there = given.result.exists()
    result = json.loads(given.result.read_text(encoding="utf-8")) if there else None
    return keep(given.page, sections(result), given.check, "scale_page.py")


if __name__ == "__main__":
    sys.exit(main())
