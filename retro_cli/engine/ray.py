"""A pool of workers on a Ray cluster. Ray is imported here and in ``replicas``, nowhere else.

Each worker is an actor: a process that works on one piece at a time and keeps what it has loaded.
The parent deals the pieces out and takes the results, so what is journalled is journalled once. A
worker that dies, or whose machine leaves, costs the piece it was at; another one takes that piece,
and a new worker is asked for, which begins when there is room for it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

import ray
from ray.exceptions import RayError, RayTaskError

from retro_cli.engine.interface import ATTEMPTS, Load, Result, Work
from retro_cli.engine.knock import require_cluster
from retro_cli.engine.local import cores
from retro_cli.engine.queue import Queue
from retro_cli.engine.worker import Worker, difference, installed, sights
from retro_cli.errors import RetroError
from retro_cli.events import Progress
from retro_cli.store.atomic import TEMPORARY

PATIENCE = 300.0  # seconds without any worker before the run gives up
_LOOK = 5.0
# Settings that a worker takes over from this process. Nothing secret: Ray shows them.
CARRIED = (
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
    "TRANSFORMERS_OFFLINE",
    "XDG_CACHE_HOME",
)
_OBJECTS = 100 << 20  # bytes of Ray's object store here; results are a few hundred each


@dataclass(frozen=True)
class Ray:
    """address: HOST:PORT, auto, or "" for a Ray of our own on this machine. workers: 0 for as many
    as the cluster has processors (or GPUs) for."""

    address: str
    workers: int
    load: Load
    threads: int
    progress: Progress
    here: bool = False

    def run(
        self, function: Callable[[Work], Result], work: Iterable[Work]
    ) -> Generator[tuple[int, Result]]:
        """Raises RetroError if the cluster does not answer, gives no worker in time, or has
        machines that are not like this one; and for a piece at which several workers died."""
        queue = Queue(work)
        if (first := queue.take()) is None:
            return
        queue.put_back(*first)
        # What Ray has to say of dying workers it prints; standard output is for data.
        with (
            joined(self.address),
            _beacon(self.load.folder) as beacon,
            redirect_stdout(sys.stderr),
        ):
            pool = _Pool(self, queue, function, (beacon, *self.load.reads))
            try:
                yield from pool.run()
            finally:
                pool.close()

    def room(self) -> int:
        """How many workers to ask for."""
        found = ray.cluster_resources()
        room = found.get("GPU", 0) if self.load.gpu else found.get("CPU", 0) // self.threads
        return max(1, min(self.workers or int(room), self.load.pieces))


def start_worker(threads: int, gpu: bool) -> Any:
    """A new worker; it may take long to come."""
    carried = {name: os.environ[name] for name in CARRIED if name in os.environ}
    carried["OMP_NUM_THREADS"] = str(threads)
    options = {
        "num_cpus": threads,
        "num_gpus": 1 if gpu else 0,
        "max_restarts": 0,
        "runtime_env": {"env_vars": carried},
    }
    return ray.remote(Worker).options(**options).remote(os.getcwd())


@dataclass
class _Pool(Generic[Work, Result]):
    """Who is coming, who is idle, and who is at which piece, by what they will report."""

    engine: Ray
    queue: Queue[Work]
    function: Callable[[Work], Result]
    paths: tuple[Path, ...]
    coming: dict[Any, Any] = field(default_factory=dict)
    idle: list[Any] = field(default_factory=list)
    busy: dict[Any, tuple[Any, int, Work]] = field(default_factory=dict)
    unborn: int = 0  # workers in a row that died before they could begin
    look: float = 0.0  # when to look for room again
    seen: float = field(default_factory=time.monotonic)  # when there last was a worker

    def run(self) -> Iterator[tuple[int, Result]]:
        while self.deal():
            self.look_for_room()
            reports = [*self.busy, *self.coming]
            done, _ = ray.wait(reports, num_returns=1, timeout=_LOOK)
            if not done:
                self.be_patient()
            for report in done:
                if report in self.coming:
                    self.welcome(report)
                elif (found := self.take(report)) is not None:
                    yield found

    def look_for_room(self) -> None:
        """Ask for as many workers as there is room for by now: machines come and go."""
        if time.monotonic() >= self.look:
            self.look = time.monotonic() + _LOOK
            self.grow(self.engine.room() - len(self.idle) - len(self.coming) - len(self.busy))

    def grow(self, workers: int) -> None:
        for _ in range(workers):
            worker = start_worker(self.engine.threads, self.engine.load.gpu)
            self.coming[worker.about.remote(self.paths)] = worker

    def deal(self) -> bool:
        """Give every idle worker a piece; returns whether there is something to wait for."""
        while self.idle and (following := self.queue.take()) is not None:
            worker = self.idle.pop()
            self.busy[worker.work.remote(self.function, following[1])] = (worker, *following)
        return bool(self.busy) or not self.idle

    def welcome(self, report: Any) -> None:
        """A worker is there. Raises RetroError if it cannot take part, or none ever could."""
        worker = self.coming.pop(report)
        try:
            host, there, sees = ray.get(report)
        except RayError as error:
            self.unborn += 1
            refused = isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False)
            if refused or (self.unborn >= ATTEMPTS and not self.busy and not self.idle):
                why = " ".join(str(error).split())[-300:]
                raise RetroError(
                    f"no worker can begin on the Ray cluster: {why}",
                    "install this version of retro, with the same packages, on every machine",
                ) from error
            self.grow(1)
            return
        check(host, there, sees, self.paths)
        self.idle.append(worker)
        self.unborn, self.seen = 0, time.monotonic()

    def take(self, report: Any) -> tuple[int, Result] | None:
        """What a worker made of its piece, or None if it died. Raises what the function raised."""
        worker, position, piece = self.busy.pop(report)
        self.seen = time.monotonic()
        try:
            result, error, whence = ray.get(report)
        except RayTaskError:
            raise
        except RayError:
            with suppress(Exception):  # it may only be out of reach: it must not go on
                ray.kill(worker)
            self.queue.died(position, piece)
            self.engine.progress.note("engine: a worker died; another one takes its piece")
            self.grow(1)
            return None
        if error is not None:
            error.add_note(whence)
            raise error
        self.idle.append(worker)
        return position, result

    def be_patient(self) -> None:
        """Raises RetroError if there has been no worker for long."""
        waited = time.monotonic() - self.seen
        if not self.busy and waited > PATIENCE:
            need = "a GPU" if self.engine.load.gpu else f"{self.engine.threads} free processors"
            raise RetroError(
                f"the Ray cluster gave no worker in {waited:.0f} s; each needs {need}",
                "see 'ray status'; --threads and --workers say what to ask for",
            )

    def close(self) -> None:
        """End every worker, whatever it is at."""
        everyone = [*self.idle, *self.coming.values(), *(entry[0] for entry in self.busy.values())]
        for worker in everyone:
            with suppress(Exception):
                ray.kill(worker)


def check(host: str, there: dict[str, str], sees: dict[str, str], paths: tuple[Path, ...]) -> None:
    """Raises RetroError unless a machine has the same programs and sees the same files."""
    if found := difference(installed(), there):
        raise RetroError(
            f"{host} of the Ray cluster is not like this machine: {found}",
            "install the same versions on every machine, best from one lock file or image",
        )
    if found := difference(sights(paths), sees):
        raise RetroError(
            f"{host} of the Ray cluster does not see the same files: {found}",
            "put corpus, database and models on a file system that all machines share, under the "
            "same paths",
        )


@contextmanager
def joined(address: str) -> Iterator[None]:
    """A driver of a cluster, or of a Ray of our own; one that the caller has joined stays."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        address = "local"
        quiet |= {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": _OBJECTS}
    else:
        require_cluster(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # Ray raises a bare one too
        raise RetroError(
            f"Ray does not start: {' '.join(str(error).split())[:300]}",
            "a machine with much to do may be too slow for it; --engine processes needs no Ray",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
        with suppress(ValueError):  # not the main thread: then Ray has set none either
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _beacon(folder: Path) -> Iterator[Path]:
    """A file that can only be seen by who sees this very folder."""
    path = folder.absolute() / f"beacon-{os.urandom(4).hex()}{TEMPORARY}"
    path.write_bytes(os.urandom(32))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
