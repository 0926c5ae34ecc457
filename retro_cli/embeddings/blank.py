"""Follow a rewrite of chunk parts: the same vectors in new files, zeros where rows were blanked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.embeddings.manifest import EmbeddedPart, EmbeddingManifest
from retro_cli.embeddings.stage import WantedPart, wanted_parts
from retro_cli.embeddings.work import write_vectors
from retro_cli.errors import NotBuiltYet

Floats = npt.NDArray[np.float32]
_BLOCK = 16_384


def follow(
    folder: Path,
    before: EmbeddingManifest,
    old: ChunkManifest,
    old_aliases: Aliases,
    new: ChunkManifest,
    aliases: Aliases,
    live: npt.NDArray[np.bool_],
) -> EmbeddingManifest:
    """The vectors of ``new``, whose parts are some of ``old`` with rows blanked.

    A row that stood behind a blanked one gets that row's vector: their texts are the same. live:
    (next_id,) rows of ``new`` that were not blanked. Nothing is encoded. Raises NotBuiltYet if a
    vector is missing.
    """
    source = old_aliases.representatives(new.next_id)
    vectors = {part.base: _Part(folder, part, before.parts.get(part.name)) for part in old.parts}
    parts = {}
    for want in wanted_parts(new, aliases, before.made_by):
        have = before.parts.get(want.part.name)
        if have is not None and have.fingerprint == want.fingerprint:
            parts[want.part.name] = have
            continue
        blocks = _blocks(want, source, vectors, live, before.encoder.dim)
        file = write_vectors(folder / want.part.name, want.part.rows, before.encoder.dim, blocks)
        embedded = int(live[want.part.base : want.part.base + want.part.rows].sum())
        embedded -= int(live[np.array(want.skipped, np.int64) + want.part.base].sum())
        parts[want.part.name] = EmbeddedPart(
            want.part.name, want.part.rows, embedded, want.fingerprint, file
        )
    return replace(before, parts=parts)


class _Part:
    """The old vectors of a part, mapped when they are first read."""

    def __init__(self, folder: Path, part: Part, have: EmbeddedPart | None) -> None:
        self.base, self.rows = part.base, part.rows
        self._path = folder / have.file.name if have else None
        self._mapped: npt.NDArray[np.float16] | None = None

    def read(self, ids: npt.NDArray[np.int64]) -> Floats:
        if self._path is None:
            raise NotBuiltYet("some chunks have no vectors yet", "run retro embed first")
        if self._mapped is None:
            self._mapped = np.load(self._path, mmap_mode="r", allow_pickle=False)
        found: Floats = self._mapped[ids - self.base].astype(np.float32)
        return found


def _blocks(
    want: WantedPart,
    source: npt.NDArray[np.int64],
    vectors: dict[int, _Part],
    live: npt.NDArray[np.bool_],
    dim: int,
) -> Iterator[Floats]:
    bases = np.array(sorted(vectors))
    wanted = live[want.part.base : want.part.base + want.part.rows].copy()
    wanted[list(want.skipped)] = False
    for start in range(0, want.part.rows, _BLOCK):
        rows = np.flatnonzero(wanted[start : start + _BLOCK]) + start
        block = np.zeros((min(_BLOCK, want.part.rows - start), dim), dtype=np.float32)
        ids = source[rows + want.part.base]
        homes = bases[np.searchsorted(bases, ids, side="right") - 1]
        for base in np.unique(homes).tolist():
            mine = homes == base
            block[rows[mine] - start] = vectors[base].read(ids[mine])
        yield block
