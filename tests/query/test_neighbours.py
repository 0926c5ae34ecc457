"""Neighbour tables: against brute force, and never a chunk that may not be one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli import Database
from retro_cli.filters.match import Corpus, document_of
from retro_cli.query import overfetch
from retro_cli.query.neighbours import NeighbourTable, find_neighbours
from retro_cli.query.table import NeighbourSettings
from retro_cli.store.layout import Layout

WORDS = ["the", "ferry", "harbour", "light", "keeper", "boat", "storm", "island"]


@pytest.fixture
def posts(retro, static_encoder, tmp_path):
    """Documents of several chunks; two that say the same, one that nearly does."""
    rng = np.random.default_rng(4)
    records = [
        {"id": f"p{n}", "text": " ".join(rng.choice(WORDS, 40)), "source": f"s{n % 3}"}
        for n in range(24)
    ]
    records.append({"id": "copy", "text": records[0]["text"], "source": "copies"})
    near = records[1]["text"].split()
    near[20] = "xq"
    records.append({"id": "near", "text": " ".join(near), "source": "copies"})
    write_jsonl(tmp_path / "posts.jsonl", records)
    db = tmp_path / "posts.db"
    built = retro("build", "posts.jsonl", "--db", db, "--encoder", static_encoder, "--tokens", 16)
    assert built.code == 0, built.err
    return Layout(db)


def table(layout: Layout, name: str = "t") -> dict[int, list[int]]:
    with Database.open(layout.root) as db:
        own, parts = db.retriever.own, db.retriever.manifest.parts
        opened = NeighbourTable(layout, name, own)
        found: dict[int, list[int]] = {}
        for part in parts:
            chunks, neighbours = opened.read(part.name)
            found |= dict(zip(chunks.tolist(), neighbours.tolist(), strict=True))
        return found


def brute_force(layout: Layout, k: int) -> dict[int, list[float]]:
    """The scores of the k nearest living chunks of other texts, for each living chunk."""
    with Database.open(layout.root) as db:
        retriever = db.retriever
        corpus = Corpus(layout.chunks, retriever.manifest, retriever.aliases, lambda _: None)
        documents, _ = document_of(corpus)
        canonical = np.arange(retriever.manifest.next_id)
        canonical[retriever.aliases.member] = retriever.aliases.canonical
        rows = np.flatnonzero(retriever.own)
        vectors = retriever.vectors.gather(canonical[rows])
        entries = np.unique(canonical[rows])
        scores = vectors @ retriever.vectors.gather(entries).T
        best = {}
        for row, mine in zip(rows, scores, strict=True):
            stands = [e for e in entries if e in rows] + [e for e in entries if e not in rows]
            allowed = [
                float(mine[np.searchsorted(entries, e)])
                for e in stands
                if documents[e] not in (documents[row], documents[canonical[row]])
            ]
            best[int(row)] = sorted(allowed, reverse=True)[:k]
        return best


def scores_of(layout: Layout, found: dict[int, list[int]]) -> dict[int, list[float]]:
    with Database.open(layout.root) as db:
        retriever = db.retriever
        canonical = np.arange(retriever.manifest.next_id)
        canonical[retriever.aliases.member] = retriever.aliases.canonical
        return {
            row: (
                retriever.vectors.gather(canonical[[row]])
                @ retriever.vectors.gather(canonical[neighbours]).T
            )[0].tolist()
            for row, neighbours in found.items()
        }


@pytest.mark.parametrize("k", [1, 3, 20])
def test_neighbours_are_those_of_brute_force_without_the_own_document(posts, k):
    report = find_neighbours(posts, "t", NeighbourSettings(k))
    found, expected = table(posts), brute_force(posts, k)
    assert report.rows == report.full == len(found) == len(expected)
    mine = scores_of(posts, found)
    for row, scores in expected.items():
        assert mine[row] == pytest.approx(scores, abs=1e-3)


def test_fewer_neighbours_than_asked_for_leave_gaps_and_no_strangers(posts):
    report = find_neighbours(posts, "t", NeighbourSettings(5000))
    assert report.full == 0
    found = table(posts)
    for row, neighbours in found.items():
        held = [n for n in neighbours if n >= 0]
        assert row not in held
        assert len(held) == len(set(held))
        assert neighbours[len(held) :] == [-1] * (5000 - len(held))


def test_few_candidates_at_once_give_the_same_neighbours(posts, monkeypatch):
    find_neighbours(posts, "t", NeighbourSettings(20))
    at_once = table(posts)
    monkeypatch.setattr(overfetch, "_CANDIDATES", 100)
    find_neighbours(posts, "u", NeighbourSettings(20))
    assert table(posts, "u") == at_once


def test_what_an_update_replaces_is_masked_when_the_table_is_read(retro, posts):
    find_neighbours(posts, "t", NeighbourSettings(4))
    before = table(posts)
    path = posts.root.parent / "posts.jsonl"
    lines = path.read_text().splitlines()
    changed = json.loads(lines[0])
    changed["text"] = "other words altogether " + changed["text"]
    path.write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    assert retro("build", "posts.jsonl", "--db", posts.root).code == 0
    with Database.open(posts.root) as db:
        own = db.retriever.own
    dead = {row for row in before if not own[row]}
    assert dead
    after = table(posts)
    assert not dead & set(after)
    assert not dead & {n for neighbours in after.values() for n in neighbours}


def test_near_copies_are_no_neighbours_on_request(posts):
    with Database.open(posts.root) as db:
        every = range(db.retriever.manifest.next_id)
        chunks = {c.document: c.id for c in db.retriever.rows.get(every) if c.position == 0}
    find_neighbours(posts, "t", NeighbourSettings(1))
    assert table(posts)[chunks["near"]] == [chunks["p1"]]
    find_neighbours(posts, "t", NeighbourSettings(1, copies=0.5))
    assert table(posts)[chunks["near"]] != [chunks["p1"]]


def test_what_a_rule_takes_later_is_masked_when_the_table_is_read(retro, posts):
    find_neighbours(posts, "t", NeighbourSettings(4))
    before = table(posts)
    retro("filter", "add", posts.root, "--source", "s1", "--reason", "test")
    after = table(posts)
    with Database.open(posts.root) as db:
        own = db.retriever.own
    assert set(after) == {row for row in before if own[row]}
    for row, neighbours in after.items():
        assert neighbours == [n if own[n] else -1 for n in before[row]]
    assert retro("filter", "verify", posts.root).code == 0


def test_a_new_table_never_holds_what_a_rule_takes(retro, posts):
    retro("filter", "add", posts.root, "--source", "s1", "--reason", "test")
    report = find_neighbours(posts, "t", NeighbourSettings(4))
    assert report.full == report.rows
    with Database.open(posts.root) as db:
        own = db.retriever.own
    for row, neighbours in table(posts).items():
        assert own[[row, *neighbours]].all()


def test_a_second_run_looks_nothing_up(posts):
    first = find_neighbours(posts, "t", NeighbourSettings(2))
    again = find_neighbours(posts, "t", NeighbourSettings(2))
    assert (first.rows_done, again.rows_done) == (first.rows, 0)
    assert find_neighbours(posts, "t", NeighbourSettings(3)).rows_done == first.rows


def test_the_command_says_what_is_wrong(retro, posts, tmp_path):
    assert retro("neighbours", tmp_path / "none.db").code == 2
    assert retro("neighbours", posts.root, "--as", "../x").code == 2
    done = retro("neighbours", posts.root, "-k", 2, "--json")
    assert done.rows[0]["full"] == done.rows[0]["rows"]
    assert "all 2" in retro("neighbours", posts.root, "-k", 2).err


COPIED = "the lamp of the night keeper burns oil until the tide turns at the light"


@pytest.mark.parametrize("dedup", ["none", "document", "chunk"])
@pytest.mark.parametrize("loss", ["nothing", "a rule", "an edit"])
def test_a_document_with_the_same_text_is_no_neighbour_whichever_of_them_is_indexed(
    retro, static_encoder, tmp_path, dedup, loss
):
    """Z holds the first chunk of A, B and C as well, and says more; so the rows of all are merged
    in some ways of merging."""
    head = " ".join(COPIED.split()[:8])
    texts = {"Z": f"{head} but then the storm took the boat", **dict.fromkeys("ABC", COPIED)}
    texts |= {f"x{n}": f"the ferry {n} and the storm of year {n}" for n in range(6)}
    path = tmp_path / "posts.jsonl"
    write_jsonl(path, [{"id": name, "text": text} for name, text in texts.items()])
    how = ["--db", "p.db", "--encoder", static_encoder, "--tokens", 8, "--dedup", dedup]
    assert retro("build", path, *how).code == 0
    if loss == "a rule":
        assert retro("filter", "add", "p.db", "--doc", "A", "--reason", "x").code == 0
    if loss == "an edit":
        write_jsonl(path, [{"id": n, "text": t} for n, t in texts.items() if n not in "AZ"])
        assert retro("build", path, "--db", "p.db", "--prune").code == 0
    layout = Layout(tmp_path / "p.db")
    report = find_neighbours(layout, "t", NeighbourSettings(4))
    with Database.open(layout.root) as db:
        chunks = {row: db.retriever.rows.get([row])[0] for row in table(layout)}
    for row, neighbours in table(layout).items():
        own = texts[chunks[row].document]
        held = [chunks[n] for n in neighbours if n >= 0]
        assert own not in [texts[hit.document] for hit in held]
        assert report.none == 0
        assert held
