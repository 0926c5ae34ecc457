"""How ``retro ask`` shows an answer: the answer, then what it quotes and where that stands."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from retro_cli.asking.wording import REFUSED, UNSUPPORTED
from retro_cli.cli import console, render

if TYPE_CHECKING:
    from retro_cli.asking.reply import Citation, Reply
    from retro_cli.query.retrieve import Hit

_LINES = 3  # of a passage


def show(reply: Reply, *, asked_for: bool, first: bool, found: bool) -> None:
    """asked_for: whether the question is shown too. found: whether all passages are."""
    paper = _paper()
    if not first:
        paper.print()
    if asked_for:
        paper.print(Text(console.clean(reply.question), "dim"))
    paper.print(_answer(reply))
    show_citations(reply)
    if found:
        paper.print()
        for number, hit in enumerate(reply.hits, 1):
            paper.print(_place(number, hit, paper.width), no_wrap=True)
            _wrapped(paper, f"{hit.text} {hit.continuation}", "dim", _LINES)
    sys.stdout.flush()


def show_citations(reply: Reply) -> None:
    """What is quoted, a paragraph each."""
    paper = _paper()
    for citation in reply.citations:
        paper.print()
        _citation(paper, citation)


def _paper() -> Console:
    coloured = console.colours(sys.stdout)
    return Console(
        file=sys.stdout, width=console.width(), highlight=False, markup=False, emoji=False,
        color_system="standard" if coloured else None, force_terminal=coloured,
    )  # fmt: skip


def _answer(reply: Reply) -> Text:
    if not reply.found:
        return Text(REFUSED, "yellow")
    text = Text(console.printable(reply.answer), "bold")
    named = f"[{reply.citations[0].number}]" if reply.citations else ""
    if named and named not in reply.answer:
        text.append("".join(f" [{each}]" for each in dict.fromkeys(
            citation.number for citation in reply.citations)), "green")  # fmt: skip
    return text


def _citation(paper: Console, citation: Citation) -> None:
    if citation.hit is None:
        paper.print(Text(f"[{citation.number}] is no passage that was found", "red"))
        return
    paper.print(_place(citation.number, citation.hit, paper.width), no_wrap=True)
    quote = f'"{console.clean(citation.quote)}"' if citation.quote else "quotes nothing"
    if citation.verbatim:
        _wrapped(paper, quote, "", None)
    else:
        _wrapped(paper, f"{UNSUPPORTED}: {quote}", "red", None)


def _place(number: int, hit: Hit, width: int) -> Text:
    head = f"[{number}] "
    room = width - len(head)
    name, source = console.clean(hit.title or hit.document), console.clean(hit.source)
    if name == source or len(name) + len(source) + 3 > room:
        return Text.assemble((head, "green"), (render.shortened_path(source, room), "cyan"))
    return Text.assemble((head, "green"), name, "   ", (source, "cyan"))


def _wrapped(paper: Console, words: str, style: str, lines: int | None) -> None:
    wide = max(20, paper.width - 4)
    for row in textwrap.wrap(console.clean(words), wide, max_lines=lines, placeholder=" ..."):
        paper.print(Text(f"    {row}", style), no_wrap=True)
