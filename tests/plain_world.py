"""A small corpus, and a plain account of it row by row, to hold the filters against."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from retro_cli.chunks.dedup import Aliases
from retro_cli.filters.match import (
    rule_rows,
)
from retro_cli.filters.rules import Rule
from retro_cli.store.layout import Layout
from retro_cli.upkeep.reach import passages

SOURCES = ("forum/a", "forum/b", "letters", "news")


@dataclass(frozen=True)
class Row:
    """One chunk as a plain reader sees it."""

    id: int
    document: str
    source: str
    text: str
    year: int
    uri: str
    alive: bool


@dataclass(frozen=True)
class World:
    layout: Layout
    corpus: object
    aliases: Aliases
    rows: tuple[Row, ...]  # by id
    tokens: tuple[tuple[int, ...], ...]

    def bits(self, wanted):
        return np.array([bool(wanted(row)) for row in self.rows])

    def take(self, **said):
        return rule_rows(self.corpus, Rule(1, "why", **said))


def ferry(n):
    return f"the ferry {n} left the harbour by light {n % 3}. " * (n % 4 + 1)


def records(edition=0):
    texts = {1: "the storm took the boat", 3: "the keeper saw the light and the storm"}
    return [
        {
            "id": f"d{n}",
            "source": SOURCES[n % len(SOURCES)],
            "year": 1990 + n,
            "text": texts.get(n % 5, ferry(n)) + (" again" if edition and n % 6 == 0 else ""),
        }
        for n in range(28)
    ]


def passage(world, number):
    return passages(world.layout, [number])[0]


def scored(world, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.random(len(world.rows)).astype(np.float32)
    scores[world.aliases.member] = scores[world.aliases.canonical]
    scores[rng.random(len(scores)) < 0.2] = np.nan
    scores[world.corpus.own & np.isnan(scores)] = 0.5
    return replace(world, corpus=replace(world.corpus, scores=lambda name: scores)), scores
