"""Pieces of work that wait, those first whose worker died."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Generic

from retro_cli.engine.interface import ATTEMPTS, Work
from retro_cli.errors import RetroError


class Queue(Generic[Work]):
    """Reads the work as it is asked for: there may be a million pieces."""

    def __init__(self, work: Iterable[Work]) -> None:
        self._upcoming = iter(enumerate(work))
        self._again: deque[tuple[int, Work]] = deque()
        self._deaths: Counter[int] = Counter()

    def take(self) -> tuple[int, Work] | None:
        """The next piece with its position, or None."""
        return self._again.popleft() if self._again else next(self._upcoming, None)

    def put_back(self, position: int, piece: Work) -> None:
        """Not done: whoever had it is gone."""
        self._again.append((position, piece))

    def died(self, position: int, piece: Work) -> None:
        """A worker died at it. Raises RetroError if it was not the first."""
        self._deaths[position] += 1
        if self._deaths[position] == ATTEMPTS:
            raise RetroError(
                f"{ATTEMPTS} worker processes died at the same piece of work (killed, or out of "
                "memory)",
                "what is finished stays: run the same command again, it resumes; fewer --workers "
                "need less memory",
            )
        self.put_back(position, piece)
