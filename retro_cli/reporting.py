"""What a report says of a database: its state, index, sources, chunks, and saved evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retro_cli.chunks.documents import tokens_per_chunk
from retro_cli.errors import NotBuiltYet, UsageError
from retro_cli.evaluate.index import IndexReport, IndexSettings, evaluate_index
from retro_cli.evaluate.saved import Evaluation
from retro_cli.events import SILENT, Progress
from retro_cli.filters.score_table import tables
from retro_cli.filters.sources import SourceScores, histogram, source_scores
from retro_cli.index.generation import Generation
from retro_cli.query.retrieve import Retriever
from retro_cli.query.select import SourceCount, count_sources
from retro_cli.status import Status, status
from retro_cli.store.layout import Layout
from retro_cli.upkeep.reach import Filtering, open_filtering
from retro_cli.wording import near


@dataclass(frozen=True)
class Toxicity:
    """The scores of one table: by source, the worst first, and how many chunks have which."""

    table: str
    threshold: float
    sources: list[SourceScores]
    counts: list[int]


@dataclass(frozen=True)
class Report:
    """index: an evaluation of the index, None where it was not measured. lengths: (tokens,) how
    many chunks that may be shown have so many tokens."""

    database: str
    status: Status
    index: IndexReport | None
    sources: list[SourceCount]
    toxicity: Toxicity | None
    lengths: list[int]
    evaluations: list[Evaluation]


def report(
    layout: Layout,
    evaluations: Sequence[Evaluation] = (),
    *,
    queries: int = 200,
    scores: str = "",
    threshold: float = 0.5,
    progress: Progress = SILENT,
) -> Report:
    """queries: rows that the index is measured with; 0, or a saved evaluation of this very
    generation, spares that. scores: the score table to show, by default the first.

    Raises NotBuiltYet without chunks, UsageError for a score table that is not there.
    """
    state = status(layout)
    look = open_filtering(layout)
    chunks = look.corpus.manifest
    shown = look.corpus.own & ~look.excluded.rows
    return Report(
        database=str(layout.root),
        status=state,
        index=_index(layout, evaluations, queries, progress),
        sources=count_sources(layout.chunks, chunks, look.excluded.rows),
        toxicity=_toxicity(layout, look, scores, threshold),
        lengths=tokens_per_chunk(layout.chunks, chunks, shown).tolist(),
        evaluations=list(evaluations),
    )


def _index(
    layout: Layout, evaluations: Sequence[Evaluation], queries: int, progress: Progress
) -> IndexReport | None:
    try:
        retriever = Retriever(layout)
    except NotBuiltYet:
        return None
    try:
        for saved in evaluations:
            if saved.index is not None and _is_of(saved.index, retriever.generation):
                return saved.index
        if not queries:
            return None
        return evaluate_index(retriever, IndexSettings(queries=queries), progress)
    except UsageError:  # too few rows to measure anything
        return None
    finally:
        retriever.close()


def _is_of(saved: IndexReport, generation: Generation) -> bool:
    mine = (generation.number, generation.rows, generation.plan.factory)
    return (saved.generation, saved.rows, saved.factory) == mine


def _toxicity(layout: Layout, look: Filtering, name: str, threshold: float) -> Toxicity | None:
    known = [table.name for table in tables(layout)]
    if name and name not in known:
        raise UsageError(
            f"there are no scores called {name}", near(name, known, "retro filter score")
        )
    if not known:
        return None
    name = name or known[0]
    values = look.corpus.scores(name)
    found = source_scores(look.corpus, look.excluded.rows, values, threshold)
    return Toxicity(name, threshold, found, histogram(look.corpus, values))
