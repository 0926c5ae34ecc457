"""Decoding with a KV cache: whatever the steps, the logits are those of the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_helpers import BASES, logits, retro, tokens

from retro_cli.errors import UsageError

MODEL = retro(4)


def stepped(model, ids, neighbours, cuts, **rest):
    """The logits of passes that end at the cuts and at the end."""
    cache, found = None, []
    ends = sorted({*cuts, ids.shape[1]} - {0})
    for start, end in zip([0, *ends], ends, strict=False):
        table = neighbours(end) if callable(neighbours) else neighbours
        extra = {}
        if "attention_mask" in rest:
            mask = rest["attention_mask"][:, :end]
            places = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, start:]
            extra = {"attention_mask": mask, "position_ids": places}
        with torch.no_grad():
            output = model(
                ids[:, start:end], neighbour_ids=table, past_key_values=cache, use_cache=True,
                **{**rest, **extra},
            )  # fmt: skip
        cache = output.past_key_values
        found.append(output.logits)
    return torch.cat(found, dim=1)


def close(got, expected):
    torch.testing.assert_close(got, expected, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", list(BASES))
@pytest.mark.parametrize("m", [2, 4])
def test_one_token_at_a_time(kind, m):
    model = retro(m, kind)
    ids, neighbours = tokens(2, 14), tokens(2, 14 // m, 2, 2 * m, seed=m)
    close(stepped(model, ids, neighbours, range(14)), logits(model, ids, neighbours))


def test_one_token_at_a_time_with_the_papers_chunks():
    model = retro(64)
    ids, neighbours = tokens(2, 150), tokens(2, 2, 2, 128, seed=1)
    cuts = [*range(60, 70), *range(125, 150)]
    close(stepped(model, ids, neighbours, cuts), logits(model, ids, neighbours))


@given(cuts=st.sets(st.integers(1, 17), max_size=8), offset=st.integers(0, 5))
@settings(max_examples=40)
def test_any_steps_and_any_offset(cuts, offset):
    ids, neighbours = tokens(2, 18), tokens(2, 6, 2, 8, seed=2)
    offsets = torch.tensor([offset, 0])
    close(
        stepped(MODEL, ids, neighbours, cuts, chunk_offset=offsets),
        logits(MODEL, ids, neighbours, chunk_offset=offsets),
    )


@given(cuts=st.sets(st.integers(1, 17), max_size=8))
@settings(max_examples=20)
def test_rows_padded_on_the_left_end_their_chunks_at_different_steps(cuts):
    ids, neighbours = tokens(3, 18), tokens(3, 4, 2, 8, seed=2)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    mask[2, :9] = 0
    got = stepped(MODEL, ids, neighbours, cuts, attention_mask=mask)
    for row, pads in enumerate((3, 0, 9)):
        alone = logits(MODEL, ids[row : row + 1, pads:], neighbours[row : row + 1])
        close(got[row, pads:], alone[0])


def test_neighbours_are_needed_only_once_their_chunk_ends():
    ids, neighbours = tokens(2, 18), tokens(2, 4, 2, 8, seed=3)

    def so_far(end):
        return neighbours[:, : end // 4]

    close(stepped(MODEL, ids, so_far, range(18)), logits(MODEL, ids, neighbours))


def test_later_chunks_may_have_more_and_longer_neighbours():
    ids = tokens(1, 12)
    wide = tokens(1, 2, 3, 8, seed=4)
    wide[:, 0, 1:] = -1
    wide[:, 0, :, 5:] = -1

    def so_far(end):
        return wide[:, :, :1, :5] if end < 8 else wide

    close(stepped(MODEL, ids, so_far, range(12)), logits(MODEL, ids, wide))


def test_a_grid_shifted_while_decoding_reads_the_newest_tokens():
    ids, found = tokens(1, 12), tokens(1, 1, 2, 8, seed=6)
    none = torch.full_like(found, -1)
    # Two tokens after the second chunk, retrieve again: the grid moves two positions to the left.
    table = torch.cat([none, none, found], dim=1)
    cache = MODEL(ids[:, :9], neighbour_ids=table[:, :2], use_cache=True).past_key_values
    got = [
        logits(
            MODEL, ids[:, place : place + 1], table, past_key_values=cache, chunk_offset=2
        )
        for place in (9, 10, 11)
    ]  # fmt: skip
    expected = logits(MODEL, ids, table, chunk_offset=2)[:, 9:]
    close(torch.cat(got, dim=1), expected)
    assert not torch.allclose(expected, logits(MODEL, ids)[:, 9:])


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize(
    "how", [{"num_beams": 1}, {"num_beams": 3, "num_return_sequences": 2}], ids=["greedy", "beams"]
)
def test_generate_is_the_same_with_and_without_the_cache(kind, how):
    model = retro(4, kind)
    ids, neighbours = tokens(2, 6), tokens(2, 5, 2, 8, seed=7)
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    found = [
        model.generate(
            ids, attention_mask=mask, neighbour_ids=neighbours, max_new_tokens=12,
            do_sample=False, use_cache=use_cache, **how,
        )
        for use_cache in (True, False)
    ]  # fmt: skip
    assert torch.equal(*found)
    off = model.generate(ids, attention_mask=mask, max_new_tokens=12, do_sample=False, **how)
    assert not torch.equal(found[0], off)
    plain = model.backbone.generate(
        ids, attention_mask=mask, max_new_tokens=12, do_sample=False, **how
    )
    assert torch.equal(off, plain)


def test_neighbours_cannot_begin_in_the_middle_of_a_cache():
    ids, neighbours = tokens(2, 14), tokens(2, 3, 2, 8)
    cache = MODEL(ids[:, :5], use_cache=True).past_key_values
    with pytest.raises(UsageError, match="middle"):
        MODEL(ids[:, 5:], neighbour_ids=neighbours, past_key_values=cache)
    cache = MODEL(ids[:, :5], neighbour_ids=neighbours, use_cache=True).past_key_values
    MODEL(ids[:, 5:8], past_key_values=cache)
    with pytest.raises(UsageError, match="middle"):
        MODEL(ids[:, 8:], neighbour_ids=neighbours, past_key_values=cache)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"cache_implementation": "static"}, "fixed size"),
        ({"prompt_lookup_num_tokens": 3}, "guess"),
    ],
)
def test_ways_to_generate_that_cannot_read_neighbours_are_refused_in_words(how, says):
    ids, neighbours = tokens(1, 6), tokens(1, 9, 2, 8, seed=3)
    given = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 12, "do_sample": False}
    with pytest.raises(UsageError, match=says):
        MODEL.generate(ids, neighbour_ids=neighbours, **given, **how)
    assert MODEL.generate(ids, **given, **how).shape == (1, 18)
