"""A cluster of two nodes: the same database, whatever dies, and clear words for what is wrong.

One cluster serves all tests here; the last ones take a node away from it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from engine_functions import die_once, square, where_am_i_until_9
from helpers import fingerprint, write_jsonl

from retro_cli import Database, pipeline
from retro_cli.engine import HERE, Load, Where, knock, open_replicas
from retro_cli.engine.worker import installed
from retro_cli.errors import MissingExtra, RetroError, UsageError
from retro_cli.events import SILENT
from retro_cli.index import merging, work
from retro_cli.index.stage import IndexJob
from retro_cli.query.table import NeighbourSettings
from retro_cli.store.layout import Layout
from retro_cli.upkeep.scoring import score_database

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]
HERE_ARE_TESTS = Path(__file__).parent.parent
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
# What may differ: the cache of file times, timings, the lock's own file, and Tantivy's names.
NOT_COMPARED = (".verified.json", "measured-", "lexical/")


@pytest.fixture(scope="module")
def cluster():
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{HERE_ARE_TESTS.parent}{os.pathsep}{HERE_ARE_TESTS}")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster()
        try:
            started(made)
            made.second = started(made)
            ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


def started(cluster):
    """A node. Ray gives it half a minute, which may be too little on a machine with much to do."""
    for _ in range(3):
        try:
            return cluster.add_node(**NODE)
        except Exception as error:
            late = error
    raise late


@pytest.fixture
def engine(cluster, tmp_path):
    """An engine on the cluster, for a number of pieces."""
    from retro_cli.engine.ray import Ray

    return lambda pieces, **load: Ray("", 0, Load(pieces, 1, tmp_path, **load), 1, SILENT)


def build(root, corpus, encoder, where):
    """All stages that have parts, on one engine; the sha256 of every file that was made."""
    layout = Layout(root)
    few = Where(where.engine, where.address, 1)  # each process takes a second
    how = pipeline.ChunkOptions(where.workers, part_bytes=400, engine=where.engine)
    pipeline.chunk(layout, [str(corpus)], {"tokens": 16, "encoder": str(encoder)}, how)
    pipeline.embed(layout, where=few)
    pipeline.index(layout, IndexJob(layout, threads=1, where=few))
    score_database(layout, "words", where=few)
    pipeline.neighbours(layout, "n", NeighbourSettings(), where=few)
    found = {str(Path(path).relative_to(root)): sha for path, sha in fingerprint(root).items()}
    return {name: sha for name, sha in found.items() if not any(n in name for n in NOT_COMPARED)}


def test_every_engine_makes_the_same_database(
    cluster, archive, static_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(work, "SEGMENT_ROWS", 20)
    here = build(tmp_path / "here", archive, static_encoder, HERE)
    assert sum("segment" in name for name in here)
    assert sum(name.endswith(".npy") for name in here) > 2
    assert build(tmp_path / "ray", archive, static_encoder, Where("ray", "", 2)) == here


def test_the_stages_that_had_no_pool_make_the_same_in_one(
    archive, static_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(work, "SEGMENT_ROWS", 20)
    here = build(tmp_path / "here", archive, static_encoder, HERE)
    assert build(tmp_path / "two", archive, static_encoder, Where("processes", "", 2)) == here


def test_replicas_answer_as_one_process_does_also_when_one_dies(
    cluster, archive, static_encoder, tmp_path, monkeypatch
):
    import ray

    for module, name, rows in (
        (work, "SEGMENT_ROWS", 20), (merging, "SEGMENT_ROWS", 20), (merging, "CHEAP_ROWS", 0),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, rows)
    build(tmp_path / "a.db", archive, static_encoder, HERE)
    with Database.open(tmp_path / "a.db") as here, closing(open_replicas("", 2)) as replicas:
        assert len(here.retriever.generation.segments) > 2
        rows = np.eye(9, here.retriever.generation.encoder.dim, dtype=np.float32)
        asked = []

        class Counting:
            def ask(self, function, pieces):
                found = replicas.ask(function, pieces)
                asked.append([each is not None for each in found])
                return found

        with Database.open(tmp_path / "a.db", helpers=Counting()) as there:

            def same():
                mine, theirs = (each.retriever.nearest(rows, 7) for each in (here, there))
                return all(a.tobytes() == b.tobytes() for a, b in zip(mine, theirs, strict=True))

            until(lambda: same() and all(asked[-1]))
            ray.kill(replicas._seats[0].worker)
            assert same()
            assert any(asked[-1])
            until(lambda: same() and all(asked[-1]))


def test_workers_stay_take_over_the_settings_and_send_their_errors_whole(engine, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = []
    with pytest.raises(MissingExtra, match="reading PDF files needs the extra 'pdf'") as caught:
        found.extend(engine(10).run(where_am_i_until_9, range(10)))
    assert socket.gethostname() in caught.value.__notes__[0]
    assert {position for position, _ in found} >= set(range(8))
    assert len({pid for _, (pid, _, _) in found}) == 2
    assert {(threads, offline) for _, (_, threads, offline) in found} == {("1", "1")}


def test_a_machine_with_other_versions_is_refused():
    from retro_cli.engine.ray import check

    older = {**installed(), "retro": "0.0.9"}
    with pytest.raises(RetroError, match=r"retro is 0\.0\.9 there and 0\.1\.0") as caught:
        check("node7", older, {}, ())
    assert "same versions" in caught.value.hint
    assert caught.value.message.startswith("node7 of the Ray cluster")
    check("node7", installed(), {}, ())


def test_a_machine_that_sees_other_files_is_refused(engine):
    own = Path("/proc/self/cmdline")  # another one for each process
    with pytest.raises(RetroError, match=f"does not see the same files: {own}"):
        list(engine(1, reads=(own,)).run(square, [1]))


def test_a_driver_that_is_killed_leaves_what_is_finished(cluster, retro, static_encoder, tmp_path):
    records = [{"id": str(n), "text": f"the ferry {n} left harbour {n}. " * 9} for n in range(9000)]
    corpus = write_jsonl(tmp_path / "c.jsonl", records)
    ask = ["chunk", corpus, "--encoder", static_encoder, "--part-size", 1, "--db"]
    ray = ["--engine", "ray", "--ray-address", cluster.address, "--workers", 1]
    command = [sys.executable, "-m", "retro_cli", *map(str, [*ask, tmp_path / "r.db", *ray])]
    driver = subprocess.Popen(command, start_new_session=True)
    journal = tmp_path / "r.db" / "chunks" / "journal.jsonl"
    until(lambda: journal.exists() and b'"parts"' in journal.read_bytes())
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    until(lambda: cluster_is_idle(2))
    assert "resuming: " in retro(*ask, tmp_path / "r.db", "--workers", 1).err
    assert retro(*ask, tmp_path / "h.db", "--workers", 1).code == 0
    parts = [sorted(p.name for p in (tmp_path / db / "chunks").glob("part-*")) for db in "rh"]
    assert parts[0] == parts[1]


def test_a_worker_and_a_node_that_die_cost_nothing(cluster, engine, tmp_path):
    found = []
    for each in engine(12).run(partial(die_once, tmp_path / "died"), range(12)):
        if not found:
            cluster.remove_node(cluster.second, allow_graceful=False)
        found.append(each)
    assert sorted(found) == [(n, n) for n in range(12)]
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "head:port", ""])
def test_what_is_no_address_is_a_usage_error(address):
    with pytest.raises(UsageError, match="is no address of a Ray cluster"):
        knock.require_cluster(address)


def test_an_address_at_which_nobody_answers_is_an_error_in_bounded_time(monkeypatch):
    monkeypatch.setattr(knock, "SECONDS", 2.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(RetroError, match=f"no Ray cluster answers at {nobody}"):
            knock.require_cluster(nobody)
        deaf.listen()
        begun = time.monotonic()
        with pytest.raises(RetroError, match=f"no Ray cluster answers at {nobody}"):
            knock.require_cluster(nobody)
        assert time.monotonic() - begun < 30


def cluster_is_idle(processors):
    import ray

    return ray.available_resources().get("CPU") == processors


def until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
