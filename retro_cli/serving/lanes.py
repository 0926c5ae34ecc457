"""A lane: one thread with one open database, where work is done piece after piece.

What is quick must not wait for what is slow, so each kind of work has a lane of its own. Within a
lane nothing runs beside anything else: an opened generation is never closed under a reader.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from retro_cli.database import Database
from retro_cli.serving.failures import Busy, TooSlow

T = TypeVar("T")


class Lane:
    """Work on the newest generation: one that came before a piece of work began is opened first,
    so that what a rule has taken is in no answer to a request that came after it."""

    def __init__(
        self,
        name: str,
        opened: Callable[[], Database],
        waiting: int,
        seconds: float,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """opened: opens the database, when it is first needed. waiting: pieces of work at most,
        the one in work too. seconds: that an answer may take. prepare: called in the thread."""
        self.name, self.seconds = name, seconds
        self._opened = opened
        self._places = threading.BoundedSemaphore(waiting)
        self._thread = ThreadPoolExecutor(1, name, prepare)
        self._database: Database | None = None

    async def run(self, work: Callable[[Database], T]) -> T:
        """What the work gives. Raises Busy, TooSlow, and what the work raises.

        Work that nobody waits for any more is not begun; what has begun comes to its end.
        """
        job = self.begin(work)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job), self.seconds)
        except TimeoutError:
            raise TooSlow(self.seconds) from None

    def begin(self, work: Callable[[Database], T]) -> Future[T]:
        """The same, for whoever does not wait. Raises Busy."""
        if not self._places.acquire(blocking=False):
            raise Busy
        job = self._thread.submit(self._do, work)
        job.add_done_callback(lambda _: self._places.release())
        return job

    def _do(self, work: Callable[[Database], T]) -> T:
        if self._database is None:
            self._database = self._opened()
        self._database.renew()
        return work(self._database)

    def close(self) -> None:
        """Nothing is begun any more; what has begun ends first."""
        self._thread.shutdown(cancel_futures=True)
        if self._database is not None:
            self._database.close()
            self._database = None
