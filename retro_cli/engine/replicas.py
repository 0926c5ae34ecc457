"""Workers of a Ray cluster that stay, and do the pieces of one question between them.

A piece always goes to the same worker, which so keeps what it has mapped. What a worker does not
do, because it died, is not there yet or takes too long, is left to whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from retro_cli.engine.ray import PATIENCE, check, joined, start_worker
from retro_cli.errors import RetroError

ANSWER = 2.0  # seconds that a piece may take


class Replicas:
    """address: HOST:PORT, auto, or "" for a Ray of our own on this machine."""

    def __init__(self, address: str, count: int) -> None:
        """Waits for the first of ``count`` workers. Raises RetroError if the cluster does not
        answer, gives none in time, or has machines that are not like this one."""
        self._stack = ExitStack()
        self._seats: list[_Seat] = []
        try:
            self._stack.enter_context(joined(address))
            self._seats = [_Seat() for _ in range(count)]
            ray.wait([seat.about for seat in self._seats], timeout=PATIENCE)
            there = [seat.ready() for seat in self._seats]  # all are looked at
            if not any(there):
                raise RetroError(
                    "the Ray cluster gave no worker; each needs a free processor",
                    "see 'ray status'; --replicas says how many to ask for",
                )
        except BaseException:
            self.close()
            raise

    def ask(self, function: Callable[[Any], Any], pieces: Sequence[Any]) -> list[Any]:
        """What the function gives for each piece, in order; None for one that was not done."""
        reports = [self._begin(at, function, piece) for at, piece in enumerate(pieces)]
        waiting = [report for report in reports if report is not None]
        done = set(
            ray.wait(waiting, num_returns=len(waiting), timeout=ANSWER)[0] if waiting else ()
        )
        for at, report in enumerate(reports):
            if report is not None and report not in done:
                self._seat(at).late.append(report)
        return [
            self._take(at, report) if report in done else None for at, report in enumerate(reports)
        ]

    def _seat(self, at: int) -> _Seat:
        return self._seats[at % len(self._seats)]

    def _begin(self, at: int, function: Callable[[Any], Any], piece: Any) -> Any:
        seat = self._seat(at)
        with suppress(RetroError):  # a machine that came later, and is not like this one
            if seat.ready():
                return seat.worker.work.remote(function, piece)
        return None

    def _take(self, at: int, report: Any) -> Any:
        try:
            result, _, _ = ray.get(report)
        except RayTaskError:
            return None
        except RayError:
            self._seat(at).replace()
            return None
        return result

    def close(self) -> None:
        for seat in self._seats:
            with suppress(Exception):
                ray.kill(seat.worker)
        self._stack.close()


class _Seat:
    """A worker, who takes part once it has told that its machine is like this one."""

    def __init__(self) -> None:
        self._sit()

    def _sit(self) -> None:
        self.worker = start_worker(1, gpu=False)
        self.about = self.worker.about.remote(())
        self.late: list[Any] = []  # answers that nobody waits for any more
        self._welcome = False

    def ready(self) -> bool:
        """Whether it would begin now. Raises RetroError for a machine that is not like this one."""
        if self.late:
            self.late = ray.wait(self.late, num_returns=len(self.late), timeout=0)[1]
        if not self._welcome and ray.wait([self.about], timeout=0)[0]:
            try:
                host, there, _ = ray.get(self.about)
            except RayError:
                self._sit()
                return False
            check(host, there, {}, ())
            self._welcome = True
        return self._welcome and not self.late

    def replace(self) -> None:
        """Another worker; one, however many answers the last one owes."""
        if self._welcome:
            with suppress(Exception):  # it may only be out of reach: it must not go on
                ray.kill(self.worker)
            self._sit()
