"""What a stage asks of an engine, and what it gets: its function, run over its parts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")

ATTEMPTS = 3  # a piece of work that costs so many workers their lives ends the run


@dataclass(frozen=True)
class Load:
    """The work of one run of a stage.

    pieces:  how many there are
    seconds: about how long all of them take on one core
    folder:  where the results are written; every machine must see the same one
    workers: how many processes are sensible on this machine
    threads: of one worker; 0 leaves it to the engine
    gpu:     whether each worker needs a GPU
    reads:   other files and folders that every machine must see as this one does
    """

    pieces: int
    seconds: float
    folder: Path
    workers: int = 1
    threads: int = 0
    gpu: bool = False
    reads: tuple[Path, ...] = ()


class Engine(Protocol):
    """Runs a function over pieces of work and decides nothing else: what comes out is the same."""

    @property
    def here(self) -> bool:
        """Whether all runs in this process: then progress can be told from within a piece."""

    @property
    def threads(self) -> int:
        """How many threads one worker may use."""

    def run(
        self, function: Callable[[Work], Result], work: Iterable[Work]
    ) -> Generator[tuple[int, Result]]:
        """Yield the position of each piece of work and what ``function`` makes of it, as it
        arrives.

        Where it does not run here, ``function`` must be importable and its argument picklable.
        A worker that dies costs the piece that it was at, which another one takes. An error of
        ``function`` ends the run; what was yielded before stays done. Close the generator, and
        no piece is worked on any more.
        """
