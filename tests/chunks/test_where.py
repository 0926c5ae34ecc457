"""Conditions on documents: parsed, never evaluated."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.where import any_of, field_names, kept_where, parse_where
from retro_cli.errors import UsageError


def document(**metadata):
    return {"source": "letters", "document": "d1", "title": "T", "metadata": json.dumps(metadata)}


def holds(expression: str, **metadata) -> bool:
    return all(c.matches(document(**metadata)) for c in parse_where(expression))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("year = 1990", True),
        ("year >= 1990", True),
        ("year > 1990", False),
        ("year < 200", False),  # numbers compare as numbers, not as text
        ("year != 1991", True),
        ("author = Ines", True),
        ("author = 'Ines'", True),
        ("author ~ In*", True),
        ("author ~ n*", False),
        ("tags = storm", True),
        ("tags != storm", False),
        ("place.island = Tollan", True),
        ("missing = 1", False),
        ("missing != 1", True),
        ("year >= 1990 and author = Ines", True),
        ("year >= 1990 AND author = Olaf", False),
        ("motto = 'sink and swim'", True),
        ("source = letters and document = d1", True),
        ("open = true", True),
        ("date >= 1990", False),  # "n.d." is no number
        ("tags > 3", False),
        ("big = 9007199254740993", True),
        ("big = 9007199254740992", False),
        ("owner = O'Neil and town = L'Aquila", True),
    ],
)
def test_a_condition_means_what_it_says(expression, expected):
    facts = {
        "year": 1990,
        "author": "Ines",
        "tags": ["storm", "sea"],
        "place": {"island": "Tollan"},
        "motto": "sink and swim",
        "open": True,
        "date": "n.d.",
        "big": 9007199254740993,
        "owner": "O'Neil",
        "town": "L'Aquila",
    }
    assert holds(expression, **facts) is expected


@pytest.mark.parametrize(
    ("operator", "value", "labels"),
    [
        ("=", "12e4567", {"12e4567"}),  # as floats, both of these are infinite
        ("=", "007", {"007"}),
        ("=", '"007"', {"007"}),
        ("=", "7", {"7"}),
        ("=", "1_0", {"1_0"}),
        ("=", "nan", {"nan"}),
        ("!=", "nan", {"12e4567", "99e9999", "007", "7", "1_0", "10", "inf", "7.0"}),
        ("=", "inf", {"inf"}),
        ("<", "10", {"007", "7", "7.0"}),  # an order of numbers is one of numbers
        ("<", "99e9999", {"12e4567", "007", "7", "1_0", "10", "7.0"}),  # one of text is of text
    ],
)
@pytest.mark.parametrize("name", ["document", "source", "title"])
def test_a_label_is_text_however_much_it_looks_like_a_number(name, operator, value, labels):
    every = ("12e4567", "99e9999", "007", "7", "1_0", "10", "nan", "inf", "7.0")
    (condition,) = parse_where(f"{name} {operator} {value}")
    assert {label for label in every if condition.matches({name: label})} == labels


@pytest.mark.parametrize(
    ("value", "have", "equal"),
    [
        ("1990", 1990.0, True),
        ("1990.0", 1990, True),
        ("01990", 1990, True),
        ("1e-3", 0.001, True),
        ("12e4567", 1e308, False),
        ("1_0", 10, False),
        ("'1990'", 1990, True),
        ("'1990.0'", 1990, False),
        ("2.5", "2.50", True),  # a table without types
        ("-0.5", "-0.50", True),
        ("'2.5'", "2.50", False),
        ("7", "007", False),
        ("007", "7", False),
        ("007", "007", True),
        ("120000", "12e4", False),
        ("12e4", "120000", False),
        ("10", "1_0", False),
        ("10", "١٠", False),
        ("1", True, False),
        ("true", True, True),
    ],
)
def test_metadata_is_a_number_where_it_is_plainly_one(value, have, equal):
    assert holds(f"field = {value}", field=have) is equal
    assert holds(f"field != {value}", field=have) is not equal


@pytest.mark.parametrize(
    ("expression", "have", "expected"),
    [
        ("month >= 05", 4, False),
        ("time < 0900", "0830", True),
        ("time < 900", "0830", True),
        ("share > 1e-6", "0.5", True),
        ("share > .25", 0.5, True),
        ("share < 1e9999", "0.5", True),
        ("year > nan", "1990", False),
        ("year > 1_0", 9, True),  # as text
        ("year >= '1990'", "1990", True),
        ("lot < '200'", 30, True),
        ("lot < " + "0" * 5000 + "9", 3, True),
    ],
)
def test_order_is_that_of_numbers_where_one_is_asked_for(expression, have, expected):
    assert holds(expression, **{expression.split()[0]: have}) is expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"date.created": 2020}, True),
        ({"date": {"created": 2020}}, True),
        ({"date.created": 2020, "date": {"created": 1}}, True),
        ({"date.created": 1, "date": {"created": 2020}}, False),
        ({"date": {"created": {"on": 2020}}}, False),
        ({"date": 2020, "created": 2020}, False),
        ({"date": [{"created": 2020}]}, False),
    ],
)
def test_a_name_with_dots_is_a_key_that_has_them_or_else_a_path(metadata, expected):
    assert holds("date.created = 2020", **metadata) is expected


def test_a_key_with_dots_is_found_inside_an_object_too():
    assert holds("site.date.created = 2020", site={"date.created": 2020})


def test_every_name_that_a_document_has_leads_to_a_field():
    facts = {"a": {"b.c": 1, "d": {"e": [2]}}, "f.g": 3, "h": {}}
    names = ["source", "document", "title", "a", "f.g", "h", "a.b.c", "a.d", "a.d.e"]
    assert list(field_names(document(**facts))) == names
    for name, known in [*((name, True) for name in names), ("a.b", False), ("f", False)]:
        (condition,) = parse_where(f"{name} = 1")
        assert condition.known_to(document(**facts)) is known


@pytest.mark.parametrize("expression", ["", "year", "= 3", "a = 1 and", "__import__('os')"])
def test_nonsense_is_a_usage_error(expression):
    with pytest.raises(UsageError, match="--where"):
        parse_where(expression)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("year >= 1990 or title = T12", "'1990 or title = T12' as one value"),
        ("document = 7 OR document = a", "as one value"),
        ("title = hit or miss", "as one value"),
        ("document == 7", "'= 7' as one value"),
        ("document ==7", "as one value"),
        ("document <> 7", "'> 7' as one value"),
        ("document !== 7", "as one value"),
        ("year =< 1990", "as one value"),
        ("author =~ Ines", "as one value"),
        ("year >= 1990, author = Ines", "as one value"),
        ("title = 'a' or title = 'b'", "as one value"),
        ('title = "a" "b"', "as one value"),
        ("title = 'unclosed", "as one value"),
        ("year >=", "'year >=' lacks a value"),
        ("year >= and author = Ines", "'year >=' lacks a value"),
        ("title = war and peace", "does not understand 'peace'"),
    ],
)
def test_what_may_be_meant_otherwise_is_refused_with_the_rule(expression, says):
    with pytest.raises(UsageError, match="--where") as refused:
        parse_where(expression)
    assert says in refused.value.message
    for part in ("single =", "'and' alone", "quote a value"):
        assert part in refused.value.hint


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("field = 'hit or miss'", "hit or miss"),
        ('field = "x = y"', "x = y"),
        ("field = ''", ""),
        ('field = "\'tis"', "'tis"),
        ("field = '> 7'", "> 7"),
        ("field = two plain words", "two plain words"),
        ("field = Oregon", "Oregon"),
        ("field = https://island.example/?boat=7", "https://island.example/?boat=7"),
        ("field = O'Neil", "O'Neil"),
    ],
)
def test_quotes_take_a_value_as_it_is_and_plain_values_need_none(expression, value):
    assert holds(expression, field=value)
    assert not holds(expression, field=f"{value}?")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a = x or a = y", "x or a = y"),
        ("a == x", "= x"),
        ("a =", ""),
        ("a = 'x' or a = 'y'", "x' or a = 'y"),
        ("a = 'x or y'", "x or y"),
    ],
)
def test_a_rule_that_was_accepted_once_is_read_as_it_was(expression, value):
    (condition,) = kept_where(expression)
    assert condition.matches(document(a=value))


@given(
    st.text(max_size=30) | st.from_regex(r"(?s)[ab] ?[=!<>~]{1,2}.*"),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)),
)
def test_no_input_gets_past_the_parser_as_anything_but_a_condition(expression, facts):
    try:
        conditions = parse_where(expression)
    except UsageError:
        return
    assert all(c.matches(document(**facts)) in (True, False) for c in conditions)


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
