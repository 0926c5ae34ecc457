"""The retrieval tables of docs/results.md, from ``results/retrieval_quality.json``."""

from __future__ import annotations

from typing import Any

from table import describe

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
