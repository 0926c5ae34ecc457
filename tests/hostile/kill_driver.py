"""Interrupt a stage at each write boundary, run it again, compare with a quiet run.

``kill``: SIGKILL just before the write. ``full``: the write fails with "no space left".

Where there is an index, it is asked before the second run: the answer must be that of the
generation before or of the one after, and hold nothing that a rule of it takes.

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
from retro_cli.database import Database  # noqa: E402
from retro_cli.errors import DiskFull, UsageError  # noqa: E402
from retro_cli.filters import ledger  # noqa: E402
from retro_cli.filters.rules import Rule  # noqa: E402
from retro_cli.index.build import JOURNAL  # noqa: E402
from retro_cli.index.catalogue import current_generation  # noqa: E402
from retro_cli.index.stage import IndexJob  # noqa: E402
from retro_cli.query.table import NeighbourSettings  # noqa: E402
from retro_cli.reading.of_model import reading_of  # noqa: E402
from retro_cli.reading.text_neighbours import TextsToRead  # noqa: E402
from retro_cli.store.journal import Journal  # noqa: E402
from retro_cli.store.layout import Layout  # noqa: E402
from retro_cli.store.sweep import sweep_unreferenced  # noqa: E402
from retro_cli.upkeep.apply import in_force  # noqa: E402
from retro_cli.upkeep.compact import compact  # noqa: E402
from retro_cli.upkeep.filtering import add_rule, undo_rule  # noqa: E402
from retro_cli.upkeep.history import rollback  # noqa: E402
from retro_cli.upkeep.scoring import score_database  # noqa: E402

ledger.now = lambda: "2026-01-01T00:00:00Z"

BOUNDARIES = ("fsync", "replace", "rename", "unlink", "mkdir", "truncate", "ftruncate")
# What may differ: the cache of file times, timings, and the lock's own file.
NOT_COMPARED = (".verified.json", "measured-", ".lock")
# Tantivy names its files at random. What they hold is asked for instead.
NOT_BYTES = "lexical/"


def chunk(db: Path, corpus: Path, encoder: str, part_bytes: int = 600) -> None:
    options = pipeline.ChunkOptions(workers=1, part_bytes=part_bytes)
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


def chunk_in_few_parts(db: Path, corpus: Path, encoder: str) -> None:
    chunk(db, corpus, encoder, part_bytes=2000)


def edit(db: Path, corpus: Path, encoder: str) -> None:
    """A document goes: its rows are dead in the parts and in the index."""
    (corpus / "0.txt").unlink()
    options = pipeline.ChunkOptions(workers=1, part_bytes=2000, prune=True)
    pipeline.chunk(Layout(db), [str(corpus)], {}, options)
    embed(db, corpus, encoder)
    index(db, corpus, encoder)


def alter(db: Path, corpus: Path, encoder: str) -> None:
    """Documents are new, changed and gone, as files and as records of one; nothing is built yet."""
    (corpus / "0.txt").unlink()
    (corpus / "1.txt").write_text("the ferry number 1 came back. " * 11)
    (corpus / "3.txt").write_text("the ferry number 3 left. " * 12)
    lines = [{"id": f"r{n}", "text": f"the keeper and boat {n % 18}"} for n in range(2, 25)]
    (corpus / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def chunk_again(db: Path, corpus: Path, encoder: str) -> None:
    options = pipeline.ChunkOptions(workers=1, part_bytes=600, prune=True)
    pipeline.chunk(Layout(db), [str(corpus)], {}, options)


def compact_all(db: Path, corpus: Path, encoder: str) -> None:
    compact(Layout(db), max_dead=0.0)


def tidy(layout: Layout) -> None:
    """What any later writer does with what is left of a run that was killed when it was done."""
    Journal(layout.index / JOURNAL).discard()
    sweep_unreferenced(layout, 3)


def filter_undo(db: Path, corpus: Path, encoder: str) -> None:
    try:
        undo_rule(Layout(db), 1)
    except UsageError:  # the first run got there
        assert in_force(Layout(db))
        tidy(Layout(db))


def roll_back(db: Path, corpus: Path, encoder: str) -> None:
    layout = Layout(db)
    current = current_generation(layout.index)
    if current is not None and current.cause == "rollback to 1":
        tidy(layout)
    else:
        rollback(layout, 1)


def filter_score(db: Path, corpus: Path, encoder: str) -> None:
    words = corpus.parent / "words.txt"
    words.write_text("keeper\n")
    score_database(Layout(db), f"words:{words}", name="words")


STAGES: dict[str, Callable[[Path, Path, str], None]] = {
    "chunk": chunk,
    "embed": embed,
    "index": index,
    "filter": filter_add,
    "purge": purge,
    "neighbours": neighbours,
    "texts": texts,
}
# What is done to a database once it has rules, and what has to be done before that.
RULED = ("few parts", "embed", "index", "filter", "edit")
LATER: dict[str, Callable[[Path, Path, str], None]] = {
    "few parts": chunk_in_few_parts,
    "edit": edit,
    "compact": compact_all,
    "undo": filter_undo,
    "rollback": roll_back,
    "score": filter_score,
}
# The update: the same stages on a database that has been built, and a corpus that is not the same.
BUILT = ("chunk", "embed", "index", "alter")
AGAIN: dict[str, Callable[[Path, Path, str], None]] = {
    "alter": alter,
    "chunk again": chunk_again,
    "embed again": embed,
    "index again": index,
}
ONLY_TABLES = ("neighbours", "texts")  # write nothing that a query reads


def stages_before(stage: str) -> tuple[str, ...]:
    if stage in AGAIN:
        return (*BUILT, *tuple(AGAIN)[1 : tuple(AGAIN).index(stage)])
    names = tuple(STAGES)
    return names[: names.index(stage)] if stage in STAGES else RULED


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
        if not str(path.relative_to(db)).startswith(NOT_BYTES)
    }


def ask(db: Path, out: Path) -> None:
    """Write what one generation answers, and which rules it was made with."""
    with Database.open(db) as database:
        rules = database.retriever.generation.filtered.rules
        hits = [
            [hit.document, hit.text, hit.continuation, hit.score]
            for how in ("dense", "bm25")
            for hit in database.query("the ferry number", k=999, retriever=how)
        ]
    assert len(hits) > 9
    if 1 in rules:
        assert not [hit for hit in hits if hit[0].endswith("1.txt") and "ferry" in f"{hit[1:3]}"]
    out.write_text(json.dumps([rules, hits]))


def answers(db: Path) -> str:
    """What ``ask`` finds; "" where there is nothing to ask yet, or what went wrong."""
    if not (db / "index" / "CURRENT").exists():
        return ""
    out = db.with_name("answers.json")
    out.unlink(missing_ok=True)
    status = run(lambda: ask(db, out))
    return out.read_text() if status == 0 else f"failed with {status}"


def step_of(stage: str, how: str) -> int:
    """How many writes further each interruption is.

    A kill at each write; what it leaves is what a full disk leaves, so of those every third. An
    update writes with what the first run wrote with: fewer, evenly.
    """
    if stage in AGAIN:
        return {"kill": 2, "full": 5}[how]
    return {"kill": 1, "full": 3}[how]


def main(stage: str, corpus: Path, encoder: str, work: Path, how: str) -> None:
    before, quiet, killed = work / "before", work / "quiet", work / "killed"
    works = STAGES | LATER | AGAIN
    for earlier in stages_before(stage):
        assert run(lambda name=earlier: works[name](before, corpus, encoder)) == 0  # type: ignore[misc]

    def prepare(db: Path) -> None:
        shutil.rmtree(db, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, db)

    prepare(quiet)
    assert run(lambda: works[stage](quiet, corpus, encoder)) == 0
    expected, whole = contents(quiet), (answers(before), answers(quiet))
    assert not [each for each in whole if each.startswith("failed")]
    ended = -signal.SIGKILL if how == "kill" else errno.ENOSPC
    step = step_of(stage, how)
    count, different, failed, wrong = 0, [], [], []
    while True:
        prepare(killed)
        status = run(lambda: works[stage](killed, corpus, encoder), count + 1, how)
        if status == 0:
            break
        count += step
        assert count < 500, f"it never ends by itself (status {status})"
        if stage not in ONLY_TABLES and (found_now := answers(killed)) not in whole:
            wrong.append([count, found_now])
        again = run(lambda: works[stage](killed, corpus, encoder))
        if status != ended or again != 0:
            failed.append([count, status, again])
        elif stage not in ONLY_TABLES and answers(killed) != whole[1]:
            wrong.append([count, "after the second run"])
        elif (found := contents(killed)) != expected:
            names_differ = sorted(set(found) ^ set(expected))
            bytes_differ = sorted(n for n in found if expected.get(n, found[n]) != found[n])
            different.append([count, names_differ, bytes_differ])
    found = {"interruptions": count, "different": different, "failed": failed, "wrong": wrong}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5])
