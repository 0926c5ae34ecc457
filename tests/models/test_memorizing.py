"""Memorizing Transformers: the gate's ends, exact recall, first in first out."""

from __future__ import annotations

import math

import pytest
import torch
from model_helpers import BASES, base, tokens
from torch.nn import functional

from retro_cli.errors import UsageError
from retro_cli.models.memorizing import MemorizingModel, three_quarters
from retro_cli.models.memory import OWN, Memory, MemoryAttention, side_by_side

KINDS = ["llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "gpt_neox_serial"]


def memorizing(kind="llama", gate=0.0, **settings):
    model = MemorizingModel(base(kind), window=16, **{"k": 4, **settings})
    torch.nn.init.constant_(model.attention.gate, gate)
    return model.eval()


def run(model, ids, memory=None):
    with torch.no_grad():
        return model(ids, memory)


def logits(model, ids, memory=None):
    return model.logits(run(model, ids, memory).hidden)


def plain(model, ids):
    with torch.no_grad():
        return model.base(ids).logits


def random_memory(entries, heads=2, width=4, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    keys, values = torch.randn((2, batch, entries, heads, width), generator=generator)
    return Memory.of(keys, values)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_memory_and_none_are_the_base_to_the_bit(kind):
    model, ids = memorizing(kind), tokens(2, 9)
    expected = plain(model, ids)
    assert torch.equal(logits(model, ids), expected)
    empty = side_by_side([model.nothing(), model.nothing()])
    assert torch.equal(logits(model, ids, empty), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_gate_is_local_attention_and_an_open_one_changes_what_is_read(kind):
    model, ids = memorizing(kind, gate=-math.inf), tokens(1, 9)
    memory = run(model, tokens(1, 12, seed=3)).fresh
    torch.testing.assert_close(logits(model, ids, memory), plain(model, ids))
    torch.nn.init.zeros_(model.attention.gate)
    assert not torch.allclose(logits(model, ids, memory), plain(model, ids), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_projections_are_told_apart(kind):
    """With rotation undone by hand, attention over the noted heads is the layer's own."""
    model, ids = memorizing(kind), tokens(1, 1)
    noted = {}

    def mix(asked, local):
        noted.update(asked=asked, local=local)
        return local

    with torch.no_grad(), model._tap.mixing(mix):
        model.base(ids)
    groups = noted["asked"].queries.shape[2] // noted["asked"].values.shape[2]
    # One token attends to itself alone: what a head reads locally is its value.
    torch.testing.assert_close(noted["local"], noted["asked"].values.repeat_interleave(groups, 2))
    assert not torch.allclose(noted["asked"].keys, noted["asked"].values, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_gate_reads_the_memory_only(kind):
    """What the heads read locally has no part in it: spoil it, and nothing changes."""
    model, ids = memorizing(kind, gate=math.inf), tokens(1, 5)
    memory = run(model, tokens(1, 12, seed=3)).fresh
    read = []

    def last_hidden(spoil):
        share, seen = model.attention.shares(memory, torch.float32), []

        def mix(asked, local):
            recalled = model.attention.recall(asked.queries, memory)
            seen.append(share * recalled.values + (1 - share) * (local + spoil))
            return seen[-1]

        with torch.no_grad(), model._tap.mixing(mix):
            model.base(ids)
        read.append(seen[0])

    last_hidden(0.0)
    last_hidden(100.0)
    assert torch.equal(*read)


def test_all_of_a_memory_is_full_attention_over_it():
    attention, memory = MemoryAttention(4, k=50), random_memory(13)
    queries = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    found = attention.recall(queries, memory).values
    for token in range(3):
        for head in range(4):
            q = functional.normalize(queries[0, token, head], dim=-1)
            keys, values = memory.keys[0, :, head // 2], memory.values[0, :, head // 2]
            expected = (10.0 * keys @ q).softmax(-1) @ values
            torch.testing.assert_close(found[0, token, head], expected)


def test_only_the_k_nearest_are_read_by_each_head():
    attention, memory = MemoryAttention(2, k=3), random_memory(20)
    queries = torch.randn(1, 5, 2, 4, generator=torch.Generator().manual_seed(4))
    recalled = attention.recall(queries, memory)
    assert recalled.weights.shape == (1, 5, 2, 3)
    scores = torch.einsum("thd,mhd->thm", functional.normalize(queries[0], dim=-1), memory.keys[0])
    best = scores.topk(3)
    weights = (10.0 * best.values).softmax(-1)
    torch.testing.assert_close(recalled.weights[0], weights)
    picked = torch.stack([memory.values[0, best.indices[:, h], h] for h in range(2)], dim=1)
    torch.testing.assert_close(recalled.values[0], (weights[..., None] * picked).sum(2))


def test_a_row_with_nothing_to_recall_is_left_alone_beside_one_that_has():
    model, ids = memorizing(), tokens(2, 7)
    one = run(model, tokens(1, 12, seed=3)).fresh
    both = side_by_side([model.nothing(), one])
    mixed = logits(model, ids, both)
    torch.testing.assert_close(mixed[0], plain(model, ids)[0])
    torch.testing.assert_close(mixed[1], logits(model, ids[1:], one)[0], atol=1e-5, rtol=1e-4)


def test_a_longer_memory_in_the_batch_changes_no_other_row():
    model, ids = memorizing(k=3), tokens(2, 7)
    memories = [run(model, tokens(1, n, seed=n)).fresh for n in (2, 11)]
    mixed = logits(model, ids, side_by_side(memories))
    for row, memory in enumerate(memories):
        alone = logits(model, ids[row : row + 1], memory)[0]
        torch.testing.assert_close(mixed[row], alone, atol=1e-5, rtol=1e-4)


def test_first_in_first_out_at_capacity():
    model = memorizing(capacity=10)
    memory = None
    passes = [run(model, tokens(1, n, seed=n)).fresh for n in (4, 5, 3)]
    for fresh in passes:
        memory = model.remembered(memory, fresh)
    assert memory.entries == 10
    everything = torch.cat([fresh.keys for fresh in passes], dim=1)
    assert torch.equal(memory.keys, everything[:, -10:])


def test_no_token_finds_itself_and_no_later_one():
    """What a pass reads is what there was before it: its own tokens are added after it."""
    model = memorizing(k=100)
    before = run(model, tokens(1, 6, seed=1)).fresh
    passed = run(model, tokens(1, 4, seed=2), before)
    assert passed.recalled.weights.shape[-1] == 6
    changed = tokens(1, 4, seed=2)
    changed[0, -1] = 5
    again = run(model, changed, before)
    torch.testing.assert_close(passed.hidden[:, :3], again.hidden[:, :3])


def test_a_memory_keeps_no_gradient_and_its_keys_have_length_one():
    model = memorizing()
    fresh = model(tokens(1, 6)).fresh
    assert not fresh.keys.requires_grad
    assert not fresh.values.requires_grad
    torch.testing.assert_close(fresh.keys.norm(dim=-1), torch.ones(1, 6, 2))
    model.requires_grad_(False)
    model.attention.requires_grad_(True)
    model(tokens(1, 5), fresh).hidden.sum().backward()
    assert model.attention.gate.grad.abs().sum() > 0
    assert model.attention.log_scale.grad.abs().sum() > 0


def test_the_mass_of_the_attention_is_the_gate_shared_out():
    model = memorizing(gate=0.3)
    hits = [run(model, tokens(1, n, seed=n)).fresh for n in (5, 6)]
    from dataclasses import replace

    of_hits = [replace(m, whose=torch.full_like(m.whose, n)) for n, m in enumerate(hits)]
    own = run(model, tokens(1, 4, seed=9)).fresh
    assert (own.whose == OWN).all()
    memory = of_hits[0].followed_by(of_hits[1]).followed_by(own)
    recalled = run(model, tokens(1, 3), memory).recalled
    mass, past = model.attention_mass(memory, recalled, 2)
    total = float(mass.sum() + past.sum())
    assert total == pytest.approx(1 / (1 + math.exp(-0.3)), abs=1e-5)
    assert (mass >= 0).all()


def test_the_ninth_of_twelve_layers_has_the_memory():
    assert [three_quarters(n) for n in (1, 3, 12, 30)] == [1, 2, 9, 22]


@pytest.mark.parametrize(
    "settings", [{"layer": 0}, {"layer": 4}, {"window": 1}, {"window": 999}, {"k": 0},
                 {"capacity": 0}],
)  # fmt: skip
def test_a_shape_that_means_nothing_is_refused(settings):
    with pytest.raises(UsageError):
        MemorizingModel(base(), **{"window": 16, **settings})


def test_every_base_is_tried():
    assert set(KINDS) == set(BASES)
