"""What a corpus of very many small things costs: tiny files, and one changed file of records.

Memory is the growth of the peak (workers included) from a quarter of the things to all of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from context import Context, fresh, main
from measure import Run, retro, say
from results import Line, Result

FOLDER_FILES = 1000
ENCODER = ("--encoder", "wordllama")


def measure(context: Context) -> Result:
    files = context.pick(200_000, 4_000)
    first, again = _tiny_files(context, files)
    few, _ = _tiny_files(context, files // 4)
    records = context.pick(4_000_000, 20_000)
    changed = _changed_file(context, records)
    less = _changed_file(context, records // 4)
    per_file = (first.peak_bytes - few.peak_bytes) / (0.75 * files)
    per_record = (changed.peak_bytes - less.peak_bytes) / (0.75 * records)
    lines = [
        Line(
            f"`retro chunk` on {files:,} files of 270 bytes: memory a file",
            "at most 1,500 bytes",
            f"{per_file:,.0f} bytes ({first.peak_bytes / 1e6:,.0f} MB in all, "
            f"{first.seconds:,.0f} s; again {again.seconds:.1f} s)",
            per_file,
            1500,
            False,
            {"peak, bytes": [first.peak_bytes], "peak of a quarter, bytes": [few.peak_bytes]},
        ),
        Line(
            f"`retro chunk` on a JSONL file of {records:,} records of which 1 % changed: "
            "memory a record",
            "at most 150 bytes",
            f"{per_record:,.0f} bytes ({changed.peak_bytes / 1e6:,.0f} MB in all, "
            f"{changed.seconds:,.0f} s)",
            per_record,
            150,
            False,
            {"peak, bytes": [changed.peak_bytes], "peak of a quarter, bytes": [less.peak_bytes]},
        ),
    ]
    return Result("many", lines, {"files": files, "records": records})


def _sentences(count: int) -> Iterator[str]:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=3 + i % 7)) for i in range(5000)]
    for _ in range(count):
        yield " ".join(rng.choices(words, k=40))


def _tiny_files(context: Context, count: int) -> tuple[Run, Run]:
    """The first run and the run after it."""
    root = context.work / f"tiny-{count}"
    if not (root / "whole").exists():
        for number, text in enumerate(_sentences(count)):
            folder = root / "corpus" / str(number // FOLDER_FILES)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.txt").write_text(text, encoding="ascii")
        (root / "whole").touch()
    db = fresh(context.work / "tiny.db")
    words = ("chunk", root / "corpus", "--db", db, *ENCODER)
    runs = retro(*words, memory=True), retro(*words)
    say(f"{count:,} files: {runs[0].peak_bytes / 1e6:,.0f} MB, {runs[0].seconds:,.0f} s")
    fresh(db)
    return runs


def _changed_file(context: Context, count: int) -> Run:
    corpus = context.work / "records.jsonl"
    db = fresh(context.work / "records.db")
    for edition in (0, 1):
        _write(corpus, count, edition)
        run = retro("chunk", corpus, "--db", db, *ENCODER, memory=True)
    say(f"{count:,} records, 1 % changed: {run.peak_bytes / 1e6:,.0f} MB, {run.seconds:,.0f} s")
    fresh(db)
    return run


def _write(path: Path, count: int, edition: int) -> None:
    with path.open("w", encoding="ascii") as out:
        for number, text in enumerate(_sentences(count)):
            new = f" edition {edition}" if number % 100 == 0 else ""
            out.write(f'{{"id": "r{number}", "text": "{text[:120]}{new}"}}\n')


if __name__ == "__main__":
    main("many", measure)
