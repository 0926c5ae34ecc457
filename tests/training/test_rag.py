"""RAG's loss: the sums of Lewis et al. 2020, and a gradient that reaches the query encoder only."""

from __future__ import annotations

import pytest
import torch
from fact_helpers import World, lesson

from retro_cli.models.marginal import document_prior, posterior
from retro_cli.training.rag import SEQUENCE, TOKEN, Found, rag_nats

RANDOM = torch.Generator().manual_seed(3)


def probabilities(b=2, k=4, n=3):
    prior = torch.rand(b, k, generator=RANDOM).log_softmax(-1)
    return prior, torch.rand(b, k, n, generator=RANDOM).log()


def test_the_loss_is_the_formula_written_out():
    prior, tokens = probabilities()
    z, p = prior.exp(), tokens.exp()
    token = -torch.stack([(z[b, :, None] * p[b]).sum(0).log().sum() for b in range(2)])
    sequence = -torch.stack([(z[b] * p[b].prod(-1)).sum().log() for b in range(2)])
    torch.testing.assert_close(rag_nats(TOKEN, prior, tokens), token)
    torch.testing.assert_close(rag_nats(SEQUENCE, prior, tokens), sequence)
    one = tokens[..., :1]
    torch.testing.assert_close(rag_nats(TOKEN, prior, one), rag_nats(SEQUENCE, prior, one))


@pytest.mark.parametrize("objective", [TOKEN, SEQUENCE])
def test_the_gradient_by_a_score_is_its_posterior_less_its_prior(objective):
    _, tokens = probabilities()
    scores = torch.rand(2, 4, generator=RANDOM).requires_grad_()
    temperature = 0.3
    prior = document_prior(scores, temperature)
    (-rag_nats(objective, prior, tokens)).sum().backward()
    given = tokens if objective == TOKEN else tokens.sum(-1, keepdim=True)
    wanted = (posterior(prior, given) - prior.exp()[..., None]).sum(-1) / temperature
    torch.testing.assert_close(scores.grad, wanted.detach())
    torch.testing.assert_close(scores.grad.sum(-1), torch.zeros(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("objective", [TOKEN, SEQUENCE])
def test_a_document_that_is_not_there_changes_neither_loss_nor_gradient(objective):
    _, tokens = probabilities()
    scores = torch.rand(2, 4, generator=RANDOM).requires_grad_()
    present = torch.tensor([[True, True, True, False]] * 2)
    whole = rag_nats(objective, document_prior(scores, 1.0, present), tokens)
    few = rag_nats(objective, document_prior(scores[:, :3], 1.0), tokens[:, :3])
    torch.testing.assert_close(whole, few)
    whole.sum().backward()
    assert (scores.grad[:, 3] == 0).all()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("objective", [TOKEN, SEQUENCE])
def test_the_query_encoder_learns_through_the_prior_and_the_documents_stay(objective, tmp_path):
    learning = lesson(tmp_path, objective, batch=4)
    before = {name: weight.clone() for name, weight in learning.shelf.tower.weights().items()}
    loss, said = learning.loss(0)
    loss.backward()
    for name, weight in learning.trained().items():
        if name.startswith("query."):
            assert weight.grad.abs().sum() > 0
    for name, weight in learning.shelf.tower.weights().items():
        assert torch.equal(weight, before[name])
        assert weight.grad is None
    assert said["documents"] > said["documents_each"] >= 1


def test_the_score_of_a_query_gets_what_the_scores_get(tmp_path):
    """dL/dq is the sum of the stored vectors, each times its posterior less its prior."""
    learning = lesson(tmp_path, SEQUENCE, batch=3)
    tasks = learning.tasks(0)
    queries = learning.tower.queries([task.question for task in tasks]).detach().requires_grad_()
    batch = learning._find(tasks, queries)
    scores = (queries[:, None] @ batch.vectors.transpose(1, 2))[:, 0]
    prior = document_prior(scores, learning.temperature)
    likely = learning._likelihoods(batch).detach()
    (-rag_nats(SEQUENCE, prior, likely)).sum().backward()
    shares = posterior(prior, likely.sum(-1, keepdim=True))[..., 0] - prior.exp()
    wanted = (shares[..., None] * batch.vectors).sum(1) / learning.temperature
    torch.testing.assert_close(queries.grad, wanted.detach(), atol=1e-5, rtol=1e-4)


class Fewer(World):
    """A shelf on which the first question finds two documents and the second one."""

    def find(self, queries, k):
        found = super().find(queries, k)
        counts = [2, 1] + [k] * len(found)
        return [
            Found(each.hits[:count], each.vectors[:count])
            for each, count in zip(found, counts, strict=False)
        ]


def test_questions_that_find_fewer_documents_keep_to_what_they_found(tmp_path):
    learning = lesson(tmp_path, TOKEN, batch=3)
    learning.shelf = Fewer(learning.tower, 3, learning.k)
    learning.tasks = learning.shelf.at
    tasks = learning.tasks(0)
    queries = learning.tower.queries([task.question for task in tasks])
    batch = learning._find(tasks, queries)
    assert batch.present.sum(1).tolist() == [2, 1, 4]
    likely = learning._likelihoods(batch)
    assert (likely[~batch.present] == 0).all()
    assert (likely[batch.present] < 0).all()
    learning.shelf.facts = learning.shelf.facts[:1]
    alone = learning._find(tasks[:1], queries[:1])
    torch.testing.assert_close(learning._likelihoods(alone)[0], likely[0])
    assert torch.isfinite(learning.loss(0)[0])
