"""What questions and answers come to: rates with intervals over questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from retro_cli.evaluate.bootstrap import RESAMPLES, Estimate, ratios
from retro_cli.evaluate.qa import GOLD, READER, Judged

Part = Callable[[Judged], tuple[float, float]]


def _answerable(value: Callable[[Judged], float]) -> Part:
    """A mean over the questions that have an answer."""
    return lambda one: (value(one), 1.0) if one.question.answers else (0.0, 0.0)


# Each is a ratio of two sums over questions.
MEASURES: dict[str, Part] = {
    "exact match": _answerable(lambda one: one.exact),
    "F1": _answerable(lambda one: one.f1),
    "right": _answerable(lambda one: one.right),
    "answer in evidence": _answerable(lambda one: one.in_evidence),
    "answered": _answerable(lambda one: one.reply.found),
    "refused, without answer": lambda one: (
        (0.0, 0.0) if one.question.answers else (float(not one.reply.found), 1.0)
    ),
    "quotes verbatim": lambda one: (one.verbatim, one.cited),
    "citations correct": lambda one: (
        (one.supporting, one.cited) if one.question.answers else (0.0, 0.0)
    ),
    "bits per byte": lambda one: (
        (0.0, 0.0) if one.nats is None else (one.nats / math.log(2), one.bytes)
    ),
}
NOTES = (
    "right: the answer holds the words of a reference together, or has all its numbers and an F1 "
    "with it above one half",
    "citations correct: verbatim, from a document that the question names or, where it names none, "
    "a passage that holds a reference",
)


@dataclass(frozen=True)
class QaReport:
    """questions, answerable: how many. measured: condition -> measure -> estimate.

    against_gold: how often the reader is right by how often it is with the gold chunk handed
    over, on the questions that have one; None without such a condition.
    """

    questions: int
    answerable: int
    measured: Mapping[str, Mapping[str, Estimate]]
    against_gold: Estimate | None
    judged: Mapping[str, Sequence[Judged]]
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            **self.about,
            "questions": self.questions,
            "answerable": self.answerable,
            "measured": {
                name: {measure: asdict(value) for measure, value in values.items()}
                for name, values in self.measured.items()
            },
            "right_against_gold": self.against_gold and asdict(self.against_gold),
            "notes": list(NOTES),
            "answers": {
                name: [one.to_json() for one in judged] for name, judged in self.judged.items()
            },
        }


def report(
    judged: Mapping[str, Sequence[Judged]],
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> QaReport:
    """judged: condition -> replies; of the reader, one to each question."""
    measured = {name: _measured(of, seed, resamples) for name, of in judged.items()}
    questions = [one.question for one in judged[READER]]
    return QaReport(
        len(questions), sum(bool(each.answers) for each in questions), measured,
        against(judged[READER], judged.get(GOLD), seed, resamples), judged, about or {},
    )  # fmt: skip


def _measured(judged: Sequence[Judged], seed: int, resamples: int) -> dict[str, Estimate]:
    if not judged:
        return {name: Estimate(None, None, None, 0) for name in MEASURES}
    values = np.array([[part(one) for one in judged] for part in MEASURES.values()], dtype=float)
    found = ratios(values[:, :, 0], values[:, :, 1], seed, resamples)
    return dict(zip(MEASURES, found, strict=True))


def against(
    reader: Sequence[Judged], gold: Sequence[Judged] | None, seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate | None:  # fmt: skip
    """The reader's right answers by those with the gold chunk, on the same questions."""
    handed = {one.question.id: one.right for one in gold or ()}
    both = [(one.right, handed[one.question.id]) for one in reader if one.question.id in handed]
    if not both:
        return None
    top, bottom = np.array(both, dtype=float).T
    return ratios(top[None], bottom[None], seed, resamples)[0]
