"""Environments of their own for whom a benchmark compares with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from measure import run, say


def interpreter(home: Path, packages: Sequence[str]) -> Path:
    """The Python of an environment with these packages; what is there is not made again."""
    python, ready = home / "bin" / "python", home / "ready"
    wanted = "\n".join(packages)
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        say(f"installing {', '.join(packages)}")
        run([sys.executable, "-m", "venv", "--clear", home])
        run([python, "-m", "pip", "install", "--quiet", *packages])
        ready.write_text(wanted, encoding="utf-8")
    return python
