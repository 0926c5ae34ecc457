"""Dates, numbers and names by their form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.training.salient import salient_spans


def found(text):
    return [text[start:end] for start, end in salient_spans(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It was first lit on 3 November 1841.", ["3 November 1841"]),
        ("Since 1841-11-03, or March 4, 1902, or May 1850.",
         ["1841-11-03", "March 4, 1902", "May 1850"]),
        ("It cost £14,870, of which 12.5% was paid at 06:40.", ["£14,870", "12.5%", "06:40"]),
        ("The keeper Kirsten Strand saw the Bay of Quill.", ["Kirsten Strand", "Bay of Quill"]),
        ("Then the ferry left. The harbour was empty.", []),
        ("when I saw it", []),
        ("a letter from Inês Ávila-Ames", ["Inês Ávila-Ames"]),
        ("", []),
    ],
)  # fmt: skip
def test_what_is_salient(text, wanted):
    assert found(text) == wanted


@given(st.text())
def test_spans_are_in_order_and_apart(text):
    edges = [edge for span in salient_spans(text) for edge in span]
    assert edges == sorted(edges)
    assert all(start < end for start, end in salient_spans(text))
