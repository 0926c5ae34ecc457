"""The scan of one segment as a piece of work that can be done elsewhere, with the same answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from retro_cli.index.segments import bitmap_selector, inverted_file, load_index, scan_lists
from retro_cli.index.vectors import Floats, Ids

# Fast-scan codes can only be mapped with the newer flag; a Faiss without it reads them.
MAPPED = getattr(faiss, "IO_FLAG_MMAP_IFC", 0)
HELD_SEGMENTS = 64  # that a helper keeps mapped; those of older generations go first


@dataclass(frozen=True)
class Mask:
    """``bits`` are packed little-endian: the ids that may be found, or with ``barred`` those that
    may not."""

    bits: npt.NDArray[np.uint8]
    barred: bool = False

    def selector(self) -> Any:
        """What Faiss asks. It keeps the bits alive."""
        chosen = bitmap_selector(self.bits)
        return faiss.IDSelectorNot(chosen) if self.barred else chosen


@dataclass(frozen=True)
class Piece:
    """One segment, and what ``scan_lists`` takes: queries as the inverted file sees them."""

    path: Path
    queries: Floats
    lists: Ids
    products: Floats
    width: int
    mask: Mask | None


class Helpers(Protocol):
    """Whoever does pieces elsewhere."""

    def ask(self, function: Callable[[Any], Any], pieces: Sequence[Any]) -> list[Any]:
        """What the function gives for each, in order; None for one that was not done."""
        ...


def scan_piece(piece: Piece) -> tuple[Ids, Floats]:
    """(q, width) ids and scores by code. Runs in a helper, which maps what it is asked of."""
    ivf = inverted_file(_opened(piece.path))
    return scan(ivf, piece, piece.mask.selector() if piece.mask else None)


def scan(ivf: Any, piece: Piece, selector: Any) -> tuple[Ids, Floats]:
    """The same of a segment that is open, with the selector of the piece's mask."""
    parameters: Any = faiss.SearchParametersIVF
    settings = parameters(sel=selector, nprobe=piece.lists.shape[1])
    return scan_lists(ivf, piece.queries, piece.lists, piece.products, piece.width, settings)


@lru_cache(maxsize=HELD_SEGMENTS)
def _opened(path: Path) -> Any:
    """A segment is named by its content, so what is open under a name stays right."""
    return load_index(path, MAPPED)
