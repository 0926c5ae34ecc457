"""Runs of tokens that a text shares with what it read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 4  # tokens; shorter runs are common to any two texts


@dataclass(frozen=True)
class Run:
    """The tokens [start, end) of the text stand in that order in neighbour ``neighbour`` too."""

    start: int
    end: int
    neighbour: int


def shared_runs(
    text: Sequence[int], neighbours: Sequence[Sequence[int]], least: int = LEAST
) -> list[Run]:
    """The longest runs of at least ``least`` tokens, from the left, none overlapping another.

    Of equally long ones, that of the first neighbour.
    """
    places: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for number, tokens in enumerate(neighbours):
        for place in range(len(tokens) - least + 1):
            places.setdefault(tuple(tokens[place : place + least]), []).append((number, place))
    runs, start = [], 0
    while start + least <= len(text):
        found = places.get(tuple(text[start : start + least]), [])
        longest, number = 0, 0
        for candidate, place in found:
            length = _common(text, start, neighbours[candidate], place)
            if length > longest:
                longest, number = length, candidate
        if longest:
            runs.append(Run(start, start + longest, number))
        start += max(longest, 1)
    return runs


def _common(text: Sequence[int], start: int, other: Sequence[int], place: int) -> int:
    """The length of the common run that begins at the two places."""
    length = 0
    for mine, theirs in zip(text[start:], other[place:], strict=False):
        if mine != theirs:
            break
        length += 1
    return length
