"""Runs are written so that they are read again as they were, and hostile ones are refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import UsageError
from retro_cli.exchange.runs import document_scores, msmarco_lines, read_run, trec_lines

names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=5)
single = st.floats(-1e6, 1e6, width=32)


def hit(document, score, also=()):
    return SimpleNamespace(document=document, score=score, also=tuple((d, "s") for d in also))


@pytest.fixture
def read(tmp_path):
    def run(content):
        (tmp_path / "run").write_text(content, encoding="utf-8")
        return read_run(str(tmp_path / "run"))

    return run


@given(run=st.dictionaries(names, st.dictionaries(names, single, min_size=1), min_size=1))
def test_a_trec_run_keeps_every_single_precision_score(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("r") / "run"
    lines = [line for query, found in run.items() for line in trec_lines(query, found)]
    path.write_text("".join(lines), encoding="utf-8")
    again, doubled = read_run(str(path))
    assert doubled == 0
    assert {q: {d: np.float32(s) for d, s in found.items()} for q, found in again.items()} == run


def test_an_ms_marco_run_keeps_the_order(read):
    lines = [*msmarco_lines("q", {"b": 0.5, "a": 0.25}), *msmarco_lines("r", {"c": 1.0})]
    assert lines == ["q\tb\t1\n", "q\ta\t2\n", "r\tc\t1\n"]
    assert read("".join(lines)) == ({"q": {"b": -1, "a": -2}, "r": {"c": -1}}, 0)


def test_a_document_named_twice_has_its_best_score(read):
    run, doubled = read("q Q0 d 1 0.5 x\nq Q0 d 2 0.75 x\nq Q0 d 3 0.1 x\nr Q0 d 1 2 x\n")
    assert (run, doubled) == ({"q": {"d": 0.75}, "r": {"d": 2.0}}, 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no run"),
        ("q Q0 d 1", "line 1: 4 columns"),
        ("q Q0 d 1 high x", "line 1: 'high' is no number"),
        ("q Q0 d 1 nan x", "line 1: 'nan' is no score"),
        ("q Q0 d 1 -inf x", "line 1: '-inf' is no score"),
    ],
)
def test_what_is_no_run_is_told_with_its_line(read, content, says):
    with pytest.raises(UsageError) as told:
        read(content)
    assert says in told.value.message


def test_documents_with_the_same_text_are_all_named_and_none_is_named_twice():
    hits = [hit("a", 0.9, ["b", "a"]), hit("c", 0.5), hit("b", 0.4), hit("d", 0.3)]
    assert document_scores(hits) == {"a": 0.9, "b": 0.9, "c": 0.5, "d": 0.3}
    assert list(document_scores(hits[:2])) == ["a", "b"]
    assert document_scores([]) == {}


def test_hits_that_are_not_in_the_order_of_their_scores_keep_their_order():
    hits = [hit("a", 0.9), hit("b", 0.2), hit("c", 0.5)]
    found = document_scores(hits)
    assert list(found) == ["a", "b", "c"]
    assert sorted(found, key=found.get, reverse=True) == ["a", "b", "c"]
