"""``retro`` against its peers on one corpus with one encoder, each in an environment of its own.

The figures are of whole commands: what a person or a nightly job waits for. Each peer's script
in ``peers/`` does what its documentation shows; see docs/benchmarks.md, which this writes.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import peers_page
from context import Context, fresh, main
from measure import alternate, environment, run, say
from peers_corpus import MARKER, Corpus, corpus
from peers_page import Measure
from peers_sides import PEERS, Side, Words, peer_side, retro_side
from results import Line, Result

COLD_ROUNDS = 5
K = 10
EQUAL = 0.005  # of recall

AHEAD = (
    peers_page.COLD, peers_page.RERUN, peers_page.ADD, peers_page.DELETE, peers_page.GONE,
    peers_page.RESUME,
)  # fmt: skip

Figures = dict[str, Any]


def measure(context: Context) -> Result:
    given = corpus(context)
    say(f"{given.rows:,} chunks")
    sides, figures = _sides(context, given)
    truth: list[list[str]] = []
    for side in sides:
        say(f"== {side.name}")
        try:
            trial = Trial(side, given, context.work / "peers-stores", truth)
            figures[side.name] = trial.figures()
            truth = truth or trial.answers  # the first side searches exactly
        except SystemExit as problem:
            if not truth:
                raise
            figures[side.name] = {"failed": str(problem)[-300:]}
        say(f"  {figures[side.name]}")
    _cold(context, given, sides, figures)
    packages = {peer.name: list(peer.packages) for peer in PEERS}
    facts = {"chunks": given.rows, "sides": figures, "packages": packages}
    return Result("peers", _lines(figures), facts)


def _sides(context: Context, given: Corpus) -> tuple[list[Side], dict[str, Figures]]:
    """Whoever can be installed; of the others, the reason."""
    sides, failed = [], {}
    for peer in PEERS:
        try:
            sides.append(peer_side(context, peer))
        except SystemExit as problem:
            failed[peer.name] = {"failed": str(problem)[-300:]}
    return [*sides, retro_side(given, Path(sys.executable))], failed


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
        asked: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
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


def _cold(context: Context, given: Corpus, sides: list[Side], figures: dict[str, Figures]) -> None:
    """A query from process start to printed answer, the sides taking turns."""
    texts = given.queries.read_text(encoding="utf-8").splitlines()
    working = [side for side in sides if "failed" not in figures[side.name]]

    def ask(side: Side, turn: int) -> float:
        store = store_of(context.work / "peers-stores", side)
        return run(side.command("query", store, texts[turn])).seconds

    for side in working:
        ask(side, 0)  # so that none meets a cold page cache
    times = alternate(
        {side.name: partial(ask, side) for side in working},
        context.pick(COLD_ROUNDS, 1),
    )
    for name, seconds in times.items():
        figures[name]["cold_s"] = seconds


def _lines(figures: dict[str, Figures]) -> list[Line]:
    found = peers_page.measured(figures)
    ours = found.pop(peers_page.US)
    dense = {peer.name: found[peer.name] for peer in PEERS if peer.dense and peer.name in found}
    lines = [_line(measure, ours, found, "peer") for measure in AHEAD]
    return [_line(peers_page.BUILD, ours, dense, "dense peer"), _recall_line(ours, dense), *lines]


def _recall_line(ours: Figures, dense: dict[str, Figures]) -> Line:
    known = {name: each["recall"] for name, each in dense.items()}
    first = max(known, key=known.__getitem__)
    return Line(
        f"its recall@{K} there, against the dense peer with the most",
        f"no more than {EQUAL} below",
        f"{ours['recall']:.3f}, {known[first]:.3f} ({first})",
        ours["recall"] - known[first],
        -EQUAL,
        True,
        {f"{name}, recall": [value] for name, value in {"retro": ours["recall"], **known}.items()},
    )


def _line(measure: Measure, ours: Figures, others: dict[str, Figures], whom: str) -> Line:
    """A line whose value is the best other's figure by ours."""
    mine = measure.of(ours)
    known = {name: value for name, each in others.items() if (value := measure.of(each))}
    assert mine is not None
    assert known
    first = min(known, key=known.__getitem__)
    share = known[first] / mine
    return Line(
        f"{measure.title.removesuffix(', s')}: `retro` against the fastest {whom}",
        "ahead",
        f"{share:.2f}x as fast ({mine:{measure.form}} s; {first} {known[first]:{measure.form}} s)",
        share,
        1.0,
        True,
        {f"{name}, s": [value] for name, value in {"retro": mine, **known}.items()},
    )


if __name__ == "__main__":
    main("peers", measure)
    if "--quick" not in sys.argv:
        peers_page.write(peers_page.PAGE, peers_page.RESULT, check=False)
