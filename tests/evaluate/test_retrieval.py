"""Runs against judgements: means, paired differences, and what has to be said of both."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from retro_cli.errors import UsageError
from retro_cli.evaluate.retrieval import (
    Scoring,
    compare,
    judged_questions,
    judged_run,
    note_documents,
    note_without,
    run_questions,
    score_run,
)
from retro_cli.exchange.questions import Question

JUDGED = {"1": {"a": 1, "b": 2}, "2": {"c": 1}, "3": {"d": 0, "e": 3}}
RUN = {"1": {"a": 2.0, "x": 1.0}, "2": {"x": 2.0, "c": 1.0}}
QUESTIONS = [Question(name, f"what is {name}?") for name in "123"]


def test_means_are_over_all_judged_queries_those_without_an_answer_too():
    scores = score_run(RUN, JUDGED, Scoring(cuts=(1,), resamples=500))
    assert scores.queries == ("1", "2", "3")
    assert scores.values[scores.names.index("hit@1")].tolist() == [1, 0, 0]
    found = scores.estimates["mrr"]
    assert found.value == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found.low <= found.value <= found.high
    assert scores.of_query(1)["mrr"] == 0.5


def test_a_binary_gain_and_a_higher_bar():
    run = {"1": {"a": 2.0, "b": 1.0}, "2": {}, "3": {"d": 2.0, "e": 1.0}}
    graded, binary, high = (
        score_run(run, JUDGED, Scoring(cuts=(10,), least=least, binary=flat, resamples=100))
        for least, flat in ((1, False), (1, True), (2, False))
    )
    at = graded.names.index("ndcg@10")
    assert graded.values[at, 0] < binary.values[at, 0] == 1.0
    assert binary.values[at, 2] == pytest.approx(1 / np.log2(3))
    assert high.values[high.names.index("recall@10")].tolist() == [1, 0, 1]
    assert high.values[high.names.index("mrr")].tolist() == [0.5, 0, 0.5]


def test_a_comparison_is_paired():
    """What all queries lose alike has an interval without width, however they differ."""
    rng = np.random.default_rng(0)
    ours, theirs = {}, {}
    judged = {str(n): {"hit": 1} for n in range(50)}
    for query in judged:
        rank = int(rng.integers(1, 9))
        ours[query] = {f"x{n}": float(-n) for n in range(1, rank)} | {"hit": -float(rank)}
        theirs[query] = {**ours[query], "first": 1.0}
    scoring = Scoring(cuts=(1, 100), resamples=500)
    found = compare(score_run(ours, judged, scoring), score_run(theirs, judged, scoring), scoring)
    assert found["recall@100"].estimate.value == 0
    assert found["mrr"].better == 50
    assert found["mrr"].worse == 0
    assert found["mrr"].estimate.excludes_zero()
    back = compare(score_run(theirs, judged, scoring), score_run(ours, judged, scoring), scoring)
    assert back["mrr"].estimate.value == -found["mrr"].estimate.value
    assert back["mrr"].worse == 50


def test_equal_runs_do_not_differ():
    scores = score_run(RUN, JUDGED)
    for found in compare(scores, scores).values():
        assert (found.estimate.low, found.estimate.high) == (0, 0)
        assert (found.better, found.worse) == (0, 0)
        assert not found.estimate.excludes_zero()


def test_queries_that_are_not_judged_are_left_out_and_counted():
    judged = {"2": {"c": 1}}
    some, (note,) = judged_questions(QUESTIONS, judged, partial=False)
    assert some == [QUESTIONS[1]]
    assert "2 of 3 queries have no judgements (such as '1', '3')" in note


def test_judged_queries_that_are_not_there_are_an_error_unless_partial():
    judged = {**JUDGED, "9": {"a": 1}, "8": {"a": 1}}
    with pytest.raises(UsageError, match="2 of the 5 judged queries are not among") as told:
        judged_questions(QUESTIONS, judged, partial=False)
    assert "'8', '9'" in told.value.message
    assert "--partial" in told.value.hint
    some, (note,) = judged_questions(QUESTIONS, judged, partial=True)
    assert some == QUESTIONS
    assert "2 of 5" in note


@pytest.mark.parametrize("partial", [False, True])
def test_no_query_in_common_is_an_error_that_shows_both_kinds_of_id(partial):
    with pytest.raises(UsageError, match="none of the 1 judged query") as told:
        judged_questions(QUESTIONS, {"PLAIN-2": {"a": 1}}, partial=partial)
    assert "'PLAIN-2'" in told.value.message
    assert "'1', '2', '3'" in told.value.message


def test_relevant_documents_that_are_not_there_are_counted_and_none_is_an_error():
    assert note_documents(JUDGED, {"a", "b", "c", "e"}) == []  # d is judged, but not relevant
    (note,) = note_documents(JUDGED, {"a", "e"})
    assert "2 of 4 relevant documents are not in the database (such as 'b', 'c')" in note
    with pytest.raises(UsageError, match="none of the 4 relevant documents") as told:
        note_documents(JUDGED, {"doc-1", "doc-2"})
    assert "'doc-1', 'doc-2'" in told.value.message


def test_queries_without_a_relevant_document_are_counted():
    assert note_without(JUDGED, 1) == []
    (note,) = note_without(JUDGED, 2)
    assert note.startswith("1 query has no relevant document (such as '2')")


def test_a_run_that_lacks_queries_is_told_and_one_without_any_is_an_error():
    (note,) = judged_run(RUN, JUDGED, "mine.trec")
    assert "mine.trec lacks 1 of 3 judged queries (such as '3')" in note
    (note,) = judged_run({q: {"z": 1.0} for q in JUDGED}, JUDGED, "mine.trec")
    assert "names no judged document" in note
    with pytest.raises(UsageError, match="none of the 1 query of mine"):
        judged_run({"q1": {"a": 1.0}}, JUDGED, "mine.trec")


def test_every_question_is_asked_once_in_order():
    questions = [Question(str(n), f"text {n}") for n in range(70)]
    asked = []

    def find(texts):
        asked.extend(texts)
        return [
            SimpleNamespace(hits=[SimpleNamespace(document=text, score=1.0, also=())])
            for text in texts
        ]

    run = run_questions(find, questions)
    assert asked == [question.text for question in questions]
    assert run == {question.id: {question.text: 1.0} for question in questions}


@pytest.mark.parametrize("cuts", [(), (0, 5), (5, 5)])
def test_cuts_that_make_no_sense_are_refused(cuts):
    with pytest.raises(UsageError, match="cuts"):
        Scoring(cuts=cuts).check()
