"""Run a pure function over many pieces of work, here or in worker processes.

A stage is a function over parts and knows nothing of where a part runs. Results come back as
they finish; the caller journals each one and orders them at its commit.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import connection
from typing import TypeVar

from retro_cli.errors import RetroError

Work = TypeVar("Work")
Result = TypeVar("Result")


def cores() -> int:
    """Processors this process may use (affinity and cgroup masks count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_parts(
    function: Callable[[Work], Result], work: Iterable[Work], workers: int
) -> Iterator[tuple[int, Result]]:
    """Yield the position of each piece of work and what ``function`` makes of it, as it arrives.

    With one worker or one piece of work everything runs in this process, in order. Otherwise
    ``function`` must be importable and its argument picklable. An error in a worker ends the
    run; what was yielded before stays done.
    """
    upcoming = iter(work)
    first = list(islice(upcoming, workers))
    work, workers = chain(first, upcoming), len(first)
    if workers <= 1:
        for position, piece in enumerate(work):
            yield position, function(piece)
        return
    # spawn: pyarrow, faiss and tokenizers keep threads that a fork would copy half-alive.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    try:
        yield from _bounded(pool, function, work, workers)
    except BrokenProcessPool as error:
        raise RetroError(
            "a worker process died (killed, or out of memory)",
            "run the same command again, it resumes; fewer --workers need less memory; in a "
            "script of your own, call it below: if __name__ == '__main__'",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _bounded(
    pool: ProcessPoolExecutor,
    function: Callable[[Work], Result],
    work: Iterable[Work],
    workers: int,
) -> Iterator[tuple[int, Result]]:
    """Keep a few pieces in flight, not a million queued ones."""
    positions: dict[Future[Result], int] = {}
    upcoming = iter(enumerate(work))
    exhausted = False
    while True:
        while not exhausted and len(positions) < 2 * workers:
            following = next(upcoming, None)
            if following is None:
                exhausted = True
            else:
                positions[pool.submit(function, following[1])] = following[0]
        if not positions:
            return
        done, _ = wait(positions, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=positions.__getitem__):
            yield positions.pop(future), future.result()


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
