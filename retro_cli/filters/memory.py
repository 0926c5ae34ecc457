"""What is kept of texts that have left the disk, so that their copies are known for what they are.

Digests of whole chunks, and MinHash sketches of their shingles: ``sketches.py`` says what those
give away.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.errors import IntegrityError
from retro_cli.filters.sketches import Sketches
from retro_cli.store.atomic import write_bytes
from retro_cli.store.layout import Layout

# By rule: what its copies copy, for rules with --copies; what a purge took, for the proof.
ORIGINALS, PURGED = "originals", "purged"


@dataclass(frozen=True)
class Memory:
    """Sorted digests of chunks (S16); sketches of chunks and how many shingles each had."""

    texts: npt.NDArray[np.bytes_]
    sketches: Sketches
    sizes: npt.NDArray[np.int64]

    @classmethod
    def none(cls) -> Memory:
        return cls(np.empty(0, "S16"), np.empty((0, 16), np.uint8), np.empty(0, np.int64))

    def sampled(self, count: int, seed: int = 0) -> Memory:
        """All the digests and at most so many sketches: each is compared with all there is."""
        if len(self.sketches) <= count:
            return self
        rows = np.random.default_rng(seed).choice(len(self.sketches), count, replace=False)
        rows.sort()
        return Memory(self.texts, self.sketches[rows], self.sizes[rows])

    def __or__(self, other: Memory) -> Memory:
        rows = np.column_stack([self.sketches, self.sizes.view(np.uint8).reshape(-1, 8)])
        more = np.column_stack([other.sketches, other.sizes.view(np.uint8).reshape(-1, 8)])
        # Sorted, so that nothing tells which of them followed each other.
        both = np.unique(np.concatenate([rows, more]), axis=0)
        sizes = np.ascontiguousarray(both[:, 16:]).view(np.int64).reshape(-1)
        return Memory(
            np.union1d(self.texts, other.texts), np.ascontiguousarray(both[:, :16]), sizes
        )


def remembered(layout: Layout, rule: int, kind: str = ORIGINALS) -> Memory:
    """What is kept of a rule. Raises IntegrityError."""
    path = _path(layout, rule, kind)
    if not path.is_file():
        return Memory.none()
    try:
        with np.load(path, allow_pickle=False) as found:
            return Memory(found["texts"], found["sketches"], found["sizes"])
    except Exception as error:  # damaged zip files and headers fail in many ways
        raise IntegrityError(
            f"{path} cannot be read ({error})", "undo the rule and add it again"
        ) from error


def remember(layout: Layout, rule: int, memory: Memory, kind: str = ORIGINALS) -> None:
    """Add to what is kept of a rule."""
    buffer = io.BytesIO()
    known = remembered(layout, rule, kind) | memory
    np.savez(buffer, texts=known.texts, sketches=known.sketches, sizes=known.sizes)
    write_bytes(_path(layout, rule, kind), buffer.getvalue())


def _path(layout: Layout, rule: int, kind: str) -> Path:
    return layout.filters / f"{kind}-{rule:06d}.npz"
