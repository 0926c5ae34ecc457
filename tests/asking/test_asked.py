"""The words of a question in a text, and around a place in it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.asking.asked import ELSEWHERE, SCALE, Asked

WORDS = st.lists(st.sampled_from(["keeper", "lamp", "ferry", "storm", "quay"]), max_size=12)
TEXTS = ["the keeper lit the lamp", "the ferry left", "the storm"]


def test_a_word_weighs_by_how_few_texts_hold_it():
    weights = Asked.of("the keeper and the whale", TEXTS).weights
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["whale"] > weights["keeper"] > weights["the"]
    raw = {word: math.log(4 / (held + 0.5)) for word, held in
           (("the", 3), ("keeper", 1), ("and", 0), ("whale", 0))}  # fmt: skip
    assert weights == pytest.approx({word: raw[word] / sum(raw.values()) for word in raw})


def test_words_that_begin_alike_are_the_same_only_where_that_is_asked_for():
    assert Asked.of("who built it", ["a builder"]).share("the builders") == 0
    assert Asked.of("who built it", ["a builder"], 4).share("the builders") > 0


@pytest.mark.parametrize(("question", "texts"), [("", TEXTS), ("?!", TEXTS), ("keeper", [])])
def test_without_words_or_texts_nothing_is_shared(question, texts):
    asked = Asked.of(question, texts)
    assert asked.share("keeper") in (0, 1)
    assert asked.near("keeper", 0, 6) == 0


@given(WORDS, WORDS)
def test_a_share_is_between_nothing_and_all(question, text):
    asked = Asked.of(" ".join(question), TEXTS)
    share = asked.share(" ".join(text))
    assert -1e-9 <= share <= 1 + 1e-9
    if asked.weights and set(question) <= set(text):
        assert share == pytest.approx(1)


@given(WORDS, WORDS, WORDS)
def test_what_stands_around_a_place_is_at_most_what_the_text_holds(question, before, behind):
    asked = Asked.of(" ".join(question), TEXTS)
    start = "".join(f"{word} " for word in before)
    text = f"{start}SPAN {' '.join(behind)}"
    near = asked.near(text, len(start), len(start) + 4)
    assert -1e-9 <= near <= asked.share(text) + 1e-9


def test_a_word_counts_less_the_farther_away_it_stands_and_in_the_sentence_before():
    asked = Asked.of("lamp", ["a lamp", "a quay", "x"])
    assert asked.weights == {"lamp": 1.0}
    text = "lamp of the quay: Kirsten. a b lamp"
    start = text.index("Kirsten")
    assert asked.near("lamp Kirsten", 5, 12) == pytest.approx(1)
    assert asked.near("Kirsten lamp", 0, 7) == pytest.approx(1)
    assert asked.near(text, start, start + 7) == pytest.approx(math.exp(-2 / SCALE))
    assert asked.near("lamp. Kirsten", 6, 13, since=6) == pytest.approx(ELSEWHERE)


def test_the_words_of_the_place_itself_do_not_count():
    asked = Asked.of("lamp", ["a lamp", "a quay", "x"])
    assert asked.near("the lamp lit", 4, 8) == 0
    assert asked.near("the old lamp lit", 4, 12) == 0
