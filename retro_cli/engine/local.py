"""Everything in this process, one piece after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from retro_cli.engine.interface import Result, Work


def cores() -> int:
    """Processors this process may use (affinity and cgroup masks count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Local:
    threads: int
    here: bool = True

    def run(
        self, function: Callable[[Work], Result], work: Iterable[Work]
    ) -> Generator[tuple[int, Result]]:
        for position, piece in enumerate(work):
            yield position, function(piece)
