"""The index arithmetic of chunks, against counting on the fingers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retro_cli.models.cca import distance_row
from retro_cli.models.chunking import (
    chunk_tokens,
    completed_chunks,
    first_positions,
    put,
    read_chunk,
    reading_slots,
    take,
)

ROWS = st.lists(st.integers(-9, 30), min_size=1, max_size=4)


@given(first=ROWS, tokens=st.integers(1, 20), m=st.integers(1, 7), carried=st.booleans())
@settings(max_examples=300)
def test_every_token_reads_the_chunk_and_the_slot_of_its_position(first, tokens, m, carried):
    starts = torch.tensor(first)
    chunks = completed_chunks(starts, tokens, m)
    slots = reading_slots(chunks, starts, tokens, m, carried=carried)
    for row, start in enumerate(first):
        before = max(start, 0) // m  # chunks that ended earlier
        numbers = ([before - 1] if carried else []) + chunks.numbers[row].tolist()
        found = {}
        slot = slots.slot.expand(slots.token.shape)
        for chunk, number in enumerate(numbers):
            for place in slots.real[row, chunk].nonzero()[:, 0].tolist():
                token = int(slots.token[row, chunk, place])
                assert token not in found
                found[token] = (number, int(slot[row, chunk, place]))
        expected = {}
        for token in range(tokens):
            position = start + token
            number, place = (position + 1) // m - 1, (position + 1) % m
            if number >= before or (carried and number >= 0):
                expected[token] = (number, place)
            assert int(read_chunk(torch.tensor(position), m)) == number
        assert found == expected


@given(
    first=ROWS, tokens=st.integers(1, 20), m=st.integers(1, 7), kept=st.integers(0, 6),
    offset=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=300)
def test_a_chunk_is_found_once_it_is_complete_with_its_own_tokens(first, tokens, m, kept, offset):
    starts = torch.tensor(first)
    chunks = completed_chunks(starts, tokens, m)
    index, real = chunk_tokens(chunks, starts, torch.full_like(starts, offset), kept, m)
    for row, start in enumerate(first):
        ends = [p for p in range(max(start, 0), start + tokens) if p % m == m - 1]
        complete = chunks.complete[row]
        assert chunks.numbers[row][complete].tolist() == [end // m for end in ends]
        for chunk in range(chunks.count):
            number = int(chunks.numbers[row, chunk])
            for place in range(m):
                position = number * m + place
                wanted = position - start + kept
                is_real = bool(complete[chunk]) and position >= offset and wanted >= 0
                assert bool(real[row, chunk, place]) == is_real
                if is_real:
                    assert int(index[row, chunk, place]) == wanted


def test_positions_count_real_tokens_from_the_offset():
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 0]])
    first = first_positions(mask, torch.tensor([0, 5, 0]), past=0)
    assert first.tolist() == [0, 3, -1]
    assert first_positions(mask, torch.zeros(3, dtype=torch.long), past=3).tolist() == [3, 1, 2]
    assert first_positions(None, torch.tensor([2]), past=7).tolist() == [9]


@pytest.mark.parametrize("m", [2, 4, 64])
def test_distances_are_those_of_equation_6(m):
    r = 2 * m
    rows = distance_row(torch.arange(m), r, r)
    distances = rows + (m - r)  # row 0 is the smallest distance
    for i in range(1, m + 1):
        for step in range(1, r + 1):
            assert int(distances[i - 1, step - 1]) == i - step + m - 1
    assert len({tuple(row.tolist()) for row in rows}) == m
    assert rows.unique().tolist() == list(range(m + r - 1))
    if m == 64:
        assert (int(distances.min()), int(distances.max())) == (-64, 126)


def test_a_shorter_neighbour_keeps_the_distances_of_its_tokens():
    slots = torch.arange(4)
    assert torch.equal(distance_row(slots, 3, 8), distance_row(slots, 8, 8)[:, :3])


def test_what_is_put_is_what_was_taken():
    rows = torch.randn(2, 11, 3, generator=torch.Generator().manual_seed(0))
    first = torch.tensor([0, -2])
    chunks = completed_chunks(first, 11, 3)
    slots = reading_slots(chunks, first, 11, 3, carried=False)
    back = put(take(rows, slots.token), slots, 11)
    assert torch.equal(back[0, 2:], rows[0, 2:])
    assert torch.equal(back[1, 4:], rows[1, 4:])
    assert not back[0, :2].any()
    assert not back[1, :4].any()
