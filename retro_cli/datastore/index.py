"""The index over a datastore's keys: inverted files by squared L2, made of the index room's pieces.

New keys go into a new segment, small segments are merged, and codes of purged chunks are dropped.
Training happens once, and again only when there are several times as many keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from retro_cli.config import fingerprint
from retro_cli.datastore.manifest import KeyIndex
from retro_cli.datastore.parts import Bits, Floats
from retro_cli.datastore.search import KeySearcher
from retro_cli.events import SILENT, Progress
from retro_cli.index.generation import Segment
from retro_cli.index.plan import IndexPlan, plan_index
from retro_cli.index.train import SQUARED_L2
from retro_cli.index.vectors import Vectors, embedded, sample_ids
from retro_cli.index.work import SegmentWork
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.journal import Journal

GROWTH = 4.0  # times the rows that the training was for
MEMORY = 4 << 30  # bytes that the codes should fit
QUERIES, NEAREST = 100, 10  # of the recall that nprobe is chosen by
TARGET = 0.95


@dataclass(frozen=True)
class IndexKeys:
    """What there is to index. live: bool by token id, the tokens of parts that were not purged."""

    folder: Path
    vectors: Vectors
    live: Bits
    journal: Journal
    verified: Verified

    def made(self, before: KeyIndex | None, progress: Progress = SILENT) -> KeyIndex | None:
        """The index of all that lives; None where nothing does. ``before`` itself if it is that."""
        rows = int(self.live.sum())
        if not rows:
            return None
        plan = plan_index(rows, self.vectors.dim, MEMORY, TARGET)
        if before is not None and self._outgrown(before, plan, rows):
            before = None
        base = [] if before is None else list(before.segments)
        dead = ~self.live
        names = [segment.file.name for segment in base]
        marks = hashlib.sha256(np.packbits(dead).tobytes()).hexdigest()
        why = fingerprint([len(self.live), marks, plan.factory, names])
        work = SegmentWork(
            self.folder, self.vectors, self.journal, self.verified, why, 0, progress, SQUARED_L2
        )
        template = work.template(self.live, plan, 0) if before is None else before.template
        until = 0 if before is None else before.until
        segments, _, dropped = work.compacted(base, dead, 0.0)
        new = np.flatnonzero(self.live[until:]) + until
        if before is not None and not dropped and not len(new):
            return before
        segments += work.added(template, new) if len(new) else []
        segments, _, _ = work.merged(segments, np.zeros_like(dead))
        return self._tuned(plan, rows, template, segments, before)

    def _outgrown(self, before: KeyIndex, plan: IndexPlan, rows: int) -> bool:
        if any(self.verified.problem(file) for file in before.files()):
            return True
        return before.exact != plan.exact or (not plan.exact and rows > GROWTH * before.rows)

    def _tuned(
        self, plan: IndexPlan, rows: int, template: FileRecord, segments: Sequence[Segment],
        before: KeyIndex | None,
    ) -> KeyIndex:  # fmt: skip
        paths = [self.folder / segment.file.name for segment in segments]
        searcher = KeySearcher(paths, self.vectors, self.live, 1)
        queries, truth = self._truth()
        nprobe, recall = 1, 0.0
        while True:
            recall = _recall(searcher, queries, truth, nprobe)
            if recall >= TARGET or nprobe >= searcher.nlist:
                break
            nprobe = min(2 * nprobe, searcher.nlist)
        trained = rows if before is None else before.rows
        return KeyIndex(
            plan.factory if before is None else before.factory, plan.exact, trained,
            len(self.live), nprobe, round(recall, 4), len(queries), template, tuple(segments),
        )  # fmt: skip

    def _truth(self) -> tuple[Floats, Floats]:
        """Stored keys as queries, and how far their NEAREST others are: (q,) squared distances."""
        queries = self.vectors.gather(sample_ids(self.live, QUERIES, 0))
        queries = queries[embedded(queries)]
        best = np.full((len(queries), NEAREST + 1), np.inf, dtype=np.float32)
        for ids, block in self.vectors.blocks():
            some = block[self.live[ids] & embedded(block)]
            if len(some) and len(queries):
                found, _ = faiss.knn(queries, some, min(NEAREST + 1, len(some)))
                best = np.sort(np.hstack([best, found]), axis=1)[:, : NEAREST + 1]
        return queries, best


def _recall(searcher: KeySearcher, queries: Floats, truth: Floats, nprobe: int) -> float:
    """The share of the nearest keys, the query itself left out, that a search reaches."""
    if not len(queries):
        return 1.0
    found, _ = searcher.search(queries, NEAREST + 1, nprobe=nprobe)
    wanted = np.isfinite(truth[:, 1:])
    last = np.where(np.isfinite(truth), truth, -np.inf).max(axis=1)
    reached = np.minimum((found <= last[:, None] * (1 + 1e-4) + 1e-4).sum(axis=1) - 1, NEAREST)
    return float(reached.sum() / max(1, wanted.sum()))
