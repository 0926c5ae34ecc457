"""How well a database, or a run of anything, finds the documents that were judged relevant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retro_cli.errors import UsageError
from retro_cli.evaluate.bootstrap import RESAMPLES, Estimate, means
from retro_cli.evaluate.ranking import CUTS, measure_names, measures, ranked
from retro_cli.events import SILENT, Progress
from retro_cli.exchange.judgements import Judgements
from retro_cli.exchange.questions import Question
from retro_cli.exchange.runs import Run, document_scores
from retro_cli.wording import agreed, counted

if TYPE_CHECKING:
    from retro_cli.query.retrieve import Answer

Floats = npt.NDArray[np.float64]
_TOGETHER = 32  # queries
_EXAMPLES = 3


@dataclass(frozen=True)
class Scoring:
    """cuts: the k of nDCG@k and the like. least: the relevance from which a document counts as
    relevant. binary: relevant documents gain 1 in nDCG, others 0, whatever their relevance.
    seed, resamples: of the intervals."""

    cuts: tuple[int, ...] = CUTS
    least: int = 1
    binary: bool = False
    seed: int = 0
    resamples: int = RESAMPLES

    def check(self) -> None:
        """Raises UsageError."""
        if not self.cuts or min(self.cuts) < 1 or len(set(self.cuts)) < len(self.cuts):
            raise UsageError("the cuts have to be different numbers from 1 on", "-k 1,5,10,100")


@dataclass(frozen=True)
class Scores:
    """values: (measures, queries), in the order of ``names`` and ``queries``. estimates: means."""

    queries: tuple[str, ...]
    names: tuple[str, ...]
    values: Floats
    estimates: dict[str, Estimate]

    def of_query(self, place: int) -> dict[str, float]:
        return dict(zip(self.names, self.values[:, place].tolist(), strict=True))


@dataclass(frozen=True)
class Difference:
    """One measure of a run less that of another, paired over queries; better, worse: queries."""

    estimate: Estimate
    better: int
    worse: int


def run_questions(
    find: Callable[[list[str]], list[Answer]],
    questions: Sequence[Question],
    progress: Progress = SILENT,
) -> Run:
    """What ``find`` finds for each question. find: texts -> an Answer each, of documents."""
    progress.started("search", len(questions), "queries")
    run: Run = {}
    for first in range(0, len(questions), _TOGETHER):
        some = questions[first : first + _TOGETHER]
        for question, answer in zip(some, find([q.text for q in some]), strict=True):
            run[question.id] = document_scores(answer.hits)
        progress.advanced("search", len(some))
    progress.finished("search")
    return run


def score_run(run: Run, judgements: Judgements, scoring: Scoring = Scoring()) -> Scores:
    """The measures of each judged query and their means; a query that found nothing counts as 0,
    as under trec_eval's ``-c``."""
    rows = [
        measures(ranked(run.get(query, {})), _graded(judged, scoring), scoring.cuts, scoring.least)
        for query, judged in judgements.items()
    ]
    names = measure_names(scoring.cuts)
    values = np.array([[row[name] for row in rows] for name in names], dtype=np.float64)
    found = means(values, scoring.seed, scoring.resamples)
    return Scores(tuple(judgements), tuple(names), values, dict(zip(names, found, strict=True)))


def _graded(judged: Mapping[str, int], scoring: Scoring) -> Mapping[str, int]:
    if not scoring.binary:
        return judged
    return {name: scoring.least * (grade >= scoring.least) for name, grade in judged.items()}


def compare(one: Scores, other: Scores, scoring: Scoring = Scoring()) -> dict[str, Difference]:
    """``one`` less ``other``, of the same queries: intervals of the mean difference."""
    differences = one.values - other.values
    found = means(differences, scoring.seed, scoring.resamples)
    return {
        name: Difference(estimate, int((values > 0).sum()), int((values < 0).sum()))
        for name, estimate, values in zip(one.names, found, differences, strict=True)
    }


def judged_questions(
    questions: Sequence[Question], judgements: Judgements, *, partial: bool
) -> tuple[list[Question], list[str]]:
    """The questions that are judged, and what has to be said of the others.

    Raises UsageError if there is none; and unless ``partial`` if a judged one is not there.
    """
    known = {question.id for question in questions}
    missing = [query for query in judgements if query not in known]
    if len(missing) == len(judgements):
        raise UsageError(
            f"none of the {counted(len(judgements), 'judged query', 'judged queries')} "
            f"({examples(judgements)}) is among the "
            f"{counted(len(known), 'query', 'queries')} ({examples(known)})",
            "the ids of queries and qrels have to be the same",
        )
    if missing and not partial:
        raise UsageError(
            f"{len(missing):,} of the {len(judgements):,} judged queries are not among the "
            f"queries ({examples(missing)})",
            "name the queries that belong to the qrels, or leave these out with --partial",
        )
    notes = []
    if missing:
        notes.append(
            f"{len(missing):,} of {len(judgements):,} judged queries are not among the queries "
            f"({examples(missing)}): left out."
        )
    some = [question for question in questions if question.id in judgements]
    if len(some) < len(questions):
        rest = [question.id for question in questions if question.id not in judgements]
        notes.append(
            f"{len(rest):,} of {len(questions):,} queries have no judgements "
            f"({examples(rest)}): left out."
        )
    return some, notes


def note_documents(judgements: Judgements, there: Collection[str]) -> list[str]:
    """What has to be said of the relevant documents. Raises UsageError if none is ``there``."""
    relevant = {
        d: None for judged in judgements.values() for d, grade in judged.items() if grade > 0
    }
    missing = [document for document in relevant if document not in there]
    if missing and len(missing) == len(relevant):
        raise UsageError(
            f"none of the {counted(len(relevant), 'relevant document')} ({examples(missing)}) is "
            f"among the {counted(len(there), 'document')} of the database ({examples(there)})",
            "the ids of the corpus and of the qrels have to be the same (see --id-field)",
        )
    notes = []
    if missing:
        notes.append(
            f"{len(missing):,} of {len(relevant):,} relevant documents are not in the database "
            f"({examples(missing)}): they count as not found."
        )
    return notes


def note_without(judgements: Judgements, least: int) -> list[str]:
    """Of queries without a relevant document, every measure of which is 0."""
    empty = [query for query, judged in judgements.items() if max(judged.values()) < least]
    if not empty:
        return []
    verb = agreed(len(empty), "query has", "queries have")
    return [f"{len(empty):,} {verb} no relevant document ({examples(empty)}): counted as 0."]


def judged_run(run: Run, judgements: Judgements, name: str) -> list[str]:
    """What has to be said of a run from a file. Raises UsageError if it shares no query."""
    missing = [query for query in judgements if query not in run]
    if len(missing) == len(judgements):
        raise UsageError(
            f"none of the {counted(len(run), 'query', 'queries')} of {name} ({examples(run)}) is "
            f"judged (judged are {examples(judgements)})",
            "the ids of the run and of the qrels have to be the same",
        )
    notes = []
    if missing:
        notes.append(
            f"{name} lacks {len(missing):,} of {len(judgements):,} judged queries "
            f"({examples(missing)}): counted as 0."
        )
    judged = {document for query in judgements.values() for document in query}
    if not any(document in judged for found in run.values() for document in found):
        notes.append(f"{name} names no judged document: are the ids those of the qrels?")
    return notes


def examples(names: Iterable[str]) -> str:
    """A few names, for a message."""
    known = sorted(names)[:_EXAMPLES]
    return "such as " + ", ".join(f"'{name[:40]}'" for name in known)
