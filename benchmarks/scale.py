"""Ten million chunks on one machine: each stage, recall, queries and updates, against a tenth.

    python benchmarks/scale.py --data DIR --work DIR [--chunks 10000000] [--quick]

The corpus is generated, ten JSONL files of which no sentence comes twice; the tenth is the first
of them. Each stage is a command of its own. What was measured stands in a small file beside each
database, so a benchmark that was interrupted goes on; a stage that was killed itself is marked as
resumed, and its time is that of the run that ended it. It is not among those of ``run.py``: ten
million chunks take an hour and 16 GB.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import generate
from cold import QUERIES
from context import SEED, Context, arguments, fresh, generated_file
from measure import retro, say
from results import Line, Result

NAME = "scale"
ENCODER = ("--encoder", "wordllama")
FILES = 10
CHUNKS_A_MEGABYTE = 4_756  # of the generator's JSONL: 215 MB make 1,022,520
CORPUS, ADDED, EDITED = 100, 120, 121  # streams of the generator, the first of FILES
NIGHTLY = 0.001  # of the documents
STAGES = {  # name -> the command behind ``retro``, without the database
    "embed": ["embed"],
    "index, vectors": ["index", "--no-words"],
    "index, words": ["index", "--words"],
}
GROWTH = 1.2
MEMORY = 4e9  # what ``retro index --memory`` allows by default
RECALL = 0.95

Measured = dict[str, Any]


@dataclass(frozen=True)
class Build:
    """A database under test. ``files``: its corpus; ``notes``: what was measured of it so far."""

    work: Path
    chunks: int
    files: list[Path]

    @property
    def db(self) -> Path:
        return self.work / f"scale-{self.chunks}.db"

    @property
    def notes(self) -> Path:
        return self.work / f"scale-{self.chunks}.json"

    def known(self) -> dict[str, Measured]:
        """Nothing, unless both the database and the notes are there."""
        if not (self.notes.exists() and self.db.exists()):
            return {}
        found: dict[str, Measured] = json.loads(self.notes.read_text(encoding="utf-8"))
        return found

    def once(self, name: str, measure: Callable[[], Measured]) -> Measured:
        """What was measured under a name, now or before the benchmark was interrupted."""
        known = self.known()
        if known.get(name, {}).get("done"):
            return known[name]
        say(f"{self.db.name}: {name}")
        self._note(known | {name: {"done": False}})
        resumed = {"resumed": True} if name in known else {}
        measured = {**measure(), **resumed, "done": True}
        self._note(known | {name: measured})
        return measured

    def _note(self, value: dict[str, Measured]) -> None:
        partial = self.notes.with_suffix(".partial")
        partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
        partial.replace(self.notes)

    def stage(self, name: str, *words: str | Path) -> Measured:
        return self.once(name, lambda: run_stage(words))


def run_stage(words: Iterable[str | Path]) -> Measured:
    """Time, memory and report of one command; the report is what it prints with --json."""
    done = retro(*words, "--json", memory=True)
    found = {
        "seconds": done.seconds,
        "peak_bytes": done.peak_bytes,
        "own_bytes": done.own_bytes,
        "report": json.loads(done.stdout.strip().splitlines()[-1]),
    }
    say(f"  {done.seconds:,.0f} s, {done.own_bytes / 1e6:,.0f} MB")
    return found


def built(context: Context, chunks: int, files: list[Path]) -> Build:
    """A database of a part of the corpus, with all that is measured of it."""
    build = Build(context.work, chunks, files)
    if not build.known():
        fresh(build.db).mkdir()
        build.notes.unlink(missing_ok=True)
    build.stage("chunk", "chunk", *files, "--db", build.db, *ENCODER)
    for name, (command, *options) in STAGES.items():
        build.stage(name, command, build.db, *options)
    build.once("disk", lambda: _disk(build.db))
    build.once("query", lambda: _queries(build.db))
    _night(build, "added", ADDED)
    _night(build, "edited", EDITED)
    return build


def _night(build: Build, what: str, stream: int) -> None:
    """A file of news is there, or says other things than it did: chunk, embed and index again."""
    documents = max(1, round(NIGHTLY * build.known()["chunk"]["report"]["docs_written"]))
    news = build.work / f"scale-{build.chunks}-news.jsonl"

    def chunk() -> Measured:
        _write(news, islice(generate.documents(SEED, stream), documents))
        return run_stage(["chunk", *build.files, news, "--db", build.db])

    build.once(f"{what}: chunk", chunk)
    for command in ("embed", "index"):
        build.stage(f"{what}: {command}", command, build.db)


def _write(path: Path, records: Iterable[dict[str, str]]) -> None:
    """Documents whose ids say nothing of the stream that they come from."""
    named = ({**record, "id": f"news-{at}"} for at, record in enumerate(records))
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(record) + "\n" for record in named), encoding="utf-8")
    partial.replace(path)


def _disk(db: Path) -> Measured:
    """Bytes of each folder of the database."""
    folders = [path for path in db.iterdir() if path.is_dir()]
    sizes = {folder.name: sum(p.stat().st_size for p in _files(folder)) for folder in folders}
    return {"bytes": sizes}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _queries(db: Path) -> Measured:
    """Whole commands, start to end: off the disk, then from a warm page cache."""
    for path in _files(db):
        _evict(path)
    first = retro("query", db, QUERIES[0]).seconds
    ways = {"dense": (), "hybrid": ("--retriever", "hybrid")}
    times = {}
    for name, options in ways.items():
        for query in QUERIES:
            retro("query", db, query, *options)
        times[f"{name}, s"] = [retro("query", db, q, *options).seconds for q in QUERIES]
    done = retro("query", db, QUERIES[0], memory=True)
    say(f"  {first:.2f} s off the disk, {statistics.median(times['dense, s']):.2f} s warm")
    return {"off the disk, s": first, **times, "own_bytes": done.own_bytes}


def _evict(path: Path) -> None:
    """Take a file's clean pages out of the system's cache: of this file's alone."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(context: Context, chunks: int) -> Result:
    megabytes = round(chunks / FILES / CHUNKS_A_MEGABYTE, 3)
    files = [generated_file(context, megabytes, CORPUS + number) for number in range(FILES)]
    small = built(context, chunks // FILES, files[:1])
    large = built(context, chunks, files)
    tokens = large.known()["chunk"]["report"]["tokens_written"]
    plan = run_stage(["plan", str(tokens), *ENCODER])["report"]
    found = {str(build.chunks): build.known() for build in (small, large)}
    return Result(NAME, lines(small.known(), large.known()), {"sizes": found, "plan": plan})


def lines(small: dict[str, Measured], large: dict[str, Measured]) -> list[Line]:
    """What the README says of it."""
    quality = large["index, vectors"]["report"]
    rows = f"{quality['rows']:,} chunks"
    return [
        *(_growth(stage, rows, small[stage], large[stage]) for stage in ("chunk", "embed")),
        _index_memory(rows, small, large),
        Line(
            f"recall@10 of {rows}, as `retro index` measures it",
            f"the lower end of its interval at least {RECALL}",
            f"{quality['quality_recall']:.3f} ({quality['quality_low']:.3f} to "
            f"{quality['quality_high']:.3f}); {quality['latency_ms_p50']:.1f} ms a query of the "
            f"index on one thread, 95 % under {quality['latency_ms_p95']:.1f} ms",
            quality["quality_low"],
            RECALL,
            True,
        ),
        _cold(rows, small, large),
        *(_nightly(what, rows, large) for what in ("added", "edited")),
    ]


def _growth(stage: str, rows: str, small: Measured, large: Measured) -> Line:
    growth = large["own_bytes"] / small["own_bytes"]
    return Line(
        f"peak memory of `retro {stage}` on {rows}, against a tenth",
        f"at most {GROWTH}x",
        f"{growth:.2f}x ({large['own_bytes'] / 1e6:,.0f}, {small['own_bytes'] / 1e6:,.0f} MB; "
        f"{large['seconds']:,.0f}, {small['seconds']:,.0f} s)",
        growth,
        GROWTH,
        False,
    )


def _index_memory(rows: str, small: dict[str, Measured], large: dict[str, Measured]) -> Line:
    peaks = {
        name: max(each["index, vectors"]["own_bytes"], each["index, words"]["own_bytes"])
        for name, each in (("large", large), ("small", small))
    }
    seconds = [_index_seconds(each) for each in (large, small)]
    return Line(
        f"peak memory of `retro index` on {rows}, which grows up to a segment of four million",
        f"under {MEMORY / 1e9:g} GB, the default of `--memory`",
        f"{peaks['large'] / 1e6:,.0f} MB, {peaks['small'] / 1e6:,.0f} MB of a tenth "
        f"({seconds[0]:,.0f}, {seconds[1]:,.0f} s)",
        peaks["large"],
        MEMORY,
        False,
    )


def _index_seconds(notes: dict[str, Measured]) -> float:
    return float(notes["index, vectors"]["seconds"] + notes["index, words"]["seconds"])


def _cold(rows: str, small: dict[str, Measured], large: dict[str, Measured]) -> Line:
    times = [each["query"]["dense, s"] for each in (large, small)]
    mine, tenth = (statistics.median(values) for values in times)
    return Line(
        f"cold `retro query` on {rows}",
        "under 1 s",
        f"{mine:.2f} s ({tenth:.2f} s on a tenth; {large['query']['off the disk, s']:.1f} s the "
        f"first time, off the disk; hybrid "
        f"{statistics.median(large['query']['hybrid, s']):.2f} s)",
        mine,
        1.0,
        False,
        {f"{name}, s": values for name, values in zip(("all", "a tenth"), times, strict=True)},
    )


def _nightly(what: str, rows: str, notes: dict[str, Measured]) -> Line:
    night = sum(notes[f"{what}: {stage}"]["seconds"] for stage in ("chunk", "embed", "index"))
    whole = sum(notes[stage]["seconds"] for stage in ("chunk", *STAGES))
    return Line(
        f"a night in which {NIGHTLY:.1%} of {rows} is {what}, against building them",
        "at most 1 % of the time",
        f"{night / whole:.2%} ({night:.1f} s, {whole:,.0f} s)",
        night / whole,
        0.01,
        False,
    )


def main() -> None:
    parser = arguments("The benchmark 'scale'.")
    parser.add_argument("--chunks", type=int, help="about how many [default: 10000000]")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    context = Context(given.data, given.work.resolve(), given.quick)
    result = measure(context, given.chunks or context.pick(10_000_000, 20_000))
    path = result.save(context.results, given.quick)
    for line in result.lines:
        say(f"{'met   ' if line.met else 'MISSED'} {line.what}: {line.measured} ({line.target})")
    say(f"{NAME}: {path}")


if __name__ == "__main__":
    main()
