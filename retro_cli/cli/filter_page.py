"""Scores of sources on the screen and as a page."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retro_cli.cli import console, page, render
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.chunks.rows import Chunk
    from retro_cli.filters.sources import DocumentScores, Scored, SourceScores


def table(found: Sequence[SourceScores], worst: Mapping[int, Chunk]) -> None:
    """The sources as a table of 80 columns."""
    _head(f"{'docs':>6} ", "source")
    for entry in found:
        _line(f"{entry.documents:>6,} ", entry, entry.source)
        _example(entry.worst, worst)


def documents(found: Sequence[DocumentScores], worst: Mapping[int, Chunk], show: bool) -> None:
    """The documents likewise; worst: of each its worst chunk, which names it."""
    _head("", "document")
    for entry in found:
        _line("", entry, worst[entry.worst].document)
        if show:
            _example(entry.worst, worst)


def _head(first: str, last: str) -> None:
    head = f"{first}{'chunks':>7} {'out':>5} {'mean':>4} {'p95':>4} {'max':>4} {'over':>4}"
    render.row(head, len(head), last)


def _line(first: str, entry: Scored, name: str) -> None:
    numbers = (
        f"{first}{entry.chunks:>7,} {entry.excluded or '':>5} "
        f"{entry.mean:>4.2f} {entry.p95:>4.2f} {entry.highest:>4.2f} {entry.over:>4.0%}"
    )
    render.row(numbers, len(numbers), name, "2" if entry.excluded else "1")


def _example(row: int, worst: Mapping[int, Chunk]) -> None:
    if row in worst:
        console.line(console.styled(f"    chunk {row}:", "36"))
        render.paragraph(worst[row].text, sys.stdout)


def show_bars(counts: Sequence[int], threshold: float) -> None:
    """The scores of all chunks as a histogram."""
    highest = max([*counts, 1])
    room = max(10, console.width() - 24)
    console.line("scores of all chunks")
    for step, count in enumerate(counts):
        low = step / len(counts)
        length = -(-room * count // highest)
        bar = console.styled("█" * length, "31" if low >= threshold else "34")
        console.line(f"  {low:.2f}  {bar} {count:,}" if count else f"  {low:.2f}")


def write(
    path: Path, db: str, found: Sequence[SourceScores], counts: Sequence[int], threshold: float
) -> None:
    """A page that needs nothing but itself."""
    said = (
        f"{counted(sum(entry.chunks for entry in found), 'chunk')} of "
        f"{counted(len(found), 'source')}; toxic from {threshold:g} on. Coloured rows have a mean "
        "above it; pale ones are filtered, in part or whole."
    )
    body = page.paragraph(said) + histogram(counts, threshold) + scores(found, threshold)
    page.save(path, f"Scores of {db}", body)


def histogram(counts: Sequence[int], threshold: float) -> str:
    """The scores of all chunks as a chart; counts: in equal steps from 0 to 1."""
    from retro_cli.cli.page_chart import bars

    steps = [step / len(counts) for step in range(len(counts))]
    names = [f"{step:.2f}" for step in steps]
    hot = next((place for place, step in enumerate(steps) if step >= threshold), None)
    ticks = [(place, f"{place:g}") for place in (0, 0.25, 0.5, 0.75, 1)]
    return bars(counts, ticks, "score of a chunk", "Chunks by score", names, hot)


def scores(found: Sequence[SourceScores], threshold: float) -> str:
    """The sources as a table of a page."""
    head = ["source", "documents", "chunks", "kept out", "mean", "95 %", "highest", "over",
            "worst chunk"]  # fmt: skip
    kinds = [
        "out" if entry.excluded else "over" if entry.mean >= threshold else "" for entry in found
    ]
    return page.table(head, [_cells(entry) for entry in found], kinds)


def _cells(entry: SourceScores) -> list[str]:
    return [
        entry.source,
        f"{entry.documents:,}",
        f"{entry.chunks:,}",
        f"{entry.excluded:,}",
        f"{entry.mean:.3f}",
        f"{entry.p95:.3f}",
        f"{entry.highest:.3f}",
        f"{entry.over:.1%}",
        str(entry.worst),
    ]
