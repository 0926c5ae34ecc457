"""One run of the index stage between plan and commit: train, add, merge, tune, swap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.config import fingerprint
from retro_cli.events import Progress
from retro_cli.index.generation import (
    Filtered,
    Generation,
    Quality,
    Segment,
    load_bitmap,
    numbered,
    save_bitmap,
)
from retro_cli.index.plan import IndexPlan
from retro_cli.index.search import Searcher
from retro_cli.index.segments import (
    SegmentInfo,
    build_segment,
    drop_ids,
    load_index,
    merge_plan,
    merge_segments,
    stored_ids,
)
from retro_cli.index.state import DEFAULT_RECALL, Bits, IndexJob, State
from retro_cli.index.train import train_template
from retro_cli.index.tune import TuneResult, tune
from retro_cli.store.atomic import sync_file, sync_folder, write_json
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.journal import Journal

JOURNAL = "journal.jsonl"
SEGMENT_ROWS = 4_000_000  # a first build of more rows makes several segments, each resumable
MOVED_BEFORE_TUNING = 0.1  # of the rows


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
        retune: bool = True,
        max_dead: float | None = None,
    ) -> None:
        """cause: for the history, if this is not an index run; retune: measure the recall again
        if many rows came or went; max_dead: rewrite segments with a larger share of dead rows."""
        self.cause, self.retune, self.max_dead = cause, retune, max_dead
        self.compacted = 0
        self.job, self.state, self.progress, self.verified = job, state, progress, verified
        self.folder = job.layout.index
        self.snapshot, self.reason = snapshot, reason
        self.previous = previous
        self.base = None if reason else previous  # the generation that this one extends
        self.plan = self.base.plan if self.base else plan
        self.vectors = state.vectors()
        self.journal = Journal(self.folder / JOURNAL)
        rules = state.excluded.key
        self.identity = fingerprint(
            [state.files, snapshot.sha256, self.plan.factory, job.seed, reason, rules]
        )

    def execute(self) -> IndexReport:
        if self.reason:
            self.progress.note(f"training: {self.reason}. {self.plan.reason}")
        template = self.base.template if self.base else self._template()
        indexed = self._indexed_before()
        kept, dropped = self._compacted(indexed & ~self.state.live)
        indexed &= ~dropped
        new = np.flatnonzero(self.state.live & ~indexed)
        segments, merged = self._segments(kept, template, new)
        indexed[new] = True
        dead = indexed & ~self.state.live
        records = {
            "indexed": save_bitmap(self.folder, "indexed", indexed),
            "dead": save_bitmap(self.folder, "dead", dead),
        }
        quality, nprobe, candidates, tuned = self._quality(segments, dead)
        generation = Generation(
            number=0,
            plan=self.plan,
            requested_factory=self.job.factory,
            template=template,
            template_rows=self.base.template_rows if self.base else int(self.state.live.sum()),
            trained_error=self.base.trained_error if self.base else _mean_error(segments),
            segments=tuple(segments),
            **records,
            chunks=self.snapshot,
            vectors=self.state.files,
            encoder=self.state.encoder,
            precision=self.state.precision,
            rows=int(self.state.live.sum()),
            nprobe=nprobe,
            candidates=candidates,
            quality=quality,
            seed=self.job.seed,
            filtered=self._filtered(),
            cause=self.cause or _cause(len(new), int(dead.sum()), self.reason),
        )
        generation = numbered(self.folder, generation)
        self._commit(generation, tuned)
        died = int((dead & ~self._dead_before(len(dead))).sum())
        return IndexReport(
            generation,
            False,
            len(new),
            died,
            merged,
            not self.base,
            self.reason,
            tuned,
            self.compacted,
        )

    def _filtered(self) -> Filtered:
        excluded = self.state.excluded
        if not excluded.rules:
            return Filtered()
        rows = save_bitmap(self.folder, "excluded", excluded.rows)
        return Filtered(excluded.rules, excluded.key, rows)

    def _indexed_before(self) -> Bits:
        total = len(self.state.live)
        if self.base is None:
            return np.zeros(total, dtype=bool)
        return load_bitmap(self.folder, self.base.indexed, total)

    def _dead_before(self, total: int) -> Bits:
        if self.base is None:
            return np.zeros(total, dtype=bool)
        return load_bitmap(self.folder, self.base.dead, total)

    def _template(self) -> FileRecord:
        import faiss

        def make(path: Path) -> None:
            trained = train_template(
                self.vectors,
                self.state.live,
                self.plan,
                seed=self.job.seed,
                threads=self.job.threads,
                progress=self.progress,
            )
            faiss.write_index(trained, str(path))

        return self._made("template", self.identity, make).file

    def _compacted(self, dead: Bits) -> tuple[list[Segment], Bits]:
        """The segments before, without their dead rows where those are too many; and these rows."""
        before = list(self.base.segments) if self.base else []
        dropped = np.zeros(len(dead), dtype=bool)
        if self.max_dead is None or not dead.any():
            return before, dropped
        packed = np.packbits(dead, bitorder="little")
        mark = fingerprint([self.base.dead.sha256 if self.base else "", self.identity])
        result = []
        for segment in before:
            ids = stored_ids(load_index(self.folder / segment.file.name))
            gone = ids[dead[ids]]
            if not len(gone) or len(gone) <= self.max_dead * len(ids):
                result.append(segment)
                continue
            dropped[gone] = True
            self.compacted += 1
            if len(gone) == len(ids):
                continue

            def drop(out: Path, name: str = segment.file.name) -> SegmentInfo:
                return drop_ids(self.folder / name, packed, out, self.vectors)

            result.append(self._made("segment", fingerprint([segment.file.name, mark]), drop))
        return result, dropped

    def _segments(
        self, segments: list[Segment], template: FileRecord, new: npt.NDArray[np.int64]
    ) -> tuple[list[Segment], int]:
        """The segments of this generation: those kept, those for ``new``, small ones merged."""
        path = self.folder / template.name
        for start in range(0, len(new), SEGMENT_ROWS):
            ids = new[start : start + SEGMENT_ROWS]

            def build(out: Path, ids: npt.NDArray[np.int64] = ids) -> SegmentInfo:
                return build_segment(
                    path, self.vectors, ids, out, threads=self.job.threads, progress=self.progress
                )

            segments.append(self._made("segment", fingerprint([self.identity, start]), build))
        return self._merged(segments)

    def _merged(self, segments: list[Segment]) -> tuple[list[Segment], int]:
        groups = merge_plan([segment.rows for segment in segments])
        gone: set[int] = set()
        added: list[Segment] = []
        for group in groups:
            names = [segments[index].file.name for index in group]

            def merge(out: Path, names: list[str] = names) -> SegmentInfo:
                return merge_segments([self.folder / name for name in names], out, self.vectors)

            added.append(self._made("segment", fingerprint(names), merge))
            gone.update(group)
        kept = [segment for index, segment in enumerate(segments) if index not in gone]
        return [*kept, *added], len(gone)

    def _made(self, stem: str, key: str, make: Callable[[Path], SegmentInfo | None]) -> Segment:
        """Make a file once: a rerun after a kill finds it in the journal."""
        record = self.journal.get(key)
        if record is not None:
            known = Segment.from_json(record)
            if not self.verified.problem(known.file):
                return known
        staging = self.folder / f"{stem}.tmp"
        info = make(staging)
        sync_file(staging)
        file = FileRecord.of(staging)
        name = f"{stem}-{file.sha256[:12]}.faiss"
        staging.rename(self.folder / name)
        sync_folder(self.folder)
        made = _segment(FileRecord(name, file.bytes, file.sha256), info)
        self.verified.trust(made.file)
        self.journal.append(key, made.to_json())
        return made

    def _quality(
        self, segments: list[Segment], dead: Bits
    ) -> tuple[Quality, int, int, TuneResult | None]:
        base = self.base
        rows = int(self.state.live.sum())
        target = self.job.recall or DEFAULT_RECALL
        same = base is not None and base.quality.target == target
        if base is not None and same and not (self.retune and self._moved(base.quality)):
            return base.quality, base.nprobe, base.candidates, None
        texts = None
        if self.job.text_queries is not None:
            state = self.state
            texts = self.job.text_queries(self.job.layout, state.chunks, state.encoder, state.live)
        searcher = Searcher(
            [self.folder / segment.file.name for segment in segments],
            self.vectors,
            np.packbits(dead, bitorder="little"),
            self.plan.nlist,
            self.plan.candidates,
        )
        try:
            result = tune(
                searcher,
                self.vectors,
                self.state.live,
                target=target,
                seed=self.job.seed,
                threads=self.job.threads,
                progress=self.progress,
                text_queries=texts,
            )
        finally:
            searcher.close()
        quality = Quality(
            target=target,
            recall=result.recall,
            low=result.low,
            high=result.high,
            queries=result.queries,
            met=result.met,
            text_recall=result.text_recall,
            text_queries=0 if texts is None else len(texts),
            rows=rows,
            next_id=len(self.state.live),
        )
        return quality, result.nprobe, result.candidates, result

    def _moved(self, measured: Quality) -> bool:
        """Whether more than a tenth of the rows came or went since the recall was measured."""
        came = int(self.state.live[measured.next_id :].sum())
        stayed = int(self.state.live.sum()) - came
        return came + measured.rows - stayed > MOVED_BEFORE_TUNING * measured.rows

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


def _segment(file: FileRecord, info: SegmentInfo | None) -> Segment:
    if info is None:
        return Segment(file, 0)
    error = -1.0 if info.quantisation_error is None else round(info.quantisation_error, 4)
    return Segment(file, info.rows, error, round(info.imbalance, 2))


def _cause(added: int, dead: int, trained: str) -> str:
    what = f"index: {added:,} rows added, {dead:,} masked"
    return f"{what}, trained ({trained})" if trained else what


def _mean_error(segments: list[Segment]) -> float:
    rows = sum(segment.rows for segment in segments)
    return round(sum(segment.error * segment.rows for segment in segments) / max(rows, 1), 4)
