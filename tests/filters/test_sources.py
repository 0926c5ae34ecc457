"""The tables of scores by source and by document, against a plain account."""

from __future__ import annotations

import numpy as np
import pytest
from plain_world import SOURCES, scored

from retro_cli.filters.sources import BINS, document_scores, histogram, source_scores


def assert_scores(entry, rows, scores, excluded):
    """What is said of some living rows is what a plain account says, with a threshold of 0.5."""
    mine = sorted(float(scores[row.id]) for row in rows)
    assert entry.chunks == len(rows)
    assert entry.excluded == sum(bool(excluded[row.id]) for row in rows)
    assert entry.mean == pytest.approx(np.mean(mine))
    assert entry.p95 == mine[int(np.ceil(0.95 * len(mine))) - 1]
    assert entry.highest == mine[-1]
    assert entry.over == pytest.approx(np.mean([score >= 0.5 for score in mine]))
    assert entry.worst == min(row.id for row in rows if scores[row.id] == np.float32(mine[-1]))


def test_the_table_of_sources_says_what_a_plain_account_says(world):
    world, scores = scored(world)
    excluded = world.bits(lambda row: row.document in ("d0", "d4"))
    found = source_scores(world.corpus, excluded, scores, 0.5)
    assert {entry.source for entry in found} == set(SOURCES)
    assert [entry.mean for entry in found] == sorted((e.mean for e in found), reverse=True)
    for entry in found:
        rows = [row for row in world.rows if row.alive and row.source == entry.source]
        assert entry.documents == len({row.document for row in rows})
        assert_scores(entry, rows, scores, excluded)


def test_the_table_of_documents_says_what_a_plain_account_says(world):
    world, scores = scored(world)
    excluded = world.bits(lambda row: row.document in ("d0", "d4"))
    found, count = document_scores(world.corpus, excluded, scores, 0.5)
    living: dict[tuple[str, str], list] = {}
    for row in world.rows:
        if row.alive:
            living.setdefault((row.source, row.document), []).append(row)
    assert count == len(found) == len(living)
    assert [e.highest for e in found] == sorted((e.highest for e in found), reverse=True)
    by_worst = {row.id: (row.source, row.document) for row in world.rows}
    for entry in found:
        rows = living[by_worst[entry.worst]]
        assert_scores(entry, rows, scores, excluded)
    assert document_scores(world.corpus, excluded, scores, 0.5, limit=2) == (found[:2], count)


def test_the_histogram_counts_every_living_chunk_once(world):
    world, scores = scored(world)
    counts = histogram(world.corpus, scores)
    living = [float(scores[row.id]) for row in world.rows if row.alive]
    assert len(counts) == BINS
    assert sum(counts) == len(living)
    assert counts[0] == sum(score < 1 / BINS for score in living)
