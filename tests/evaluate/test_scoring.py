"""The nats of every token: equal to plain forward passes, whatever is shared between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluate_helpers import random_text, reader
from model_helpers import BASES, retro

from retro_cli.errors import RetroError
from retro_cli.evaluate.scoring import score
from retro_cli.evaluate.windows import plan_windows

READ = reader()


def conditions(text):
    shuffled = text.neighbours[::-1].copy()
    return {"off": None, "on": text.neighbours, "shuffled": shuffled, "k=1": text.neighbours[:, :1]}


def by_hand(model, text, neighbours, windows):
    """One forward pass of the model itself for each window."""
    m = model.config.chunk_length
    nats = np.full(len(text.flat), np.nan)
    for one in windows:
        span = torch.from_numpy(text.flat[one.start : one.start + one.inputs + 1]).long()
        given = None
        if neighbours is not None:
            first = text.owner[one.start]
            rows = neighbours[first : first + one.inputs // m]
            given = torch.from_numpy(READ(rows)).long()[None]
        with torch.inference_mode():
            logits = model(span[None, :-1], neighbour_ids=given, use_cache=False).logits[0]
        losses = torch.nn.functional.cross_entropy(logits, span[1:], reduction="none")
        first = one.start + one.skip + 1
        nats[first : first + one.scored] = losses[one.skip :].double().numpy()
    return nats


@pytest.mark.parametrize("kind", sorted(BASES))
@pytest.mark.parametrize("layers", [[1, 3], [2, 3], [3]])
def test_the_shared_lower_layers_change_nothing(kind, layers):
    model = retro(4, kind, cca_layers=layers)
    text = random_text([13, 4, 30, 2])
    windows = plan_windows(text.document_lengths, 16, 8)
    found = score(model, text, conditions(text), windows, READ)
    for name, neighbours in conditions(text).items():
        expected = by_hand(model, text, neighbours, windows)
        assert np.allclose(found[name], expected, rtol=1e-5, atol=1e-5, equal_nan=True), name


@pytest.mark.parametrize("order", [["on", "off", "shuffled"], ["off", "shuffled", "on"]])
def test_the_order_of_conditions_is_free_and_the_model_is_left_as_it_was(order):
    model = retro(4)
    text = random_text([13, 30])
    windows = plan_windows(text.document_lengths, 16, 8)
    asked = conditions(text)
    found = score(model, text, {name: asked[name] for name in order}, windows, READ)
    alone = {name: score(model, text, {name: asked[name]}, windows, READ)[name] for name in order}
    assert all(np.array_equal(found[name], alone[name], equal_nan=True) for name in order)
    assert all("forward" not in vars(part) for part in model.modules())


@pytest.mark.parametrize("batch", [2, 3, 64])
def test_batches_of_unequal_windows_change_nothing(batch):
    model = retro(4)
    text = random_text([13, 4, 30, 2, 7])
    windows = plan_windows(text.document_lengths, 16, 8)
    one = score(model, text, conditions(text), windows, READ)
    many = score(model, text, conditions(text), windows, READ, batch)
    for name in one:
        assert np.allclose(one[name], many[name], rtol=1e-5, atol=1e-5, equal_nan=True)


def test_all_but_each_documents_first_token_is_scored():
    text = random_text([13, 1, 5])
    windows = plan_windows(text.document_lengths, 8, 4)
    nats = score(retro(4), text, {"off": None}, windows, READ)["off"]
    assert np.flatnonzero(np.isnan(nats)).tolist() == [0, 13, 14]


def test_a_closed_gate_makes_all_conditions_equal_to_the_bit():
    model = retro(4, shake=False)
    text = random_text([13, 30])
    windows = plan_windows(text.document_lengths, 16, 8)
    found = score(model, text, conditions(text), windows, READ)
    for name in ("on", "shuffled", "k=1"):
        assert np.array_equal(found[name], found["off"], equal_nan=True)


def test_an_open_gate_tells_neighbours_apart():
    text = random_text([30, 30])
    windows = plan_windows(text.document_lengths, 16, 8)
    found = score(retro(4), text, conditions(text), windows, READ)
    assert not np.allclose(found["on"], found["off"], equal_nan=True)
    assert not np.allclose(found["on"], found["shuffled"], equal_nan=True)


def test_scores_that_are_not_numbers_are_an_error_that_names_document_and_condition():
    model = retro(4)
    with torch.no_grad():
        model.added.cca[0].attention.output.weight.fill_(float("nan"))
    text = random_text([13, 30])
    windows = plan_windows(text.document_lengths, 16, 8)
    assert np.isfinite(score(model, text, {"off": None}, windows, READ)["off"][1:13]).all()
    with pytest.raises(RetroError, match=r"document \d \(condition: on\)"):
        score(model, text, conditions(text), windows, READ)
    assert all("forward" not in vars(part) for part in model.modules())
