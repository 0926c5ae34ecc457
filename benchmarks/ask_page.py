"""The figures of ``results/ask.json`` as tables for ``docs/results.md``."""

from __future__ import annotations

from typing import Any


def table(result: dict[str, Any]) -> str:
    """The measures of ``docs/results.md``: a row each, a column a condition."""
    conditions = result["facts"]["report"]["measured"]
    names = list(conditions)
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for measure in conditions[names[0]]:
        cells = [_told(conditions[name][measure]) for name in names]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    lines += ["", "| question | before | second edition | filtered |", "| --- | --- | --- | --- |"]
    for change in result["facts"]["updates"]:
        cells = [change["question"], change["before"], change["after"], change["filtered"] or "-"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _told(value: dict[str, Any]) -> str:
    if value["value"] is None:
        return "-"
    if value["low"] is None:
        return f"{value['value']:.2f}"
    return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
