"""One side of ``peers.py``, from text to its last query, a kill included."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from context import fresh
from measure import environment, run
from peers_corpus import MARKER, Corpus
from peers_sides import Side, Words

Figures = dict[str, Any]


@dataclass
class Trial:
    """One side from text to its last query. ``truth``: the exact answers, [] for who gives them."""

    side: Side
    given: Corpus
    stores: Path
    truth: list[list[str]]
    answers: list[list[str]] = field(default_factory=list)

    def figures(self) -> Figures:
        store = store_of(self.stores, self.side)
        fresh(store)
        self.stores.mkdir(exist_ok=True)
        found = self._built(store)
        found |= self._warm(store)
        found["rerun_s"] = self._timed("build", store, self.given.chunks)
        found["add_s"] = self._timed("add", store, self.given.more)
        found |= self._deleted(store)
        found |= self._checked(store)
        self._timed("query", store, "a first one")  # so that no cold query meets a cold page cache
        return found | self._resumed(found["build_s"])

    def _built(self, store: Path) -> Figures:
        """From text to queryable."""
        built = run(self.side.command("build", store, self.given.chunks), memory=True)
        return {
            "build_s": built.seconds,
            "peak_bytes": built.peak_bytes,
            "disk_bytes": sum(path.stat().st_size for path in files(store)),
        }

    def _warm(self, store: Path) -> Figures:
        asked = self._ask(store, self.given.queries)
        self.answers = asked["ids"]
        return {
            "warm_qps": len(self.answers) / asked["seconds"],
            "recall": overlap(self.answers, self.truth or self.answers),
        }

    def _deleted(self, store: Path) -> Figures:
        """Seconds until the source is out of the answers, then until it is off the disk. Where the
        marker could not be seen even before, the bytes tell nothing."""
        before = holds(store, MARKER)
        deleted = self._timed("delete", store, self.given.gone)
        left = holds(store, MARKER)
        cleaned = self._timed("clean", store, "") if self.side.clears else None
        return {
            "delete_s": deleted,
            "clean_s": cleaned,
            "seen before": before,
            "left after delete": left,
            "left after clean": holds(store, MARKER),
        }

    def _checked(self, store: Path) -> Figures:
        """Whether deleted texts are out of the answers, and added ones in them."""
        asked = self._ask(store, self.given.checks)["ids"]
        added = asked[-len(self.given.added) :]
        return {
            "deleted in answers": sum(
                found in self.given.deleted for answer in asked for found in answer
            ),
            "added found": sum(
                wanted in answer for wanted, answer in zip(self.given.added, added, strict=True)
            ),
            "added asked": len(added),
        }

    def _resumed(self, built: float) -> Figures:
        """Kill a build half-way, run it again, and compare its answers with the first build's."""
        store = fresh(self.stores / "killed")
        command = self.side.command("build", store, self.given.chunks)
        killed = kill_after(command, built / 2)
        seconds = self._timed("build", store, self.given.chunks)
        answers = self._ask(store, self.given.queries)["ids"]
        fresh(store)
        return {
            "killed": killed,
            "resume_s": seconds,
            "resumed equals": overlap(answers, self.answers),
        }

    def _timed(self, verb: str, store: Path, argument: str | Path) -> float:
        return run(self.side.command(verb, store, argument)).seconds

    def _ask(self, store: Path, texts: Path) -> dict[str, Any]:
        done = run(self.side.command("warm", store, texts))
        lines = done.stdout.strip().splitlines()
        if not lines:
            raise SystemExit(f"{self.side.name} answered nothing:\n{done.stderr[-2000:]}")
        asked: dict[str, Any] = json.loads(lines[-1])
        return asked


def store_of(stores: Path, side: Side) -> Path:
    return stores / side.name.replace(" ", "")


def overlap(answers: list[list[str]], truth: list[list[str]]) -> float:
    """The mean share of each true answer that was found: recall at its length."""
    shares = [
        len(set(answer) & set(wanted)) / len(wanted)
        for answer, wanted in zip(answers, truth, strict=True)
    ]
    return statistics.fmean(shares)


def files(store: Path) -> list[Path]:
    return [path for path in store.rglob("*") if path.is_file()]


def holds(store: Path, marker: str) -> bool:
    """Whether any file has the marker in its bytes, or in a text of a Parquet file."""
    return any(_holds(path, marker) for path in files(store))


def _holds(path: Path, marker: str) -> bool:
    if marker.encode() in path.read_bytes():
        return True
    if path.suffix != ".parquet":
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = [table[name] for name in table.schema.names if pa.types.is_string(table[name].type)]
    return any(marker in (value or "") for column in columns for value in column.to_pylist())


def kill_after(command: Words, seconds: float) -> bool:
    """Start, and SIGKILL with all its children after a time. Returns whether it still ran."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    time.sleep(seconds)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running
