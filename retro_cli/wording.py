"""Counts, numbers and hints in the words that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

_NEAR_NAMES = 10_000  # that are compared with an unknown one


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 chunk``, ``2,048 chunks``; a plural that does not end in s is given."""
    return f"{count:,} {agreed(count, noun, plural or noun + 's')}"


def agreed(count: int, one: str, more: str) -> str:
    """The word that goes with a count: ``one`` for 1, else ``more``."""
    return one if count == 1 else more


def listed(noun: str, numbers: Sequence[int | str]) -> str:
    """``rule 3``, ``rules 1, 3``."""
    return f"{agreed(len(numbers), noun, noun + 's')} {', '.join(map(str, numbers))}"


def near(name: str, names: Iterable[str], otherwise: str) -> str:
    """The names that an unknown one may stand for, as a hint; ``otherwise`` if there are none."""
    from difflib import get_close_matches

    known = {each.casefold(): each for each in islice(names, _NEAR_NAMES)}
    found = get_close_matches(name.casefold(), known, n=3, cutoff=0.4)
    return f"near: {', '.join(known[each] for each in found)}" if found else otherwise
