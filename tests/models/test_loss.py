"""The loss in pieces is the loss, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from model_helpers import BASES, retro, tokens

from retro_cli.models import loss


def plain(hidden, weight, labels):
    logits = (hidden[:, :-1] @ weight.T).flatten(end_dim=1)
    return torch.nn.functional.cross_entropy(
        logits, labels[:, 1:].flatten(), ignore_index=loss.IGNORED, reduction="sum"
    )


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 512])
def test_in_pieces_or_whole_the_loss_and_its_gradients_are_the_same(trained, rows, monkeypatch):
    monkeypatch.setattr(loss, "ROWS", rows)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 9, 8, generator=generator, requires_grad=True)
    head = torch.nn.Linear(8, 31, bias=False)
    head.weight.requires_grad_(trained)
    labels = torch.randint(31, (3, 9), generator=generator)
    labels[1, 4:] = loss.IGNORED
    wanted = [hidden, head.weight] if trained else [hidden]
    expected = torch.autograd.grad(3 * plain(hidden, head.weight, labels), wanted)
    found = 3 * loss.summed_nats(hidden, head, labels)
    torch.testing.assert_close(found, 3 * plain(hidden, head.weight, labels))
    for one, other in zip(torch.autograd.grad(found, wanted), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", list(BASES))
def test_a_model_sums_what_its_logits_say(kind):
    model = retro(4, kind)
    ids, neighbours = tokens(2, 14), tokens(2, 3, 2, 8, seed=1)
    labels = ids.clone()
    labels[0, :5] = loss.IGNORED
    with torch.no_grad():
        summed = model(ids, labels=labels, neighbour_ids=neighbours, summed=True)
        mean = model(ids, labels=labels, neighbour_ids=neighbours)
    scored = (labels[:, 1:] != loss.IGNORED).sum()
    torch.testing.assert_close(summed.loss, mean.loss * scored, atol=1e-3, rtol=1e-4)
    assert summed.logits is None


def test_labels_that_are_all_left_out_cost_nothing():
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    head = torch.nn.Linear(8, 31, bias=False)
    found = loss.summed_nats(hidden, head, torch.full((2, 5), loss.IGNORED))
    found.backward()
    assert found == 0
    assert (hidden.grad == 0).all()
