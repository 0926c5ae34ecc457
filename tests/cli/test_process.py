"""What only a real process shows: imports, pipes, signals, the environment, the screen."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from helpers import imported_by, process, write_jsonl

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "onnxruntime",
    "onnx",
    "sklearn",
    "scipy",
    "ray",
)


def test_help_imports_nothing_heavy():
    assert imported_by("--help").isdisjoint({*HEAVY, "numpy", "faiss", "pyarrow", "tokenizers"})


@pytest.mark.parametrize(
    "command", ["query", "chunk", "embed", "index", "diff", "generate", "train-reader"]
)
def test_help_of_a_command_imports_nothing_heavy(command):
    assert imported_by(command, "--help").isdisjoint({*HEAVY, "numpy", "faiss", "pyarrow"})


def test_a_cold_query_imports_neither_torch_nor_a_runtime(db):
    loaded = imported_by("query", db, "the ferry")
    assert loaded.isdisjoint(HEAVY)
    assert {"numpy", "faiss", "pyarrow", "tokenizers"} <= loaded


def test_a_build_here_imports_no_ray(archive, static_encoder, tmp_path):
    words = ["build", archive, "--db", tmp_path / "i.db", "--encoder", static_encoder]
    assert "ray" not in imported_by(*words)


def test_a_closed_pipe_ends_quietly(db):
    command = f"{sys.executable} -m retro_cli query {db} --queries - -k 50 | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        input="the ferry\n" * 400,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith('{"query": "1"')
    assert done.stderr == ""


def test_every_option_reads_its_environment_variable(db):
    done = process("query", db, "the ferry", "--json", env={"RETRO_K": "2"})
    assert done.stdout.count('"rank"') == 2


def test_control_characters_of_a_corpus_never_reach_the_terminal(tmp_path, static_encoder):
    (tmp_path / "evil.txt").write_text("the ferry \x1b]0;owned\x07\x1b[2J left the harbour")
    built = process(
        "build", tmp_path / "evil.txt", "--db", tmp_path / "e.db", "--encoder", static_encoder
    )
    assert built.returncode == 0, built.stderr
    shown = process("query", tmp_path / "e.db", "the ferry")
    assert "left the harbour" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\x07" not in shown.stdout


# Ctrl-C at a moment that is always the same: after the first part is in the journal.
INTERRUPTED = """
import os, signal, sys
from retro_cli.store.journal import Journal

append = Journal.append

def append_and_interrupt(self, key, record):
    append(self, key, record)
    if "parts" in record:
        os.kill(os.getpid(), signal.SIGINT)

Journal.append = append_and_interrupt
# A shell that runs this in the background has it ignore Ctrl-C, which is not what is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["retro", *{args!r}]
from retro_cli.cli.app import main
main()
"""


def test_ctrl_c_says_that_it_resumes_and_leaves_a_good_database(tmp_path, static_encoder):
    records = [{"id": f"d{n}", "text": f"the ferry {n} left harbour {n}"} for n in range(30_000)]
    path = write_jsonl(tmp_path / "big.jsonl", records)
    ask = ["chunk", str(path), "--db", str(tmp_path / "b.db"), "--encoder", str(static_encoder)]
    ask += ["--part-size", "1", "--workers", "1"]
    code = INTERRUPTED.format(args=ask)
    stopped = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert stopped.returncode == 130
    assert "resumes" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    again = process(*ask)
    assert again.returncode == 0
    assert "resuming: 1 of 2" in again.stderr
    stages = json.loads(process("status", tmp_path / "b.db", "--json").stdout)["stages"]
    assert stages[0]["facts"]["documents"] == 30_000
