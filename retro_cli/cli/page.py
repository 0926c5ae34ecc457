"""Pages that need nothing but themselves: one style, tables and bars, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from retro_cli.cli import console

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --soft: #6b6b6b;
  --first: #1b6ca8; --second: #b85f12; --third: #666; --warm: #fdeaea }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #181a1b; --line: #3a3d3f;
  --soft: #a0a0a0; --first: #62b0ea; --second: #f0a35c; --third: #aaa; --warm: #46282a } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper) }
h1, h2, h3, td { overflow-wrap: anywhere }
h2 { margin-top: 2.5rem }
.wide { overflow-x: auto }
.wide table { border-collapse: collapse; margin: 1rem 0 }
.wide th, .wide td { padding: .25rem .8rem; border-bottom: 1px solid var(--line);
  text-align: right; font-variant-numeric: tabular-nums }
.wide td { white-space: nowrap } .wide th { vertical-align: bottom }
.wide th:first-child, .wide td:first-child { text-align: left; white-space: normal;
  min-width: 7rem; padding-left: 0 }
tr.strong td { font-weight: 600 } tr.over td { background: var(--warm) }
tr.out td, .notes { color: var(--soft) }
dl { margin: 1rem 0 } dt { font-weight: 600 } dd { margin: 0 0 .6rem; overflow-wrap: anywhere }
svg { width: 100%; max-width: 40rem; height: auto; font: 12px system-ui, sans-serif }
svg text { fill: var(--soft) } .grid { stroke: var(--line) }
.first { stroke: var(--first); fill: var(--first) }
.second { stroke: var(--second); fill: var(--second) }
.third { stroke: var(--third); fill: var(--third) }
svg path { stroke-width: 2 }
svg text.first, svg text.second, svg text.third { stroke: none }
svg text.first { fill: var(--first) } svg text.second { fill: var(--second) }
svg text.third { fill: var(--third) }
svg rect { stroke: none }
@media (max-width: 30rem) { body { margin: 1rem auto } svg { font-size: 17px }
  .wide th, .wide td { padding: .25rem .45rem } }
@media print { :root { --ink: #000; --paper: #fff; --line: #bbb; --soft: #444; --first: #1b6ca8;
  --second: #b85f12; --third: #666; --warm: #f3e3e3 } body { max-width: none; margin: 0 }
  tr, svg { break-inside: avoid } h2, h3 { break-after: avoid } .wide { overflow: visible } }
"""


def save(path: Path, title: str, body: str, style: str = "") -> None:
    """Write a page. body: HTML. style: CSS that only this page needs.

    Raises UsageError where the file cannot be written.
    """
    from retro_cli.store.atomic import check_output, write_bytes

    check_output(path)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escaped(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}{style}</style></head><body>
<h1>{escaped(title)}</h1>
{body}
</body></html>
"""
    write_bytes(path, page.encode("utf-8", "backslashreplace"))


def escaped(text: str) -> str:
    """A text as HTML shows it: on one line, without control characters."""
    return html.escape(console.clean(text))


def paragraph(text: str) -> str:
    return f"<p>{escaped(text)}</p>"


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names, each with what there is to say of it."""
    parts = (f"<dt>{escaped(name)}</dt><dd>{escaped(said)}</dd>" for name, said in rows)
    return f"<dl>{''.join(parts)}</dl>"


def notes(lines: Sequence[str]) -> str:
    """A list of remarks."""
    return f'<ul class="notes">{"".join(f"<li>{escaped(line)}</li>" for line in lines)}</ul>'


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str] | None = None
) -> str:
    """Rows of texts. kinds: a class a row: strong, over (coloured), out (pale), or ""."""

    def cells(values: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}>{escaped(value)}</{tag}>" for value in values)

    def opened(place: int) -> str:
        return f'<tr class="{kinds[place]}">' if kinds and kinds[place] else "<tr>"

    body = "".join(f"{opened(place)}{cells(row, 'td')}</tr>" for place, row in enumerate(rows))
    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>" if any(head) else ""
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'
