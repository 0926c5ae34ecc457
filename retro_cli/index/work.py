"""The segment files of one run: made once each, found again in the journal after a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.config import fingerprint
from retro_cli.events import Progress
from retro_cli.index.generation import Segment
from retro_cli.index.merging import merge_plan
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
from retro_cli.index.vectors import Bits, Ids, Vectors
from retro_cli.store.atomic import sync_file, sync_folder
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.journal import Journal

SEGMENT_ROWS = 4_000_000  # a first build of more rows makes several segments, each resumable


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
        path = self.folder / template.name
        segments = []
        for start in range(0, len(new), SEGMENT_ROWS):
            ids = new[start : start + SEGMENT_ROWS]

            def build(out: Path, ids: npt.NDArray[np.int64] = ids) -> SegmentInfo:
                return build_segment(
                    path, self.vectors, ids, out, threads=self.threads, progress=self.progress
                )

            segments.append(self._made("segment", fingerprint([self.identity, start]), build))
        return segments

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
        record = self.journal.get(key)
        if record is not None:
            known = Segment.from_json(record)
            if not self.verified.problem(known.file):
                return known
        staging = self.folder / f"{stem}.tmp"
        try:
            info = make(staging)
            sync_file(staging)
        except BaseException:  # a full disk needs the room
            staging.unlink(missing_ok=True)
            raise
        file = FileRecord.of(staging)
        name = f"{stem}-{file.sha256[:12]}.faiss"
        staging.rename(self.folder / name)
        sync_folder(self.folder)
        made = _segment(FileRecord(name, file.bytes, file.sha256), info)
        self.verified.trust(made.file)
        self.journal.append(key, made.to_json())
        return made


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
