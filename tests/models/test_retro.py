"""The whole model: what may change which logits, and what leaves the base as it was."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from model_helpers import BASES, array, base, logits, model_by_position, retro, tokens
from transformers import BertConfig, BertLMHeadModel

from retro_cli.errors import UsageError
from retro_cli.models.config import RetroConfig, every_third_from_sixth
from retro_cli.models.retro import RetroForCausalLM

LENGTHS = [(2, 7), (4, 14), (64, 150)]
KINDS = list(BASES)
CASES = [*[(kind, 4, 14) for kind in KINDS], ("llama", 2, 7), ("llama", 64, 150)]


def row_data(m, n, k=2, batch=2):
    return tokens(batch, n, seed=n), tokens(batch, n // m, k, 2 * m, seed=m)


@pytest.mark.parametrize(
    ("kind", "m", "n", "k"),
    [
        ("llama", 2, 2, 2), ("llama", 2, 7, 5), ("llama", 4, 14, 1), ("llama", 4, 16, 2),
        ("llama", 64, 80, 5), ("gpt2", 2, 7, 5), ("gpt2", 4, 14, 1), ("gpt2", 64, 80, 2),
        ("gpt_neox", 2, 7, 1), ("gpt_neox", 4, 14, 5), ("gpt_neox", 64, 80, 2),
        ("gpt_neox_serial", 2, 7, 2), ("gpt_neox_serial", 4, 14, 5),
    ],
)  # fmt: skip
def test_equals_the_model_written_out_position_by_position(kind, m, n, k):
    model = retro(m, kind).double()
    ids, neighbours = row_data(m, n, k)
    neighbours[0, 0, -1] = -1
    neighbours[1, -1, 0, m:] = -1
    got = logits(model, ids, neighbours)
    for row in range(2):
        expected = model_by_position(model, ids[row], neighbours[row])
        np.testing.assert_allclose(array(got[row]), array(expected), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("m", "n"), LENGTHS)
def test_no_token_changes_what_stands_before_it(m, n):
    model = retro(m)
    ids, neighbours = row_data(m, n)
    before = logits(model, ids, neighbours)
    for s in sorted({p for p in (1, m - 1, m, 2 * m - 2, 2 * m - 1, 2 * m, n - 1) if 0 < p < n}):
        changed = ids.clone()
        changed[0, s] = (changed[0, s] + 1) % 50 + 3
        after = logits(model, changed, neighbours)
        assert torch.equal(after[0, :s], before[0, :s])
        assert not torch.equal(after[0, s], before[0, s])
        assert torch.equal(after[1], before[1])


@pytest.mark.parametrize(
    ("kind", "m", "n"),
    [("llama", 4, 14), ("gpt2", 4, 14), ("gpt_neox", 4, 14), ("llama", 2, 7), ("llama", 64, 150)],
)
def test_no_gradient_flows_from_a_logit_to_later_tokens(kind, m, n):
    model = retro(m, kind)
    ids, neighbours = row_data(m, n)
    for t in sorted({p for p in (m - 2, m - 1, m, 2 * m - 2, 2 * m - 1, 2 * m, n - 1) if p > 0}):
        embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
        output = model(inputs_embeds=embedded, neighbour_ids=neighbours)
        output.logits[0, t].square().sum().backward()
        reached = embedded.grad[0].abs().sum(dim=-1) > 0
        assert reached[: t + 1].all()
        assert not reached[t + 1 :].any()


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(("m", "n"), LENGTHS)
def test_a_neighbour_changes_logits_from_the_last_token_of_its_chunk_on(m, n, k):
    model = retro(m)
    ids, neighbours = row_data(m, n, k)
    before = logits(model, ids, neighbours)
    for u in range(n // m):
        changed = neighbours.clone()
        changed[0, u, -1, -1] = (changed[0, u, -1, -1] + 1) % 50 + 3
        differs = (logits(model, ids, changed) != before).any(dim=-1)
        assert not differs[0, : (u + 1) * m - 1].any()
        assert differs[0, (u + 1) * m - 1]
        assert not differs[1].any()


@pytest.mark.parametrize(
    ("kind", "m", "n", "k"),
    [*((kind, 4, 14, 2) for kind in KINDS), ("llama", 2, 9, 1), ("llama", 64, 200, 5)],
)
def test_one_layer_of_cca_reaches_exactly_one_chunk_of_positions(kind, m, n, k):
    model = retro(m, kind, cca_layers=[3])
    ids, neighbours = row_data(m, n, k)
    changed = neighbours.clone()
    changed[0, 1, 0] = tokens(2 * m, seed=99)
    differs = (logits(model, ids, changed) != logits(model, ids, neighbours)).any(dim=-1)
    assert differs[0].nonzero()[:, 0].tolist() == list(range(2 * m - 1, 3 * m - 1))


@pytest.mark.parametrize("m", [2, 4, 64])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_tokens_that_move_by_whole_chunks_move_their_logits_and_nothing_else(m, k):
    """With no self-attention over what stands before them, and the distances of their chunk."""
    model = retro(m, cca_layers=[3])
    for layer in model.backbone.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
    ids, neighbours = row_data(m, 2 * m + 1, k)
    expected = logits(model, ids, neighbours)
    assert not torch.equal(expected, logits(model, ids))
    for chunks in (1, 2):
        before = tokens(2, chunks * m, seed=7)
        theirs = tokens(2, chunks, k, 2 * m, seed=8)
        moved = logits(model, torch.cat([before, ids], 1), torch.cat([theirs, neighbours], 1))
        # The first m - 1 tokens read the chunk before them, which there was not.
        torch.testing.assert_close(
            moved[:, (chunks + 1) * m - 1 :], expected[:, m - 1 :], atol=2e-5, rtol=1e-4
        )
        none = torch.full_like(theirs, -1)
        ahead = logits(model, torch.cat([before, ids], 1), torch.cat([none, neighbours], 1))
        torch.testing.assert_close(ahead[:, chunks * m :], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("m", "n", "k"), [(2, 7, 5), (4, 14, 1), (4, 14, 5), (64, 150, 2)])
def test_a_prefix_has_the_logits_of_the_whole(m, n, k):
    model = retro(m)
    ids, neighbours = row_data(m, n, k)
    whole = logits(model, ids, neighbours)
    lengths = range(1, n) if m < 64 else (1, 62, 63, 64, 65, 126, 127, 128, 149)
    for length in lengths:
        prefix = logits(model, ids[:, :length], neighbours)
        torch.testing.assert_close(prefix, whole[:, :length], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("m", [2, 4, 64])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_order_and_repetition_of_neighbours_change_nothing(m, k):
    model = retro(m)
    ids, neighbours = row_data(m, 2 * m + 3, k)
    expected = logits(model, ids, neighbours)
    for same in (neighbours.roll(1, dims=2), neighbours.flip(2), neighbours.repeat(1, 1, 2, 1)):
        torch.testing.assert_close(logits(model, ids, same), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("m", [2, 4, 64])
def test_missing_neighbours_and_padding_change_nothing(m):
    model = retro(m)
    ids, neighbours = row_data(m, 3 * m - 1)
    short = neighbours[:, :2, :, : m + 1]
    expected = logits(model, ids, short)
    padded = torch.full((2, 2, 4, 2 * m), -1)
    padded[:, :, :2, : m + 1] = short
    masked = torch.zeros(2, 2, 4, 2 * m, dtype=torch.bool)
    masked[:, :, :2, : m + 1] = True
    filled = tokens(2, 2, 4, 2 * m, seed=8).where(~masked, padded)
    for got in (
        logits(model, ids, padded),
        logits(model, ids, filled, neighbour_mask=masked),
        logits(model, ids, torch.cat([short, tokens(2, 3, 2, m + 1)], dim=1)),  # chunks to come
    ):
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "m", "n"), CASES)
def test_retrieval_off_and_no_neighbour_at_all_are_the_base_bit_for_bit(kind, m, n):
    ids, neighbours = row_data(m, n)
    with torch.no_grad():
        expected = base(kind)(ids).logits
    model = retro(m, kind)
    assert not torch.equal(logits(model, ids, neighbours), expected)
    assert torch.equal(logits(model, ids), expected)
    assert torch.equal(logits(model, ids, torch.full_like(neighbours, -1)), expected)
    assert torch.equal(logits(model, ids, neighbours[:, :0]), expected)


@pytest.mark.parametrize("given", [None, torch.empty(2, 0, 2, 8, dtype=torch.long)])
def test_without_a_table_nothing_that_was_added_computes(given):
    model, ran = retro(4), []
    for part in (model.added.encoder, *model.added.cca):
        part.register_forward_hook(lambda *_: ran.append(1))
    ids, neighbours = row_data(4, 14)
    with torch.no_grad():
        expected = model.backbone(ids).logits
    assert torch.equal(logits(model, ids, given), expected)
    assert not ran
    logits(model, ids, neighbours)
    assert len(ran) == 3


@pytest.mark.parametrize(("kind", "m", "n"), CASES)
def test_a_fresh_gate_is_the_base_bit_for_bit_and_learns_at_once(kind, m, n):
    model = retro(m, kind, shake=False)
    ids, neighbours = row_data(m, n)
    assert torch.equal(logits(model, ids, neighbours), logits(model, ids))
    model(ids, labels=ids, neighbour_ids=neighbours).loss.backward()
    for cca in model.added.cca:
        assert cca.attention.output.weight.grad.any()


@pytest.mark.parametrize(("kind", "m", "n"), CASES)
def test_fitting_trains_what_was_added_and_leaves_the_base_bit_for_bit(kind, m, n):
    model = retro(m, kind).train()
    ids, neighbours = row_data(m, n)
    frozen = deepcopy(model.backbone.state_dict())
    added = deepcopy(model.added.state_dict())
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-2)
    loss = model(ids, labels=ids, neighbour_ids=neighbours).loss
    loss.backward()
    optimiser.step()
    assert all(torch.equal(frozen[name], w) for name, w in model.backbone.state_dict().items())
    assert not any(torch.equal(added[name], w) for name, w in model.added.state_dict().items())
    assert all(weight.grad is None for weight in model.backbone.parameters())
    assert model(ids, labels=ids, neighbour_ids=neighbours).loss < loss
    assert torch.equal(logits(model.eval(), ids), base(kind)(ids).logits)


def test_a_frozen_base_has_no_dropout_in_training():
    model = retro(4, "gpt2").train()  # dropout 0.1 in three places
    ids, neighbours = row_data(4, 14)
    assert torch.equal(logits(model, ids, neighbours), logits(model.eval(), ids, neighbours))


def test_checkpointed_layers_have_the_same_gradients():
    ids, neighbours = row_data(4, 14)
    gradients = []
    for checkpointed in (False, True):
        model = retro(4, freeze=False).double().train()
        if checkpointed:
            model.activation_checkpointing_enable({"use_reentrant": False})
        model(ids, labels=ids, neighbour_ids=neighbours).loss.backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    plain, replayed = gradients
    assert all(gradient is not None for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(replayed[name], gradient)


@pytest.mark.parametrize(("m", "n"), LENGTHS)
def test_rows_of_a_batch_do_not_touch_and_padding_behind_them_is_inert(m, n):
    model = retro(m)
    ids, neighbours = row_data(m, n)
    mask = torch.ones_like(ids)
    short = n - n // 3
    mask[0, short:] = 0
    batch = logits(model, ids, neighbours, attention_mask=mask)
    for row, length in ((0, short), (1, n)):
        alone = logits(model, ids[row : row + 1, :length], neighbours[row : row + 1])
        torch.testing.assert_close(batch[row, :length], alone[0], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "m", "n"), CASES)
def test_left_padding_moves_no_chunk(kind, m, n):
    model = retro(m, kind)
    ids, neighbours = row_data(m, n)
    padded = torch.zeros(2, n + 3, dtype=torch.long)
    mask = torch.zeros_like(padded)
    for row, pads in ((0, 3), (1, 6)):
        padded[row, pads:] = ids[row, : n + 3 - pads]
        mask[row, pads:] = 1
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    got = logits(model, padded, neighbours, attention_mask=mask, position_ids=positions)
    for row, pads in ((0, 3), (1, 6)):
        alone = logits(model, ids[row : row + 1, : n + 3 - pads], neighbours[row : row + 1])
        torch.testing.assert_close(got[row, pads:], alone[0], atol=5e-5, rtol=1e-4)


def test_an_offset_lets_a_short_prompt_end_a_chunk():
    model = retro(64)
    ids, neighbours = tokens(2, 10), tokens(2, 1, 2, 128, seed=5)
    with_offset = logits(model, ids, neighbours, chunk_offset=54)
    differs = (with_offset != logits(model, ids)).any(dim=-1)
    assert differs.nonzero().tolist() == [[0, 9], [1, 9]]
    each = logits(model, ids, neighbours, chunk_offset=torch.tensor([54, 0]))
    torch.testing.assert_close(each[0], with_offset[0])
    assert torch.equal(each[1], logits(model, ids)[1])


def test_own_embeddings_and_scratch_models_learn_everywhere():
    settings = {"chunk_length": 4, "cca_layers": [2], "encoder_width": 12, "encoder_heads": 3}
    model = RetroForCausalLM.from_config(BASES["llama"], encoder_embeddings="own", **settings)
    ids, neighbours = row_data(4, 14)
    assert not torch.equal(logits(model, ids, neighbours), logits(model, ids))
    model.train()(ids, labels=ids, neighbour_ids=neighbours).loss.backward()
    assert all(weight.grad.any() for weight in model.parameters())


def test_the_seed_decides_the_weights_and_leaves_the_global_one_alone():
    state = torch.random.get_rng_state()
    first, again, other = (
        RetroForCausalLM.from_config(
            BASES["qwen2"], encoder_width=12, encoder_heads=3, seed=seed
        ).state_dict()
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["added.encoder.embedding_map.weight"],
                           other["added.encoder.embedding_map.weight"])  # fmt: skip


def test_a_copy_reads_with_its_own_weights():
    model = retro(4)
    ids, neighbours = row_data(4, 14)
    before = logits(model, ids, neighbours)
    copy = deepcopy(model)
    with torch.no_grad():
        copy.added.cca[0].attention.output.weight.zero_()
    assert not torch.equal(logits(copy, ids, neighbours), before)
    assert torch.equal(logits(model, ids, neighbours), before)


def test_added_weights_can_be_more_precise_than_the_base():
    model = RetroForCausalLM.from_base(
        base().to(torch.bfloat16), encoder_width=12, encoder_heads=3, zero_gate=False
    )
    ids, neighbours = row_data(64, 80)
    output = logits(model, ids, neighbours)
    assert output.dtype == torch.bfloat16
    assert model.added.encoder.norm.weight.dtype == torch.float32
    assert not torch.equal(output, logits(model, ids))


def test_an_unsupported_architecture_is_named_with_the_supported_ones():
    bert = BertLMHeadModel(
        BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                   intermediate_size=8, is_decoder=True)
    )  # fmt: skip
    with pytest.raises(UsageError) as caught:
        RetroForCausalLM.from_base(bert)
    assert "bert" in caught.value.message
    assert "llama, mistral, qwen2, qwen3, gpt2, gpt_neox" in caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [{"neighbour_ids": tokens(2, 3, 8)}, {"neighbour_ids": tokens(3, 3, 2, 8)},
     {"neighbour_ids": tokens(2, 3, 2, 9)},
     {"neighbour_ids": tokens(2, 3, 2, 8), "neighbour_mask": torch.ones(2, 3, 2)},
     {"neighbour_ids": tokens(2, 3, 2, 8), "attention_mask": torch.ones(2, 13)}],
)  # fmt: skip
def test_wrong_shapes_are_refused(wrong):
    with pytest.raises(UsageError):
        retro(4)(tokens(2, 14), **wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"chunk_length": 0}, {"cca_layers": []}, {"cca_layers": [4]}, {"cca_layers": [3, 2]},
     {"cca_heads": 3}, {"encoder_width": 10}, {"encoder_cross_layers": [3]},
     {"encoder_embeddings": "none"}, {"origin": "found"}],
)  # fmt: skip
def test_settings_that_fit_no_model_are_refused(wrong):
    with pytest.raises(UsageError):
        RetroConfig(BASES["llama"], **{"encoder_width": 12, "encoder_heads": 3, **wrong})


def test_the_papers_layers():
    assert every_third_from_sixth(12) == [6, 9, 12]
    assert every_third_from_sixth(32) == [6, 9, 12, 15, 18, 21, 24, 27, 30]
    assert every_third_from_sixth(3) == [3]
    config = RetroConfig(BASES["llama"])
    assert (config.chunk_length, config.retrieved_length) == (64, 128)


@pytest.mark.parametrize(
    ("layers", "chosen"), [(30, [20, 24, 26, 28]), (12, [8, 10, 11]), (1, [1])]
)
def test_late_layers_are_in_the_last_third_of_any_depth(layers, chosen):
    config = RetroConfig({"model_type": "llama", "num_hidden_layers": layers}, cca_layers="late")
    assert config.cca_layers == chosen
    with pytest.raises(UsageError, match="early"):
        RetroConfig(cca_layers="early")
