"""k results stay k results, and near the target recall, however much the rules keep out."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli import pipeline
from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import require_manifest
from retro_cli.database import Database
from retro_cli.embeddings.external import import_vectors
from retro_cli.events import SILENT
from retro_cli.filters.rules import Rule
from retro_cli.index import search
from retro_cli.index.exact import exact_search
from retro_cli.index.stage import IndexJob
from retro_cli.store.layout import Layout
from retro_cli.upkeep.filtering import add_rule, undo_rule
from retro_cli.upkeep.reach import open_filtering

ROWS, DIM, K, TARGET = 12_000, 24, 10, 0.95
QUERIES = 100


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def library(tmp_path_factory, static_encoder):
    """Documents of one chunk each with a random rank, and clustered vectors in lists."""
    folder = tmp_path_factory.mktemp("survivors")
    layout = Layout(folder / "s.db")
    rng = np.random.default_rng(4)
    ranks = rng.permutation(ROWS).tolist()
    centres = rng.standard_normal((80, DIM))
    which = rng.integers(80, size=ROWS)
    vectors = unit(centres[which] + 0.9 * rng.standard_normal((ROWS, DIM)))
    records = [
        {"id": n, "rank": ranks[n], "cluster": int(which[n]), "text": f"boat {n}"}
        for n in range(ROWS)
    ]
    write_jsonl(folder / "r.jsonl", records)
    np.save(folder / "v.npy", vectors)
    settings = {"encoder": str(static_encoder), "tokens": 16}
    options = pipeline.ChunkOptions(workers=1)
    pipeline.chunk(layout, [str(folder / "r.jsonl")], settings, options)
    import_vectors(layout, folder / "v.npy", None, SILENT)
    job = IndexJob(layout, recall=TARGET, factory="IVF64,SQ8", threads=1)
    pipeline.index(layout, job)
    queries = unit(vectors[:QUERIES] + 0.1 * rng.standard_normal((QUERIES, DIM)))
    return layout, queries


@pytest.fixture
def under(library):
    """Adds a rule for the time of a test."""
    layout, _ = library

    def add(where):
        added, reach, _ = add_rule(layout, Rule(0, "why", where=where))
        numbers.append(added.number)
        return reach

    numbers: list[int] = []
    yield add
    for number in numbers:
        undo_rule(layout, number)


def answers(layout, queries):
    """Found ids, the truth among the survivors, and the index's own explanation."""
    manifest = require_manifest(layout.chunks)
    assert not len(Aliases.load(layout.chunks, manifest.aliases).member)
    live = open_filtering(layout).excluded.live(manifest, Aliases.none())
    with Database.open(layout.root) as database:
        found = database.search(queries, K)
        truth, _ = exact_search(database.retriever.vectors, queries, K, live)
    return found, truth, live


@pytest.mark.parametrize("exactly", [True, False], ids=["as it comes", "by lists"])
@pytest.mark.parametrize("removed", [0.001, 0.1, 0.9, 0.999])
def test_k_results_stay_k_results_at_the_target_recall(
    library, under, monkeypatch, removed, exactly
):
    if not exactly:
        monkeypatch.setattr(search, "SURVIVOR_FLOATS", 0)
    layout, queries = library
    reach = under(f"rank < {int(ROWS * removed)}")
    assert reach.chunks == int(ROWS * removed)
    found, truth, live = answers(layout, queries)
    assert live.sum() == ROWS - reach.chunks
    ids = np.array([[hit.chunk for hit in answer.hits] for answer in found])
    assert ids.shape == (QUERIES, K)
    assert live[ids].all()
    recall = np.mean([np.isin(best, mine).mean() for best, mine in zip(truth, ids, strict=True)])
    assert recall >= TARGET - 0.02


def test_one_sided_removal_keeps_the_recall_as_well(library, under):
    layout, queries = library
    under("cluster < 72")
    found, truth, live = answers(layout, queries)
    ids = np.array([[hit.chunk for hit in answer.hits] for answer in found])
    assert live[ids].all()
    recall = np.mean([np.isin(best, mine).mean() for best, mine in zip(truth, ids, strict=True)])
    assert recall >= TARGET - 0.02


def test_fewer_survivors_than_k_are_all_found(library, under):
    layout, queries = library
    under(f"rank < {ROWS - 4}")
    found, _, live = answers(layout, queries)
    left = set(np.flatnonzero(live).tolist())
    assert [{hit.chunk for hit in answer.hits} for answer in found] == [left] * QUERIES


def test_two_rules_and_a_condition_still_fill_k(library, under):
    layout, queries = library
    under("rank < 6000")
    under("cluster < 40")
    with Database.open(layout.root) as database:
        selection = database.retriever.select([], pipeline_conditions("rank >= 9000"))
        found = database.retriever.search(queries, K, selection=selection)
    assert {len(answer.hits) for answer in found} == {K}


def pipeline_conditions(expression):
    from retro_cli.chunks.where import parse_where

    return parse_where(expression)
