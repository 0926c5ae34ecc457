"""One run of the index stage between plan and commit: train, add, merge, tune, swap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from retro_cli.config import fingerprint
from retro_cli.events import Progress
from retro_cli.filters.ledger import load_ledger
from retro_cli.index.bitmaps import load_bitmap, save_bitmap
from retro_cli.index.catalogue import numbered
from retro_cli.index.drift import mean_error, measured_fit
from retro_cli.index.generation import Filtered, Fit, Generation, Segment
from retro_cli.index.measure import Measured, as_measured, measure, still_measured
from retro_cli.index.plan import IndexPlan
from retro_cli.index.state import Bits, IndexJob, State
from retro_cli.index.tune import TuneResult
from retro_cli.index.work import SegmentWork
from retro_cli.lexical.build import MAX_DEAD, keep_in_step
from retro_cli.lexical.write import wanted_words
from retro_cli.store.atomic import write_json
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.journal import Journal
from retro_cli.wording import counted

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class IndexReport:
    """What a run did and the generation that queries see now."""

    generation: Generation
    up_to_date: bool
    rows_added: int
    rows_died: int
    segments_merged: int
    trained: bool
    reason: str
    tuned: TuneResult | None
    segments_compacted: int = 0


class Build:
    """One run between plan and commit."""

    def __init__(
        self,
        job: IndexJob,
        state: State,
        plan: IndexPlan,
        previous: Generation | None,
        snapshot: FileRecord,
        reason: str,
        verified: Verified,
        progress: Progress,
        cause: str = "",
        thorough: bool = True,
        max_dead: float | None = None,
    ) -> None:
        """cause: for the history, if this is not an index run; thorough: merge segments, and
        measure the recall again if many rows came or went; max_dead: rewrite segments with a
        larger share of dead rows."""
        self.cause, self.thorough, self.max_dead = cause, thorough, max_dead
        self.job, self.state, self.progress, self.verified = job, state, progress, verified
        self.folder = job.layout.index
        self.snapshot, self.reason = snapshot, reason
        self.previous = previous
        self.base = None if reason else previous  # the generation that this one extends
        self.plan = self.base.plan if self.base else plan
        self.journal = Journal(self.folder / JOURNAL)
        rules = state.excluded.key
        before = [segment.file.name for segment in self.base.segments] if self.base else []
        before += [self.base.template.name] if self.base else []
        why = [reason, rules, before]
        self.work = SegmentWork(
            self.folder,
            state.vectors(),
            self.journal,
            verified,
            fingerprint([state.files, snapshot.sha256, self.plan.factory, job.seed, *why]),
            job.threads,
            progress,
            where=job.where,
        )

    def execute(self) -> IndexReport:
        if self.reason:
            reasons = [self.reason]
            if self.plan.reason not in self.reason:  # of a --factory both say that it was asked for
                reasons.append(self.plan.reason)
            self.progress.note(f"training: {'. '.join(reasons)}")
        base, live = self.base, self.state.live
        template = base.template if base else self.work.template(live, self.plan, self.job.seed)
        indexed = self._bits_before("indexed")
        died = int((indexed & ~live & ~self._bits_before("dead")).sum())
        segments = list(base.segments) if base else []
        compacted = 0
        if self.max_dead is not None:
            gone = indexed & ~live
            segments, dropped, compacted = self.work.compacted(segments, gone, self.max_dead)
            indexed &= ~dropped
        new = np.flatnonzero(live & ~indexed)
        segments += self.work.added(template, new)
        indexed[new] = True
        merged = 0
        if self.thorough:
            segments, dropped, merged = self.work.merged(segments, indexed & ~live)
            indexed &= ~dropped
        dead = indexed & ~live
        records = {
            "indexed": save_bitmap(self.folder, "indexed", indexed),
            "dead": save_bitmap(self.folder, "dead", dead),
        }
        fit = self._fit(template, segments, indexed & ~dead)
        measured = self._measured(segments, dead)
        generation = Generation(
            number=0,
            plan=self.plan,
            requested_factory=self.job.factory,
            template=template,
            template_rows=base.template_rows if base else int(live.sum()),
            trained_error=base.trained_error if base else mean_error(segments),
            trained_imbalance=base.trained_imbalance if base else fit.imbalance,
            fit=fit,
            trained=base.trained if base else records["indexed"],
            segments=tuple(segments),
            **records,
            chunks=self.snapshot,
            vectors=self.state.files,
            encoder=self.state.encoder,
            precision=self.state.precision,
            rows=int(live.sum()),
            nprobe=measured.nprobe,
            candidates=measured.candidates,
            quality=measured.quality,
            seed=self.job.seed,
            filtered=self._filtered(),
            cause=self.cause or _cause(len(new), died, self.reason),
        )
        self._words()
        purged = load_ledger(self.job.layout).purged  # no number of those is used again
        generation = numbered(self.folder, generation, purged)
        self._commit(generation, measured.tuned)
        return IndexReport(
            generation,
            up_to_date=False,
            rows_added=len(new),
            rows_died=died,
            segments_merged=merged,
            trained=not base,
            reason=self.reason,
            tuned=measured.tuned,
            segments_compacted=compacted,
        )

    def _words(self) -> None:
        """The lexical index comes first: no generation that has one is ever without it."""
        chunks = self.state.chunks
        wanted = wanted_words(
            self.job.layout, chunks, self.snapshot.sha256, self.job.stemmer, self.job.words
        )
        dead = MAX_DEAD if self.max_dead is None else 0.0
        keep_in_step(wanted, dead, self.progress)

    def _measured(self, segments: list[Segment], dead: Bits) -> Measured:
        if self.base is not None and not self.thorough:
            return as_measured(self.base)
        before = still_measured(self.base, self.job, self.state)
        return before or measure(
            self.folder, segments, dead, self.plan, self.state, self.job, self.progress
        )

    def _filtered(self) -> Filtered:
        excluded = self.state.excluded
        if not excluded.rules:
            return Filtered()
        rows = save_bitmap(self.folder, "excluded", excluded.rows)
        return Filtered(excluded.rules, excluded.key, rows)

    def _bits_before(self, name: Literal["indexed", "dead", "trained"]) -> Bits:
        total = len(self.state.live)
        record = getattr(self.base, name) if self.base else None
        return load_bitmap(self.folder, record, total) if record else np.zeros(total, dtype=bool)

    def _fit(self, template: FileRecord, segments: list[Segment], live: Bits) -> Fit:
        """Measured anew wherever segments may have changed; rules alone change little."""
        if self.base is not None and not self.thorough and self.max_dead is None:
            return self.base.fit
        paths = [self.folder / segment.file.name for segment in segments]
        old = live if self.base is None else self._bits_before("trained")
        new = np.flatnonzero(live & ~old)
        return measured_fit(self.folder / template.name, paths, self.state.vectors(), new)

    def _commit(self, generation: Generation, tuned: TuneResult | None) -> None:
        if tuned is not None:
            # Timings differ from run to run, so they stay out of the generation's own bytes.
            measured = {
                "curve": [list(point) for point in tuned.curve],
                "latency_ms_p50": tuned.latency_ms_p50,
                "latency_ms_p95": tuned.latency_ms_p95,
            }
            write_json(self.folder / f"measured-{generation.number:06d}.json", measured)
        for record in generation.files():
            if not self.verified.knows(record):
                self.verified.trust(record)
        self.verified.save({record.name for record in generation.files()})
        generation.save(self.folder)
        self.journal.discard()


def _cause(added: int, died: int, trained: str) -> str:
    what = f"index: {counted(added, 'row')} added, {died:,} gone"
    return f"{what}, trained ({trained})" if trained else what
