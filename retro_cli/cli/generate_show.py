"""A generated text with what was read for it: who was looked up, and the words in common."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from retro_cli.cli import console, render
from retro_cli.generate.shared import Run, shared_runs

if TYPE_CHECKING:
    from retro_cli.generate.trace import Trace, TracedToken
    from retro_cli.query.retrieve import Hit
    from retro_cli.readers.interface import Evidence

_SNIPPET = 2  # lines


class Page:
    """Prints the prompt, then each stretch of text that read the same, once it is complete."""

    def __init__(self, prompt: str) -> None:
        self._coloured = console.colours(sys.stdout)
        self._paper = Console(
            file=sys.stdout, width=console.width(), highlight=False, markup=False, emoji=False,
            color_system="standard" if self._coloured else None, force_terminal=self._coloured,
        )  # fmt: skip
        self._stretch: list[TracedToken] = []
        self._paper.print(Text(console.printable(prompt), "dim"))

    def token(self, token: TracedToken) -> None:
        if self._stretch and token.read != self._stretch[0].read:
            self._print_stretch()
        self._stretch.append(token)

    def end(self, _: Trace) -> None:
        self._print_stretch()

    def _print_stretch(self) -> None:
        tokens, self._stretch = self._stretch, []
        evidence = tokens[0].evidence
        self._paper.print()
        if evidence is not None:
            self._print_evidence(evidence, _mean_mass(tokens))
        self._paper.print(self._marked(tokens, evidence))
        sys.stdout.flush()

    def _print_evidence(self, evidence: Evidence, mass: list[float]) -> None:
        room = self._paper.width
        asked = render.shortened(console.clean(evidence.query), room - 11)
        self._paper.print(Text(f"looked up  {asked}", "dim"))
        if not evidence.hits:
            self._paper.print(Text("nothing found", "dim"))
        for number, hit in enumerate(evidence.hits):
            share = f"{100 * mass[number]:3.0f} %" if number < len(mass) else ""
            self._print_hit(number + 1, hit, share)
        self._paper.print()

    def _print_hit(self, number: int, hit: Hit, share: str) -> None:
        head = f"[{number}]  {hit.score:.3f}  {share}  "
        room = self._paper.width - len(head)
        name, source = console.clean(hit.title or hit.document), console.clean(hit.source)
        if name == source or len(name) + len(source) + 3 > room:
            line = Text.assemble(head, (render.shortened_path(source, room), "cyan"))
        else:
            line = Text.assemble(head, (name, "bold"), "   ", (source, "cyan"))
        self._paper.print(line, no_wrap=True)
        snippet = textwrap.wrap(
            console.clean(f"{hit.text} {hit.continuation}"), self._paper.width - 5,
            max_lines=_SNIPPET, placeholder=" ...",
        )  # fmt: skip
        for row in snippet:
            self._paper.print(Text(f"     {row}", "dim"), no_wrap=True)

    def _marked(self, tokens: list[TracedToken], evidence: Evidence | None) -> Text:
        """The text, with the runs that it shares with a neighbour and that one's number."""
        text, place = Text(), 0
        for run in _runs(tokens, evidence):
            text.append(_words(tokens[place : run.start]))
            words = _words(tokens[run.start : run.end])
            inner = words.strip()
            before = words[: len(words) - len(words.lstrip())]
            text.append(before)
            text.append(inner if self._coloured else f"«{inner}»", "bold green")
            text.append(f"[{run.neighbour + 1}]", "green")
            text.append(words[len(before) + len(inner) :])
            place = run.end
        text.append(_words(tokens[place:]))
        return text


def _runs(tokens: list[TracedToken], evidence: Evidence | None) -> list[Run]:
    if evidence is None:
        return []
    neighbours = [row[row >= 0].tolist() for row in evidence.tokens]
    return shared_runs([token.token for token in tokens], neighbours)


def _words(tokens: list[TracedToken]) -> str:
    return console.printable("".join(token.text for token in tokens))


def _mean_mass(tokens: list[TracedToken]) -> list[float]:
    """The share of the attention on each neighbour, over all tokens of a stretch."""
    known = [token.mass for token in tokens if token.mass]
    return [sum(column) / len(known) for column in zip(*known, strict=True)]
