"""Conditions on documents: parsed, never evaluated."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.where import parse_where
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


@pytest.mark.parametrize("expression", ["", "year", "= 3", "a = 1 and", "__import__('os')"])
def test_nonsense_is_a_usage_error(expression):
    with pytest.raises(UsageError, match="--where"):
        parse_where(expression)


@given(
    st.text(max_size=30), st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5))
)
def test_no_input_gets_past_the_parser_as_anything_but_a_condition(expression, facts):
    try:
        conditions = parse_where(expression)
    except UsageError:
        return
    assert all(c.matches(document(**facts)) in (True, False) for c in conditions)
