"""Work that tells as it goes: a thread's values as lines of JSON, until nobody listens."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from retro_cli.database import Database
from retro_cli.serving.failures import TooSlow, status_of, told
from retro_cli.serving.lanes import Lane

LOG = logging.getLogger("retro.serve")
Tell = Callable[[dict[str, Any]], None]
_END = None


class Gone(Exception):
    """Nobody waits for the rest."""


class Stop:
    """Whether work should end before it is done. ``check`` is asked by the thread that works."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._end = seconds, time.monotonic() + seconds
        self._gone = False

    def set(self) -> None:
        """The client is gone."""
        self._gone = True

    def check(self) -> None:
        """Raises Gone, TooSlow."""
        if self._gone:
            raise Gone
        if time.monotonic() > self._end:
            raise TooSlow(self._seconds)


class Streamed:
    """Work of a lane as lines of JSON. Begun at once: raises Busy where the lane is full."""

    def __init__(self, lane: Lane, work: Callable[[Database, Tell, Stop], None]) -> None:
        """work: is given what takes its values, and asks now and then whether it should stop."""
        self._loop = asyncio.get_running_loop()
        self._values: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._stop = Stop(lane.seconds)
        self._job = lane.begin(lambda database: self._do(work, database))
        self._job.add_done_callback(lambda _: self._put(_END))

    def _do(self, work: Callable[[Database, Tell, Stop], None], database: Database) -> None:
        try:
            self._stop.check()
            work(database, self._put, self._stop)
        except Gone:
            LOG.info("a client hung up; its work ends")

    def _put(self, value: dict[str, Any] | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server ended
            self._loop.call_soon_threadsafe(self._values.put_nowait, value)

    async def lines(self) -> AsyncIterator[bytes]:
        """Each value as a line; where the work failed, the last one says why. Whoever leaves
        early ends the work, at its next token."""
        try:
            while (value := await self._values.get()) is not _END:
                yield _line(value)
            if self._job.cancelled():
                yield _line({"event": "error", "error": "the server ends", "hint": ""})
            elif error := self._job.exception():
                if status_of(error) == 500:  # type: ignore[arg-type]
                    LOG.error("a stream failed", exc_info=error)
                yield _line({"event": "error", **told(error)})  # type: ignore[arg-type]
        finally:
            self._stop.set()
            self._job.cancel()


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
