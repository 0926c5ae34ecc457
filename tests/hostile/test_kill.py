"""Killed at every write, or out of disk at every write: a rerun ends as if nothing had happened.

And before it, a database that has an index answers from a whole generation.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers import write_jsonl

DRIVER = Path(__file__).parent / "kill_driver.py"
MEMORY, ROOM = Path("/dev/shm"), 500_000_000


@pytest.fixture
def work(tmp_path):
    """A folder for some databases: in memory where there is such a place, as thousands of calls of
    fsync on a disk take minutes and show nothing more."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(dir=MEMORY if in_memory else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.parametrize("how", ["kill", "full"])
@pytest.mark.parametrize(
    ("stage", "least"),
    [
        ("chunk", 20),
        ("embed", 10),
        ("index", 12),
        ("filter", 12),
        ("purge", 30),
        ("neighbours", 10),
        ("texts", 20),
        ("compact", 10),
        ("undo", 10),
        ("rollback", 10),
        ("score", 10),
        ("chunk again", 20),
        ("embed again", 10),
        ("index again", 12),
    ],
)
def test_a_rerun_after_any_interruption_is_byte_equal(
    tmp_path, work, static_encoder, stage, least, how
):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(3):
        (corpus / f"{number}.txt").write_text(f"the ferry number {number} left. " * 12)
    lines = [{"id": f"r{n}", "text": f"the keeper and boat {n}"} for n in range(20)]
    path = write_jsonl(corpus / "r.jsonl", lines)
    with path.open("a") as file:
        file.write('{"broken\n')
    done = subprocess.run(
        [sys.executable, DRIVER, stage, corpus, static_encoder, work, how],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["interruptions"] >= least
    assert found["failed"] == []
    assert found["different"] == []
    assert found["wrong"] == []
