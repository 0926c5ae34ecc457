"""Standard output that takes nothing more, or is not there: said in words, and never a defect."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is full")


def shell(where: str, *args: object) -> subprocess.CompletedProcess:
    """``retro ARGS WHERE`` in a shell, WHERE being a redirection or a pipe."""
    words = shlex.join([sys.executable, "-m", "retro_cli", *map(str, args)])
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{words} {where}"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )


def said(done: subprocess.CompletedProcess, code: int, error: str) -> None:
    """One error, one hint, and nothing that the interpreter adds when it ends."""
    first, second = done.stderr.splitlines()
    assert (done.returncode, first) == (code, f"error: {error}")
    assert second.startswith("hint: ")


@needs_full
@pytest.mark.parametrize(
    "words", [["query", "DB", "the ferry"], ["sources", "DB"], ["status", "DB", "--check"]]
)
def test_output_on_a_full_disk_is_said_to_be_that(db, words):
    done = shell("> /dev/full", *(db if word == "DB" else word for word in words))
    said(done, 1, "no space left while writing standard output")


@needs_full
def test_so_is_a_long_one_that_is_written_on_the_way(db, tmp_path):
    (tmp_path / "q.txt").write_text("the ferry\n" * 300)
    done = shell("> /dev/full", "query", db, "--queries", tmp_path / "q.txt", "-k", 99)
    said(done, 1, "no space left while writing standard output")


@needs_full
def test_another_error_is_not_hidden_by_it(db):
    (next((db / "embeddings").glob("*.npy"))).unlink()
    done = shell("> /dev/full", "verify", db)
    assert done.returncode == 4
    assert "error: " in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("words", [["query", "DB", "the ferry"], ["chunk", "a.txt", "--db", "DB"]])
def test_a_closed_output_is_refused_before_a_file_takes_its_place(db, words):
    done = shell(">&-", *(db if word == "DB" else word for word in words))
    said(done, 2, "standard output is closed")


def test_remarks_that_nobody_wants_are_no_defect(db):
    done = shell("2>&-", "query", db, "the ferry", "--json")
    assert done.returncode == 0
    assert done.stdout.startswith('{"query"')
    assert shell("2>&-", "query", db, "").returncode == 2


def test_a_reader_that_has_gone_does_not_change_the_exit_code(db):
    done = shell("| true", "status", db)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words", [["--help"], ["filter", "--help"], ["query", "--help"], ["--version"]]
)
def test_help_that_is_read_in_part_ends_well(words):
    done = shell("| true", *words)
    assert (done.returncode, done.stderr) == (0, "")


@needs_full
@pytest.mark.parametrize("words", [["--help"], ["query", "--help"], ["--version"]])
def test_help_on_a_full_disk_is_no_defect(words):
    said(shell("> /dev/full", *words), 1, "no space left while writing standard output")


def test_help_keeps_the_exit_codes_of_the_parser():
    assert shell("", "--help").returncode == 0
    assert shell("", "query").returncode == 2
    said(shell(">&-", "--version"), 2, "standard output is closed")
