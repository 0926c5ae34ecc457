"""A pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection

from retro_cli.engine.interface import ATTEMPTS, Result, Work
from retro_cli.engine.queue import Queue
from retro_cli.errors import RetroError


@dataclass(frozen=True)
class Processes:
    workers: int
    threads: int = 1
    here: bool = False

    def run(
        self, function: Callable[[Work], Result], work: Iterable[Work]
    ) -> Generator[tuple[int, Result]]:
        """A process that dies takes the whole pool with it; what was in flight goes to a new one.

        Raises RetroError once that has happened several times and nothing was finished between.
        """
        queue, broken = Queue(work), 0
        while (first := queue.take()) is not None:
            queue.put_back(*first)
            flight: dict[Future[Result], tuple[int, Work]] = {}
            pool = _pool(self.workers)
            try:
                for done in self._bounded(pool, function, queue, flight):
                    broken = 0
                    yield done
            except BrokenProcessPool as error:
                broken += 1
                if broken == ATTEMPTS:
                    raise _died() from error
                for position, piece in sorted(flight.values(), key=lambda each: each[0]):
                    queue.put_back(position, piece)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _bounded(
        self,
        pool: ProcessPoolExecutor,
        function: Callable[[Work], Result],
        queue: Queue[Work],
        flight: dict[Future[Result], tuple[int, Work]],
    ) -> Generator[tuple[int, Result]]:
        """Keep a few pieces in flight, not a million queued ones."""
        while True:
            while len(flight) < 2 * self.workers and (following := queue.take()) is not None:
                try:
                    flight[pool.submit(function, following[1])] = following
                except BrokenProcessPool:
                    queue.put_back(*following)
                    raise
            if not flight:
                return
            done, _ = wait(flight, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda each: flight[each][0]):
                result = future.result()
                yield flight.pop(future)[0], result


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: pyarrow, faiss and tokenizers keep threads that a fork would copy half-alive.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)


def _died() -> RetroError:
    return RetroError(
        "worker processes died again and again (killed, or out of memory)",
        "run the same command again, it resumes; fewer --workers need less memory; in a "
        "script of your own, call it below: if __name__ == '__main__'",
    )


def _begin_worker() -> None:
    # Ctrl-C goes to the whole process group; the parent decides, workers finish or are ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
