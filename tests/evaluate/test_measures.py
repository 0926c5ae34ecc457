"""Bits per byte, compared and by overlap: what must hold whatever the model is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluate_helpers import BYTES, random_text, reader
from model_helpers import VOCABULARY, retro

from retro_cli.evaluate.measures import ALPHAS, measure
from retro_cli.evaluate.scoring import score
from retro_cli.evaluate.windows import plan_windows

LENGTHS = [13, 30, 2, 21]


def random_nats(text, names=("off", "on", "shuffled"), seed=3):
    rng = np.random.default_rng(seed)
    values = {name: rng.uniform(1, 5, len(text.flat)) for name in names}
    first = np.cumsum([0, *text.document_lengths])[:-1]
    for nats in values.values():
        nats[first] = np.nan
    return values


def test_a_uniform_model_needs_log2_of_its_vocabulary_for_every_token():
    model = retro(4)
    for weight in model.parameters():
        weight.data.zero_()
    text = random_text(LENGTHS)
    windows = plan_windows(text.document_lengths, 8, 4)
    nats = score(model, text, {"off": None, "on": text.neighbours}, windows, reader())
    scored = sum(LENGTHS) - len(LENGTHS)
    found = measure(text, nats, np.zeros(text.rows, np.int64), resamples=50)
    expected = math.log2(VOCABULARY) * scored / (BYTES * scored)
    assert found.overall.bpb["off"].value == pytest.approx(expected, rel=1e-6)
    assert found.overall.differences["on - off"].value == pytest.approx(0, abs=1e-9)


def test_bits_per_byte_at_alpha_one_are_those_of_the_whole_text():
    text = random_text(LENGTHS)
    shared = np.random.default_rng(0).integers(0, 5, text.rows).clip(max=text.lengths)
    found = measure(text, random_nats(text), shared, resamples=50)
    last = next(row for row in found.leakage if row.alpha == 1.0)
    assert last.compared == found.overall
    assert last.bytes == text.scored_bytes.sum() == BYTES * (sum(LENGTHS) - len(LENGTHS))


def test_the_curve_leaves_out_just_the_chunks_that_share_more():
    text = random_text(LENGTHS)
    nats = random_nats(text)
    shared = np.random.default_rng(0).integers(0, 5, text.rows).clip(max=text.lengths)
    found = measure(text, nats, shared, resamples=50)
    assert [row.alpha for row in found.leakage] == [*ALPHAS, None]
    for row in found.leakage[:-1]:
        chosen = shared / text.lengths <= row.alpha
        tokens = chosen[text.owner]
        bits = np.nansum(nats["on"][tokens]) / math.log(2)
        assert row.chunks == chosen.sum()
        assert row.compared.bpb["on"].value == pytest.approx(bits / text.scored_bytes[chosen].sum())


def test_fewer_than_eight_shared_tokens_are_counted_in_tokens():
    text = random_text([64], m=32)
    found = measure(text, random_nats(text), np.array([7, 8]), resamples=50)
    assert found.leakage[-1].chunks == 1
    assert found.leakage[-1].bytes == 31 * BYTES
    assert found.leakage[0].chunks == 0
    assert found.leakage[0].compared.bpb["on"].value is None


def test_a_difference_is_that_of_the_two_values():
    text = random_text(LENGTHS)
    found = measure(text, random_nats(text), np.zeros(text.rows, np.int64), resamples=50)
    bpb = found.overall.bpb
    for name, difference in found.overall.differences.items():
        one, other = name.split(" - ")
        assert difference.value == pytest.approx(bpb[one].value - bpb[other].value)


def test_other_conditions_are_compared_with_on_in_pairs():
    text = random_text([20] * 30)
    nats = random_nats(text, ("off", "on", "k4"))
    nats["on"] *= np.repeat(np.random.default_rng(8).uniform(0.5, 2, 30), 20)
    nats["k4"] = nats["on"] - 0.1
    found = measure(text, nats, np.zeros(text.rows, np.int64))
    assert set(found.others) == set(found.against_on) == {"k4"}
    difference, mine = found.against_on["k4"], found.others["k4"]
    assert difference.value == pytest.approx(mine.value - found.overall.bpb["on"].value)
    assert difference.excludes_zero()
    assert difference.high - difference.low < (mine.high - mine.low) / 5


def test_a_paired_difference_is_sharper_than_its_two_sides():
    text = random_text([20] * 30)
    nats = random_nats(text)
    nats["off"] *= np.repeat(np.random.default_rng(8).uniform(0.5, 2, 30), 20)
    nats["on"] = nats["off"] - 0.1
    found = measure(text, nats, np.zeros(text.rows, np.int64))
    difference, on = found.overall.differences["on - off"], found.overall.bpb["on"]
    assert difference.excludes_zero()
    assert difference.high - difference.low < (on.high - on.low) / 10


def test_conditions_beside_the_three_are_measured_and_compared_with_nothing():
    text = random_text(LENGTHS)
    nats = random_nats(text, ("off", "on", "k=4"))
    found = measure(text, nats, np.zeros(text.rows, np.int64), resamples=50)
    assert set(found.others) == {"k=4"}
    assert set(found.overall.bpb) == {"off", "on"}
    assert set(found.overall.differences) == {"on - off"}
