"""How long the presets take that are to finish on two CPU cores in ten minutes.

python benchmarks/presets.py --db DB

DB is cut for the base model (``retro chunk --tokenizer SmolLM2-135M-Instruct --cut exact``). Whole
commands are timed: neighbours, training, proof and writing. What they write is thrown away.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from measure import retro_program, run, say
from results import FOLDER, Line, Result

COMMANDS = ("fit", "train")
LIMIT = 600.0  # seconds


def timed(command: str, db: Path) -> Line:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(db, Path(scratch) / "copy.db"))
        shutil.rmtree(copy / "neighbours", ignore_errors=True)  # to be looked up in this time too
        words = (command, copy, "--out", Path(scratch) / "model", "--preset", "tiny", "--json")
        done = run([retro_program(), *words])
    outcome = json.loads(done.stdout)["outcome"]
    return Line(
        f"`retro {command} --preset tiny`",
        "at most 10 minutes",
        f"{done.seconds / 60:.1f} minutes ({outcome['tokens']:,} tokens, "
        f"{outcome['tokens_per_second']:,.0f} tokens/s)",
        done.seconds,
        LIMIT,
        False,
        {"seconds": [done.seconds]},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the presets of ten minutes.")
    parser.add_argument("--db", type=Path, required=True, help="a database cut for the base")
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    result = Result("presets", [timed(command, given.db) for command in COMMANDS])
    for line in result.lines:
        say(f"{line.what}: {line.measured} ({line.target})")
    say(f"{result.save(given.results, False)}")


if __name__ == "__main__":
    main()
