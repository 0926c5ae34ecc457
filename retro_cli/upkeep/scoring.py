"""Score a database: find the scorer, run it over what has no scores yet, keep rules supplied."""

from __future__ import annotations

import os
from functools import partial

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import require_manifest
from retro_cli.embeddings.manifest import load_manifest as load_embeddings
from retro_cli.engine import ANYWHERE, Where
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.ledger import load_ledger
from retro_cli.filters.score_table import ScoreTable, load_table, table_name
from retro_cli.filters.scorers.contract import Scorer
from retro_cli.filters.scorers.registry import load_scorer
from retro_cli.filters.scores import ScoreReport, View, plan_scores, score
from retro_cli.index.catalogue import current_generation, generation_chunks
from retro_cli.index.generation import Generation
from retro_cli.store.atomic import disk_errors
from retro_cli.store.files import Verified
from retro_cli.store.layout import Layout
from retro_cli.store.lock import writer_lock

DEFAULT = "default"


def score_database(
    layout: Layout,
    spec: str = DEFAULT,
    *,
    name: str = "",
    toxic_label: str = "",
    allow_download: bool = False,
    where: Where = ANYWHERE,
    progress: Progress = SILENT,
) -> ScoreReport:
    """Score every chunk that has no score of this scorer yet. ``name``: of the table."""
    layout.require()
    with disk_errors(layout.root), writer_lock(layout.root, "filter score"):
        table = ScoreTable(_checked(name) or table_name(spec), _absolute(spec), toxic_label, "")
        scorer = scorer_for(layout, table.spec, toxic_label, allow_download)
        load = partial(scorer_for, Layout(layout.root.absolute()), table.spec, toxic_label)
        views, files = _to_score(layout)
        return score(layout, views, files, scorer, table, progress, elsewhere=load, where=where)


def ensure_scores(
    layout: Layout,
    spec: str = "",
    *,
    name: str = "",
    allow_download: bool = False,
    progress: Progress = SILENT,
) -> ScoreReport:
    """The same, and where nothing is left to score, without the lock: a writer may be at work.

    A table that is there is scored by its own scorer, unless ``spec`` names one.
    """
    layout.require()
    table = _named(layout, spec, name)
    scorer = scorer_for(layout, table.spec, table.toxic_label, allow_download)
    verified = Verified(layout.attributes / table.name)
    plan = plan_scores(layout, *_to_score(layout), scorer, table, verified)
    if not plan.waiting:
        return ScoreReport(table, 0, plan.rows_done)
    with disk_errors(layout.root), writer_lock(layout.root, "filter score"):
        return score(layout, *_to_score(layout), scorer, table, progress)


def refresh_scores(
    layout: Layout, progress: Progress = SILENT, also: Generation | None = None
) -> list[ScoreReport]:
    """Score what is new for every table that a rule in force reads. The caller holds the lock.

    A rule stands: what arrives later must be scored before it can be shown, and so must what an
    older generation (``also``) brings back.
    """
    ledger = load_ledger(layout)
    names = sorted({rule.toxicity.scorer for rule in ledger.active if rule.toxicity})
    reports = []
    for table in (found for name in names if (found := load_table(layout, name))):
        scorer = scorer_for(layout, table.spec, table.toxic_label)
        reports.append(score(layout, *_to_score(layout, also), scorer, table, progress))
    return reports


def _to_score(layout: Layout, also: Generation | None = None) -> tuple[list[View], dict[str, str]]:
    """What there is now and what queries see, and the vectors of its parts."""
    now = require_manifest(layout.chunks)
    views = [(now, Aliases.load(layout.chunks, now.aliases))]
    files: dict[str, str] = {}
    for generation in (also, current_generation(layout.index)):
        if generation is not None:  # queries may still see parts that have died since
            then = generation_chunks(layout.index, generation)
            views.append((then, Aliases.load(layout.chunks, then.aliases)))
            files |= generation.vectors
    embeddings = load_embeddings(layout.embeddings)
    if embeddings is not None:
        files |= {name: part.file.name for name, part in embeddings.parts.items()}
    return views, files


def scorer_for(
    layout: Layout, spec: str, toxic_label: str = "", allow_download: bool = False
) -> Scorer:
    """The scorer that ``spec`` names, for the vectors of this database (if it has any)."""
    embeddings = load_embeddings(layout.embeddings)
    encoder = embeddings.encoder.fingerprint() if embeddings else ""
    return load_scorer(
        spec, encoder_fingerprint=encoder, allow_download=allow_download, toxic_label=toxic_label
    )


def _named(layout: Layout, spec: str, name: str) -> ScoreTable:
    """The table to fill, with the scorer that ``spec`` names, or else with its own."""
    name = _checked(name) or table_name(spec or DEFAULT)
    known = load_table(layout, name)
    if known is not None and _absolute(spec) in ("", known.spec):
        return known
    if not spec and name != DEFAULT:
        raise UsageError(f"there are no scores called {name}", "say what makes them: --scorer")
    return ScoreTable(name, _absolute(spec or DEFAULT), "", "")


def _absolute(spec: str) -> str:
    """The same scorer from any folder: a rule may score what is new a year from now."""
    kind, colon, value = spec.rpartition(":")
    return f"{kind}{colon}{os.path.abspath(value)}" if os.path.exists(value) else spec


def _checked(name: str) -> str:
    if name and table_name(name) != name:
        raise UsageError(f"'{name}' is no name for a table", "letters, digits, dots and dashes")
    return name
