"""Copies of what a rule takes, exact and near, against a plain account."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from retro_cli.filters.copies import copies_of, originals_of, shingles


def windows(tokens):
    return [tuple(tokens[at : at + 5]) for at in range(len(tokens) - 5 + 1)]


def joined(world, picked):
    """The tokens of the picked chunks, those that follow each other in a document in one piece."""
    pieces = []
    for number in picked:
        row, before = world.rows[number], world.rows[number - 1]
        same = (row.document, row.alive) == (before.document, before.alive)
        if pieces and number - 1 in picked and same:
            pieces[-1] = [*pieces[-1], *world.tokens[number]]
        else:
            pieces.append(list(world.tokens[number]))
    return pieces


@given(st.lists(st.lists(st.integers(0, 3), max_size=9), max_size=6))
def test_shingles_are_the_runs_of_five_tokens_within_a_chunk(chunks):
    hashes, owner = shingles([np.array(ids, dtype=np.uint16) for ids in chunks])
    expected = [(run, number) for number, ids in enumerate(chunks) for run in windows(ids)]
    assert owner.tolist() == [number for _, number in expected]
    by_run = {run: value for (run, _), value in zip(expected, hashes.tolist(), strict=True)}
    assert len(set(by_run.values())) == len(by_run)
    assert hashes.tolist() == [by_run[run] for run, _ in expected]


@settings(max_examples=30)
@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=4))
def test_copies_are_those_of_the_plain_account(world, picked):
    picked = {number % len(world.rows) for number in picked}
    rows = np.isin(np.arange(len(world.rows)), list(picked))
    texts = {world.rows[number].text for number in picked}
    exact = world.bits(lambda row: row.text in texts)
    runs = {run for tokens in joined(world, sorted(picked)) for run in windows(tokens)}

    def near(row):
        mine = windows(world.tokens[row.id])
        return bool(mine) and sum(run in runs for run in mine) >= 0.8 * len(mine)

    chunks = world.layout.chunks, world.corpus.manifest
    for how, expected in (("exact", exact), ("near", exact | world.bits(near))):
        found = copies_of(*chunks, originals_of(*chunks, rows, how), how)
        assert (found == expected).all()


def test_copies_of_nothing_are_nothing(world):
    none = np.zeros(len(world.rows), dtype=bool)
    chunks = world.layout.chunks, world.corpus.manifest
    assert not copies_of(*chunks, originals_of(*chunks, none, "near"), "near").any()


def test_a_rule_takes_the_copies_that_other_sources_hold(world):
    said = {"sources": ("forum/b",)}
    plain, exact, near = (world.take(**said, copies=how) for how in ("none", "exact", "near"))
    assert (plain <= exact).all()
    assert (exact <= near).all()
    others = {world.rows[number].source for number in np.flatnonzero(exact & ~plain)}
    assert others
    assert "forum/b" not in others


def test_an_allow_list_keeps_the_copies_of_what_it_allows(world):
    said = {"sources": ("forum/b",), "copies": "exact"}
    assert (world.take(**said, only=True) == ~world.take(**said)).all()
