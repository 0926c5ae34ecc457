"""Damage what retro reads, over and over, and see that it says so or gets over it.

python tests/fuzz.py [--minutes 10] [--seed N] [--target NAME] [--first N --tries N]

Tries run in a process of their own with little memory, so that a crash is seen, and of which try.
A failure prints the command that repeats just that one.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzzing import Good, build_database, inputs, purged, try_database, try_input  # noqa: E402
from fuzzing_remote import GoodRemote, try_remote  # noqa: E402

ROOM = 2 << 30  # bytes of address space beyond what a good file takes
BATCH = 200  # tries in one process

Try = Callable[[random.Random], None]


def of_inputs(folder: Path) -> Try:
    return partial(try_input, folder, inputs())


def of_database(folder: Path) -> Try:
    return partial(try_database, Good.of(folder / "d"))


def of_purged(folder: Path) -> Try:
    return partial(try_database, Good.of(folder / "p"))


def of_remote(folder: Path) -> Try:
    return partial(try_remote, GoodRemote.of(folder / "d"))


TARGETS = {
    "inputs": of_inputs, "database": of_database, "purged": of_purged, "remote": of_remote,
}  # fmt: skip


def work(target: str, folder: Path, seed: int, first: int, tries: int) -> int:
    """Run some tries here; how many failed. Prints the number of each before it begins."""
    tried = TARGETS[target](folder)
    _limit()
    failures = 0
    for number in range(first, first + tries):
        print(number, flush=True)
        source = random.Random(f"{target} {seed} {number}")
        try:
            tried(source)
        except Exception:
            failures += 1
            print(traceback.format_exc(), again(target, seed, number), file=sys.stderr, flush=True)
    return failures


def again(target: str, seed: int, number: int) -> str:
    return f"python tests/fuzz.py --target {target} --seed {seed} --first {number} --tries 1"


def _limit() -> None:
    """What asks for gigabytes gets a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def batch(target: str, folder: Path, seed: int, first: int, tries: int) -> int:
    """The same in a process of its own, begun anew behind a try that crashed."""
    failures, end = 0, first + tries
    while first < end:
        words = ["--work", "--folder", folder, "--target", target, "--seed", seed]
        words += ["--first", first, "--tries", end - first]
        done = subprocess.run(
            [sys.executable, __file__, *map(str, words)], stdout=subprocess.PIPE, text=True,
            check=False, cwd=ROOT,
        )  # fmt: skip
        if done.returncode >= 0:
            return failures + done.returncode
        last = int((done.stdout.splitlines() or [str(first)])[-1])
        print(f"crashed by signal {-done.returncode}: {again(target, seed, last)}", file=sys.stderr)
        failures, first = failures + 1, last + 1
    return failures


def prepare(folder: Path) -> None:
    """What the targets need: the database, with a tiny encoder."""
    from encoders import save_static_encoder

    save_static_encoder(folder / "encoder")
    purged(build_database(folder, folder / "encoder"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Damage what retro reads, over and over.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tries", type=int, help="so many, however long they take")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        return min(work(given.target, given.folder, given.seed, given.first, given.tries), 100)
    folder = Path(tempfile.mkdtemp(prefix="retro-fuzz-"))
    try:
        prepare(folder)
        return _for_minutes(given, folder)
    finally:
        shutil.rmtree(folder)


def _for_minutes(given: argparse.Namespace, folder: Path) -> int:
    targets = [given.target] if given.target else list(TARGETS)
    end, number, failures = time.monotonic() + 60 * given.minutes, given.first, 0
    while True:
        for target in targets:
            failures += batch(target, folder, given.seed, number, given.tries or BATCH)
        number += given.tries or BATCH
        if given.tries or time.monotonic() > end:
            break
    print(f"{number - given.first} tries of {', '.join(targets)}, {failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
