"""Peak memory of ``retro chunk`` on one large JSONL file, against a file of a tenth.

    python benchmarks/one_file.py --data DIR [--work DIR] [--gigabytes 10]

The file repeats a generated one, each time with other words in front of every text, so that no
document is another's copy. It is not among those of ``run.py``: ten gigabytes take half an hour.
"""

from __future__ import annotations

import json
from pathlib import Path

from context import Context, arguments, fresh, generated_file
from measure import Run, retro, say
from results import Line, Result

SEED_MEGABYTES = 300.0
GROWTH = 1.2
NAME = "one_file"


def repeated(context: Context, source: Path, size: int) -> Path:
    """A JSONL file of ``size`` bytes; found again if it is there."""
    path = context.work / f"one-file-{size}.jsonl"
    if path.exists():
        return path
    say(f"writing {size / 1e9:g} GB")
    partial, written, lap = path.with_suffix(".partial"), 0, 0
    with partial.open("w", encoding="utf-8") as out:
        while written < size:
            with source.open(encoding="utf-8") as lines:
                for line in lines:
                    record = json.loads(line)
                    record["id"] = f"{record.get('id', '')}-{lap}-{written}"
                    record["text"] = f"Lap {lap}. {record['text']}"
                    written += out.write(json.dumps(record) + "\n")
                    if written >= size:
                        break
            lap += 1
    partial.rename(path)
    return path


def chunked(context: Context, path: Path) -> Run:
    db = fresh(context.work / "one-file.db")
    done = retro("chunk", path, "--db", db, memory=True)
    say(f"{path.name}: {done.peak_bytes / 1e6:,.0f} MB, {done.seconds:,.0f} s")
    fresh(db)
    return done


def measure(context: Context, size: int) -> Result:
    source = generated_file(context, SEED_MEGABYTES if not context.quick else 1.0)
    runs = {size: chunked(context, repeated(context, source, size)) for size in (size // 10, size)}
    small, large = runs[size // 10], runs[size]
    growth = large.peak_bytes / small.peak_bytes
    line = Line(
        f"peak memory of `retro chunk` on one JSONL file of {size / 1e9:g} GB, against a tenth",
        f"at most {GROWTH}x",
        f"{growth:.2f}x ({large.peak_bytes / 1e6:,.0f}, {small.peak_bytes / 1e6:,.0f} MB)",
        growth,
        GROWTH,
        False,
        {f"{bytes_:,} bytes": [run.peak_bytes] for bytes_, run in runs.items()},
    )
    return Result(NAME, [line], {"bytes": size})


def main() -> None:
    parser = arguments("The benchmark 'one_file'.")
    parser.add_argument("--gigabytes", type=float, default=10.0)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    context = Context(given.data, given.work.resolve(), given.quick)
    size = int((0.02 if given.quick else given.gigabytes) * 1e9)
    result = measure(context, size)
    path = result.save(context.results, quick=given.quick)
    for line in result.lines:
        say(f"{'met   ' if line.met else 'MISSED'} {line.what}: {line.measured} ({line.target})")
    say(f"{NAME}: {path}")


if __name__ == "__main__":
    main()
