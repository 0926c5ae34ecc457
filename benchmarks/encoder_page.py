"""Write the table of trained encoders in docs/results.md from ``results/train_encoder.json``.

python benchmarks/encoder_page.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from results import FOLDER
from table import describe, insert

PAGE = Path(__file__).parent.parent / "docs" / "results.md"
RESULTS = FOLDER / "train_encoder.json"


def render(found: dict[str, Any]) -> str:
    """The table in Markdown."""
    hits, asked, settings = found["hits"], found["questions"], found["settings"]
    head = f"| questions held out | learned from | steps of {settings['batch']} | hit@{found['k']} "
    cells = [
        f"{asked['held_out']:,}", f"{asked['learned_from']:,}", f"{settings['steps']:,}",
        _interval(hits["before"], ""), _interval(hits["after"], ""), _interval(hits["gain"], "+"),
    ]  # fmt: skip
    table = [
        f"{head}before | after | gain |", "| --- | --- | --- | --- | --- | --- |",
        f"| {' | '.join(cells)} |",
    ]  # fmt: skip
    return "\n".join([*table, "", f"Measured on {describe(found['machine'])}."])


def _interval(estimate: dict[str, Any], sign: str) -> str:
    value, low, high = (format(estimate[e], f"{sign}.3f") for e in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the table of trained encoders.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of step")
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    wanted = insert(page, render(found), "encoder")
    if given.check:
        if wanted != page:
            print(f"{PAGE} is out of step: run python benchmarks/encoder_page.py")
        return int(wanted != page)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
