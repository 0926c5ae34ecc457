"""Which rows a rule takes, against a plain account of the same corpus, row by row."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
import pytest
from helpers import write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st

from retro_cli import pipeline
from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import require_manifest
from retro_cli.chunks.rows import ChunkRows
from retro_cli.errors import UsageError
from retro_cli.filters.copies import copies_of, originals_of, shingles
from retro_cli.filters.exclusion import corpus_of, exclude, exclusion_key
from retro_cli.filters.ledger import Ledger
from retro_cli.filters.match import (
    aggregate,
    any_of,
    compiled,
    document_of,
    rule_rows,
    source_names,
    source_of,
)
from retro_cli.filters.rules import Passage, Rule, Toxicity
from retro_cli.filters.sources import BINS, document_scores, histogram, source_scores
from retro_cli.store.layout import Layout
from retro_cli.upkeep.filtering import passages

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


@pytest.fixture(scope="module")
def world(tmp_path_factory, static_encoder):
    """Two editions of a file: some documents were replaced, some texts are said twice."""
    from retro_cli.chunks.rows import read_blocks, token_ids

    folder = tmp_path_factory.mktemp("world")
    layout = Layout(folder / "w.db")
    path = folder / "posts.jsonl"
    for edition in range(2):
        write_jsonl(path, records(edition))
        options = pipeline.ChunkOptions(workers=1)
        how = {"encoder": str(static_encoder), "tokens": 12}
        pipeline.chunk(layout, [str(path)], how, options)
    manifest = require_manifest(layout.chunks)
    aliases = Aliases.load(layout.chunks, manifest.aliases)
    corpus = corpus_of(layout, manifest, aliases)
    reader = ChunkRows(layout.chunks, manifest.parts)
    rows = []
    for chunk in reader.get(range(manifest.next_id)):
        document = reader.document(chunk.id)
        year = json.loads(document["metadata"])["year"]
        alive = bool(corpus.own[chunk.id])
        rows.append(
            Row(chunk.id, chunk.document, chunk.source, chunk.text, year, document["uri"], alive)
        )
    reader.close()
    tokens = [
        tuple(ids.tolist())
        for part in manifest.parts
        for block in read_blocks(layout.chunks / part.chunks_file, ["tokens"])
        for ids in token_ids(block["tokens"], manifest.token_bytes)
    ]
    assert len(tokens) == len(rows) == manifest.next_id
    assert not corpus.own.all()
    assert len(aliases.member)
    return World(layout, corpus, aliases, tuple(rows), tuple(tokens))


def passage(world, number):
    return passages(world.layout, [number])[0]


# Each rule and, beside it, whether a row should be taken.
PLAIN = [
    (Rule(0, "w", sources=("forum/*",)), lambda row: row.source.startswith("forum/")),
    (Rule(0, "w", sources=("letters", "n?ws")), lambda row: row.source in ("letters", "news")),
    (Rule(0, "w", documents=("d1*",)), lambda row: row.document.startswith("d1")),
    (Rule(0, "w", where="year >= 2001 and source = news"),
     lambda row: row.year >= 2001 and row.source == "news"),
    (Rule(0, "w", match="st[ou]rm"), lambda row: "storm" in row.text),
    (Rule(0, "w", match="(?i)LIGHT [01]"), lambda row: re.search("light [01]", row.text)),
    (Rule(0, "w", sources=("forum/a",), documents=("d2",), match="boat|ferry"),
     lambda row: (row.source == "forum/a" or row.document == "d2")
     and re.search("boat|ferry", row.text)),
    (Rule(0, "w", sources=("forum/*", "news"), only=True),
     lambda row: not (row.source.startswith("forum/") or row.source == "news")),
    (Rule(0, "w", match="the", until=20), lambda row: "the" in row.text and row.id < 20),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PLAIN)))
def test_a_rule_takes_the_rows_of_the_plain_account_dead_ones_too(world, number):
    rule, wanted = PLAIN[number]
    expected = world.bits(wanted)
    assert 0 < expected.sum() < len(expected)
    assert (rule_rows(world.corpus, rule) == expected).all()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, len(PLAIN) - 1)), max_size=12))
def test_what_is_kept_out_is_the_union_of_the_rules_in_force_however_they_came(world, steps):
    ledger, expected = Ledger(), {}
    for add, which in steps:
        if add or not expected:
            ledger = ledger.added(PLAIN[which][0])
            expected[len(ledger.rules)] = which
        else:
            number = sorted(expected)[which % len(expected)]
            ledger = ledger.undone(number)
            del expected[number]
    found = exclude(world.layout, world.corpus.manifest, world.aliases, ledger)
    union = world.bits(lambda row: any(PLAIN[which][1](row) for which in expected.values()))
    assert (found.rows == union).all()
    assert set(found.rules) == set(expected)
    each = [rule_rows(world.corpus, rule) for rule in ledger.active]
    assert (np.logical_or.reduce([np.zeros(len(union), bool), *each]) == union).all()


def test_undoing_one_of_two_overlapping_rules_revives_nothing_of_the_other(world):
    ledger = Ledger().added(Rule(0, "w", sources=("forum/*",)))
    ledger = ledger.added(Rule(0, "w", sources=("forum/a", "news")))
    for number, kept in ((1, ("forum/a", "news")), (2, ("forum/a", "forum/b"))):
        left = ledger.undone(number)
        found = exclude(world.layout, world.corpus.manifest, world.aliases, left)
        assert (found.rows == world.bits(lambda row, kept=kept: row.source in kept)).all()


def test_the_key_tells_rules_apart_by_what_they_say_and_not_by_their_reason(world):
    def key(*rules):
        ledger = Ledger()
        for rule in rules:
            ledger = ledger.added(rule)
        return exclusion_key(world.layout, ledger)

    one, other = Rule(0, "a", sources=("news",)), Rule(0, "b", sources=("letters",))
    assert key() == ""
    assert key(one) == key(replace(one, reason="c"))
    assert len({key(one), key(other), key(one, other), key(replace(one, only=True))}) == 4


def test_a_passage_is_known_by_its_document_and_text_not_by_its_number(world):
    row = next(row for row in world.rows if row.alive and row.document == "d7")
    known = passage(world, row.id)
    same = world.bits(lambda r: (r.document, r.uri, r.text) == (row.document, row.uri, row.text))
    assert (world.take(passages=(replace(known, chunk=9_999),)) == same).all()
    assert not world.take(passages=(Passage(row.id, known.uri, known.key, "00" * 16),)).any()
    assert not world.take(passages=(replace(known, key="another"),)).any()


def test_a_passage_of_a_document_of_the_same_text_is_not_taken(world):
    texts = {}
    for row in world.rows:
        if row.alive:
            texts.setdefault(row.text, []).append(row)
    one, other = next(same for same in texts.values() if same[0].document != same[-1].document)[:2]
    taken = world.take(passages=(passage(world, one.id),))
    assert taken[one.id]
    assert not taken[other.id]


@given(
    st.lists(st.text("ab*?[]!-\n", max_size=5), min_size=1, max_size=3),
    st.text("ab*?[]!-\n", max_size=5),
)
def test_globs_match_as_fnmatch_does(patterns, name):
    wanted = any(
        fnmatchcase(name, pattern) if {"*", "?"} & set(pattern) else name == pattern
        for pattern in patterns
    )
    assert any_of(patterns)(name) == wanted


@pytest.mark.parametrize("bad", ["(", "a{2,1}", "[z-a]", "(?=x)", r"(a)\1", "*"])
def test_what_is_no_regular_expression_is_refused(bad):
    with pytest.raises(UsageError, match="regular expression"):
        compiled(bad)


def test_a_condition_that_is_none_is_refused(world):
    with pytest.raises(UsageError, match="--where"):
        world.take(where="year is 3")


# -- toxicity --------------------------------------------------------------------------------


def scored(world, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.random(len(world.rows)).astype(np.float32)
    scores[world.aliases.member] = scores[world.aliases.canonical]
    scores[rng.random(len(scores)) < 0.2] = np.nan
    scores[world.corpus.own & np.isnan(scores)] = 0.5
    return replace(world, corpus=replace(world.corpus, scores=lambda name: scores)), scores


@pytest.mark.parametrize("level", ["chunk", "document", "source"])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.5, 0.9, 1.0])
def test_toxicity_takes_what_the_plain_account_takes(world, level, threshold):
    world, scores = scored(world)
    documents, _ = document_of(world.corpus)

    def score(row):
        if level == "chunk":
            return scores[row.id]
        groups = documents if level == "document" else np.array([r.source for r in world.rows])
        mine = [
            float(scores[r.id]) for r in world.rows if r.alive and groups[r.id] == groups[row.id]
        ]
        if not mine:
            return np.nan
        return max(mine) if level == "document" else np.float32(np.mean(mine))

    expected = world.bits(lambda row: score(row) >= threshold)
    assert (world.take(toxicity=Toxicity("t", threshold, level)) == expected).all()


@given(
    st.lists(
        st.tuples(st.floats(0, 1, width=32) | st.just(np.nan), st.integers(-1, 4), st.booleans())
    ),
    st.booleans(),
)
def test_aggregates_are_the_plain_mean_and_the_plain_maximum_of_living_rows(rows, mean):
    scores = np.array([score for score, _, _ in rows], dtype=np.float32)
    groups = np.array([group for _, group, _ in rows], dtype=np.int64)
    own = np.array([alive for _, _, alive in rows], dtype=bool)
    found = aggregate(scores, groups, 5, own, mean=mean)
    for group in range(5):
        mine = [float(s) for s, g, alive in rows if alive and g == group and not np.isnan(s)]
        if not mine:
            assert np.isnan(found[group])
        else:
            expected = sum(mine) / len(mine) if mine and mean else max(mine)
            assert found[group] == pytest.approx(expected, rel=1e-6)


def test_the_rows_of_a_source_and_of_a_document_are_numbered_together(world):
    groups, count = source_of(world.corpus)
    names = source_names(world.corpus)
    assert count == len(names) == len(SOURCES)
    assert [names[group] for group in groups] == [row.source for row in world.rows]
    documents, _ = document_of(world.corpus)
    pairs = {(documents[row.id], row.document) for row in world.rows}
    assert len(pairs) == len({number for number, _ in pairs})


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


# -- copies ----------------------------------------------------------------------------------


def windows(tokens):
    return [tuple(tokens[at : at + 5]) for at in range(len(tokens) - 5 + 1)]


def joined(world, picked):
    """The tokens of the picked chunks, those that follow each other in a document in one piece."""
    pieces = []
    for number in picked:
        row, before = world.rows[number], world.rows[number - 1]
        same = (row.document, row.alive) == (before.document, before.alive)
        if pieces and number - 1 in picked and same:
            pieces[-1] = [*pieces[-1], *world.tokens[number]]
        else:
            pieces.append(list(world.tokens[number]))
    return pieces


@given(st.lists(st.lists(st.integers(0, 3), max_size=9), max_size=6))
def test_shingles_are_the_runs_of_five_tokens_within_a_chunk(chunks):
    hashes, owner = shingles([np.array(ids, dtype=np.uint16) for ids in chunks])
    expected = [(run, number) for number, ids in enumerate(chunks) for run in windows(ids)]
    assert owner.tolist() == [number for _, number in expected]
    by_run = {run: value for (run, _), value in zip(expected, hashes.tolist(), strict=True)}
    assert len(set(by_run.values())) == len(by_run)
    assert hashes.tolist() == [by_run[run] for run, _ in expected]


@settings(max_examples=30)
@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=4))
def test_copies_are_those_of_the_plain_account(world, picked):
    picked = {number % len(world.rows) for number in picked}
    rows = np.isin(np.arange(len(world.rows)), list(picked))
    texts = {world.rows[number].text for number in picked}
    exact = world.bits(lambda row: row.text in texts)
    runs = {run for tokens in joined(world, sorted(picked)) for run in windows(tokens)}

    def near(row):
        mine = windows(world.tokens[row.id])
        return bool(mine) and sum(run in runs for run in mine) >= 0.8 * len(mine)

    chunks = world.layout.chunks, world.corpus.manifest
    for how, expected in (("exact", exact), ("near", exact | world.bits(near))):
        found = copies_of(*chunks, originals_of(*chunks, rows, how), how)
        assert (found == expected).all()


def test_copies_of_nothing_are_nothing(world):
    none = np.zeros(len(world.rows), dtype=bool)
    chunks = world.layout.chunks, world.corpus.manifest
    assert not copies_of(*chunks, originals_of(*chunks, none, "near"), "near").any()


def test_a_rule_takes_the_copies_that_other_sources_hold(world):
    said = {"sources": ("forum/b",)}
    plain, exact, near = (world.take(**said, copies=how) for how in ("none", "exact", "near"))
    assert (plain <= exact).all()
    assert (exact <= near).all()
    others = {world.rows[number].source for number in np.flatnonzero(exact & ~plain)}
    assert others
    assert "forum/b" not in others


def test_an_allow_list_keeps_the_copies_of_what_it_allows(world):
    said = {"sources": ("forum/b",), "copies": "exact"}
    assert (world.take(**said, only=True) == ~world.take(**said)).all()
