"""Write the tables of docs/benchmarks.md from ``results/peers.json``.

python benchmarks/peers_page.py [--check]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers_sides import PEERS
from results import FOLDER
from table import describe, keep

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
RESULT = FOLDER / "peers.json"
US = "retro"
NOT_YET = "Not measured yet."

Figures = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """A row of the table. ``of`` gives a side's figure, or None where it has none."""

    title: str
    of: Callable[[Figures], float | None]
    form: str
    less_is_better: bool = True

    def write(self, figures: Figures) -> str:
        value = self.of(figures)
        return "-" if value is None else format(value, self.form)

    def best(self, sides: dict[str, Figures]) -> str:
        """The name of the first side at the best value as it is written."""
        known = {name: value for name, each in sides.items() if (value := self.of(each))}
        sign = 1 if self.less_is_better else -1
        return min(known, key=lambda name: sign * float(format(known[name], self.form)))


def gone_seconds(figures: Figures) -> float | None:
    """Until a source is off the disk; None if it is still there, or nobody can tell."""
    if not figures["seen before"] or figures["left after clean"]:
        return None
    return float(figures["delete_s"] + (figures["clean_s"] or 0))


def cold_seconds(figures: Figures) -> float:
    return float(statistics.median(figures["cold_s"]))


BUILD = Measure("from text to queryable, s", lambda f: f["build_s"], ".1f")
COLD = Measure("cold query, s", cold_seconds, ".2f")
RERUN = Measure("rerun, nothing changed, s", lambda f: f["rerun_s"], ".2f")
ADD = Measure("1 % added, s", lambda f: f["add_s"], ".2f")
DELETE = Measure("a source deleted, s", lambda f: f["delete_s"], ".2f")
GONE = Measure("a source deleted and off the disk, s", gone_seconds, ".2f")
RESUME = Measure("killed half-way, run again, s", lambda f: f["resume_s"], ".1f")
RECALL = Measure("recall@10", lambda f: f["recall"], ".3f", False)
MEASURES = (
    BUILD,
    Measure("peak memory, MB", lambda f: f["peak_bytes"] / 1e6, ".0f"),
    Measure("on disk, MB", lambda f: f["disk_bytes"] / 1e6, ".1f"),
    COLD,
    Measure("warm queries a second", lambda f: f["warm_qps"], ".1f", False),
    RECALL,
    RERUN,
    ADD,
    DELETE,
    GONE,
    RESUME,
)  # fmt: skip


def measured(sides: dict[str, Figures]) -> dict[str, Figures]:
    return {name: each for name, each in sides.items() if "failed" not in each}


def main_table(sides: dict[str, Figures]) -> str:
    """A column a side; the best of each row is bold."""
    found = measured(sides)
    names = [US, *(name for name in found if name != US)]
    rows = [["", *names], ["---", *["---:"] * len(names)]]
    for measure in MEASURES:
        best = measure.write(found[measure.best(found)])
        cells = [measure.write(found[name]) for name in names]
        if measure is RECALL:
            cells = [_recall(name, cell) for name, cell in zip(names, cells, strict=True)]
        rows.append([measure.title, *(f"**{c}**" if c == best else c for c in cells)])
    rows.append(["deleted texts in answers", *(str(_leaks(found[name])) for name in names)])
    rows.append(["the marker after deletion", *(_left(found[name]) for name in names)])
    rows.append(["answers as of an unbroken build", *(_same(found[name]) for name in names)])
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    failed = [
        f"{name} could not be measured: {each['failed']}"
        for name, each in sides.items()
        if name not in found
    ]
    return "\n".join([*lines, *(f"\n{line}" for line in failed)])


def _recall(name: str, cell: str) -> str:
    """Words find other chunks than meaning, and are not meant to find the same."""
    lexical = {peer.name for peer in PEERS if not peer.dense}
    return f"({cell})" if name in lexical else cell


def _leaks(figures: Figures) -> int:
    return int(figures["deleted in answers"])


def _left(figures: Figures) -> str:
    if not figures["seen before"]:
        return "cannot be seen"
    if not figures["left after delete"]:
        return "gone"
    if figures["clean_s"] is None:
        return "still there"
    return "still there" if figures["left after clean"] else "gone once cleared"


def _same(figures: Figures) -> str:
    share = f"{figures['resumed equals']:.1%}"
    return share if figures["killed"] else f"{share} (it was done before)"


def wins(sides: dict[str, Figures]) -> str:
    """Where a peer has the better figure, plainly."""
    found = measured(sides)
    lines = []
    for measure in MEASURES:
        ahead = [
            f"{name} {measure.write(each)}"
            for name, each in found.items()
            if name != US and _beats(measure, each, found[US])
        ]
        if ahead:
            title = measure.title.removesuffix(", s")
            lines.append(f"- {title}: {', '.join(ahead)}; {US} {measure.write(found[US])}")
    return "\n".join(lines) or "Nowhere, in these figures."


def _beats(measure: Measure, theirs: Figures, ours: Figures) -> bool:
    """A figure counts as better if it is so as written."""
    a, b = measure.of(theirs), measure.of(ours)
    if a is None or b is None:
        return b is None and a is not None
    a, b = float(format(a, measure.form)), float(format(b, measure.form))
    return a < b if measure.less_is_better else a > b


def lacks() -> str:
    """What each peer does without, and what was done instead."""
    rows = ["| | version | has no | so the script |", "| --- | --- | --- | --- |"]
    words = {"add": "adding", "delete": "deleting", "rerun": "rerun", "resume": "resuming"}
    for peer in PEERS:
        groups: dict[str, list[str]] = {}
        for verb, instead in peer.lacks.items():
            groups.setdefault(instead, []).append(words[verb])
        for instead, verbs in groups.items() or [("-", ["-"])]:
            rows.append(f"| {peer.name} | `{peer.packages[0]}` | {', '.join(verbs)} | {instead} |")
    return "\n".join(rows)


def tables(found: dict[str, Any] | None) -> dict[str, str]:
    """The text of each marked part of the page."""
    if found is None:
        return {"peers": NOT_YET, "peers-wins": NOT_YET, "peers-lacks": lacks()}
    sides, facts = found["facts"]["sides"], found["facts"]
    what = f"{facts['chunks']:,} chunks, measured on {describe(found['machine'])}."
    return {
        "peers": f"{main_table(sides)}\n\n{what}",
        "peers-wins": wins(sides),
        "peers-lacks": lacks(),
    }


def write(page_file: Path, result: Path, check: bool) -> int:
    """Bring the page in line with the result; 1 if it was not and ``check``."""
    found = json.loads(result.read_text(encoding="utf-8")) if result.exists() else None
    return keep(page_file, tables(found), check, "peers_page.py")


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the tables of docs/benchmarks.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of step")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    return write(given.page, given.result, given.check)


if __name__ == "__main__":
    sys.exit(main())
