"""The segment files of one run: made once each, found again in the journal after a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from retro_cli.config import fingerprint
from retro_cli.engine import HERE, Load, Where, open_engine
from retro_cli.events import SILENT, Progress
from retro_cli.index.generation import Segment
from retro_cli.index.merging import SEGMENT_ROWS, merge_plan
from retro_cli.index.plan import IndexPlan
from retro_cli.index.segments import (
    SegmentInfo,
    build_segment,
    drop_ids,
    load_index,
    merge_segments,
    stored_ids,
    write_index,
)
from retro_cli.index.train import INNER_PRODUCT, train_template
from retro_cli.index.vectors import Bits, Ids, VectorPart, Vectors
from retro_cli.store.atomic import sync_file, sync_folder, unfinished
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.journal import Journal

ADD_RATE = 50_000.0  # rows a second on one core, about (benchmarks/index.py)


@dataclass(frozen=True)
class SegmentWork:
    """Makes the files of one run. ``identity`` stands for all that shapes them; ``metric``: one of
    those of ``train_template``."""

    folder: Path
    vectors: Vectors
    journal: Journal
    verified: Verified
    identity: str
    threads: int
    progress: Progress
    metric: int = INNER_PRODUCT
    where: Where = HERE

    def template(self, live: Bits, plan: IndexPlan, seed: int) -> FileRecord:
        """An index of no rows, trained on a sample of the live ones."""

        def make(path: Path) -> None:
            trained = train_template(
                self.vectors,
                live,
                plan,
                seed=seed,
                threads=self.threads,
                progress=self.progress,
                metric=self.metric,
            )
            write_index(trained, path)

        return self._made("template", self.identity, make).file

    def added(self, template: FileRecord, new: Ids) -> list[Segment]:
        """Segments of the rows ``new``."""
        pieces = [new[start : start + SEGMENT_ROWS] for start in range(0, len(new), SEGMENT_ROWS)]
        keys = [fingerprint([self.identity, at * SEGMENT_ROWS]) for at in range(len(pieces))]
        found = {at: known for at, key in enumerate(keys) if (known := self._known(key))}
        waiting = [at for at in range(len(pieces)) if at not in found]
        rows = sum(len(pieces[at]) for at in waiting)
        engine = open_engine(self.where, self._load(len(waiting), rows), self.progress)
        work = build_part
        if engine.here:  # then progress moves within a segment
            work = partial(build_part, progress=self.progress)
        else:
            self.progress.started("adding", rows, "rows")
        tasks = (self._task(keys[at], template, pieces[at], engine.threads) for at in waiting)
        with closing(engine.run(work, tasks)) as made:
            for index, segment in made:
                at = waiting[index]
                found[at] = self._keep(keys[at], segment)
                if not engine.here:
                    self.progress.advanced("adding", len(pieces[at]))
        self.progress.finished("adding")
        return [found[at] for at in range(len(pieces))]

    def _load(self, pieces: int, rows: int) -> Load:
        return Load(pieces, rows / ADD_RATE, self.folder, threads=self.threads)

    def _task(self, key: str, template: FileRecord, ids: Ids, threads: int) -> SegmentTask:
        parts = tuple(self.vectors.parts)
        return SegmentTask(
            self.folder.absolute(), key, template.name, parts, self.vectors.dim, ids, threads
        )

    def merged(self, segments: Sequence[Segment], dead: Bits) -> tuple[list[Segment], Bits, int]:
        """The segments with small ones merged, without the dead rows of those.

        Returns also these rows (by id), and how many segments were merged.
        """
        gone: set[int] = set()
        dropped = np.zeros(len(dead), dtype=bool)
        packed = np.packbits(dead, bitorder="little")
        merged: list[Segment] = []
        for group in merge_plan([segment.rows for segment in segments], dead=int(dead.sum())):
            names = [segments[index].file.name for index in group]
            paths = [self.folder / name for name in names]
            for path in paths:
                ids = stored_ids(load_index(path))
                dropped[ids[dead[ids]]] = True

            def merge(out: Path, paths: list[Path] = paths) -> SegmentInfo:
                return merge_segments(paths, out, self.vectors, packed)

            made = self._made("segment", fingerprint([*names, self.identity]), merge)
            merged += [made] if made.rows else []
            gone.update(group)
        kept = [segment for index, segment in enumerate(segments) if index not in gone]
        return [*kept, *merged], dropped, len(gone)

    def compacted(
        self, segments: Sequence[Segment], dead: Bits, max_dead: float
    ) -> tuple[list[Segment], Bits, int]:
        """The segments without dead rows wherever their share is above ``max_dead``.

        Returns also these rows (by id), and how many segments they were in.
        """
        packed = np.packbits(dead, bitorder="little")
        dropped = np.zeros(len(dead), dtype=bool)
        result = []
        rewritten = 0
        for segment in segments:
            if not too_dead(self.folder, segment, dead, max_dead):
                result.append(segment)
                continue
            ids = stored_ids(load_index(self.folder / segment.file.name))
            dropped[ids[dead[ids]]] = True
            rewritten += 1
            if dead[ids].all():
                continue

            def drop(out: Path, name: str = segment.file.name) -> SegmentInfo:
                return drop_ids(self.folder / name, packed, out, self.vectors)

            key = fingerprint([segment.file.name, self.identity])
            result.append(self._made("segment", key, drop))
        return result, dropped, rewritten

    def _made(self, stem: str, key: str, make: Callable[[Path], SegmentInfo | None]) -> Segment:
        """Make a file once: a rerun after a kill finds it in the journal."""
        return self._known(key) or self._keep(key, _write(self.folder, stem, key, make))

    def _known(self, key: str) -> Segment | None:
        """What an interrupted run made, if it is still whole."""
        record = self.journal.get(key)
        known = Segment.from_json(record) if record is not None else None
        return known if known is not None and not self.verified.problem(known.file) else None

    def _keep(self, key: str, made: Segment) -> Segment:
        self.verified.trust(made.file)
        self.journal.append(key, made.to_json())
        return made


@dataclass(frozen=True)
class SegmentTask:
    """Everything a worker needs to add the rows ``ids`` to a copy of a template."""

    folder: Path
    key: str
    template: str
    parts: tuple[VectorPart, ...]
    dim: int
    ids: Ids
    threads: int


def build_part(task: SegmentTask, progress: Progress = SILENT) -> Segment:
    """Write one segment. Runs in a worker process; knows nothing of the rest of the run."""

    def build(out: Path) -> SegmentInfo:
        vectors, template = Vectors(task.parts, task.dim), task.folder / task.template
        return build_segment(
            template, vectors, task.ids, out, threads=task.threads, progress=progress
        )

    return _write(task.folder, "segment", task.key, build)


def _write(
    folder: Path, stem: str, key: str, make: Callable[[Path], SegmentInfo | None]
) -> Segment:
    """Make a file, and name it by its content."""
    staging = unfinished(folder / f"{stem}-{key[:12]}")
    try:
        info = make(staging)
        sync_file(staging)
    except BaseException:  # a full disk needs the room
        staging.unlink(missing_ok=True)
        raise
    file = FileRecord.of(staging)
    name = f"{stem}-{file.sha256[:12]}.faiss"
    staging.rename(folder / name)
    sync_folder(folder)
    return _segment(FileRecord(name, file.bytes, file.sha256), info)


def too_dead(folder: Path, segment: Segment, dead: Bits, max_dead: float) -> bool:
    """Whether more than that share of a segment's rows is dead."""
    if not dead.any():
        return False
    ids = stored_ids(load_index(folder / segment.file.name))
    return bool(dead[ids].sum() > max_dead * len(ids))


def _segment(file: FileRecord, info: SegmentInfo | None) -> Segment:
    if info is None:
        return Segment(file, 0)
    error = -1.0 if info.quantisation_error is None else round(info.quantisation_error, 4)
    return Segment(file, info.rows, error, round(info.imbalance, 2))
