"""The pool of a Ray engine, without a cluster: workers that die or never come, as drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.engine import Load
from retro_cli.engine.interface import ATTEMPTS
from retro_cli.engine.queue import Queue
from retro_cli.errors import RetroError
from retro_cli.events import SILENT

ray = pytest.importorskip("ray")
pool_module = pytest.importorskip("retro_cli.engine.ray")
Died = ray.exceptions.ActorDiedError


class Cluster:
    """``deaths``: for each call in turn whether its worker dies of it, then never again."""

    def __init__(self, deaths, room):
        self.deaths, self.rooms = iter(deaths), iter(room)
        self.progress, self.threads, self.last = SILENT, 1, 1
        self.load = Load(9, 1, Path())
        self.killed = []

    def room(self):
        self.last = next(self.rooms, self.last)
        return self.last

    def start(self, threads, gpu):
        assert (threads, gpu) == (self.threads, self.load.gpu)

        def call(method):
            return SimpleNamespace(remote=lambda *said: _Report(self, method, said))

        return SimpleNamespace(about=call("about"), work=call("work"))

    def get(self, report):
        if next(self.deaths, False):
            raise Died
        if report.method == "about":
            return "node1", pool_module.installed(), {}
        function, piece = report.said
        return function(piece), None, ""

    def wait(self, reports, **_):
        return reports[:1], reports[1:]


class _Report:
    def __init__(self, cluster, method, said):
        self.cluster, self.method, self.said = cluster, method, said


def run(cluster, pieces, monkeypatch):
    names = {"wait": cluster.wait, "get": cluster.get, "kill": cluster.killed.append}
    monkeypatch.setattr(pool_module, "ray", SimpleNamespace(**names))
    monkeypatch.setattr(pool_module, "start_worker", cluster.start)
    monkeypatch.setattr(pool_module, "_LOOK", 0.0)
    pool = pool_module._Pool(cluster, Queue(range(pieces)), lambda piece: -piece, ())
    return list(pool.run())


@given(
    st.lists(st.booleans(), max_size=12), st.lists(st.integers(1, 4), max_size=5), st.integers(0, 9)
)
def test_whoever_dies_every_piece_comes_back_once_or_the_run_says_why(deaths, room, pieces):
    with pytest.MonkeyPatch.context() as patch:
        cluster = Cluster(deaths, room)
        try:
            found = run(cluster, pieces, patch)
        except RetroError:
            assert sum(deaths) >= ATTEMPTS
        else:
            assert Counter(found) == Counter((piece, -piece) for piece in range(pieces))


def test_workers_that_never_begin_end_the_run(monkeypatch):
    with pytest.raises(RetroError, match="no worker can begin on the Ray cluster"):
        run(Cluster([True] * 99, [2]), 3, monkeypatch)


def test_a_machine_without_retro_ends_the_run_at_once(monkeypatch):
    cluster = Cluster([], [1])

    def refuse(report):
        raise ray.exceptions.RayTaskError("about", "No module named 'retro_cli'", ImportError())

    monkeypatch.setattr(cluster, "get", refuse)
    with pytest.raises(RetroError, match="no worker can begin") as caught:
        run(cluster, 3, monkeypatch)
    assert "this version of retro" in caught.value.hint


def test_without_a_worker_for_long_the_run_gives_up(monkeypatch):
    cluster = Cluster([], [1])
    monkeypatch.setattr(cluster, "wait", lambda reports, **_: ([], reports))
    monkeypatch.setattr(pool_module, "PATIENCE", 0.0)
    with pytest.raises(RetroError, match="the Ray cluster gave no worker in 0 s"):
        run(cluster, 3, monkeypatch)
