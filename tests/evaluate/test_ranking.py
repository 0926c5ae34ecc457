"""A ranking's measures are trec_eval's, on well-behaved runs and on hostile ones."""

from __future__ import annotations

import math

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.evaluate.ranking import CUTS, measure_names, measures, ranked

ORACLE = {
    "ndcg": "ndcg_cut", "recall": "recall", "precision": "P", "hit": "success",
    "mrr": "recip_rank", "map": "map",
}  # fmt: skip
# Few names and few scores, so that ties and repeated, unjudged and absent documents are common.
names = st.sampled_from([f"d{number}" for number in range(12)] + ["ä", "Z", "z", "d", "\U0001f600"])
scores = st.one_of(
    st.sampled_from([0.0, -0.0, 0.1, 0.1 + 1e-10, 0.5, 1.0, -3.0, 1e300, 2e300, 1e-60]),
    st.floats(allow_nan=False, allow_infinity=False),
)
grades = st.integers(-1, 4)  # at -2 and below the oracle itself reads past an array's end


def oracle(run, judged, cuts=CUTS, least=1):
    wanted = ",".join(map(str, cuts))
    asked = {f"{name}.{wanted}" for name in ("ndcg_cut", "recall", "P", "success")}
    evaluator = pytrec_eval.RelevanceEvaluator({"q": judged}, asked | {"recip_rank", "map"}, least)
    found = evaluator.evaluate({"q": run})["q"]
    return {name: found[oracle_name(name)] for name in measure_names(cuts)}


def oracle_name(name):
    kind, _, cut = name.partition("@")
    return ORACLE[kind] + (f"_{cut}" if cut else "")


@given(
    run=st.dictionaries(names, scores, min_size=1, max_size=17),
    judged=st.dictionaries(names, grades, min_size=1, max_size=17),
    least=st.integers(1, 3),
)
def test_every_measure_is_trec_evals(run, judged, least):
    found = measures(ranked(run), judged, least=least)
    assert found == pytest.approx(oracle(run, judged, least=least), abs=1e-6)


@given(
    run=st.dictionaries(names, scores, min_size=1),
    judged=st.dictionaries(names, st.integers(-9, 4), min_size=1),
)
def test_below_zero_is_not_relevant_however_far(run, judged):
    as_zero = {name: max(grade, 0) for name, grade in judged.items()}
    assert measures(ranked(run), judged) == measures(ranked(run), as_zero)


@given(
    run=st.dictionaries(st.text("ab\u00e9", min_size=1), st.sampled_from([1.0, 2.0]), min_size=2)
)
def test_equal_scores_are_ranked_by_name_as_trec_eval_does(run):
    first = next(iter(run))
    place = ranked(run).index(first) + 1
    assert 1 / place == pytest.approx(oracle(run, {first: 1})["mrr"], abs=1e-6)


def test_by_hand():
    found = measures(["a", "x", "b", "y"], {"a": 1, "b": 3, "c": 1, "y": -1}, cuts=(2, 5))
    dcg = 1 + 3 / math.log2(4)
    ideal = 3 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found["ndcg@5"] == pytest.approx(dcg / ideal)
    assert found["ndcg@2"] == pytest.approx(1 / (3 + 1 / math.log2(3)))
    assert (found["recall@5"], found["precision@5"], found["hit@2"]) == (2 / 3, 2 / 5, 1.0)
    assert (found["mrr"], found["map"]) == (1.0, pytest.approx((1 + 2 / 3) / 3))


@pytest.mark.parametrize(("found", "judged"), [([], {"a": 1}), (["a"], {}), (["a"], {"a": 0})])
def test_nothing_found_or_nothing_relevant_is_zero(found, judged):
    values = measures(found, judged)
    assert list(values) == measure_names(CUTS)
    assert set(values.values()) == {0.0}
