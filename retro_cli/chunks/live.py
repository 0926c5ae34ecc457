"""Which rows are alive: the one place that says so, computed anew for every generation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import ChunkManifest, Part

Bits = npt.NDArray[np.bool_]


def own_live(manifest: ChunkManifest) -> Bits:
    """(next_id,) whether the row's own document is alive. Ids of no part are dead."""
    alive = np.zeros(manifest.next_id, dtype=bool)
    for part in manifest.parts:
        alive[part.base : part.base + part.rows] = True
        for first, count in part.dead_rows:
            alive[part.base + first : part.base + first + count] = False
    return alive


def living_documents(part: Part) -> Bits:
    """(docs,) whether each document of a part is alive."""
    alive = np.ones(part.written.docs, dtype=bool)
    for first, count in part.dead_docs:
        alive[first : first + count] = False
    return alive


def searchable(own: Bits, aliases: Aliases) -> Bits:
    """(next_id,) whether a search may return the row.

    A merged row never is; its canonical row is while any row that it stands for lives.
    """
    result = own.copy()
    result[aliases.canonical[own[aliases.member]]] = True
    result[aliases.member] = False
    return result
