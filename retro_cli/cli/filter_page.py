"""Scores of sources on the screen and as a page."""

from __future__ import annotations

import html
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retro_cli.cli import console, render
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.chunks.rows import Chunk
    from retro_cli.filters.sources import DocumentScores, Scored, SourceScores

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left; word-break: break-word }
th { position: sticky; top: 0; background: #f6f6f6 }
.over { background: #fdeaea } .out { color: #777 }
.bars { display: flex; align-items: flex-end; height: 9rem; gap: 2px }
.bars div { flex: 1; background: #9ab; min-height: 1px } .bars .hot { background: #c66 }
.axis { display: flex; justify-content: space-between; color: #777 }
"""


def table(found: Sequence[SourceScores], worst: Mapping[int, Chunk]) -> None:
    """The sources as a table of 80 columns."""
    room = _head(f"{'docs':>6} ", "source")
    for entry in found:
        _line(f"{entry.documents:>6,} ", entry, entry.source, room)
        _example(entry.worst, worst)


def documents(found: Sequence[DocumentScores], worst: Mapping[int, Chunk], show: bool) -> None:
    """The documents likewise; worst: of each its worst chunk, which names it."""
    room = _head("", "document")
    for entry in found:
        _line("", entry, worst[entry.worst].document, room)
        if show:
            _example(entry.worst, worst)


def _head(first: str, last: str) -> int:
    head = f"{first}{'chunks':>7} {'out':>6} {'mean':>5} {'p95':>5} {'max':>5} {'over':>5}"
    console.line(f"{head}  {last}")
    return max(16, console.width() - len(head) - 2)


def _line(first: str, entry: Scored, name: str, room: int) -> None:
    numbers = (
        f"{first}{entry.chunks:>7,} {entry.excluded or '':>6} "
        f"{entry.mean:>5.2f} {entry.p95:>5.2f} {entry.highest:>5.2f} {entry.over:>4.0%} "
    )
    name = render.shortened_path(console.clean(name), room)
    console.line(f"{numbers} {console.styled(name, '2' if entry.excluded else '1')}")


def _example(row: int, worst: Mapping[int, Chunk]) -> None:
    if row in worst:
        console.line(console.styled(f"    chunk {row}:", "36"))
        render.paragraph(worst[row].text, sys.stdout)


def bars(counts: Sequence[int], threshold: float) -> None:
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
    from retro_cli.store.atomic import check_output, write_bytes

    check_output(path)
    highest = max([*counts, 1])
    steps = "".join(
        f'<div class="{"hot" if step / len(counts) >= threshold else ""}" '
        f'style="height:{100 * count / highest:.1f}%" '
        f'title="{step / len(counts):.2f}: {count:,}"></div>'
        for step, count in enumerate(counts)
    )
    rows = "".join(_row(entry, threshold) for entry in found)
    title = f"Scores of {html.escape(db)}"
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<p>{counted(sum(entry.chunks for entry in found), "chunk")} of
{counted(len(found), "source")}; toxic from
{threshold:g} on. Rows in red have a mean above it; grey ones are filtered, in part or whole.</p>
<div class="bars">{steps}</div>
<div class="axis"><span>0</span><span>score</span><span>1</span></div>
<table><thead><tr><th>source</th><th>documents</th><th>chunks</th><th>kept out</th><th>mean</th>
<th>95 %</th><th>highest</th><th>over</th><th>worst chunk</th></tr></thead>
<tbody>{rows}</tbody></table></body></html>
"""
    write_bytes(path, page.encode("utf-8", "backslashreplace"))


def _row(entry: SourceScores, threshold: float) -> str:
    kind = "out" if entry.excluded else "over" if entry.mean >= threshold else ""
    cells = [
        html.escape(console.clean(entry.source)),
        f"{entry.documents:,}",
        f"{entry.chunks:,}",
        f"{entry.excluded:,}",
        f"{entry.mean:.3f}",
        f"{entry.p95:.3f}",
        f"{entry.highest:.3f}",
        f"{entry.over:.1%}",
        str(entry.worst),
    ]
    return f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
