"""What a corpus of very many small things costs: tiny files, and one changed file of records.

Memory is the growth of the peak from a tenth of the files, or a quarter of the records, to all of
them. Everything runs in one process: a pool of workers, which only the larger run would need, costs
78 MB each however many files there are (``memory.py`` counts them).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from context import Context, fresh, main
from measure import Run, retro, say
from results import Line, Result

FOLDER_FILES = 1000
CHANGED = 100  # one file, or record, in so many
HOW = ("--encoder", "wordllama", "--workers", "1")
RUNS = ("first run", "again, nothing changed", "again, 1 % of them changed")


def measure(context: Context) -> Result:
    files = context.pick(1_000_000, 4_000)
    many, few = _tiny_files(context, files), _tiny_files(context, files // 10)
    records = context.pick(4_000_000, 20_000)
    changed, less = _changed_file(context, records), _changed_file(context, records // 4)
    lines = [
        _line(
            f"`retro chunk` on {files:,} files of 270 bytes, {name}: memory a file",
            "at most 40 bytes",
            40,
            (many[name], files),
            (few[name], files // 10),
        )
        for name in RUNS
    ]
    lines.append(
        _line(
            f"`retro chunk` on a JSONL file of {records:,} records of which 1 % changed: "
            "memory a record",
            "at most 20 bytes",
            20,
            (changed, records),
            (less, records // 4),
        )
    )
    return Result("many", lines, {"files": files, "records": records})


def _line(
    what: str, target: str, limit: float, large: tuple[Run, int], small: tuple[Run, int]
) -> Line:
    """Two runs, each with how many things it met."""
    (most, many), (least, few) = large, small
    each = (most.peak_bytes - least.peak_bytes) / (many - few)
    return Line(
        what,
        target,
        f"{each:,.0f} bytes ({_peaks(most)}, {most.seconds:,.0f} s; of {few:,}: {_peaks(least)})",
        each,
        limit,
        False,
        {f"peak of {count:,}, bytes": [run.peak_bytes] for run, count in (large, small)},
    )


def _peaks(run: Run) -> str:
    worker = f", largest worker {run.worker_bytes / 1e6:,.0f}" if run.worker_bytes else ""
    return f"{run.peak_bytes / 1e6:,.0f} MB: parent {run.parent_bytes / 1e6:,.0f}{worker}"


def _sentences(count: int) -> Iterator[str]:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=3 + i % 7)) for i in range(5000)]
    for _ in range(count):
        yield " ".join(rng.choices(words, k=40))


def _tiny_files(context: Context, count: int) -> dict[str, Run]:
    """The three runs, by name."""
    root = context.work / f"tiny-{count}"
    if not (root / "whole").exists():
        for number, text in enumerate(_sentences(count)):
            path = _tiny_file(root, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
        (root / "whole").touch()
    db = fresh(context.work / "tiny.db")
    runs = {}
    for name, edition in zip(RUNS, (0, 0, 1), strict=True):
        _edit(root, count, edition)
        runs[name] = retro("chunk", root / "corpus", "--db", db, *HOW, memory=True)
        say(f"{count:,} files, {name}: {_peaks(runs[name])}, {runs[name].seconds:,.0f} s")
    fresh(db)
    return runs


def _tiny_file(root: Path, number: int) -> Path:
    return root / "corpus" / str(number // FOLDER_FILES) / f"{number}.txt"


def _edit(root: Path, count: int, edition: int) -> None:
    """Bring some of the files to an edition; those that have it stay untouched."""
    for number in range(0, count, CHANGED):
        path = _tiny_file(root, number)
        old = path.read_text(encoding="ascii")
        new = f"{old.partition(' edition ')[0]} edition {edition}"
        if new != old:
            path.write_text(new, encoding="ascii")


def _changed_file(context: Context, count: int) -> Run:
    corpus = context.work / "records.jsonl"
    db = fresh(context.work / "records.db")
    for edition in (0, 1):
        _write(corpus, count, edition)
        run = retro("chunk", corpus, "--db", db, *HOW, memory=True)
    say(f"{count:,} records, 1 % changed: {_peaks(run)}, {run.seconds:,.0f} s")
    fresh(db)
    return run


def _write(path: Path, count: int, edition: int) -> None:
    with path.open("w", encoding="ascii") as out:
        for number, text in enumerate(_sentences(count)):
            new = f" edition {edition}" if number % CHANGED == 0 else ""
            out.write(f'{{"id": "r{number}", "text": "{text[:120]}{new}"}}\n')


if __name__ == "__main__":
    main("many", measure)
