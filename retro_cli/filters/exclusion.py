"""The rows that the rules in force keep out: computed anew from all of them, never accumulated.

So undoing one of two rules that overlap revives nothing that the other still takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.config import fingerprint
from retro_cli.filters.ledger import Ledger
from retro_cli.filters.match import Corpus, rule_rows
from retro_cli.filters.memory import remembered
from retro_cli.filters.score_table import scores_of, scores_version
from retro_cli.store.layout import Layout

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Exclusion:
    """``rows``: (next_id,) kept out by ``rules``; for one manifest, equal keys mean equal rows."""

    rows: Bits
    rules: tuple[int, ...]
    key: str

    def live(self, manifest: ChunkManifest, aliases: Aliases) -> Bits:
        """(next_id,) the rows that a search may return."""
        return searchable(own_live(manifest) & ~self.rows, aliases)


def exclusion_key(layout: Layout, ledger: Ledger) -> str:
    """Changes whenever the rules in force, or the scores that they use, do."""
    scorers = sorted({rule.toxicity.scorer for rule in ledger.active if rule.toxicity})
    versions = [scores_version(layout, name) for name in scorers]
    return fingerprint([[rule.says for rule in ledger.active], versions]) if ledger.active else ""


def exclude(layout: Layout, manifest: ChunkManifest, aliases: Aliases, ledger: Ledger) -> Exclusion:
    """Match every rule in force. Raises NotBuiltYet if one needs scores that are not there."""
    corpus = corpus_of(layout, manifest, aliases)
    rows = np.zeros(manifest.next_id, dtype=bool)
    for rule in ledger.active:
        rows |= rule_rows(corpus, rule)
    numbers = tuple(rule.number for rule in ledger.active)
    return Exclusion(rows, numbers, exclusion_key(layout, ledger))


def corpus_of(layout: Layout, manifest: ChunkManifest, aliases: Aliases) -> Corpus:
    return Corpus(
        layout.chunks,
        manifest,
        aliases,
        partial(scores_of, layout, manifest, aliases),
        partial(remembered, layout),
    )
