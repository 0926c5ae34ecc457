"""What only a real process shows: imports, pipes, signals, the environment, the screen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import process

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "onnxruntime",
    "onnx",
    "sklearn",
    "scipy",
)
IMPORTED = """
import sys
sys.argv = ["retro", *{args!r}]
from retro_cli.cli.app import main
try:
    main()
except SystemExit as ended:
    code = ended.code
print("IMPORTED", *sorted({{name.split(".")[0] for name in sys.modules}}), file=sys.stderr)
sys.exit(code)
"""


def imported_by(*args: object) -> set[str]:
    code = IMPORTED.format(args=[str(arg) for arg in args])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.rsplit("IMPORTED", 1)[1].split())


def test_help_imports_nothing_heavy():
    assert imported_by("--help").isdisjoint({*HEAVY, "numpy", "faiss", "pyarrow", "tokenizers"})


@pytest.mark.parametrize("command", ["query", "chunk", "embed", "index"])
def test_help_of_a_command_imports_nothing_heavy(command):
    assert imported_by(command, "--help").isdisjoint({*HEAVY, "numpy", "faiss", "pyarrow"})


def test_a_cold_query_imports_neither_torch_nor_a_runtime(db):
    loaded = imported_by("query", db, "the ferry")
    assert loaded.isdisjoint(HEAVY)
    assert {"numpy", "faiss", "pyarrow", "tokenizers"} <= loaded


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


def test_ctrl_c_says_that_it_resumes_and_leaves_a_good_database(tmp_path, static_encoder):
    path = tmp_path / "big.jsonl"
    with path.open("w") as file:
        for number in range(40_000):
            file.write(
                f'{{"id": "d{number}", "text": "the ferry {number} left harbour {number}"}}\n'
            )
    ask = ["chunk", str(path), "--db", str(tmp_path / "b.db"), "--encoder", str(static_encoder)]
    ask += ["--part-size", "1", "--workers", "1"]
    running = subprocess.Popen(
        [sys.executable, "-m", "retro_cli", *ask], stderr=subprocess.PIPE, text=True
    )
    journal = tmp_path / "b.db" / "chunks" / "journal.jsonl"
    while not journal.exists() and running.poll() is None:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "resumes" in said
    again = process(*ask)
    assert again.returncode == 0
    assert "resuming" in again.stderr
    stages = json.loads(process("status", tmp_path / "b.db", "--json").stdout)["stages"]
    assert stages[0]["facts"]["documents"] == 40_000
