"""Put the rules in force: a new generation of the same chunks and segments, with other masks."""

from __future__ import annotations

from retro_cli.config import load_settings
from retro_cli.errors import IntegrityError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.exclusion import exclusion_key
from retro_cli.filters.ledger import Ledger, load_ledger, require_rules
from retro_cli.index.build import Build, IndexReport
from retro_cli.index.catalogue import current_generation, generation_chunks
from retro_cli.index.generation import Generation
from retro_cli.index.state import IndexJob, State, state_of
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.layout import Layout
from retro_cli.store.sweep import sweep_unreferenced


def in_force(layout: Layout) -> bool:
    """Whether queries already see the rules as they are in the ledger."""
    generation = current_generation(layout.index)
    return generation is None or generation.filtered.key == exclusion_key(
        layout, load_ledger(layout)
    )


def apply_rules(layout: Layout, cause: str, progress: Progress = SILENT) -> Generation | None:
    """Make the generation that queries see follow the ledger. The caller holds the lock.

    Nothing is trained, embedded or measured again. Without an index there is nothing to do yet:
    the first ``retro index`` applies the rules. Returns the generation in force.
    """
    current = current_generation(layout.index)
    if current is None or in_force(layout):
        return current
    return remake(layout, current, cause, progress)


def remake(
    layout: Layout,
    base: Generation,
    cause: str,
    progress: Progress = SILENT,
    *,
    ledger: Ledger | None = None,
) -> Generation:
    """A new generation of ``base``'s chunks and segments under the rules that hold now.

    ledger: rules to bring in force instead, saved once nothing can go wrong any more. Raises
    IntegrityError if a file of ``base`` is damaged.
    """
    rules = ledger or load_ledger(layout)
    require_rules(rules, base.filtered.rules, base.number)
    _sound(layout, base)
    state = state_of(layout, base, generation_chunks(layout.index, base), rules)
    if ledger is not None:
        ledger.save(layout)
    report = extend(layout, base, state, base.chunks, cause, progress=progress)
    sweep_unreferenced(layout, load_settings(layout).keep_generations)
    return report.generation


def _sound(layout: Layout, base: Generation) -> Verified:
    verified = Verified(layout.index)
    for record in base.files():
        if problem := verified.problem(record):
            raise IntegrityError(problem, "run retro index to make it again")
    return verified


def extend(
    layout: Layout,
    base: Generation,
    state: State,
    snapshot: FileRecord,
    cause: str,
    *,
    max_dead: float | None = None,
    progress: Progress = SILENT,
) -> IndexReport:
    """A generation after ``base`` with the rows of ``state``: nothing is trained or measured.

    snapshot: the chunk manifest that ``state`` was read from; max_dead: rewrite segments with a
    larger share of dead rows. Raises IntegrityError if a file of ``base`` is damaged.
    """
    verified = _sound(layout, base)
    job = IndexJob(layout, base.quality.target, base.requested_factory, seed=base.seed)
    build = Build(
        job,
        state,
        base.plan,
        base,
        snapshot,
        "",
        verified,
        progress,
        cause=cause,
        thorough=False,
        max_dead=max_dead,
    )
    return build.execute()
