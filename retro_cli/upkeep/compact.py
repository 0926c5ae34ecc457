"""Compaction: take dead rows out of the index, and replaced documents off the disk.

With ``purge`` what the rules took goes too, with every older generation: no undo after that.
Queries go on: they keep the generation they opened, and the next ones open the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.blank import blanked
from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live
from retro_cli.chunks.manifest import ChunkManifest, require_manifest
from retro_cli.config import load_settings, save_settings
from retro_cli.datastore.blank import follow_blanking
from retro_cli.datastore.manifest import MANIFEST
from retro_cli.datastore.stage import sweep_datastore
from retro_cli.embeddings.manifest import made_by
from retro_cli.errors import NotBuiltYet, UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.exclusion import corpus_of, exclude
from retro_cli.filters.ledger import FILE as LEDGER
from retro_cli.filters.ledger import load_ledger
from retro_cli.filters.match import rule_rows
from retro_cli.filters.rules import ACTIVE, PURGED
from retro_cli.filters.scores import tidy_scores
from retro_cli.index.bitmaps import load_bitmap
from retro_cli.index.build import JOURNAL
from retro_cli.index.catalogue import (
    all_generations,
    chunk_snapshot,
    generation_chunks,
    hold_generation,
)
from retro_cli.index.generation import Generation
from retro_cli.index.state import read_state
from retro_cli.index.work import too_dead
from retro_cli.lexical.build import keep_in_step
from retro_cli.lexical.write import wanted_words
from retro_cli.store.atomic import disk_errors
from retro_cli.store.journal import Journal
from retro_cli.store.layout import Layout
from retro_cli.store.lock import writer_lock
from retro_cli.store.remote.local import note_purge
from retro_cli.store.sweep import sweep_unreferenced
from retro_cli.upkeep.apply import extend
from retro_cli.upkeep.copies import remember_what_goes
from retro_cli.upkeep.purge import (
    PURGE,
    clean_quarantine,
    forget_unfinished,
    leave_nothing,
    no_way_back,
)
from retro_cli.upkeep.rewrite import Rewritten, rewrite_without
from retro_cli.wording import counted

Bits = npt.NDArray[np.bool_]
MAX_DEAD = 0.2


@dataclass(frozen=True)
class CompactReport:
    """What a compaction did, or would do. ``removed``: chunks of live documents that it ends."""

    generation: int
    rewritten: Rewritten
    segments: int
    removed: int
    rules_ended: tuple[int, ...]
    bytes_before: int
    bytes_after: int
    generations: int  # left


def compact(
    layout: Layout,
    *,
    max_dead: float = MAX_DEAD,
    purge: bool = False,
    yes: bool = False,
    keep_generations: int | None = None,
    progress: Progress = SILENT,
) -> CompactReport:
    """Rewrite what holds more dead rows than ``max_dead`` of it.

    purge: blank every row that no query may show, whatever its share, and drop all older
    generations; refused without ``yes``. keep_generations: how many, from now on, instead of the
    number that was named last. Raises NotBuiltYet unless the index is up to date, and LockedError
    if a reader still holds a generation whose text a purge has to remove.
    """
    layout.require()
    with disk_errors(layout.root), writer_lock(layout.root, "compact"):
        settings = load_settings(layout).changed(keep_generations=keep_generations)
        base = _up_to_date(layout)
        manifest = require_manifest(layout.chunks)
        before = layout.size()
        dead, removed, rules = _doomed(layout, manifest, purge)
        if purge and not yes:
            count = _unblanked(layout, manifest, dead)
            raise UsageError(
                f"a purge removes the text of {counted(count, 'chunk')} for good, "
                f"{int(removed.sum()):,} of them taken by rules that could still be undone",
                "add --yes if that is meant",
            )
        limit = 0.0 if purge else max_dead
        besides: dict[str, Any] = {}
        doomed = _over(manifest, dead, limit)
        if purge:
            note_purge(layout.root)
            clean_quarantine(layout)
        remember_what_goes(layout, manifest, doomed, removed)
        if purge:
            ledger = load_ledger(layout).changed(set(rules), PURGED)
            if _unblanked(layout, manifest, doomed):
                ledger = ledger.without_return(base.number)
            if ledger != load_ledger(layout):
                layout.filters.mkdir(exist_ok=True)
                besides[f"filters/{LEDGER}"] = ledger.to_json()
        keys = follow_blanking(layout, doomed | _nowhere(manifest))
        if keys is not None:
            besides[f"datastore/{MANIFEST}"] = keys.to_json()
        report = rewrite_without(layout, doomed, besides=besides, progress=progress)
        generation, segments = _new_generation(layout, base, limit, purge, progress)
        if purge:
            no_way_back(layout, generation)
            forget_unfinished(layout)
        if keep_generations is not None:
            save_settings(layout, settings)
        sweep_unreferenced(layout, 1 if purge else settings.keep_generations)
        sweep_datastore(layout.datastore)
        tidy_scores(layout)
        left = all_generations(layout.index)
        if purge:
            leave_nothing(layout, left, generation)
        return CompactReport(
            generation=generation.number,
            rewritten=report,
            segments=segments,
            removed=int(removed.sum()) if purge else 0,
            rules_ended=rules if purge else (),
            bytes_before=before,
            bytes_after=layout.size(),
            generations=len(left),
        )


def _up_to_date(layout: Layout) -> Generation:
    """The current generation, if it is made of the chunks and vectors there are now.

    A purge that was killed half-way has moved the chunks on: that is up to date as well.
    """
    base, hold = hold_generation(layout.index)
    hold.close()
    state = read_state(layout)  # raises unless every chunk has its vector
    if made_by(base.encoder, base.precision) != state.made_by:
        raise NotBuiltYet(
            "the vectors come from another encoder than the index",
            f"run: retro index {layout.root}",
        )
    now = require_manifest(layout.chunks)
    then = generation_chunks(layout.index, base)
    if now.next_id != then.next_id or (own_live(now) & ~own_live(then)).any():
        raise NotBuiltYet(
            "there are chunks that the index does not hold yet", f"run: retro index {layout.root}"
        )
    return base


def _doomed(
    layout: Layout, manifest: ChunkManifest, purge: bool
) -> tuple[Bits, Bits, tuple[int, ...]]:
    """(next_id,) rows to blank; those of them that only a rule keeps out; and these rules."""
    own = own_live(manifest)
    exists = np.zeros(manifest.next_id, dtype=bool)
    for part in manifest.parts:
        exists[part.base : part.base + part.rows] = True
    removed = np.zeros(manifest.next_id, dtype=bool)
    rules: tuple[int, ...] = ()
    if purge:
        ledger = load_ledger(layout)
        aliases = Aliases.load(layout.chunks, manifest.aliases)
        removed = own & exclude(layout, manifest, aliases, ledger).rows
        corpus = corpus_of(layout, manifest, aliases)
        rules = tuple(
            rule.number
            for rule in ledger.active
            if rule.state == ACTIVE and (rule_rows(corpus, rule) & removed).any()
        )
    return (exists & ~own) | removed, removed, rules


def _unblanked(layout: Layout, manifest: ChunkManifest, dead: Bits) -> int:
    """How many dead rows still have their text."""
    count = 0
    for part in manifest.parts:
        mine = dead[part.base : part.base + part.rows]
        if mine.any():
            count += int((mine & ~blanked(layout.chunks, part)).sum())
    return count


def _nowhere(manifest: ChunkManifest) -> Bits:
    """(next_id,) ids that no part has any more: a part that was wholly blank is gone."""
    nowhere = np.ones(manifest.next_id, dtype=bool)
    for part in manifest.parts:
        nowhere[part.base : part.base + part.rows] = False
    return nowhere


def _over(manifest: ChunkManifest, dead: Bits, limit: float) -> Bits:
    """The dead rows of the parts that hold too many of them."""
    chosen = np.zeros_like(dead)
    for part in manifest.parts:
        rows = slice(part.base, part.base + part.rows)
        if part.rows and dead[rows].mean() > limit:
            chosen[rows] = dead[rows]
    return chosen


def _new_generation(
    layout: Layout, base: Generation, limit: float, purge: bool, progress: Progress
) -> tuple[Generation, int]:
    state = read_state(layout)
    snapshot = chunk_snapshot(layout.index, state.chunks)
    cause = PURGE if purge else "compact"
    same = snapshot == base.chunks and base.filtered.key == state.excluded.key
    indexed = load_bitmap(layout.index, base.indexed, len(state.live))
    dead = indexed & ~state.live
    if same and not any(too_dead(layout.index, each, dead, limit) for each in base.segments):
        Journal(layout.index / JOURNAL).discard()  # of a run that was killed when it was done
        keep_in_step(wanted_words(layout, state.chunks, snapshot.sha256), 0.0, progress)
        return base, 0  # nothing to do: leave the history alone
    report = extend(layout, base, state, snapshot, cause, max_dead=limit, progress=progress)
    return report.generation, report.segments_compacted
