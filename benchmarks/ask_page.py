"""The figures of ``results/ask.json`` as tables for ``docs/results.md``."""

from __future__ import annotations

from typing import Any


def table(result: dict[str, Any]) -> str:
    """What was aimed at; the measures, a column a condition; the answers that were to change."""
    conditions = result["facts"]["report"]["measured"]
    changes = [
        [change["question"], change["before"], change["after"], change["filtered"] or "(refused)"]
        for change in result["facts"]["updates"]
    ]
    targets = [
        [line["what"], line["target"], line["measured"], "met" if line["met"] else "**missed**"]
        for line in result["lines"]
    ]
    parts = [
        _table(["aim", "target", "measured", ""], targets),
        _table(["", *conditions], _measures(conditions)),
        _table(["question", "before", "second edition", "yearbook filtered"], changes),
    ]
    return "\n\n".join(parts)


def _measures(conditions: dict[str, dict[str, Any]]) -> list[list[str]]:
    """A row for each measure that any condition has a value of."""
    names = next(iter(conditions.values()))
    rows = [[name, *(_told(values[name]) for values in conditions.values())] for name in names]
    return [row for row in rows if set(row[1:]) != {"-"}]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
    )


def _told(value: dict[str, Any]) -> str:
    if value["value"] is None:
        return "-"
    if value["low"] is None:
        return f"{value['value']:.2f}"
    return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
