"""A trace as a page that needs nothing but itself: chunks by tokens, coloured by their shares."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retro_cli.cli import console, page

if TYPE_CHECKING:
    from retro_cli.generate.heat_map import Cell, HeatMap, TracedChunk

_BAND = 28  # tokens side by side
_STYLE = """
:root { --hot: #1b6ca8; --cool: #f4f6f8 }
@media (prefers-color-scheme: dark) { :root { --hot: #3d9be0; --cool: #222628 } }
.text { white-space: pre-wrap; overflow-wrap: anywhere; padding: .6rem 1rem;
  border-left: 3px solid var(--line) }
.band { overflow-x: auto; margin: 1rem 0 }
.band table { border-collapse: separate; border-spacing: 2px; font-size: 13px }
thead th { height: 6.5rem; vertical-align: bottom; padding: 0; font-weight: normal }
thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: pre;
  max-height: 6.5rem; overflow: hidden; text-overflow: ellipsis }
tbody th { text-align: left; font-weight: normal; min-width: 3rem; position: sticky; left: 0;
  background: var(--paper) }
.band td { width: 1.7rem; min-width: 1.7rem; height: 1.7rem; padding: 0; text-align: center;
  font-variant-numeric: tabular-nums;
  background: color-mix(in srgb, var(--hot) calc(var(--p, 0) * 100%), var(--cool)) }
td.none { background: none } td.high { color: #fff }
ol { padding: 0; list-style: none } li { margin: 0 0 1rem }
.source { color: var(--soft); overflow-wrap: anywhere }
blockquote { margin: .2rem 0 0 1rem; white-space: pre-wrap; overflow-wrap: anywhere }
"""


def write(path: Path, name: str, found: HeatMap) -> None:
    """Raises UsageError where the file cannot be written."""
    bands = "".join(
        _band(found, first, min(first + _BAND, len(found.tokens)))
        for first in range(0, len(found.tokens), _BAND)
    )
    chunks = "".join(_chunk(number, one) for number, one in enumerate(found.chunks, 1))
    body = f"""<p class="text">{html.escape(console.printable("".join(found.tokens)))}</p>
<p class="notes">A column is a token, a row a chunk, a number the percent of the token that was
read from it: the chunk's posterior, or its share of the attention. Point at a cell, a token or a
chunk for more.</p>
{bands if found.chunks else "<p>Nothing was read.</p>"}
<ol>{chunks}</ol>"""
    page.save(path, f"What {name} was read from", body, _STYLE)


def _band(found: HeatMap, first: int, last: int) -> str:
    tokens = found.tokens[first:last]
    heads = "".join(
        _head(token, logprob)
        for token, logprob in zip(tokens, found.logprobs[first:last], strict=True)
    )
    rows = "".join(
        f'<tr><th title="{_hover(one)}">[{number}]</th>{_cells(row[first:last], tokens, one)}</tr>'
        for number, (one, row) in enumerate(zip(found.chunks, found.rows, strict=True), 1)
    )
    if any(share >= 0.005 for share in found.rest[first:last]):
        rest = "".join(
            _filled(share, "chunks that are not shown") for share in found.rest[first:last]
        )
        rows += f"<tr><th>rest</th>{rest}</tr>"
    return (
        f'<div class="band"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _head(token: str, logprob: float | None) -> str:
    hover = _safe(repr(token)) + ("" if logprob is None else f": p = {math.exp(logprob):.3f}")
    return f'<th title="{hover}"><span>{_safe(token) or "·"}</span></th>'


def _cells(row: Sequence[Cell | None], tokens: Sequence[str], one: TracedChunk) -> str:
    return "".join(
        '<td class="none"></td>'
        if cell is None
        else _filled(cell.share, f"{console.clean(token)!r} from {_name(one)}")
        for cell, token in zip(row, tokens, strict=True)
    )


def _filled(share: float | None, hover: str) -> str:
    if share is None:
        return f'<td title="{_safe(hover)}: share not recorded">+</td>'
    kind = ' class="high"' if share >= 0.8 else ""
    percent = f"{100 * share:.0f}"
    return f'<td{kind} style="--p:{share:.3f}" title="{_safe(hover)}: {percent} %">{percent}</td>'


def _chunk(number: int, one: TracedChunk) -> str:
    quote = (
        f"<blockquote>{html.escape(console.printable(one.text))}</blockquote>" if one.text else ""
    )
    where = f"chunk {one.chunk}" + (f" of {one.source}" if one.source != _name(one) else "")
    return (
        f"<li><strong>[{number}] {_safe(_name(one))}</strong> {100 * one.mean:.0f} % "
        f'<span class="source">{_safe(where)}</span>{quote}</li>'
    )


def _hover(one: TracedChunk) -> str:
    return _safe(f"{_name(one)} ({one.source}): {one.text}")


def _name(one: TracedChunk) -> str:
    return one.title or one.document


def _safe(text: str) -> str:
    return html.escape(console.clean(text))
