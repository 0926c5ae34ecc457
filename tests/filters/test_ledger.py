"""The ledger: rules are kept as they were said, undone once, and never erased."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import DatabaseTooNew, IntegrityError, UsageError
from retro_cli.filters.ledger import Ledger, load_ledger
from retro_cli.filters.rules import (
    ACTIVE,
    COPIES,
    LEVELS,
    PURGED,
    UNDONE,
    Passage,
    Rule,
    Toxicity,
)
from retro_cli.store.layout import Layout

names = st.lists(st.text(min_size=1), max_size=3).map(tuple)
passages = st.builds(
    Passage,
    st.integers(0, 1 << 40),
    st.text(),
    st.text(),
    st.binary(min_size=16, max_size=16).map(bytes.hex),
)
toxicities = st.builds(Toxicity, st.text(min_size=1), st.floats(0, 1), st.sampled_from(LEVELS))
rules = st.builds(
    Rule,
    number=st.just(0),
    reason=st.text(min_size=1),
    sources=names,
    documents=names,
    passages=st.lists(passages, max_size=2).map(tuple),
    where=st.text(),
    match=st.text(),
    toxicity=st.none() | toxicities,
    only=st.booleans(),
    copies=st.sampled_from(COPIES),
    until=st.none() | st.integers(0, 1 << 40),
)


def of(*sources: str) -> Ledger:
    ledger = Ledger()
    for source in sources:
        ledger = ledger.added(Rule(0, f"about {source}", sources=(source,)))
    return ledger


@given(rules)
def test_a_rule_reads_back_from_json_as_it_was(rule):
    assert Rule.from_json(json.loads(json.dumps(rule.to_json()))) == rule


@given(st.lists(rules, max_size=4))
def test_a_ledger_reads_back_as_it_was_saved(tmp_path_factory, added):
    layout = Layout(tmp_path_factory.mktemp("ledger"))
    ledger = Ledger()
    for rule in added:
        ledger = ledger.added(rule)
    ledger.save(layout)
    assert load_ledger(layout) == ledger
    assert [rule.number for rule in ledger.rules] == list(range(1, len(added) + 1))


@given(rules, rules)
def test_rules_that_say_the_same_are_those_that_differ_in_name_only(one, other):
    meant = [{**rule.to_json(), "number": 0, "reason": ""} for rule in (one, other)]
    assert (one.says == other.says) == (meant[0] == meant[1])


def test_a_rule_is_empty_unless_it_names_or_demands_something():
    assert Rule(1, "why").empty
    assert Rule(1, "why", only=True, copies="near", until=3).empty
    for said in (
        {"sources": ("a",)},
        {"documents": ("a",)},
        {"passages": (Passage(1, "u", "k", "00" * 16),)},
        {"where": "year = 1"},
        {"match": "a"},
        {"toxicity": Toxicity("t", 0.0)},
    ):
        assert not Rule(1, "why", **said).empty


def test_a_description_says_all_that_a_rule_takes():
    sources = tuple("abcde")
    rule = Rule(1, "why", sources, where="year = 1", match="x", toxicity=Toxicity("t", 0.25))
    text = replace(rule, only=True, copies="near", until=7).describe()
    for words in ("all but:", "source a or source b or source c and 2 more", "where year = 1",
                  "/x/", "chunk toxicity >= 0.25 (t)", "with near copies", "once"):  # fmt: skip
        assert words in text


def test_a_database_without_rules_has_an_empty_ledger_and_no_file(tmp_path):
    assert load_ledger(Layout(tmp_path)) == Ledger()
    assert list(tmp_path.iterdir()) == []


def test_an_undone_rule_stays_in_the_ledger_and_out_of_force():
    ledger = of("a", "b").undone(1)
    assert [rule.state for rule in ledger.rules] == [UNDONE, ACTIVE]
    assert [rule.number for rule in ledger.active] == [2]
    assert ledger.next_number == 3
    assert ledger.rules[0].changed


def test_an_undo_of_an_undo_is_refused():
    with pytest.raises(UsageError, match="rule 1 was undone before"):
        of("a").undone(1).undone(1)


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_an_unknown_number_is_refused_with_those_that_are_known(number):
    with pytest.raises(UsageError, match=f"no rule {number}") as refused:
        of("a", "b").undone(number)
    assert "1 to 2" in refused.value.hint
    with pytest.raises(UsageError) as refused:
        Ledger().get(1)
    assert "there are no rules" in refused.value.hint


def test_a_purged_rule_still_holds_and_is_undone_only_when_lifted():
    ledger = of("a").changed({1}, PURGED)
    assert [rule.number for rule in ledger.active] == [1]
    with pytest.raises(UsageError, match="purged"):
        ledger.undone(1)
    assert ledger.undone(1, lift=True).active == ()


def test_the_ledger_as_of_some_rules_has_just_those_in_force_and_the_purged():
    ledger = of("a", "b", "c", "d").changed({2}, UNDONE).changed({4}, PURGED)
    then = ledger.as_of((2, 3))
    assert [rule.state for rule in then.rules] == [UNDONE, ACTIVE, ACTIVE, PURGED]
    assert [rule.number for rule in then.active] == [2, 3, 4]
    assert [rule.number for rule in ledger.as_of(()).active] == [4]


@given(
    st.lists(st.sampled_from([ACTIVE, UNDONE, PURGED]), min_size=1, max_size=6),
    st.sets(st.integers(1, 6)),
)
def test_as_of_is_the_named_rules_and_the_purged_whatever_the_states(states, numbers):
    ledger = of(*"abcdef"[: len(states)])
    for number, state in enumerate(states, 1):
        ledger = ledger.changed({number}, state)
    numbers = {number for number in numbers if number <= len(states)}
    purged = {number for number, state in enumerate(states, 1) if state == PURGED}
    then = ledger.as_of(tuple(sorted(numbers)))
    assert {rule.number for rule in then.active} == numbers | purged
    assert {rule.number for rule in then.rules if rule.state == PURGED} == purged


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "rules": [{}]}',
     '{"format": 1, "rules": 3}', '{"format": "x", "rules": []}', "null"],
)  # fmt: skip
def test_a_broken_ledger_is_an_integrity_error(tmp_path, content):
    layout = Layout(tmp_path)
    of("a").save(layout)
    (layout.filters / "ledger.json").write_text(content)
    with pytest.raises(IntegrityError):
        load_ledger(layout)


def test_a_rule_with_an_unknown_field_is_not_read_as_if_it_had_none(tmp_path):
    layout = Layout(tmp_path)
    of("a").save(layout)
    path = layout.filters / "ledger.json"
    value = json.loads(path.read_text())
    value["rules"][0]["language"] = "en"
    path.write_text(json.dumps(value))
    with pytest.raises(IntegrityError):
        load_ledger(layout)


def test_a_ledger_of_a_newer_format_is_refused(tmp_path):
    layout = Layout(tmp_path)
    of("a").save(layout)
    path = layout.filters / "ledger.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(DatabaseTooNew, match="format 99"):
        load_ledger(layout)
