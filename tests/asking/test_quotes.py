"""Sentences, quotes and citations: what is cited, and whether it stands where it is said to."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_helpers import text_hit

from retro_cli.asking.quotes import Quoted, find_verbatim, quoted_in, sentence_of, sentences
from retro_cli.asking.reply import citations_of, cite, supporting

TEXT = (
    "# Getting here\n\nThe ferry sails at 06:40. She carries 38 cars! Dr. Brandt, of St. Agnes, "
    'asked: "Is it raining?" It cost £9.80 in 1931.\n\n**Fares.** Dogs are free'
)


def test_sentences_end_at_stops_and_blank_lines_but_not_after_abbreviations():
    assert [TEXT[a:b] for a, b in sentences(TEXT)] == [
        "# Getting here",
        "The ferry sails at 06:40.",
        "She carries 38 cars!",
        'Dr. Brandt, of St. Agnes, asked: "Is it raining?"',
        "It cost £9.80 in 1931.",
        "**Fares.**",
        "Dogs are free",
    ]


@given(st.text(alphabet="ab .!?\n\"'1A", max_size=80))
def test_sentences_hold_every_word_once_and_in_order(text):
    spans = sentences(text)
    assert all(a < b for a, b in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())


def test_a_span_lies_in_its_sentences():
    start = TEXT.index("38 cars")
    assert TEXT[slice(*sentence_of(TEXT, start, start + 7))] == "She carries 38 cars!"
    start, end = TEXT.index("06:40"), TEXT.index("38")
    assert TEXT[slice(*sentence_of(TEXT, start, end))].startswith("The ferry sails")


@given(st.text(max_size=60), st.integers(0, 60), st.integers(1, 30))
def test_what_is_cut_from_a_text_stands_in_it(text, start, length):
    words = text[start : start + length]
    span = find_verbatim(words, text)
    if words.split():
        assert span is not None
        assert text[slice(*span)].split() == words.split()
    else:
        assert span is None


@pytest.mark.parametrize("words", ["the ferry sails", "38  Cars", "sails at 06.40", "cars 38", ""])
def test_what_differs_by_a_letter_does_not_stand_there(words):
    assert find_verbatim(words, TEXT) is None


def test_white_space_may_differ():
    assert find_verbatim("38\ncars", TEXT) is not None


QUOTES = [
    ('Paris [1] "The capital is Paris."', [Quoted(1, "The capital is Paris.")]),
    ('"The capital is Paris." [2]', [Quoted(2, "The capital is Paris.")]),
    ("Paris [1], they say [3].", [Quoted(1, ""), Quoted(3, "")]),
    ("Paris [1, 2]", [Quoted(1, ""), Quoted(2, "")]),
    ("Both: [1] “one thing” and [2] “another”", [Quoted(1, "one thing"), Quoted(2, "another")]),
    ("Paris", []),
    ('He said "nothing at all" about it', []),
    ("an array[7] of 4000 [12345]", [Quoted(7, "")]),
]


@pytest.mark.parametrize(("text", "found"), QUOTES)
def test_what_an_answer_quotes(text, found):
    assert quoted_in(text) == found


HITS = (
    text_hit("The ferry sails at 06:40. She carries 38 cars.", 0),
    text_hit("The lamp has 400 watts.", 1, continuation=" It is seen for 21 miles."),
)


def test_a_quote_is_checked_against_the_passage_that_it_names_and_no_other():
    good = cite(2, HITS, "It is seen for 21 miles.")
    assert good.verbatim
    text = HITS[1].text + HITS[1].continuation
    assert text[good.start : good.end] == good.quote
    elsewhere, invented = "It is seen for 21 miles.", "It is seen for 22 miles."
    for number, quote in ((1, elsewhere), (2, invented), (3, "The"), (0, "The lamp"), (1, "")):
        assert not cite(number, HITS, quote).verbatim


def test_a_number_alone_is_given_the_sentence_that_supports_the_answer():
    (citation,) = citations_of("38 cars [1]", "38 cars [1]", HITS)
    assert (citation.quote, citation.verbatim) == ("She carries 38 cars.", True)


def test_a_number_that_supports_nothing_is_marked():
    (citation,) = citations_of("Paris in springtime [2]", "Paris in springtime [2]", HITS)
    assert (citation.quote, citation.verbatim) == ("", False)


def test_an_answer_without_numbers_is_cited_where_it_stands():
    (citation,) = citations_of("400 watts", "400 watts", HITS)
    assert (citation.number, citation.quote) == (2, "The lamp has 400 watts.")
    assert citations_of("500 watts", "500 watts", HITS) == ()


def test_invented_quotes_are_marked_and_real_ones_are_not():
    text = '38 cars [1] "She carries 38 cars." [2] "The lamp has 500 watts."'
    assert [each.verbatim for each in citations_of(text, text, HITS)] == [True, False]


def test_a_sentence_supports_with_half_of_the_words_or_not_at_all():
    assert supporting("carries 38", HITS[0].text) == "She carries 38 cars."
    assert supporting("carries forty people away", HITS[0].text) == ""
    assert supporting("", HITS[0].text) == ""
