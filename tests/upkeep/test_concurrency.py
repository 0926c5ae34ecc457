"""Readers in processes of their own, while a writer adds, filters, undoes and compacts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import process, write_jsonl

QUERIES = 1500


@pytest.fixture
def forum(retro, static_encoder, tmp_path) -> Path:
    posts = [
        {"id": f"p{n}", "text": f"the ferry {n} left the harbour in storm {n}", "source": source}
        for n, source in enumerate(["good", "good", "bad"] * 20)
    ]
    write_jsonl(tmp_path / "posts.jsonl", posts)
    db = tmp_path / "forum.db"
    built = retro("build", "posts.jsonl", "--db", db, "--encoder", static_encoder, "--tokens", 16)
    assert built.code == 0, built.err
    return db


def test_thousands_of_queries_in_other_processes_each_see_one_generation(forum, tmp_path):
    questions = tmp_path / "questions.txt"
    questions.write_text("the ferry in storm\n" * QUERIES)
    command = [sys.executable, "-m", "retro_cli", "query", forum, "--json", "-k", "40"]

    def reader() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*map(str, command), "--queries", str(questions)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    readers = [reader(), reader()]
    for turn in range(3):
        with (tmp_path / "posts.jsonl").open("a") as file:
            record = {"id": f"n{turn}", "text": f"the light {turn}", "source": "good"}
            file.write(json.dumps(record) + "\n")
        for words in (
            ["build", "posts.jsonl", "--db", forum],
            ["filter", "add", forum, "--source", "bad", "--reason", f"turn {turn}"],
            ["compact", forum, "--max-dead", "0"],
            ["filter", "undo", forum, turn + 1],
        ):
            done = process(*words, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    for one in readers:
        out, err = one.communicate(timeout=120)
        assert one.returncode == 0, err
        answers = [json.loads(line)["hits"] for line in out.splitlines()]
        assert len(answers) == QUERIES
        # One reader, one generation: all its answers to one question are the same, to the bit.
        assert all(answer == answers[0] for answer in answers)
        assert len(answers[0]) == 40
