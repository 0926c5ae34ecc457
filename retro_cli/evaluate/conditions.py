"""Under which neighbours a text is read: none, its own, another document's, more, or fewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from retro_cli.evaluate.measures import OFF, ON, SHUFFLED
from retro_cli.evaluate.shuffle import derangement
from retro_cli.evaluate.text import EvaluationText

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Conditions:
    """neighbours: name -> (n, k) chunk ids of each chunk of the text, None: no retrieval.

    counts, shares: numbers of neighbours and shares of the database (percent) -> the name of
    their condition, which may be that of the main comparison.
    """

    neighbours: dict[str, Ids | None]
    counts: dict[int, str] = field(default_factory=dict)
    shares: dict[float, str] = field(default_factory=dict)


def conditions(
    text: EvaluationText,
    k: int,
    counts: Sequence[int],
    shares: Sequence[float],
    lookup: Callable[[float], Ids],
    seed: int,
) -> Conditions:
    """k: neighbours of the main comparison. lookup: percent -> the neighbours of all chunks.

    Of a single document nothing can be exchanged, so "shuffled" is left out.
    """
    own = text.neighbours[:, :k]
    found = Conditions({OFF: None, ON: own})
    partner = derangement(text.document, seed)
    if partner is not None:
        found.neighbours[SHUFFLED] = own[partner]
    for count in sorted(set(counts)):
        name = ON if count == k else f"k={count}"
        found.neighbours.setdefault(name, text.neighbours[:, :count])
        found.counts[count] = name
    for share in sorted(set(shares)):
        name = ON if share == 100 else f"share={share:g}"
        if name != ON:
            found.neighbours[name] = lookup(share)[:, :k]
        found.shares[share] = name
    return found
