"""A trace as Figure 2 of Lewis et al. 2020: chunks by tokens, and the share of each in each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from retro_cli.errors import UnreadableInput

_HINT = "name a file that --trace has written"
_SLACK = 1e-3  # shares are rounded sums


@dataclass(frozen=True)
class TracedChunk:
    """A chunk that was read. mean: its share over all tokens."""

    chunk: int
    document: str
    source: str
    title: str
    text: str
    mean: float


@dataclass(frozen=True)
class Cell:
    """What a token read of a chunk. share: from 0 to 1; None where it was not recorded."""

    share: float | None


@dataclass(frozen=True)
class HeatMap:
    """tokens, logprobs: of the text, in order. rows: for each chunk its cell a token, None where
    the token did not read it. rest: of each token what chunks have that are not shown."""

    tokens: tuple[str, ...]
    logprobs: tuple[float | None, ...]
    chunks: tuple[TracedChunk, ...]
    rows: tuple[tuple[Cell | None, ...], ...]
    rest: tuple[float, ...]


def read_trace(lines: Iterable[bytes], name: str, most: int) -> HeatMap:
    """The map of a trace's lines; of more chunks than ``most``, those with the largest shares.

    Chunks stand in the order in which they were first read. Raises UnreadableInput, with the
    number of the line, for what is no trace.
    """
    tokens: list[str] = []
    logprobs: list[float | None] = []
    shares: dict[int, dict[int, float | None]] = {}  # by chunk: by token
    names: dict[int, dict[str, str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = _object(json.loads(line.decode("utf-8")), "the line")
            _read_neighbours(entry, len(tokens), shares, names)
            tokens.append(_text(entry, "text"))
            logprobs.append(_logprob(entry))
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, _Malformed) else f"no JSON ({error})"
            raise UnreadableInput(f"{name}, line {number}: {reason}", _HINT) from error
    if not tokens:
        raise UnreadableInput(f"{name} holds no token", _HINT)
    return _assembled(tokens, logprobs, shares, names, most)


class _Malformed(ValueError):
    """JSON that is no line of a trace."""


def _assembled(
    tokens: list[str],
    logprobs: list[float | None],
    shares: dict[int, dict[int, float | None]],
    names: dict[int, dict[str, str]],
    most: int,
) -> HeatMap:
    means = {
        chunk: sum(share or 0.0 for share in row.values()) / len(tokens)
        for chunk, row in shares.items()
    }
    kept = set(sorted(means, key=lambda chunk: -means[chunk])[:most])
    rest = [0.0] * len(tokens)
    for chunk, row in shares.items():
        for token, share in row.items():
            rest[token] += 0.0 if chunk in kept else share or 0.0
    shown = [chunk for chunk in shares if chunk in kept]
    return HeatMap(
        tokens=tuple(tokens),
        logprobs=tuple(logprobs),
        chunks=tuple(TracedChunk(chunk, **names[chunk], mean=means[chunk]) for chunk in shown),
        rows=tuple(
            tuple(
                Cell(shares[chunk][token]) if token in shares[chunk] else None
                for token in range(len(tokens))
            )
            for chunk in shown
        ),
        rest=tuple(rest),
    )


def _read_neighbours(
    entry: Mapping[str, Any],
    token: int,
    shares: dict[int, dict[int, float | None]],
    names: dict[int, dict[str, str]],
) -> None:
    neighbours = entry.get("neighbours")
    if not isinstance(neighbours, list):
        raise _Malformed("neighbours is no list")
    for one in neighbours:
        found = _object(one, "a neighbour")
        chunk = found.get("chunk")
        if not isinstance(chunk, int) or isinstance(chunk, bool):
            raise _Malformed("a neighbour's chunk is no whole number")
        share = _share(found)
        row = shares.setdefault(chunk, {})
        known = row.get(token)  # a chunk may be there twice, by two of its tokens
        row[token] = share if known is None else known + (share or 0.0)
        words = names.setdefault(chunk, {"title": "", "text": ""})
        words["document"], words["source"] = _text(found, "document"), _text(found, "source")
        for name in ("title", "text"):
            words[name] = words[name] or (_text(found, name) if name in found else "")


def _share(found: Mapping[str, Any]) -> float | None:
    mass = found.get("mass")
    if mass is None:
        return None
    if (
        isinstance(mass, bool)
        or not isinstance(mass, (int, float))
        or not -_SLACK <= mass <= 1 + _SLACK
    ):
        raise _Malformed("a neighbour's mass is not between 0 and 1")
    return min(max(float(mass), 0.0), 1.0)


def _logprob(entry: Mapping[str, Any]) -> float | None:
    value = entry.get("logprob")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise _Malformed("logprob is no number")
    return float(value)


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise _Malformed(f"{name} is no text")
    return value


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Malformed(f"{what} is no object")
    return value
