"""Readers, a writer, filters and compaction at once, for long: does anything go wrong, or grow?

python benchmarks/soak.py [--minutes 30] [--readers 2] [--encoder NAME] [--work DIR]

The writer changes, adds and deletes documents, makes rules and undoes them, compacts and purges.
After each step it puts down what the new generation may show. Readers open the database, ask it for
a while and open it anew; what they are shown must be what the generation that they opened may show,
and what must be found is found. Ends with 1 if an answer was wrong, a process grew, or a file was
left over.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from retro_cli import Database, pipeline
from retro_cli.errors import LockedError
from retro_cli.filters.ledger import load_ledger
from retro_cli.filters.rules import ACTIVE, Rule
from retro_cli.index.catalogue import all_generations
from retro_cli.pipeline import ChunkOptions
from retro_cli.query.search import Search
from retro_cli.store.layout import Layout
from retro_cli.upkeep.compact import compact
from retro_cli.upkeep.filtering import add_rule, undo_rule

DOCUMENTS = 200
WORDS = 90  # of a document: two or three chunks
HELD = 40  # questions to a database before it is opened anew
GROWTH = 1.1  # of a process's memory between the middle third of the run and the last
SLACK = 16 << 20  # bytes
NO_LEFTOVERS = ("manifest.json", "quarantine.jsonl", "CURRENT", ".verified.json")


def text_of(name: str, version: int) -> str:
    """What a document says in a version: words of its own, nearly all."""
    source = random.Random(f"{name} {version}")
    syllables = ["ka", "lo", "mi", "ne", "ru", "sa", "ti", "vo", "be", "du", "fa", "gi"]
    return " ".join("".join(source.choices(syllables, k=3)) for _ in range(WORDS))


class Writer:
    """Changes a corpus and its database, a step at a time."""

    def __init__(self, work: Path, encoder: str) -> None:
        self.work, self.corpus, self.layout = work, work / "corpus", Layout(work / "d")
        self.encoder, self.source = encoder, random.Random(1)
        self.versions: dict[str, int] = {}
        self.next, self.steps = 0, 0

    def begin(self) -> None:
        self.corpus.mkdir()
        for _ in range(DOCUMENTS):
            self._add()
        self._build()
        self._tell()

    def step(self) -> None:
        choices: list[Callable[[], None]] = [self.change] * 6 + [self.rule, self.undo] * 2
        self.source.choice([*choices, self.compact, self.purge])()
        self.steps += 1
        self._tell()

    def change(self) -> None:
        for name in self.source.sample(sorted(self.versions), 8):
            self._write(name, self.versions[name] + 1)
        gone = self.source.choice(sorted(self.versions))
        (self.corpus / gone).unlink()
        del self.versions[gone]
        self._add()
        self._build()

    def rule(self) -> None:
        some = self.source.sample(sorted(self.versions), 3)
        rule = Rule(0, "soak", documents=tuple(self.document(name) for name in some))
        add_rule(self.layout, rule, yes=True)

    def undo(self) -> None:
        active = [rule for rule in load_ledger(self.layout).rules if rule.state == ACTIVE]
        if active:
            undo_rule(self.layout, self.source.choice(active).number)

    def compact(self) -> None:
        compact(self.layout, max_dead=0.0)

    def purge(self) -> None:
        with suppress(LockedError):  # a reader is on an older generation: another time, then
            compact(self.layout, purge=True, yes=True)

    def document(self, name: str) -> str:
        return str(self.corpus / name)

    def _add(self) -> None:
        self._write(f"{self.next:06d}.txt", 0)
        self.next += 1

    def _write(self, name: str, version: int) -> None:
        (self.corpus / name).write_text(text_of(name, version), encoding="utf-8")
        self.versions[name] = version

    def _build(self) -> None:
        options, settings = ChunkOptions(prune=True, workers=1), {"encoder": self.encoder}
        pipeline.chunk(self.layout, [str(self.corpus)], settings, options)
        Database.embed(self.layout.root)
        Database.index(self.layout.root)

    def _tell(self) -> None:
        """Put down what the generation of now may show: documents by name, with their versions."""
        hidden = {name for rule in load_ledger(self.layout).active for name in rule.documents}
        shown = {n: v for n, v in self.versions.items() if self.document(n) not in hidden}
        for generation in all_generations(self.layout.index):
            target = self.work / "states" / generation
            if not target.exists():
                target.with_suffix(".tmp").write_text(json.dumps(shown))
                target.with_suffix(".tmp").rename(target)


class Reader:
    """Opens the database, asks, and compares with what the writer has put down."""

    def __init__(self, work: Path, seed: int) -> None:
        self.work, self.source = work, random.Random(seed)
        self.retriever = ("dense", "hybrid")[seed % 2]
        self.steps = 0

    def step(self) -> None:
        with Database.open(self.work / "d") as database:
            shown = self._state(f"gen-{database.retriever.generation.number:06d}.json")
            finder = database.finder(Search(retriever=self.retriever))
            for _ in range(HELD):
                self._ask(finder, shown)
                self.steps += 1

    def _ask(self, finder: Any, shown: dict[str, int]) -> None:
        name = self.source.choice(sorted(shown))
        hits = finder([text_of(name, shown[name])[:300]], 5)[0].hits
        for hit in hits:
            found = Path(hit.document).name
            if found not in shown:
                raise AssertionError(f"{found} is shown, which is gone or kept out")
            text = text_of(found, shown[found])
            if hit.text not in text or hit.continuation not in text:
                raise AssertionError(f"{found} is shown in a version that it has no more")
        if name not in {Path(hit.document).name for hit in hits}:
            raise AssertionError(f"{name} is not found by its own text")

    def _state(self, generation: str) -> dict[str, int]:
        path = self.work / "states" / generation
        until = time.time() + 120
        while not path.exists():  # the writer puts it down just after the commit
            if time.time() > until:
                raise AssertionError(f"nobody knows what {generation} may show")
            time.sleep(0.01)
        value: dict[str, int] = json.loads(path.read_text())
        return value


def play(role: str, number: int, work: Path, encoder: str, seconds: float) -> None:
    """One process: steps until the time is over, with what it holds noted after each."""
    actor = Writer(work, encoder) if role == "writer" else Reader(work, number)
    problems: list[str] = []
    samples: list[tuple[int, int]] = []
    if isinstance(actor, Writer):
        actor.begin()
    end = time.time() + seconds
    while time.time() < end and not problems:
        try:
            actor.step()
        except Exception:
            problems.append(traceback.format_exc())
        samples.append((_resident(), len(os.listdir("/proc/self/fd"))))
    found = {"role": f"{role} {number}", "steps": actor.steps, "problems": problems,
             "samples": samples}  # fmt: skip
    (work / f"{role}-{number}.json").write_text(json.dumps(found))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def left_over(root: Path) -> list[str]:
    """Files of the stages that no manifest and no kept generation names."""
    named: set[str] = set()
    for path in [*root.glob("*/manifest.json"), *root.glob("index/*.json")]:
        _names(json.loads(path.read_bytes()), named)
    found = [
        path for stage in ("chunks", "embeddings", "index") for path in (root / stage).iterdir()
    ]
    return sorted(
        path.name for path in found
        if path.name not in named and path.name not in NO_LEFTOVERS
        and not path.name.startswith(("gen-", "measured-"))
    )  # fmt: skip


def _names(value: Any, names: set[str]) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            _names(inner, names)
    elif isinstance(value, str):
        names.add(value)


def judged(found: dict[str, Any]) -> list[str]:
    """What is wrong with a process: its answers, its memory, its open files."""
    problems: list[str] = list(found["problems"])
    count = len(found["samples"])
    if count < 3:
        return [*problems, f"{found['role']} took {count} steps: too few to say anything"]
    for what, at, slack in (("bytes", 0, SLACK), ("open files", 1, 4)):
        values = [sample[at] for sample in found["samples"]]
        middle = statistics.median(values[count // 3 : -(count // 3)])
        late = statistics.median(values[-(count // 3) :])
        if late > GROWTH * middle + slack:
            problems.append(f"{found['role']} grew from {middle:,.0f} to {late:,.0f} {what}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description="Readers, a writer and upkeep at once.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--encoder", default="wordllama")
    parser.add_argument("--work", type=Path, help="an empty folder; a temporary one by default")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="retro-soak-"))
    (work / "states").mkdir(parents=True)
    (work / "tmp").mkdir()
    os.environ["TMPDIR"] = str(work / "tmp")
    context = multiprocessing.get_context("spawn")
    roles = [("writer", 0), *(("reader", number) for number in range(given.readers))]
    crew = []
    for role, number in roles:
        crew.append(
            context.Process(
                target=play, args=(role, number, work, given.encoder, 60 * given.minutes)
            )
        )
        crew[-1].start()
        while role == "writer" and not any((work / "states").glob("gen-*.json")):
            crew[-1].join(0.2)
            if not crew[-1].is_alive():
                return 1
    for process in crew:
        process.join()
    return _report(work, roles, kept=given.work is not None)


def _report(work: Path, roles: list[tuple[str, int]], *, kept: bool) -> int:
    problems = []
    for role, number in roles:
        path = work / f"{role}-{number}.json"
        found = json.loads(path.read_text()) if path.exists() else None
        if found is None:
            problems.append(f"{role} {number} ended without a word")
            continue
        problems += judged(found)
        first, last = found["samples"][0], found["samples"][-1]
        print(f"{found['role']}: {found['steps']:,} steps, {first[0] / 1e6:.0f} to "
              f"{last[0] / 1e6:.0f} MB, {first[1]} to {last[1]} open files")  # fmt: skip
    problems += [f"left over: {name}" for name in left_over(work / "d")]
    problems += [f"left over: tmp/{path.name}" for path in (work / "tmp").iterdir()]
    verified = Database.open(work / "d").verify()
    problems += verified.problems
    for problem in problems:
        print(problem)
    print("nothing went wrong" if not problems else f"{len(problems)} problems")
    if not kept and not problems:
        shutil.rmtree(work)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
