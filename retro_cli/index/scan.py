"""Scan the inverted lists of a generation's segments as if they were one index.

Each segment is searched with the same lists and the same selector, by code alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from retro_cli.index.bitmaps import count_bits
from retro_cli.index.exact import SPARE
from retro_cli.index.segments import (
    check_alike,
    holds_float16,
    inverted_file,
    load_index,
    transformed,
)
from retro_cli.index.spread import MAPPED, Helpers, Mask, Piece, scan, scan_piece
from retro_cli.index.vectors import Bits, Floats, Ids

FEW_DEAD = 0.2  # of the rows: few enough to leave them out after a scan


@dataclass(frozen=True)
class Filter:
    """``survivors`` bounds the rows that may be found. Holds what Faiss only points to."""

    selector: Any
    survivors: int
    mask: Mask | None = None


def _masked(mask: Mask, survivors: int) -> Filter:
    return Filter(mask.selector(), survivors, mask)


class Scanner:
    """The segments of one generation, mapped. Immutable and read-only."""

    def __init__(
        self,
        segment_paths: Sequence[Path],
        dim: int,
        total: int,
        dead: npt.NDArray[np.uint8] | None,
        helpers: Helpers | None = None,
    ) -> None:
        """total: ids there are; dead: one bit an id, packed little-endian; ids past its end live;
        helpers: who scan the segments, as far as they can.

        Raises IntegrityError for unreadable files.
        """
        self._dead = np.ascontiguousarray(dead if dead is not None else [], dtype=np.uint8)
        self._helpers, self._paths = helpers, [Path(path).absolute() for path in segment_paths]
        self._indexes = [load_index(path, MAPPED) for path in segment_paths]
        self._ivfs = [inverted_file(index) for index in self._indexes]
        check_alike(self._ivfs, self._indexes, segment_paths, dim)
        self.rows: int = sum(ivf.ntotal for ivf in self._ivfs)
        self.nlist: int = self._ivfs[0].nlist if self._ivfs else 1
        self.exact_codes = all(holds_float16(ivf) for ivf in self._ivfs)
        self._centroids: Floats | None = None
        self.living = self._without_dead(total)

    def close(self) -> None:
        """Let go of the mapped files. A closed scanner finds nothing."""
        self._ivfs, self._indexes = [], []
        self.rows, self.living = 0, Filter(None, 0)

    @property
    def segments(self) -> int:
        return len(self._ivfs)

    def list_sizes(self) -> Ids:
        """(nlist,) rows of each list, over all segments."""
        sizes = np.zeros(self.nlist, dtype=np.int64)
        for ivf in self._ivfs:
            sizes += [ivf.invlists.list_size(number) for number in range(self.nlist)]
        return sizes

    def among(self, allowed: Bits) -> Filter:
        """The living rows that ``allowed`` (bool by id) lets through; ids past its end are not."""
        bits = np.packbits(allowed, bitorder="little")
        both = min(len(bits), len(self._dead))
        bits[:both] &= ~self._dead[:both]
        count = count_bits(bits)
        return _masked(Mask(bits), min(self.rows, count))

    def coarse(self, queries: Floats, nprobe: int) -> tuple[Ids, Floats]:
        """(q, nprobe) nearest lists of each query, best first, and their centroids' products (or
        squared distances, by which the index compares).

        All lists come in list order.
        """
        queries = np.ascontiguousarray(transformed(self._indexes[0], queries))
        if nprobe < self.nlist:
            products, lists = self._ivfs[0].quantizer.search(queries, nprobe)
            return lists, products
        # A graph over the centroids does not reach every one of them, so go without it.
        if self._centroids is None:
            self._centroids = self._ivfs[0].quantizer.reconstruct_n(0, self.nlist)
        lists = np.tile(np.arange(self.nlist, dtype=np.int64), (len(queries), 1))
        if self._ivfs[0].metric_type == faiss.METRIC_L2:
            return lists, faiss.pairwise_distances(queries, self._centroids)
        return lists, queries @ self._centroids.T

    def scan(self, queries: Floats, nprobe: int, width: int, rows: Filter) -> Ids:
        """(q, width) ids of the best by code over all segments, -1 where fewer are found."""
        if not self.rows or not len(queries):
            return np.full((len(queries), width), -1, dtype=np.int64)
        if rows is not self.living or not 0 < self._dead_share <= FEW_DEAD:
            return self._best(queries, nprobe, width, rows)[0]
        # Asking Faiss of every row whether it is dead costs a quarter of the scan. Where few are,
        # some more rows are asked for, and the dead ones among them left out.
        wide = math.ceil(width / (1 - 2 * self._dead_share)) + SPARE
        ids, codes = self._best(queries, nprobe, wide, Filter(None, self.rows))
        missing = (ids < 0) | self._is_dead(ids)
        order = np.argsort(np.where(missing, np.inf, -codes), axis=1, kind="stable")[:, :width]
        best = np.take_along_axis(np.where(missing, -1, ids), order, axis=1)
        short = (best[:, -1] < 0) & (ids >= 0).all(axis=1)
        if short.any():
            best[short] = self._best(queries[short], nprobe, width, rows)[0]
        return best

    def _without_dead(self, total: int) -> Filter:
        # Every bit counts: a part whose rows all died may have no vectors any more.
        gone = count_bits(self._dead)
        self._dead_share = gone / max(1, self.rows)
        if not gone:
            return Filter(None, self.rows)
        ids = max(total, 8 * len(self._dead))
        # At most so many: not every id is indexed.
        return _masked(Mask(self._dead, barred=True), min(self.rows, ids - gone))

    def _is_dead(self, ids: Ids) -> Bits:
        known = (ids >= 0) & (ids < 8 * len(self._dead))
        safe = np.where(known, ids, 0)
        found: Bits = known & ((self._dead[safe >> 3] >> (safe & 7).astype(np.uint8)) & 1 == 1)
        return found

    def _best(self, queries: Floats, nprobe: int, width: int, rows: Filter) -> tuple[Ids, Floats]:
        """The same with their scores by code; a filter is asked of every row that is scanned."""
        lists, products = self.coarse(queries, nprobe)
        inside = np.ascontiguousarray(transformed(self._indexes[0], queries))
        found = self._scanned(inside, lists, products, width, rows)
        if len(found) == 1:
            return found[0]
        ids = np.hstack([segment_ids for segment_ids, _ in found])
        codes = np.hstack([segment_scores for _, segment_scores in found])
        best = np.argpartition(-codes, width - 1, axis=1)[:, :width]
        return np.take_along_axis(ids, best, axis=1), np.take_along_axis(codes, best, axis=1)

    def _scanned(
        self, inside: Floats, lists: Ids, products: Floats, width: int, rows: Filter
    ) -> list[tuple[Ids, Floats]]:
        """What each segment that is not empty has, here or from a helper: the same."""
        full = [at for at, ivf in enumerate(self._ivfs) if ivf.ntotal]
        pieces = [Piece(self._paths[at], inside, lists, products, width, rows.mask) for at in full]
        done = self._helpers.ask(scan_piece, pieces) if self._helpers else [None] * len(full)
        return [
            scan(self._ivfs[at], piece, rows.selector) if found is None else found
            for at, piece, found in zip(full, pieces, done, strict=True)
        ]
