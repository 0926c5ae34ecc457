"""Interrupt a stage at each write boundary, run it again, compare with a quiet run.

``kill``: SIGKILL just before the write. ``full``: the write fails with "no space left".

Runs as its own process, which imports everything and starts no thread, and forks for every run:
a fork of pytest itself would copy half-alive thread pools. Writes one JSON object.

    python kill_driver.py STAGE CORPUS ENCODER WORK kill|full
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow

pyarrow.set_cpu_count(1)

from retro_cli import pipeline  # noqa: E402
from retro_cli.errors import DiskFull  # noqa: E402
from retro_cli.filters import ledger  # noqa: E402
from retro_cli.filters.rules import Rule  # noqa: E402
from retro_cli.index.stage import IndexJob  # noqa: E402
from retro_cli.query.table import NeighbourSettings  # noqa: E402
from retro_cli.reading.of_model import reading_of  # noqa: E402
from retro_cli.reading.text_neighbours import TextsToRead  # noqa: E402
from retro_cli.store.layout import Layout  # noqa: E402
from retro_cli.upkeep.compact import compact  # noqa: E402
from retro_cli.upkeep.filtering import add_rule  # noqa: E402

ledger.now = lambda: "2026-01-01T00:00:00Z"

BOUNDARIES = ("fsync", "replace", "rename", "unlink", "mkdir", "truncate", "ftruncate")
# What may differ: the cache of file times, timings, and the lock's own file.
NOT_COMPARED = (".verified.json", "measured-", ".lock")


def chunk(db: Path, corpus: Path, encoder: str) -> None:
    options = pipeline.ChunkOptions(workers=1, part_bytes=600)
    overrides = {"tokens": 8, "encoder": encoder}
    pipeline.chunk(Layout(db), [str(corpus)], overrides, options)


def embed(db: Path, corpus: Path, encoder: str) -> None:
    pipeline.embed(Layout(db), threads=1)


def index(db: Path, corpus: Path, encoder: str) -> None:
    layout = Layout(db)
    pipeline.index(layout, IndexJob(layout, threads=1))


def filter_add(db: Path, corpus: Path, encoder: str) -> None:
    rule = Rule(number=1, reason="test", sources=("*1.txt",), match="ferry")
    add_rule(Layout(db), rule)


def purge(db: Path, corpus: Path, encoder: str) -> None:
    compact(Layout(db), purge=True, yes=True)


def neighbours(db: Path, corpus: Path, encoder: str) -> None:
    pipeline.neighbours(Layout(db), "chunks", NeighbourSettings())


def texts(db: Path, corpus: Path, encoder: str) -> None:
    tokenizer, length = reading_of(Path(encoder), 8)
    held = TextsToRead([str(corpus)], tokenizer, length, part_bytes=600)
    pipeline.neighbours(Layout(db), "texts", NeighbourSettings(copies=0.9), texts=held)


STAGES: dict[str, Callable[[Path, Path, str], None]] = {
    "chunk": chunk,
    "embed": embed,
    "index": index,
    "filter": filter_add,
    "purge": purge,
    "neighbours": neighbours,
    "texts": texts,
}


def interrupt_at(count: int, how: str) -> None:
    """Make the ``count``-th write boundary of this process the last, or fail."""
    left, make_folder = [count], os.mkdir

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if real is make_folder and os.path.isdir(str(args[0])):
                return real(*args, **kwargs)  # writes nothing, so no disk is too full for it
            left[0] -= 1
            if left[0] == 0 and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if left[0] == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **kwargs)

        return call

    for name in BOUNDARIES:
        setattr(os, name, dying(getattr(os, name)))


def run(work: Callable[[], None], at: int = 0, how: str = "kill") -> int:
    """Fork and run; the exit status, or minus the signal that ended it. DISK_FULL is 28."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if at:
                interrupt_at(at, how)
            work()
            status = 0
        except DiskFull:
            status = errno.ENOSPC
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def contents(db: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(db)): path.read_bytes()
        for path in sorted(db.rglob("*"))
        if path.is_file() and not path.name.startswith(NOT_COMPARED)
    }


def main(stage: str, corpus: Path, encoder: str, work: Path, how: str) -> None:
    before, quiet, killed = work / "before", work / "quiet", work / "killed"
    names = list(STAGES)
    for earlier in names[: names.index(stage)]:
        assert run(lambda name=earlier: STAGES[name](before, corpus, encoder)) == 0  # type: ignore[misc]

    def prepare(db: Path) -> None:
        shutil.rmtree(db, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, db)

    prepare(quiet)
    assert run(lambda: STAGES[stage](quiet, corpus, encoder)) == 0
    expected = contents(quiet)
    ended = -signal.SIGKILL if how == "kill" else errno.ENOSPC
    count, different, failed = 0, [], []
    while True:
        prepare(killed)
        status = run(lambda: STAGES[stage](killed, corpus, encoder), count + 1, how)
        if status == 0:
            break
        count += 1
        assert count < 500, f"it never ends by itself (status {status})"
        again = run(lambda: STAGES[stage](killed, corpus, encoder))
        if status != ended or again != 0:
            failed.append([count, status, again])
        elif (found := contents(killed)) != expected:
            names_differ = sorted(set(found) ^ set(expected))
            bytes_differ = sorted(n for n in found if expected.get(n, found[n]) != found[n])
            different.append([count, names_differ, bytes_differ])
    found = {"interruptions": count, "different": different, "failed": failed}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5])
