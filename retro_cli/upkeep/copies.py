"""Copies of what rules take: what is kept to know them by, and which of them still answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.filters.copies import copies_of, memory_of, originals_of
from retro_cli.filters.exclusion import corpus_of
from retro_cli.filters.ledger import load_ledger
from retro_cli.filters.match import rule_originals, rule_rows
from retro_cli.filters.memory import PURGED, Memory, remember, remembered
from retro_cli.store.layout import Layout

Bits = npt.NDArray[np.bool_]
PROVED_BY = 200  # sketches of purged chunks whose near copies the proof looks for


def remember_what_goes(
    layout: Layout, manifest: ChunkManifest, doomed: Bits, removed: Bits
) -> None:
    """Rules that take copies go on knowing what of, when its text has gone; and the proof goes on
    knowing what a purge took, whether copies of it are left."""
    rules = load_ledger(layout).active
    if not rules or not doomed.any():
        return
    corpus = corpus_of(layout, manifest, Aliases.load(layout.chunks, manifest.aliases))
    for rule in rules:
        if rule.copies != "none":
            remember(layout, rule.number, rule_originals(corpus, rule))
        taken = removed & rule_rows(corpus, rule) if removed.any() else removed
        if taken.any():
            remember(layout, rule.number, memory_of(layout.chunks, manifest, taken), PURGED)


def surviving(
    layout: Layout, manifest: ChunkManifest, removed: Bits, kept: Bits, purged: Sequence[int]
) -> tuple[Bits, Bits]:
    """(next_id,) the kept rows with the very text of a removed one, and others that nearly have
    it. purged: the rules whose text has left the disk; of very many purged chunks the near copies
    of a sample are looked for."""
    memory = Memory.none()
    for rule in purged:
        memory |= remembered(layout, rule, PURGED)
    if not removed.any() and not len(memory.texts):
        return np.zeros_like(kept), np.zeros_like(kept)
    originals = originals_of(layout.chunks, manifest, removed, "near")
    exact = copies_of(layout.chunks, manifest, originals, "exact", memory) & kept
    some = memory.sampled(PROVED_BY)
    near = copies_of(layout.chunks, manifest, originals, "near", some) & kept
    return exact, near & ~exact
