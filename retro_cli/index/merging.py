"""Which segments become one: a pure function of their sizes."""

from __future__ import annotations

from collections.abc import Sequence

SEGMENT_ROWS = 4_000_000  # of a segment that a build makes, or a merge: it is held in memory
MAX_OPEN = 8
CHEAP_ROWS = 1 << 20
FOLD = 0.1


def merge_plan(
    sizes: Sequence[int], new: int = 0, max_open: int = MAX_OPEN, dead: int = 0
) -> list[list[int]]:
    """Which segments to merge: groups of positions in ``sizes``, each to become one segment.

    sizes: rows of each segment; new: rows of one about to be added, at position len(sizes); dead:
    how many of all these rows are dead. Every further segment costs each query, so up to
    ``CHEAP_ROWS`` in all are a large segment and a small one, and one again as soon as the small
    one or the dead are a tenth: rewriting so many codes takes a second, and in between the
    generations that are kept share the large one. Of more rows, a segment is rewritten once the
    smaller ones hold twice as much as it does, so each row is rewritten a logarithmic number of
    times and a small update never rewrites a large segment; beyond ``max_open`` segments the
    smallest are merged regardless. But a merge is done in memory, so none makes more than
    ``SEGMENT_ROWS``, and segments that have more than half of them stay as they are, however many
    there are.
    """
    counts = [*sizes, *([new] if new else [])]
    order = sorted(range(len(counts)), key=lambda position: (counts[position], position))
    total = sum(counts)
    if len(counts) > 1 < max_open and total <= CHEAP_ROWS:
        if max(dead, total - max(counts)) >= FOLD * total:
            return [sorted(order)]
        return [sorted(order[:-1])] if len(order) > 2 else []
    order = [position for position in order if 2 * counts[position] <= SEGMENT_ROWS]
    take, smaller = 0, 0
    for rank, position in enumerate(order):
        if rank and 2 * counts[position] <= smaller:
            take = rank + 1
        smaller += counts[position]
    room = max(1, max_open // 2, max_open - (len(counts) - len(order)))
    if len(order) - max(0, take - 1) > room:
        take = len(order) - room + 1
    return _within_reach([(position, counts[position]) for position in order[:take]])


def _within_reach(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Neighbours among (position, rows), as many in a group as a segment may have rows of."""
    groups: list[list[int]] = []
    held = 0
    for position, rows in sizes:
        if groups and held + rows <= SEGMENT_ROWS:
            groups[-1].append(position)
            held += rows
        else:
            groups.append([position])
            held = rows
    return [sorted(group) for group in groups if len(group) > 1]
