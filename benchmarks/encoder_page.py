"""The table of trained encoders of docs/results.md, from ``results/train_encoder.json``."""

from __future__ import annotations

from typing import Any

from table import describe


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
