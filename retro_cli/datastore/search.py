"""The nearest keys by squared L2: candidates from the lists, distances from the stored keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retro_cli.datastore.parts import Bits, Floats, Ids
from retro_cli.index.exact import SPARE
from retro_cli.index.scan import Filter, Scanner
from retro_cli.index.vectors import Vectors

CANDIDATES = 100  # at least so many are compared by their stored keys
_FLOATS = 1 << 24  # read at a time: 64 MiB


class KeySearcher:
    """The segments of a datastore, mapped, and a mask. Immutable and read-only."""

    def __init__(
        self, segments: Sequence[Path], vectors: Vectors, allowed: Bits, nprobe: int
    ) -> None:
        """allowed: bool by token id; no other is ever found. Raises IntegrityError."""
        self._vectors = vectors
        self._nprobe = nprobe
        self._scanner = Scanner(segments, vectors.dim, len(allowed), None)
        self._rows: Filter = self._scanner.among(allowed)

    @property
    def nlist(self) -> int:
        return self._scanner.nlist

    @property
    def survivors(self) -> int:
        """The most keys that can be found."""
        return self._rows.survivors

    def close(self) -> None:
        self._scanner.close()

    def search(self, queries: Floats, k: int, nprobe: int | None = None) -> tuple[Floats, Ids]:
        """(q, k) squared distances, ascending, ties by id, and token ids; infinite and -1 where
        fewer keys are allowed. queries: (q, dim) float32.

        Distances are computed in float32 from the stored keys. Without an ``nprobe``, more lists
        are searched until ``k`` keys are found.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        width = min(max(k + SPARE, CANDIDATES), max(self.survivors, 1))
        probes = min(nprobe or self._nprobe, self.nlist)
        ids = self._scanner.scan(queries, probes, width, self._rows)
        while nprobe is None and probes < self.nlist:
            short = (ids >= 0).sum(axis=1) < min(k, self.survivors)
            if not short.any():
                break
            probes = min(2 * probes, self.nlist)
            ids[short] = self._scanner.scan(queries[short], probes, width, self._rows)
        return self._nearest(queries, ids, k)

    def _nearest(self, queries: Floats, ids: Ids, k: int) -> tuple[Floats, Ids]:
        count, width = ids.shape
        distances = np.full((count, max(width, k)), np.inf, dtype=np.float32)
        ids = np.pad(ids, ((0, 0), (0, max(0, k - width))), constant_values=-1)
        step = max(1, _FLOATS // max(1, width * self._vectors.dim))
        for start in range(0, count, step):
            here = ids[start : start + step]
            found = here >= 0
            gaps = self._vectors.gather(here[found])
            gaps -= queries[start : start + step][np.nonzero(found)[0]]
            distances[start : start + step][found] = np.einsum("nd,nd->n", gaps, gaps)
        order = np.lexsort((ids, distances), axis=1)[:, :k]
        return np.take_along_axis(distances, order, axis=1), np.take_along_axis(ids, order, axis=1)
