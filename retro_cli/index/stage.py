"""The index stage: vectors -> a new generation. Built the first time, updated ever after.

Rows that are new go into a new segment; rows that died are masked; small segments are merged.
Training happens once, and again only when the corpus has outgrown the plan, the encoder changed
or the user asks.
"""

from __future__ import annotations

from pathlib import Path

from retro_cli.errors import IntegrityError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.ledger import load_ledger, require_rules
from retro_cli.index.bitmaps import load_bitmap
from retro_cli.index.build import JOURNAL, Build, IndexReport
from retro_cli.index.catalogue import chunk_snapshot, current_generation, excluded_rows
from retro_cli.index.generation import Generation
from retro_cli.index.measure import moved
from retro_cli.index.state import IndexJob, State, as_before, plan_for, read_state, why_retrain
from retro_cli.lexical.build import keep_in_step
from retro_cli.lexical.write import wanted_words
from retro_cli.store.atomic import sweep_temporaries
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.journal import Journal

__all__ = ["IndexJob", "IndexReport", "index"]


def index(job: IndexJob, progress: Progress = SILENT) -> IndexReport:
    """Make a generation of what is there now. The caller holds the lock."""
    folder = job.layout.index
    folder.mkdir(exist_ok=True)
    sweep_temporaries(folder)
    state = read_state(job.layout)
    previous, damage = _previous(folder)
    job = as_before(job, previous)
    plan = plan_for(job, state, previous)
    if previous is not None:
        require_rules(load_ledger(job.layout), previous.filtered.rules, previous.number)
    reason = damage or why_retrain(previous, state, plan, job)
    snapshot = chunk_snapshot(folder, state.chunks)
    verified = Verified(folder)
    if previous is not None and not reason:
        reason = _damage(previous, verified)
    if previous is not None and not reason and _is_current(folder, previous, snapshot, state, job):
        verified.save({file.name for file in previous.files()})
        keep_in_step(
            wanted_words(job.layout, state.chunks, snapshot.sha256, job.stemmer, job.words),
            progress=progress,
        )
        Journal(folder / JOURNAL).discard()
        return IndexReport(previous, True, 0, 0, 0, False, "", None)
    return Build(job, state, plan, previous, snapshot, reason, verified, progress).execute()


def _previous(folder: Path) -> tuple[Generation | None, str]:
    """The generation to extend, or why it cannot be: everything in it can be made again."""
    try:
        return current_generation(folder), ""
    except IntegrityError as error:
        return None, error.message


def _is_current(
    folder: Path, previous: Generation, snapshot: FileRecord, state: State, job: IndexJob
) -> bool:
    return (
        previous.chunks == snapshot
        and previous.quality.target == job.recall
        and previous.filtered.key == state.excluded.key
        and _masks_hold(folder, previous, state)
        and not moved(previous.quality, state.live)
    )


def _masks_hold(folder: Path, previous: Generation, state: State) -> bool:
    """Whether the masks on the disk are those that the chunks and rules call for."""
    total = len(state.live)
    indexed = load_bitmap(folder, previous.indexed, total)
    dead = load_bitmap(folder, previous.dead, total)
    excluded = excluded_rows(folder, previous, total)
    return bool((dead == (indexed & ~state.live)).all() and (excluded == state.excluded.rows).all())


def _damage(previous: Generation, verified: Verified) -> str:
    for record in previous.files():
        if problem := verified.problem(record):
            return problem
    return ""
