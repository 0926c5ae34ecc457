"""Counts and numbers in the words that people read."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 chunk``, ``2,048 chunks``; a plural that does not end in s is given."""
    return f"{count:,} {agreed(count, noun, plural or noun + 's')}"


def agreed(count: int, one: str, more: str) -> str:
    """The word that goes with a count: ``one`` for 1, else ``more``."""
    return one if count == 1 else more


def listed(noun: str, numbers: Sequence[int | str]) -> str:
    """``rule 3``, ``rules 1, 3``."""
    return f"{agreed(len(numbers), noun, noun + 's')} {', '.join(map(str, numbers))}"
