"""Runs of tokens in common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retro_cli.generate.shared import Run, shared_runs

TOKENS = st.lists(st.integers(0, 3), max_size=25)


def test_the_longest_run_wins_and_the_first_neighbour_of_equals():
    text = [1, 2, 3, 4, 5, 9, 6, 7, 8, 6]
    assert shared_runs(text, [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]) == [Run(0, 5, 1)]
    assert shared_runs(text, [[6, 7, 8, 6], [1, 2, 3, 4]]) == [Run(0, 4, 1), Run(6, 10, 0)]
    assert shared_runs(text, [[1, 2, 3], []]) == []
    assert shared_runs([], [[1, 2, 3, 4]]) == []


@given(text=TOKENS, neighbours=st.lists(TOKENS, max_size=3))
def test_every_run_stands_in_its_neighbour_and_none_is_missed(text, neighbours):
    runs = shared_runs(text, neighbours)
    spots = [{tuple(n[i : i + 4]) for i in range(len(n) - 3)} for n in neighbours]
    covered = set()
    for run in runs:
        piece = text[run.start : run.end]
        other = neighbours[run.neighbour]
        assert len(piece) >= 4
        assert any(other[i : i + len(piece)] == piece for i in range(len(other)))
        assert not covered & set(range(run.start, run.end))
        covered |= set(range(run.start, run.end))
    for start in range(len(text) - 3):
        if any(tuple(text[start : start + 4]) in known for known in spots):
            assert covered & set(range(start, start + 4))
