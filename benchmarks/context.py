"""What every benchmark is given, and the corpora and databases that several of them use."""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import generate
import numpy as np
import numpy.typing as npt
from measure import retro, say
from results import FOLDER, Result

SEED = 1
HELD_OUT = 1  # the generator's stream that no database holds

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Context:
    """``data``: the folder with the public sets; ``work``: where corpora and databases are kept."""

    data: Path
    work: Path
    quick: bool

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def results(self) -> Path:
        """A quick run's figures mean little, so they stay out of the README."""
        return self.work / "quick-results" if self.quick else FOLDER


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder with books, peps, cranfield and cisi"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("bench-work"),
        help="where corpora and databases are made, and found again [default: bench-work]",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all?")
    return parser


def main(name: str, measure: Callable[[Context], Result]) -> None:
    """The command line of one benchmark."""
    given = arguments(f"The benchmark '{name}'.").parse_args()
    context = Context(given.data.resolve(), given.work.resolve(), given.quick)
    context.work.mkdir(parents=True, exist_ok=True)
    result = measure(context)
    path = result.save(context.results, context.quick)
    for line in result.lines:
        say(f"{'met   ' if line.met else 'MISSED'} {line.what}: {line.measured} ({line.target})")
    say(f"{name}: {path}")


def prose(context: Context) -> list[dict[str, str]]:
    """The records of books and peps."""
    return [record for name in ("books", "peps") for record in records(context.data, name)]


def records(data: Path, name: str) -> list[dict[str, str]]:
    """The documents of one public set."""
    with gzip.open(data / name / "docs.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def prose_file(context: Context, megabytes: float | None = None) -> Path:
    """Books and peps as one JSONL file: all, or documents from all over up to a size."""
    path = context.work / f"prose-{megabytes or 'all'}.jsonl"
    if not path.exists():
        records = prose(context)
        if megabytes is not None:
            total = sum(len(record["text"]) for record in records)
            records = records[:: max(1, int(total / (megabytes * 1e6)))]
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
        _place(path, text.encode())
    return path


def generated_file(context: Context, megabytes: float, stream: int = 0) -> Path:
    path = context.work / f"generated-{megabytes:g}M-{stream}.jsonl"
    if not path.exists():
        say(f"generating {megabytes:g} MB")
        partial = path.with_suffix(".partial")
        with partial.open("wb") as out:
            generate.write(out, int(megabytes * 1e6), SEED, stream)
        partial.rename(path)
    return path


def texts(path: Path) -> Iterator[str]:
    """The text of every record of a JSONL file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def fresh(path: Path) -> Path:
    """A path with nothing there."""
    shutil.rmtree(path, ignore_errors=True)
    return path


def without(db: Path, copy: Path, *stages: str) -> Path:
    """A copy of a database that lacks what these stages made."""
    ignored = shutil.ignore_patterns(*stages)
    return Path(shutil.copytree(db, fresh(copy), ignore=ignored))


def database(context: Context, name: str, inputs: list[Path], encoder: str, *stages: str) -> Path:
    """A database in the work folder, brought up to date: what is there is not made again."""
    db = context.work / f"{name}.db"
    say(f"{db.name}: chunk")
    retro("chunk", *inputs, "--db", db, "--encoder", encoder)
    for stage in stages:
        say(f"{db.name}: {stage}")
        command, *options = stage.split()
        retro(command, db, *options)
    return db


def exported_texts(db: Path, scratch: Path) -> list[str]:
    """The text of every chunk that gets a vector, in the order of ``exported_vectors``."""
    import pyarrow.parquet as pq

    retro("export", db, scratch)
    found: list[str] = pq.read_table(scratch, columns=["text"])["text"].to_pylist()
    return found


def exported_vectors(db: Path, scratch: Path) -> Floats:
    """(n, dim) float32, a unit row for every chunk that stands for itself."""
    retro("export", db, scratch)
    found: Floats = np.load(scratch, mmap_mode="r")
    return found


def _place(path: Path, data: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.rename(path)
