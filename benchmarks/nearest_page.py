"""What ``nearest.py`` measured, as the tables of docs/results.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from table import describe

MEMORIES = {
    "on": "its own past in memory",
    "other": "another chapter in memory",
    "off": "nothing in memory",
    "base": "SmolLM2, untouched",
}


def take(folder: Path) -> dict[str, Any]:
    """What ``nearest.py`` wrote there: knn.json and memory.json."""
    return {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("knn", "memory")
    }


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The text of each marked part of the page."""
    return {
        "knn": _knn(found["knn"]),
        "remembering": _memory(found["memory"]),
        "nearest-machine": f"Measured on {describe(found['memory']['machine'])}.",
    }


def _knn(found: dict[str, Any]) -> str:
    names, columns = sorted(found["bpb"], key=float), [found["bpb"]]
    columns += [found["body"]] if "body" in found else []
    rows = [
        [f"{float(name):g}", *(cell for column in columns for cell in _cells(column[name]))]
        for name in names
    ]
    size = found["datastore_bytes"] / 1e6
    facts = (
        f"{found['tokens']:,} tokens of {found['documents']} PEPs in the datastore "
        f"({size:,.0f} MB, {found['datastore_seconds']:,} CPU seconds; {found['factory']}, "
        f"recall@10 {found['recall']:.3f}); {found['bytes']:,} bytes of {found['held']} other "
        f"PEPs; {found['votes']['k']} voters, temperature {found['votes']['temperature']:g}."
    )
    less = "less the model alone"
    head = ["lambda", "bits per byte", less]
    if "body" in found:
        share = 1 - found["body_bytes"] / found["bytes"]
        facts += f" Without the opening: {share:.1%} of the bytes are left out."
        head += ["without the opening", less]
    return f"{facts}\n\n{_table(head, rows)}"


def _memory(found: dict[str, Any]) -> str:
    rows = [[words, *_cells(found["bpb"][name])] for name, words in MEMORIES.items()]
    low, high = min(found["gates"]), max(found["gates"])
    facts = (
        f"{found['windows']} windows of {found['window']} tokens trained layer {found['layer']} "
        f"and its gates in {found['train_seconds']:,} CPU seconds; the gates ended between "
        f"{low:.2f} and {high:.2f}. {found['held']} held-out chapters, "
        f"{found['tokens_each']:,} tokens each."
    )
    if "on_less_other" in found:
        facts += f" Its own past less another chapter: {_signed(found['on_less_other'])}."
    return f"{facts}\n\n{_table(['read with', 'bits per byte', 'less nothing in memory'], rows)}"


def _cells(value: dict[str, Any]) -> list[str]:
    return [_number(value), _signed(value["difference"])]


def _number(estimate: dict[str, Any]) -> str:
    return f"{estimate['value']:.4f}"


def _signed(estimate: dict[str, Any]) -> str:
    return f"{estimate['value']:+.4f} ({estimate['low']:+.4f} to {estimate['high']:+.4f})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
