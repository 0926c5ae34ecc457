"""A database of a newer version of retro is refused by every command, and left as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import typer
from helpers import fingerprint

from retro_cli.cli.app import app

# What a command has to be told, to get as far as the database.
WORDS = {
    "chunk": ["archive", "--db", "DB"],
    "build": ["archive", "--db", "DB"],
    "demo": ["--corpus", "archive", "--db", "DB"],
    "query": ["DB", "the boat"],
    "generate": ["DB", "the boat"],
    "show": ["DB", 0],
    "diff": ["DB", "archive"],
    "export": ["DB", "o.npy"],
    "rollback": ["DB", 1],
    "fit": ["DB", "--out", "m"],
    "train": ["DB", "--out", "m"],
    "train-memory": ["DB", "--out", "m"],
    "fill": ["DB", "the [MASK]"],
    "ask": ["DB", "the boat"],
    "eval qa": ["DB", "--questions", "q.jsonl"],
    "eval retrieval": ["DB", "--queries", "q.jsonl", "--qrels", "q.tsv"],
    "train-encoder": ["DB", "--questions", "q.jsonl", "--out", "m"],
    "train-reader": ["DB", "--questions", "q.jsonl", "--model", "b", "--out", "m"],
    "eval lm": ["m", "DB", "--text", "archive"],
    "push": ["DB", "memory://x/y"],
    "pull": ["memory://x/y", "DB"],
    "filter add": ["DB", "--doc", "p1", "--reason", "x"],
    "filter show": ["DB", 1],
    "filter undo": ["DB", 1],
    "filter train-scorer": ["DB", "labels.csv"],
}


def taking_a_database(group: typer.main.TyperGroup, above: str = "") -> Iterator[str]:
    """The name of each command that has a parameter ``db``."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from taking_a_database(each, f"{above}{name} ")
        elif any(parameter.name == "db" for parameter in each.params):
            yield f"{above}{name}"


COMMANDS = sorted(taking_a_database(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_a_newer_database(retro, archive, tmp_path, name):
    newer = tmp_path / "a.db"
    newer.mkdir()
    (newer / "retro.toml").write_text("format = 99\nlater = true\n")
    (tmp_path / "q.jsonl").write_text(
        json.dumps({"id": "1", "question": "what?", "answers": ["a boat"]}) + "\n"
    )
    (tmp_path / "q.tsv").write_text("1\t0\tp1\t1\n")
    before = fingerprint(tmp_path)
    words = WORDS.get(name, ["DB"])  # of a command that is not named above, this is to be enough
    done = retro(*name.split(), *(newer if word == "DB" else word for word in words))
    assert done.code == 2, done.err
    assert f"{newer} has format 99; this retro reads up to 1" in done.err
    assert "upgrade" in done.err
    assert fingerprint(tmp_path) == before
