"""A collapse is seen where one was made, and not where retrieval does its work."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.events import Silent
from retro_cli.training.collapse import NONE, Window


class Told(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def spread_over(ids, weights, **facts):
    window = Window(len(ids), **facts)
    window.add(torch.tensor(ids), torch.tensor(weights))
    return window


def test_without_a_common_document_each_input_counts_and_with_all_in_common_one():
    even = [[0.25] * 4] * 8
    apart = spread_over([[4 * n + z for z in range(4)] for n in range(8)], even).spread()
    assert apart.apart == pytest.approx(8, rel=1e-4)
    assert apart.together == pytest.approx(32, rel=1e-4)
    assert apart.each == pytest.approx(4, rel=1e-4)
    same = spread_over([[0, 1, 2, 3]] * 8, even).spread()
    assert same.apart == pytest.approx(1, rel=1e-4)


@given(st.integers(0, 1000))
def test_it_is_the_exponential_of_the_mutual_information(seed):
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 12, (16, 5), generator=random)
    for row in ids:  # no document twice for one query
        row.copy_(torch.randperm(12, generator=random)[:5])
    weights = torch.rand(16, 5, generator=random).softmax(-1)
    window = Window(16)
    window.add(ids, weights)
    joint = torch.zeros(16, 12).scatter_(1, ids, weights) / 16
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    mutual = (joint * (joint / independent).log().nan_to_num(0, 0, 0))[joint > 0].sum()
    assert window.spread().apart == pytest.approx(math.exp(mutual), rel=1e-3)
    assert 1 - 1e-4 <= window.spread().apart <= 16


def healthy(step, batch=8, k=4):
    random = torch.Generator().manual_seed(step)
    return torch.randint(0, 500, (batch, k), generator=random), torch.full((batch, k), 1 / k)


def test_a_run_that_ends_with_the_same_documents_for_all_is_warned_of_once():
    told = Told()
    window = Window(64, documents=500, progress=told)
    for step in range(20):
        window.add(*healthy(step))
        assert not window.collapsed
    assert told.warnings == []
    for _ in range(20):
        window.add(torch.arange(4).expand(8, 4), torch.full((8, 4), 0.25))
    assert window.collapsed
    (message,) = told.warnings
    assert "retrieval collapses" in message
    assert "1.0 times as many" in window.spread().words()


def test_a_run_that_never_told_inputs_apart_is_a_collapse_too():
    window = Window(64, documents=500)
    for _ in range(8):
        window.add(torch.arange(4).expand(8, 4), torch.full((8, 4), 0.25))
    assert window.collapsed


def test_questions_about_few_documents_or_a_small_database_are_no_collapse():
    few = Window(64, documents=500)
    for step in range(8):  # three documents hold all answers, and each question finds its own
        few.add((torch.arange(8)[:, None] + step) % 3, torch.ones(8, 1))
    assert few.spread().apart == pytest.approx(3, rel=0.01)
    assert not few.collapsed
    small = Window(64, documents=4)
    for _ in range(8):
        small.add(torch.arange(4).expand(8, 4), torch.full((8, 4), 0.25))
    assert not small.collapsed
    alone = Window(64, documents=500, inputs=2)
    for _ in range(8):
        alone.add(torch.arange(4).expand(8, 4), torch.full((8, 4), 0.25))
    assert not alone.collapsed


def test_places_without_a_document_weigh_nothing():
    ids = [[5, 6, NONE, NONE], [7, 8, 9, NONE]]
    weights = [[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.5, 0.0]]
    assert spread_over(ids, weights).spread().apart == pytest.approx(2, rel=1e-4)


def test_a_window_that_was_put_away_goes_on_as_if_it_had_not_been():
    whole, first = Window(16), Window(16)
    for step in range(3):
        whole.add(*healthy(step))
        first.add(*healthy(step))
    again = Window(16)
    again.resume(first.state())
    for step in range(3, 6):
        whole.add(*healthy(step))
        again.add(*healthy(step))
    assert again.spread() == whole.spread()
