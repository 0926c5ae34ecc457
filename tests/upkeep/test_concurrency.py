"""Readers, in threads and in other processes, at every write of builds, rules and compactions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from concurrent_readers import Readers, at_each_write
from helpers import write_jsonl

from retro_cli import Database

QUESTION = "the ferry in storm"
TURNS = 3
POSTS = 60


@pytest.fixture
def forum(retro, static_encoder, tmp_path) -> Path:
    posts = [
        {"id": f"p{n}", "text": f"the ferry {n} left the harbour in storm {n}", "source": source}
        for n, source in enumerate(["good", "good", "bad"] * (POSTS // 3))
    ]
    write_jsonl(tmp_path / "posts.jsonl", posts)
    db = tmp_path / "forum.db"
    built = retro("build", "posts.jsonl", "--db", db, "--encoder", static_encoder, "--tokens", 16)
    assert built.code == 0, built.err
    return db


def steps(db: Path, turn: int) -> Iterator[list[object]]:
    """What a writer does in one turn: one document more, a rule, a compaction, an undo."""
    with (db.parent / "posts.jsonl").open("a") as file:
        record = {"id": f"n{turn}", "text": f"the light {turn}", "source": "good"}
        file.write(json.dumps(record) + "\n")
    yield ["build", "posts.jsonl", "--db", db]
    yield ["filter", "add", db, "--source", "bad", "--reason", f"turn {turn}"]
    yield ["compact", db, "--max-dead", 0]
    yield ["filter", "undo", db, turn + 1]


def arrive(db: Path, source: str) -> list[object]:
    """A file of a source that is new; the command that takes it in."""
    records = [
        {"id": f"{source}{n}", "text": f"the ferry {n} {source}", "source": source}
        for n in range(10)
    ]
    write_jsonl(db.parent / f"{source}.jsonl", records)
    return ["build", db.parent / f"{source}.jsonl", "--db", db]


def newest(db: Path) -> int:
    return int((db / "index" / "CURRENT").read_text().strip()[4:-5])


def rare_steps(db: Path) -> Iterator[tuple[list[object], int]]:
    """What a writer seldom does, and how it ends while readers hold all that they opened."""
    yield arrive(db, "new"), 0
    yield ["rollback", db, newest(db) - 1], 0
    yield ["index", db, "--retrain"], 0
    yield ["filter", "add", db, "--source", "bad", "--reason", "for good"], 0
    yield ["compact", db, "--purge", "--yes"], 5


class Reader:
    """``retro query`` as a process that answers one line at a time, from what it once opened."""

    def __init__(self, db: Path) -> None:
        ask = ["query", str(db), "--queries", "-", "--json", "-k", "99"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "retro_cli", *ask],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # they share the cores
        )
        self.answered = 0
        self.ask()
        self.first = self.answer()

    def ask(self, times: int = 1) -> None:
        self.process.stdin.write(f"{QUESTION}\n" * times)
        self.process.stdin.flush()

    def answer(self) -> list[dict]:
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.answered += 1
        return json.loads(line)["hits"]

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        _, said = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, said


def test_thousands_of_queries_in_other_processes_each_see_one_generation(retro, forum, monkeypatch):
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(forum))]

        def all_answer(times: int = 1) -> None:
            """One reader, one generation: its answers to a question are the same, to the bit."""
            for reader in readers:
                reader.ask(times)
            for reader in readers:
                for _ in range(times):
                    assert reader.answer() == reader.first

        writes = stack.enter_context(at_each_write(monkeypatch, all_answer))
        for turn in range(TURNS):
            for step in steps(forum, turn):
                before = writes[0]
                all_answer(times=24)
                done = retro(*step)
                assert done.code == 0, done.err
                assert writes[0] - before >= 10  # answers of every reader in the midst of it
                all_answer(times=24)
                if turn == 0:
                    readers.append(stack.enter_context(Reader(forum)))
        # Opened before the first step and after each of the four of the first turn.
        shown = [[hit["source"] for hit in reader.first] for reader in readers]
        assert [len(sources) for sources in shown] == [60, 61, 41, 41, 61]
        assert [sources.count("bad") for sources in shown] == [20, 20, 0, 0, 20]
        for step, code in rare_steps(forum):
            before = writes[0]
            assert retro(*step).code == code
            assert writes[0] - before >= 10
            all_answer(times=24)
        assert readers[0].answered > 400
        assert sum(reader.answered for reader in readers) > 3000


def test_every_answer_is_that_of_one_generation_while_much_is_going_on(retro, forum, monkeypatch):
    """Readers open and ask without pause; none fails, none sees half a change."""

    def read() -> Iterator[None]:
        with Database.open(forum) as db:
            rules = db.retriever.generation.filtered.rules
            for _ in range(5):
                found = db.query(QUESTION, k=99)
                assert len(found) == db.retriever.generation.rows
                assert sum(hit.source == "bad" for hit in found) == (0 if rules else 20)
                yield

    with (
        Readers(read, count=3) as readers,
        at_each_write(monkeypatch, readers.all_answer) as writes,
    ):
        for turn in range(2 * TURNS):
            for step in steps(forum, turn):
                done = retro(*step)
                assert done.code == 0, done.err
    assert min(readers.answered) >= writes[0] > 2 * TURNS * 60


def test_no_reader_sees_half_of_a_purge_a_rollback_a_training_or_a_new_source(
    retro, forum, monkeypatch
):
    """Readers open and ask without pause while sources come, are taken and are purged."""
    taken: set[str] = set()  # sources whose rule is in force: its command has ended
    shown: dict[int, set[tuple[str, ...]]] = {}  # generation -> what readers saw of it

    def read() -> Iterator[None]:
        never = set(taken)
        with Database.open(forum) as db:
            for _ in range(3):
                found = db.query(QUESTION, k=999)
                assert len(found) == db.retriever.generation.rows
                assert never.isdisjoint(hit.source for hit in found)
                seen = shown.setdefault(db.retriever.generation.number, set())
                seen.add(tuple(f"{hit.document} {hit.score:.4f}" for hit in found))
                yield

    def run(step: list[object]) -> int:
        before = writes[0]
        code = retro(*step).code
        assert writes[0] - before >= 4
        return code

    with (
        Readers(read, count=2) as readers,
        at_each_write(monkeypatch, readers.all_answer) as writes,
    ):
        for turn, bad in enumerate(["bad", "new0"]):
            assert run(arrive(forum, f"new{turn}")) == 0
            assert run(["filter", "add", forum, "--source", bad, "--reason", "x"]) == 0
            taken.add(bad)
            assert run(["rollback", forum, newest(forum) - 1]) == 0
            assert run(["index", forum, "--retrain"]) == 0
            while run(["compact", forum, "--purge", "--yes"]) == 5:  # until no reader is behind
                for _ in range(4):
                    readers.all_answer()
    assert all(len(seen) == 1 for seen in shown.values())
    assert len(shown) >= 2 * 5
    assert min(readers.answered) >= writes[0]
    sources = {hit["source"] for hit in ask_all(retro, forum)}
    assert sources == {"good", "new1"}
    assert retro("verify", forum).code == retro("filter", "verify", forum).code == 0


def ask_all(retro, db: Path) -> list[dict]:
    return retro("query", db, QUESTION, "-k", 999, "--json").rows[0]["hits"]
