"""Where parts run must not change what comes out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retro_cli.engine import run_parts
from retro_cli.errors import MissingExtra, RetroError


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise MissingExtra("reading PDF files", "pdf")


def die(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_piece_comes_back_once_with_its_position(workers):
    found = dict(run_parts(square, list(range(20)), workers))
    assert found == {number: number * number for number in range(20)}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_worker_arrives_whole(workers):
    with pytest.raises(MissingExtra) as caught:
        list(run_parts(refuse, [1, 2], workers))
    assert caught.value.message == "reading PDF files needs the extra 'pdf'"
    assert "retro-cli[pdf]" in caught.value.hint


def test_a_worker_that_dies_is_an_error_not_a_hang():
    with pytest.raises(RetroError, match="a worker process died"):
        list(run_parts(die, list(range(8)), 2))


def tell_and_sleep(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(0.2)


ORPHANS = """
import sys
sys.path.insert(0, {here!r})
from test_local import tell_and_sleep
from retro_cli.engine.local import run_parts
if __name__ == "__main__":
    list(run_parts(tell_and_sleep, [{folder!r}] * 10_000, 2))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_a_parent_that_was_killed(tmp_path, how):
    script = tmp_path / "run.py"
    told = tmp_path / "told"
    told.mkdir()
    script.write_text(ORPHANS.format(here=str(Path(__file__).parent), folder=str(told)))
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        until(lambda: len(list(told.iterdir())) == 2)
        workers = [int(path.name) for path in told.iterdir()]
        assert all(map(alive, workers))
    finally:
        parent.send_signal(how)
        parent.wait()
    until(lambda: not any(map(alive, workers)))


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
