"""Judgements in three forms, and what is said of those that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import UsageError
from retro_cli.exchange.judgements import judgement_lines, judgements_of, read_judgements
from retro_cli.exchange.questions import Question

names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=5)
judged = st.dictionaries(
    names, st.dictionaries(names, st.integers(-2, 4), min_size=1), min_size=1, max_size=5
)


@pytest.fixture
def judgements(tmp_path):
    def read(content):
        (tmp_path / "qrels").write_text(content, encoding="utf-8")
        return read_judgements(str(tmp_path / "qrels"))

    return read


@pytest.mark.parametrize(
    "content",
    [
        "query-id\tcorpus-id\tscore\n1\td1\t2\n1\td 2\t0\nq\td1\t-1\n",
        "1\td1\t2\n1\td 2\t0\nq\td1\t-1\n",
        "1\t0\td1\t2\n1\t0\td 2\t0.0\nq\t0\td1\t-1\n",
    ],
    ids=["beir", "without a header", "ms marco"],
)
def test_columns_with_tabs(judgements, content):
    assert judgements(content) == {"1": {"d1": 2, "d 2": 0}, "q": {"d1": -1}}


def test_trec_columns_are_parted_by_any_white_space(judgements):
    assert judgements("1 0  d1 1\n1 Q0 d2   0\n\n") == {"1": {"d1": 1, "d2": 0}}


@pytest.mark.parametrize("shape", ["beir", "trec", "msmarco"])
@given(value=judged)
def test_what_is_written_is_read_again(tmp_path_factory, shape, value):
    path = tmp_path_factory.mktemp("q") / "qrels"
    path.write_text("".join(judgement_lines(value, shape)), encoding="utf-8")
    assert read_judgements(str(path)) == value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no judgements"),
        ("query-id\tcorpus-id\tscore\n", "holds no judgements"),
        ("1 0 d1 1\n1 d2\n", "line 2: 2 columns"),
        ("1 0 d1 high", "line 1: the relevance 'high'"),
        ("1 0 d1 0.5", "line 1: the relevance '0.5'"),
        ("1 0 d1 nan", "line 1: the relevance 'nan'"),
        ("1 0 d1 inf", "line 1: the relevance 'inf'"),
        ("1 0 d1 1\n1 0 d1 2\n", "line 2: query 1, document d1: 2, before 1"),
    ],
)
def test_what_is_no_judgement_is_told_with_its_line(judgements, content, says):
    with pytest.raises(UsageError) as told:
        judgements(content)
    assert says in told.value.message


def test_the_same_said_twice_is_said_once(judgements):
    assert judgements("1 0 d1 1\n1 0 d1 1\n") == {"1": {"d1": 1}}


def test_questions_may_say_themselves_what_answers_them():
    some = [Question("a", "x", documents=("d", "e")), Question("b", "y")]
    assert judgements_of(some) == {"a": {"d": 1, "e": 1}}
