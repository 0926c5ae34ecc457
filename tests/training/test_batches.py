"""What a model is trained on: documents apart from one another, and the same batch every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_helpers import BASES, retro, shaken
from training_helpers import M, Shelf, material, scratch

from retro_cli.training.batches import IGNORED, Batches, batch_of

MATERIAL = material()


def batches(given=MATERIAL, evidence=None, **how):
    chosen = {"length": 3, "size": 2, "seed": 0, "pad": 0, **how}
    return Batches(given, evidence or Shelf(), **chosen)


@given(number=st.integers(0, 40), seed=st.integers(0, 3))
def test_a_batch_is_the_same_whenever_it_is_asked_for(number, seed):
    stream = batches(seed=seed)
    for other in (number + 3, 0):
        stream.at(other)
    once, again = stream.at(number), batches(seed=seed).at(number)
    assert (once.input_ids == again.input_ids).all()
    assert (once.neighbour_ids == again.neighbour_ids).all()


def test_each_pass_has_another_order():
    stream = batches(size=1)
    laps = [
        [stream.at(lap * stream.per_pass + n).input_ids.tolist() for n in range(stream.per_pass)]
        for lap in range(2)
    ]
    assert laps[0] != laps[1]


@pytest.mark.parametrize("kind", list(BASES))
def test_the_loss_of_a_packed_sequence_is_that_of_its_documents_alone(kind):
    model = retro(M, kind)
    lengths = (9, 14, 5)
    given = material(lengths)
    rows = np.arange(given.rows)[None]
    packed = batch_of(rows, given, Shelf(), pad=0)
    with torch.no_grad():
        together = model(
            torch.from_numpy(packed.input_ids),
            position_ids=torch.from_numpy(packed.position_ids),
            neighbour_ids=torch.from_numpy(packed.neighbour_ids),
            use_cache=False,
        ).logits
        first = 0
        for length in lengths:
            count = -(-length // M)
            own = given.tokens[first : first + count].reshape(1, -1)[:, :length]
            read = Shelf().read(given.neighbours[first : first + count])
            alone = model(
                torch.from_numpy(own.astype(np.int64)),
                neighbour_ids=torch.from_numpy(read[None].astype(np.int64)),
            ).logits
            there = together[:, first * M : first * M + length]
            # The last token of a document may end a chunk, whose neighbours are for the next.
            torch.testing.assert_close(there[:, :-1], alone[:, :-1], atol=5e-5, rtol=1e-4)
            first += count


def test_no_token_is_asked_for_the_first_of_the_next_document_or_for_filling():
    batch = batch_of(np.array([[0, 1, 2, 3, -1]]), MATERIAL, Shelf(), pad=0)  # 9 tokens, then 14
    scored = batch.labels[0] != IGNORED
    assert scored.tolist() == [
        False, *[True] * 8, *[False] * 3,  # its first token, the rest, what fills its last row
        False, True, True, True,
        False, False, False, False,
    ]  # fmt: skip
    assert batch.position_ids[0].tolist() == [*range(12), *range(4), *range(4)]
    assert batch.scored == 11


def test_a_documents_last_row_has_no_neighbours():
    batch = batch_of(np.array([[0, 1, 2, 3, 4]]), MATERIAL, Shelf(), pad=0)
    assert batch.neighbour_ids.shape[:2] == (1, 4)
    assert (batch.neighbour_ids[0, 2] == -1).all()
    wanted = Shelf().read(MATERIAL.neighbours[[0, 1]])
    assert (batch.neighbour_ids[0, :2] == wanted).all()


def test_a_gradient_reaches_the_added_weights():
    model = shaken(scratch(), seed=3)
    batch = batch_of(np.array([[3, 4, 5, 6]]), MATERIAL, Shelf(), pad=0)
    labels = torch.from_numpy(batch.labels)
    loss = model(
        torch.from_numpy(batch.input_ids),
        neighbour_ids=torch.from_numpy(batch.neighbour_ids), labels=labels,
    ).loss  # fmt: skip
    loss.backward()
    for name, weight in model.added.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
