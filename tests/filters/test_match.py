"""Which rows a rule takes, against a plain account of the same corpus, row by row."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_world import SOURCES, passage, scored

from retro_cli.errors import UsageError
from retro_cli.filters.exclusion import exclude, exclusion_key
from retro_cli.filters.ledger import Ledger
from retro_cli.filters.match import (
    aggregate,
    compiled,
    document_of,
    rule_rows,
    source_names,
    source_of,
)
from retro_cli.filters.rules import Passage, Rule, Toxicity

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


@pytest.mark.parametrize("bad", ["(", "a{2,1}", "[z-a]", "(?=x)", r"(a)\1", "*"])
def test_what_is_no_regular_expression_is_refused(bad):
    with pytest.raises(UsageError, match="regular expression"):
        compiled(bad)


def test_a_condition_that_is_none_is_refused(world):
    with pytest.raises(UsageError, match="--where"):
        world.take(where="year is 3")


def test_a_condition_that_was_accepted_once_goes_on_taking_what_it_took(world):
    assert not world.take(where="source = news or source = letters").any()
    assert world.take(where="source != news or letters").all()


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
