"""Run the benchmarks, each in a process of its own, and write ``results/<name>.json``.

    python benchmarks/run.py --data DIR [--only NAME ...] [--work DIR] [--quick]

What is made once (corpora, databases, environments of others) stays in the work folder and
is found again. A quick run's figures go to WORK/quick-results.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from context import arguments
from measure import say

NAMES = (
    "rows", "chunk", "memory", "many", "rerun", "quality", "embed", "cold", "index", "update",
    "filtering", "scorers", "retrieval_quality", "hybrid", "engine", "serve", "peers",
)  # fmt: skip


def main() -> int:
    parser = arguments("Run the benchmarks.")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    given = parser.parse_args()
    options = ["--data", str(given.data), "--work", str(given.work)]
    if given.quick:
        options.append("--quick")
    failed = []
    for name in given.only:
        say(f"== {name}")
        script = Path(__file__).parent / f"{name}.py"
        if subprocess.run([sys.executable, str(script), *options], check=False).returncode:
            failed.append(name)
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
