"""Choose an engine: the one that was asked for, or the one that the work is worth."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retro_cli.engine.interface import Engine, Load
from retro_cli.engine.local import Local, cores
from retro_cli.engine.processes import Processes
from retro_cli.errors import MissingExtra, UsageError
from retro_cli.events import SILENT, Progress

if TYPE_CHECKING:
    from retro_cli.engine.replicas import Replicas

ENGINES = ("local", "processes", "ray")
# Seconds of work on one core that pay for the start: of two processes, which import Arrow and a
# tokenizer (about one second), and of workers on a cluster (about ten; benchmarks/engine.py).
POOL_PAYS = 2.0
RAY_PAYS = 60.0


@dataclass(frozen=True)
class Where:
    """What the user asks for.

    engine:  one of ENGINES; "" leaves the choice to the work
    address: of a Ray cluster, HOST:PORT or auto; "" is $RAY_ADDRESS, else one on this machine
    workers: 0 means a sensible number
    Raises UsageError for an engine that is not known.
    """

    engine: str = ""
    address: str = ""
    workers: int = 0

    def __post_init__(self) -> None:
        if self.engine and self.engine not in ENGINES:
            raise UsageError(
                f"there is no engine {self.engine!r}", f"choose one of {', '.join(ENGINES)}"
            )


ANYWHERE = Where()
HERE = Where("local")


@dataclass(frozen=True)
class Choice:
    """An engine's name, the number of workers (0: as many as it has room for), and why."""

    name: str
    workers: int
    why: str


def choose(where: Where, load: Load) -> Choice:
    """Pure."""
    here = where.workers or load.workers
    if where.engine:
        workers = where.workers if where.engine == "ray" else here
        return Choice(where.engine, workers, "it was asked for")
    if load.pieces <= 1:
        return Choice("local", 1, "there is one piece of work at most")
    if where.address and load.seconds >= RAY_PAYS:
        return Choice("ray", where.workers, f"there is {_about(load.seconds)}")
    if here <= 1:
        return Choice("local", 1, "one process uses all cores")
    if not where.workers and load.seconds < POOL_PAYS:
        why = f"there is {_about(load.seconds)}, which other processes take to start"
        return Choice("local", 1, why)
    return Choice("processes", here, f"there is {_about(load.seconds)}, for {here} processes")


def open_engine(where: Where, load: Load, progress: Progress = SILENT) -> Engine:
    """The engine for this work. Nothing is started yet. Raises MissingExtra."""
    choice = choose(where, load)
    if where.address and choice.name != "ray" and not where.engine and load.pieces:
        progress.note(
            f"engine: {choice.name}, because {choice.why}; a cluster pays from a minute of work "
            "on (--engine ray insists)"
        )
    if choice.name == "local":
        return Local(load.threads or cores())
    if choice.name == "processes":
        workers = max(1, min(choice.workers, load.pieces))
        return Processes(workers, load.threads or max(1, cores() // workers))
    try:
        from retro_cli.engine.ray import Ray
    except ModuleNotFoundError as error:
        raise MissingExtra("the engine 'ray'", "ray") from error
    address = where.address or os.environ.get("RAY_ADDRESS", "")
    return Ray(address, choice.workers, load, load.threads or 1, progress)


def open_replicas(address: str, count: int) -> Replicas:
    """Workers of a Ray cluster that stay. Raises MissingExtra, and what ``Replicas`` does."""
    try:
        from retro_cli.engine.replicas import Replicas
    except ModuleNotFoundError as error:
        raise MissingExtra("--replicas", "ray") from error
    return Replicas(address or os.environ.get("RAY_ADDRESS", ""), count)


def _about(seconds: float) -> str:
    if seconds < 120:
        return (
            f"about {seconds:.1g} s of work" if seconds < 10 else f"about {seconds:.0f} s of work"
        )
    return f"about {seconds / 60:,.0f} min of work"
