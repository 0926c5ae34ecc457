"""Add and undo filter rules: write the ledger, put it in force.

The ledger is written first. If the power goes before the generation follows, the rule stands all
the same: ``retro status`` says that it waits, and any later ``filter`` or ``index`` applies it.
"""

from __future__ import annotations

from dataclasses import replace

from retro_cli.chunks.live import own_live
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.ledger import load_ledger, require_rules
from retro_cli.filters.rules import UNDONE, Rule
from retro_cli.index.catalogue import current_generation, excluded_rows, generation_chunks
from retro_cli.index.generation import Generation
from retro_cli.store.atomic import disk_errors
from retro_cli.store.layout import Layout
from retro_cli.store.lock import writer_lock
from retro_cli.upkeep.apply import apply_rules
from retro_cli.upkeep.reach import Reach, open_filtering
from retro_cli.wording import agreed, counted


def add_rule(
    layout: Layout,
    rule: Rule,
    *,
    once: bool = False,
    yes: bool = False,
    progress: Progress = SILENT,
) -> tuple[Rule, Reach, Generation | None]:
    """Write a rule down and put it in force.

    ``once``: it holds for the chunks there are now, not for later ones. A rule that says the same
    as one in force is that one. Raises UsageError for a rule that takes nothing or everything,
    unless ``yes``.
    """
    with disk_errors(layout.root), writer_lock(layout.root, "filter add"):
        filtering = open_filtering(layout)
        if once:
            rule = replace(rule, until=filtering.corpus.manifest.next_id)
        known = next((r for r in filtering.ledger.active if r.says == rule.says), None)
        if known is not None:  # the same again, perhaps because the first time was cut short
            generation = apply_rules(layout, _cause(known), progress)
            return known, filtering.reach(known), generation
        filtering.check(rule)
        reach = filtering.reach(rule)
        if not yes:
            _refuse_extremes(reach)
        ledger = filtering.ledger.added(rule)
        ledger.save(layout)
        added = ledger.rules[-1]
        return added, reach, apply_rules(layout, _cause(added), progress)


def undo_rule(
    layout: Layout, number: int, *, lift: bool = False, progress: Progress = SILENT
) -> tuple[Rule, int, Generation | None]:
    """Undo a rule, or finish an undo that was cut short between ledger and index; returns the
    rule, how many chunks came back, and the generation in force."""
    layout.require()
    with disk_errors(layout.root), writer_lock(layout.root, "filter undo"):
        ledger, before = load_ledger(layout), current_generation(layout.index)
        holds = before is not None and number in before.filtered.rules
        if not (holds and ledger.get(number).state == UNDONE):
            ledger = ledger.undone(number, lift=lift)
        if before is not None:
            require_rules(ledger, before.filtered.rules, before.number)
        ledger.save(layout)
        generation = apply_rules(layout, f"filter undo {number}", progress)
        back = _came_back(layout, before, generation)
        return ledger.get(number), back, generation


def _came_back(layout: Layout, before: Generation | None, after: Generation | None) -> int:
    """Rows of living documents that rules kept out before, and do not now."""
    if before is None or after is None:
        return 0
    own = own_live(generation_chunks(layout.index, after))
    old = excluded_rows(layout.index, before, len(own))
    return int((own & old & ~excluded_rows(layout.index, after, len(own))).sum())


def _cause(rule: Rule) -> str:
    return f"filter add {rule.number}: {rule.reason}"


def _refuse_extremes(reach: Reach) -> None:
    if not reach.chunks:
        are = agreed(reach.already, "is", "are")
        more = f" ({reach.already:,} {are} kept out already)" if reach.already else ""
        raise UsageError(
            f"the rule takes none of the {counted(reach.chunks_before, 'chunk')}{more}",
            "--yes adds it all the same, for what comes later",
        )
    if reach.chunks == reach.chunks_before:
        everything = counted(reach.chunks_before, "chunk")
        raise UsageError(
            f"the rule takes all there is ({everything}): nothing would be left",
            "--yes adds it all the same",
        )
