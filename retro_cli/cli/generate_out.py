"""What ``retro generate`` prints and writes while a text comes, and when it is whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from retro_cli.cli import console
from retro_cli.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from retro_cli.generate.trace import Trace, TracedToken


class _Streamed:
    """The text as it comes."""

    def token(self, token: TracedToken) -> None:
        if token.text:
            terminal = sys.stdout.isatty()
            sys.stdout.write(console.printable(token.text) if terminal else token.text)
            sys.stdout.flush()

    def end(self, _: Trace) -> None:
        console.line()


class _Record:
    """One JSON object at the end."""

    def token(self, _: TracedToken) -> None:
        """Waits for the end."""

    def end(self, found: Trace) -> None:
        console.record(found.to_json())


def output(words: str, show: bool) -> Any:
    """What prints: it is given every token, and the whole at the end."""
    if console.state.json:
        return _Record()
    if show:
        from retro_cli.cli.generate_show import Page

        return Page(words)
    return _Streamed()


def tell(watchers: list[Callable[[TracedToken], Any]], token: TracedToken) -> None:
    for watcher in watchers:
        watcher(token)


@contextmanager
def trace_lines(path: Path) -> Iterator[Callable[[TracedToken], Any]]:
    """A line a token, written at once: an interrupted text keeps its trace.

    The first line that names a chunk has its text.
    """
    from retro_cli.store.atomic import check_output, disk_errors

    check_output(path)
    told: set[int] = set()
    with path.open("w", encoding="utf-8", errors="backslashreplace", buffering=1) as file:

        def write(token: TracedToken) -> None:
            hits = token.evidence.hits if token.evidence else ()
            new = {hit.chunk for hit in hits} - told
            told.update(new)
            with disk_errors(path):
                file.write(json.dumps(token.to_json(new), ensure_ascii=False) + "\n")

        yield write


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the text where it is."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        sys.stdout.flush()
        console.say("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def say_times(found: Trace) -> None:
    if console.state.verbose:
        total, looked = found.timing.total, found.timing.retrieval
        rate = len(found.tokens) / max(total, 1e-9)
        console.say(
            f"generate: {len(found.tokens)} tokens in {console.duration(total)} "
            f"({rate:.1f} tokens/s), {100 * looked / max(total, 1e-9):.1f} % of it retrieval"
        )
