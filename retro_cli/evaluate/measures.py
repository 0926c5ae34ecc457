"""From the nats of every token to bits per byte: overall, in comparison, and by overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from retro_cli.evaluate.bootstrap import RESAMPLES, Estimate, ratios
from retro_cli.evaluate.text import EvaluationText

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]

OFF, ON, SHUFFLED = "off", "on", "shuffled"
ALPHAS = (0.0, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1.0)
FEW = 8  # shared tokens: fewer are no local leakage (Borgeaud et al. 2021, section 4.5)
DIFFERENCES = ((ON, OFF), (ON, SHUFFLED))


@dataclass(frozen=True)
class Comparison:
    """Bits per byte of each condition on the same tokens, and paired differences ("on - off")."""

    bpb: dict[str, Estimate]
    differences: dict[str, Estimate]


@dataclass(frozen=True)
class Leakage:
    """What is left when chunks that share more with a neighbour are left out.

    alpha: chunks with r(C) <= alpha; None for those that share fewer than 8 tokens.
    """

    alpha: float | None
    chunks: int
    bytes: int
    compared: Comparison


@dataclass(frozen=True)
class Measured:
    """others: further conditions. against_on: each of them less "on", paired over documents."""

    overall: Comparison
    leakage: tuple[Leakage, ...]
    others: dict[str, Estimate]
    against_on: dict[str, Estimate]


def measure(
    text: EvaluationText,
    nats: Mapping[str, Floats],
    shared: Ids,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Measured:
    """nats: condition -> (tokens,), NaN where a token is not scored. shared: (n,) tokens, s(C)."""
    chunks: dict[str, Floats] = {
        name: np.bincount(text.owner, np.nan_to_num(values), text.rows).astype(np.float64)
        for name, values in nats.items()
    }
    compared = [name for name in (ON, OFF, SHUFFLED) if name in chunks]
    ratio = shared / text.lengths
    subsets: list[tuple[float | None, Bits]] = [(alpha, ratio <= alpha) for alpha in ALPHAS]
    subsets.append((None, shared < FEW))
    questions = _Questions(text)
    everything = np.ones(text.rows, dtype=bool)
    for number, (_, rows) in enumerate([*subsets, (None, everything)]):
        for name in compared:
            questions.ask((number, name), chunks[name], rows)
        for one, other in DIFFERENCES:
            if one in chunks and other in chunks:
                questions.ask((number, f"{one} - {other}"), chunks[one] - chunks[other], rows)
    others = [name for name in chunks if name not in compared]
    for name in others:
        questions.ask((-1, name), chunks[name], everything)
        if ON in chunks:
            questions.ask((-2, name), chunks[name] - chunks[ON], everything)
    answers = questions.answers(seed, resamples)
    scored = text.scored_bytes
    leakage = tuple(
        Leakage(alpha, int(rows.sum()), int(scored[rows].sum()), _comparison(answers, number))
        for number, (alpha, rows) in enumerate(subsets)
    )
    overall = _comparison(answers, len(subsets))
    against = {name: answers[-2, name] for name in others if ON in chunks}
    return Measured(overall, leakage, {name: answers[-1, name] for name in others}, against)


@dataclass
class _Questions:
    """Ratios over documents, collected, so that documents are drawn once for all of them."""

    text: EvaluationText
    tops: dict[tuple[int, str], Floats] = field(default_factory=dict)
    bottoms: list[Floats] = field(default_factory=list)

    def ask(self, key: tuple[int, str], nats: Floats, rows: Bits) -> None:
        """Bits per byte of some chunks; nats: (n,)."""
        self.tops[key] = self._by_document(np.where(rows, nats / math.log(2), 0.0))
        self.bottoms.append(self._by_document(np.where(rows, self.text.scored_bytes, 0.0)))

    def answers(self, seed: int, resamples: int) -> dict[tuple[int, str], Estimate]:
        tops = np.stack(list(self.tops.values()))
        found = ratios(tops, np.stack(self.bottoms), seed, resamples)
        return dict(zip(self.tops, found, strict=True))

    def _by_document(self, values: Floats) -> Floats:
        return np.bincount(self.text.document, values, len(self.text.names)).astype(np.float64)


def _comparison(answers: Mapping[tuple[int, str], Estimate], number: int) -> Comparison:
    mine = {name: answer for (group, name), answer in answers.items() if group == number}
    differences = {name: mine.pop(name) for name in list(mine) if " - " in name}
    return Comparison(mine, differences)
