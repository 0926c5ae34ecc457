"""Evaluations that were saved: what a ``retro eval`` command printed with --json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retro_cli.errors import InputNotFound, UsageError
from retro_cli.evaluate.bootstrap import Estimate
from retro_cli.evaluate.index import IndexReport

_HINT = "save one: retro eval retrieval DB ... --json > FILE"
_MARKS = (("bpb", "lm"), ("measured", "qa"))  # what tells those that do not name their kind
_LABELS = ("query", "alpha", "k", "percent", "nprobe", "name", "reader", "system")


@dataclass(frozen=True)
class Evaluation:
    """A saved evaluation: what ``retro eval ... --json`` printed. kind: retrieval, index, lm ...
    estimates: every value with an interval that it holds, by its name. index: of the kind index."""

    name: str
    kind: str
    estimates: tuple[tuple[str, Estimate], ...]
    notes: tuple[str, ...]
    index: IndexReport | None = None


def read_evaluation(path: Path) -> Evaluation:
    """Raises InputNotFound, and UsageError for what no ``retro eval`` printed."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InputNotFound(f"{path} cannot be read ({error.strerror})", _HINT) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON ({error})", _HINT) from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is no evaluation", _HINT)
    kind = value.get("evaluation") or next((k for mark, k in _MARKS if mark in value), "")
    try:
        estimates = tuple(_estimates(value))
        index = IndexReport.from_json(value) if kind == "index" else None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is a damaged evaluation ({error})", _HINT) from error
    if not kind or not estimates:
        raise UsageError(f"{path} is no evaluation", _HINT)
    remarks = value.get("notes")
    notes = tuple(map(str, remarks)) if isinstance(remarks, list) else ()
    return Evaluation(path.stem, str(kind), estimates, notes, index)


def _estimates(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Estimate]]:
    """Every value with an interval in what an evaluation printed, by where it stands."""
    if isinstance(value, Mapping):
        if {"value", "low", "high"} <= value.keys():
            yield ", ".join(path), Estimate.from_json(value)
            return
        for name, inner in value.items():
            yield from _estimates(inner, (*path, str(name)) if name != "measures" else path)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, Mapping):
                label = next((f"{name} {inner[name]}" for name in _LABELS if name in inner), "")
                yield from _estimates(inner, (*path, label) if label else path)
