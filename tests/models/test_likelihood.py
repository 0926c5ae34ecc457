"""Whole targets in one pass: as a network gives them token by token, each input on its own."""

from __future__ import annotations

import pytest
import torch
from mixture_helpers import END, QUESTION, alone, evidence, language_model

from retro_cli.models.likelihood import target_logprobs
from retro_cli.readers.inputs import Form

KINDS = ("bart", "t5", "llama")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_any_length_side_by_side_are_those_of_a_pass_each(kind, bpe_path):
    model = language_model(kind, bpe_path)
    found = evidence((1.0, 2.0, 3.0, 4.0))
    form = Form.of(model)
    targets = [[40, 41, 42, END], [50, END], [60, 61, END], [END]]
    inputs = [form.read(QUESTION, each) for each in found.hits]
    assert len({len(row) for row in inputs}) > 1
    with torch.no_grad():
        together = target_logprobs(model.network, model.kind, inputs, targets)
    assert together.shape == (4, 4)
    for row, target in enumerate(targets):
        wanted = alone(model, found, target)[row]
        torch.testing.assert_close(together[row, : len(target)], wanted, atol=1e-5, rtol=1e-5)
        assert (together[row, len(target) :] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sum_of_them_is_the_networks_own_loss_and_has_a_gradient(kind, bpe_path):
    model = language_model(kind, bpe_path)
    target = [40, 41, 42, END]
    given = model.tokenizer("the lamp", add_special_tokens=False).input_ids
    likely = target_logprobs(model.network, model.kind, [given], [target])
    if kind == "llama":
        labels = torch.tensor([[-100] * len(given) + target])
        loss = model.network(torch.tensor([given + target]), labels=labels).loss
    else:
        loss = model.network(torch.tensor([given]), labels=torch.tensor([target])).loss
    assert -likely.mean().item() == pytest.approx(loss.item(), abs=1e-5)
    (-likely.mean()).backward()
    assert any(weight.grad.abs().sum() > 0 for weight in model.network.parameters())
