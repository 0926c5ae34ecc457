"""Write the README's table of figures from ``results/*.json``.

python benchmarks/table.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results import FOLDER

README = Path(__file__).parent.parent / "README.md"
ORDER = (
    "cold", "rows", "chunk", "embed", "memory", "many", "one_file", "index", "update", "filtering",
    "quality", "retrieval_quality", "hybrid", "rerun", "scorers", "generate_lm", "rag_cost",
    "train_speed", "presets", "ask", "engine", "serve", "scale", "peers",
)  # fmt: skip


def load(folder: Path) -> list[dict[str, Any]]:
    """The results there are, in the table's order."""
    files = [folder / f"{name}.json" for name in ORDER]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]


def render(results: list[dict[str, Any]]) -> str:
    """Two tables in Markdown: each benchmark's first line with all that were missed, and, folded,
    every line and the machines that they were measured on."""
    placed = [
        (result["benchmark"], place, line)
        for result in results
        for place, line in enumerate(result["lines"])
    ]
    rows = [(name, line) for name, _, line in placed]
    short = [(name, line) for name, place, line in placed if place == 0 or not line["met"]]
    counted = f"All {len(rows)} lines, {sum(line['met'] for _, line in rows)} of them met"
    machines = dict.fromkeys(describe(result["machine"]) for result in results)
    return "\n".join(
        [
            *_table(short), "",
            f"<details><summary>{counted}</summary>", "", *_table(rows), "",
            *(f"Measured on {text}." for text in machines), "", "</details>",
        ]
    )  # fmt: skip


def _table(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """rows: the name of a benchmark and one of its lines."""
    found = ["| What | Target | Measured | | By |", "|---|---|---|---|---|"]
    for name, line in rows:
        met = "met" if line["met"] else "**missed**"
        cells = [line["what"], line["target"], line["measured"], met]
        link = f"[{name}.py](benchmarks/{name}.py)"
        found.append("| " + " | ".join([*(_cell(cell) for cell in cells), link]) + " |")
    return found


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def describe(machine: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']:.0f} GB, "
        f"{machine['system']}, Python {machine['python']}, {packages}"
    )


def insert(page: str, table: str, name: str = "benchmarks") -> str:
    """The page with ``table`` between the markers of a name. Raises ValueError without them."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page needs {begin} and {end}, once each")
    before, _, rest = page.partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise ValueError(f"{end} comes before {begin}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def keep(page: Path, sections: Mapping[str, str], check: bool, command: str) -> int:
    """Bring the text between a page's marks in line; with ``check`` write nothing, and return 1
    where it is not. command: the script that writes it."""
    before = wanted = page.read_text(encoding="utf-8")
    for name, text in sections.items():
        wanted = insert(wanted, text, name)
    if check and wanted != before:
        print(f"{page} is out of step: run python benchmarks/{command}")
        return 1
    if wanted != before:
        page.write_text(wanted, encoding="utf-8")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the README's table of figures.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of step")
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    sections = {"benchmarks": render(load(given.results))}
    return keep(given.readme, sections, given.check, "table.py")


if __name__ == "__main__":
    sys.exit(main())
