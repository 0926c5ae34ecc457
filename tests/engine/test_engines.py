"""Where parts run must not change what comes out."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from engine_functions import die, die_once, refuse, square
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.engine import Load, Where, open_engine
from retro_cli.engine.local import Local
from retro_cli.engine.open import ENGINES as ENGINE_NAMES
from retro_cli.engine.open import POOL_PAYS, RAY_PAYS, choose
from retro_cli.engine.processes import Processes
from retro_cli.engine.queue import Queue
from retro_cli.errors import MissingExtra, RetroError, UsageError
from retro_cli.events import Silent

ENGINES = [Local(1), Processes(2)]


def run(engine, function, work):
    return list(engine.run(function, work))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_piece_comes_back_once_with_its_position(engine):
    assert sorted(run(engine, square, range(20))) == [(n, n * n) for n in range(20)]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_of_a_worker_arrives_whole(engine):
    with pytest.raises(MissingExtra) as caught:
        run(engine, refuse, [1, 2])
    assert caught.value.message == "reading PDF files needs the extra 'pdf'"
    assert "retro-cli[pdf]" in caught.value.hint


def test_a_worker_that_is_killed_once_costs_nothing(tmp_path):
    found = run(Processes(2), partial(die_once, tmp_path / "died"), range(8))
    assert sorted(found) == [(n, n) for n in range(8)]
    assert (tmp_path / "died").exists()


def test_a_piece_at_which_every_worker_dies_is_an_error_not_a_hang():
    found = []
    with pytest.raises(RetroError, match="died again and again"):
        found.extend(Processes(2).run(die, range(8)))
    assert len(found) == len(set(found))


def test_pieces_whose_worker_died_come_first_and_not_for_ever():
    queue = Queue("abc")
    assert queue.take() == (0, "a")
    queue.died(0, "a")
    queue.put_back(7, "x")
    assert [queue.take() for _ in range(5)] == [(0, "a"), (7, "x"), (1, "b"), (2, "c"), None]
    queue.died(0, "a")
    with pytest.raises(RetroError, match="3 worker processes died at the same piece"):
        queue.died(0, "a")


@given(st.integers(0, 12), st.integers(0, 4), st.floats(0, 1e6), st.integers(0, 3), st.booleans())
def test_the_choice_is_the_one_that_was_asked_for_or_one_that_pays(
    pieces, workers, seconds, sensible, cluster
):
    load = Load(pieces, seconds, Path(), sensible)
    for name in ENGINE_NAMES:
        assert choose(Where(name, "", workers), load).name == name
    chosen = choose(Where("", "head:6379" if cluster else "", workers), load)
    assert chosen.why
    if chosen.name == "ray":
        assert cluster
        assert seconds >= RAY_PAYS
    if pieces <= 1:
        assert chosen.name == "local"
    if chosen.name == "processes":
        assert chosen.workers > 1
        assert workers or seconds >= POOL_PAYS


def test_an_engine_that_does_not_exist_is_a_usage_error():
    with pytest.raises(UsageError, match="no engine 'spark'") as caught:
        choose(Where("spark"), Load(1, 1, Path()))
    assert caught.value.hint == "choose one of local, processes, ray"


def test_a_cluster_that_little_work_does_not_use_is_remarked(notes):
    engine = open_engine(Where("", "head:6379"), Load(9, 0.5, Path(), 2), notes)
    assert isinstance(engine, Local)
    assert "local, because there is about 0.5 s of work" in notes.said[0]


def test_without_the_extra_the_engine_ray_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "retro_cli.engine.ray", raising=False)
    with pytest.raises(MissingExtra, match="needs the extra 'ray'"):
        open_engine(Where("ray"), Load(2, 1, Path()))


@pytest.fixture
def notes():
    class Notes(Silent):
        said: ClassVar[list[str]] = []

        def note(self, message):
            self.said.append(message)

    return Notes()


ORPHANS = """
import sys
sys.path.insert(0, {here!r})
from engine_functions import tell_and_sleep
from retro_cli.engine.processes import Processes
if __name__ == "__main__":
    list(Processes(2).run(tell_and_sleep, [{folder!r}] * 10_000))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_a_parent_that_was_killed(tmp_path, how):
    script = tmp_path / "run.py"
    told = tmp_path / "told"
    told.mkdir()
    script.write_text(ORPHANS.format(here=str(Path(__file__).parent.parent), folder=str(told)))
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
