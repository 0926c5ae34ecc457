"""Which document a chunk is of, and what stands around it there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.store.tables import read_columns

Ids = npt.NDArray[np.int64]


class DocumentSpans:
    """The first chunk of every document with chunks, and how many it has, in order of ids."""

    def __init__(self, folder: Path, manifest: ChunkManifest) -> None:
        firsts, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for part in manifest.parts:
            table = read_columns(folder / part.docs_file, ["first", "chunks"])
            some = table["chunks"].to_numpy() > 0
            firsts.append(table["first"].to_numpy()[some].astype(np.int64) + part.base)
            counts.append(table["chunks"].to_numpy()[some].astype(np.int64))
        self.firsts, self.counts = np.concatenate(firsts), np.concatenate(counts)

    def of(self, rows: Ids) -> Ids:
        """(n,) the number of each row's document."""
        return np.searchsorted(self.firsts, rows, side="right") - 1

    def around(self, rows: Ids, reach: int) -> tuple[Ids, Ids]:
        """(m,) rows of the same documents, at most ``reach`` before or after each, and (m,) the
        place in ``rows`` that each belongs to."""
        documents = self.of(rows)
        first, last = self.firsts[documents], self.firsts[documents] + self.counts[documents]
        near = rows[:, None] + np.arange(-reach, reach + 1)
        inside = (near >= first[:, None]) & (near < last[:, None])
        owner = np.broadcast_to(np.arange(len(rows))[:, None], near.shape)
        return near[inside], owner[inside]
