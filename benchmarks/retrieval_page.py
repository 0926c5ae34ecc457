"""Write the retrieval tables of docs/results.md from ``results/retrieval_quality.json``.

python benchmarks/retrieval_page.py [--check]
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
RESULTS = FOLDER / "retrieval_quality.json"
HEAD = ("set", "metric", "queries", "dense", "BM25", "hybrid", "hybrid, interpolated")
WAYS = ("dense", "bm25", "hybrid", "hybrid, interpolated")
PAIRED = ("set", "better part", "hybrid less it", "interpolated less it")
AGAIN = ("set", "queries", "reranked", "reranked less hybrid")


def render(found: dict[str, Any]) -> str:
    """The tables in Markdown."""
    sets = found["facts"]
    scores = [
        [name, s["metric"], f"{s['queries']:,}", *[_score(s["scores"][way]) for way in WAYS]]
        for name, s in sets.items()
    ]
    means = [sum(s["scores"][way]["value"] for s in sets.values()) / len(sets) for way in WAYS]
    scores.append(["mean", "", "", *[f"{mean:.3f}" for mean in means]])
    paired = [
        [
            name,
            s["better part"],
            _signed(s["hybrid - better part"]),
            _signed(s["interpolated - better part"]),
        ]
        for name, s in sets.items()
    ]
    again = [
        [name, str(r["queries"]), _score(r["score"]), _signed(r["reranked - hybrid"])]
        for name, s in sets.items()
        for r in [s["reranked"]]
    ]
    tables = [_table(HEAD, scores), _table(PAIRED, paired), _table(AGAIN, again)]
    return "\n\n".join([*tables, f"Measured on {describe(found['machine'])}."])


def _score(estimate: dict[str, Any]) -> str:
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _signed(estimate: dict[str, Any]) -> str:
    return f"{estimate['value']:+.3f} ({estimate['low']:+.3f} to {estimate['high']:+.3f})"


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the retrieval tables of docs/results.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of step")
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    wanted = insert(page, render(found), "retrieval")
    if given.check:
        if wanted != page:
            print(f"{PAGE} is out of step: run python benchmarks/retrieval_page.py")
        return int(wanted != page)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
