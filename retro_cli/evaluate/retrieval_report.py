"""What an evaluation of retrieval found, and what has to be known to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from retro_cli.evaluate.retrieval import (
    Difference,
    Scores,
    Scoring,
    compare,
    judged_run,
    note_without,
    score_run,
)
from retro_cli.exchange.judgements import Judgements
from retro_cli.exchange.runs import Run


@dataclass(frozen=True)
class Against:
    """Another run on the same queries. differences: by measure, the evaluated less the other."""

    name: str
    scores: Scores
    differences: dict[str, Difference]


@dataclass(frozen=True)
class RetrievalReport:
    """system: the database or run. settings: how it was asked."""

    system: str
    scores: Scores
    against: Against | None
    scoring: Scoring
    settings: Mapping[str, Any]
    notes: tuple[str, ...]

    def to_json(self, per_query: bool = False) -> dict[str, Any]:
        """One object; every measure with ``value``, ``low`` and ``high``."""
        value: dict[str, Any] = {
            "evaluation": "retrieval",
            "system": self.system,
            "queries": len(self.scores.queries),
            "measures": _measures(self.scores),
        }
        if self.against is not None:
            value["against"] = {
                "system": self.against.name,
                "measures": _measures(self.against.scores),
                "differences": {
                    name: {**d.estimate.to_json(), "better": d.better, "worse": d.worse}
                    for name, d in self.against.differences.items()
                },
            }
        if per_query:
            value["per_query"] = {
                query: self.scores.of_query(place)
                for place, query in enumerate(self.scores.queries)
            }
        value["settings"] = {
            **self.settings,
            **asdict(self.scoring),
        }
        value["notes"] = list(self.notes)
        return value


def report_retrieval(
    system: str,
    run: Run,
    judgements: Judgements,
    against: tuple[str, Run] | None,
    scoring: Scoring,
    settings: Mapping[str, Any],
    notes: tuple[str, ...] = (),
) -> RetrievalReport:
    """Score a run of the judged queries, and compare it with another one, by name and run.

    Raises UsageError if a run shares no query with the judgements.
    """
    said = [*notes, *note_without(judgements, scoring.least)]
    scores = score_run(run, judgements, scoring)
    other = None
    if against is not None:
        name, theirs = against
        said += judged_run(theirs, judgements, name)
        others = score_run(theirs, judgements, scoring)
        other = Against(name, others, compare(scores, others, scoring))
    return RetrievalReport(system, scores, other, scoring, settings, tuple(said))


def _measures(scores: Scores) -> dict[str, Any]:
    return {name: value.to_json() for name, value in scores.estimates.items()}
