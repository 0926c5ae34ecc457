"""Run commands and take their time and memory."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.1
POLL_SHARE = 20  # of the time that asking took, to wait: it takes long of a process that maps much


@dataclass(frozen=True)
class Run:
    """A finished command. The peaks are 0 unless they were asked for.

    peak_bytes:   of the process and its workers together
    parent_bytes: of the process alone
    worker_bytes: of the largest worker
    own_bytes:    of the process and its workers together, without the pages of mapped files, which
                  the system takes back whenever it needs them
    """

    seconds: float
    stdout: str
    stderr: str
    peak_bytes: int = 0
    parent_bytes: int = 0
    worker_bytes: int = 0
    own_bytes: int = 0


def retro_program() -> str:
    """The installed ``retro`` of this environment."""
    beside = Path(sys.executable).with_name("retro")
    found = str(beside) if beside.exists() else shutil.which("retro")
    if not found:
        raise SystemExit("there is no retro command: pip install -e . first")
    return found


def environment() -> dict[str, str]:
    """Both sides of a comparison get the same: no network, no settings of the user's.

    Python may keep its bytecode, as it does for whatever pip installs.
    """
    unwanted = ("RETRO_", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}


def run(command: Sequence[str | Path], *, memory: bool = False, fine: Sequence[int] = (0,)) -> Run:
    """Run to the end; stop the benchmark unless the command ends with a ``fine`` exit code."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command], stdout=out, stderr=err, env=environment()
        )
        peaks = _watch(process) if memory else (0, 0, 0, 0)
        code = process.wait()
        seconds = time.perf_counter() - begun
        out.seek(0)
        err.seek(0)
        finished = Run(seconds, out.read().decode(), err.read().decode(errors="replace"), *peaks)
    if code not in fine:
        words = " ".join(str(word) for word in command)
        raise SystemExit(f"{words} ended {code}:\n{finished.stderr[-2000:]}")
    return finished


def retro(*words: str | Path, memory: bool = False) -> Run:
    """Exit code 3 is fine: a public corpus may have a few empty records, which are set aside."""
    return run([retro_program(), *words], memory=memory, fine=(0, 3))


def _watch(process: subprocess.Popen[bytes]) -> tuple[int, int, int, int]:
    """The peaks of a ``Run``, in its order.

    Proportional set sizes: a page that several processes share counts once.
    """
    peak = parent = worker = own = 0
    while process.poll() is None:
        begun = time.perf_counter()
        sizes = [_resident(pid) for pid in _family(process.pid)]
        mine, *others = (size for size, _ in sizes)
        peak = max(peak, mine + sum(others))
        parent, worker = max(parent, mine), max(worker, *others, 0)
        own = max(own, sum(anonymous for _, anonymous in sizes))
        time.sleep(max(POLL_SECONDS, POLL_SHARE * (time.perf_counter() - begun)))
    return peak, parent, worker, own


def _family(pid: int) -> list[int]:
    members = [pid]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                members += [int(child) for child in children.read_text().split()]
            except OSError:
                continue  # that thread has ended
    return members


def _resident(pid: int) -> tuple[int, int]:
    """Bytes of a process in memory, and those of them that are of no file."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.partition(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return 1024 * sizes.get("Pss", 0), 1024 * sizes.get("Pss_Anon", 0)


def alternate(sides: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Take each side's figure once a round, side by side, so that noise meets them all."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            figures[name].append(side(number))
            say(f"  round {number + 1}: {name} {figures[name][-1]:.4g}")
    return figures


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Of the medians."""
    return statistics.median(over) / statistics.median(under)


def say(text: str) -> None:
    print(text, flush=True)
