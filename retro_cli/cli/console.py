"""What the user sees: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
import time
from dataclasses import dataclass
from typing import Any, TextIO

from retro_cli.errors import EXIT_INTERRUPTED, RetroError

PLAIN_INTERVAL = 30.0  # seconds between progress lines when stderr is no terminal
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@dataclass
class State:
    """Set once from the options that every command shares."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    resumes: bool = False  # of the command: run again, it goes on where Ctrl-C cut it short


state = State()


def colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, code: str, stream: TextIO | None = None) -> str:
    """``text`` in an ANSI style ("1" bold, "2" dim, "32" green) if the stream shows styles."""
    return f"\x1b[{code}m{text}\x1b[0m" if colours(stream or sys.stdout) else text


def clean(text: str) -> str:
    """One line, without control characters: corpus text must not drive the terminal."""
    return _CONTROL.sub("�", " ".join(text.split()))


def printable(text: str) -> str:
    """Without control characters, but with its lines."""
    return _CONTROL.sub("�", text)


def width(default: int = 80, most: int = 100) -> int:
    """Columns to write in."""
    return min(shutil.get_terminal_size((default, 24)).columns, most)


def narrow() -> bool:
    """Whether a table made for 80 columns would break, and needs another form."""
    return width() < 60


def line(text: str = "") -> None:
    """A line of data for people."""
    sys.stdout.write(text + "\n")


def record(value: dict[str, Any]) -> None:
    """A line of data for programs, flushed: the reader may be waiting for it."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A remark for people, unless --quiet or --json."""
    if not state.quiet and not state.json:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def report_interruption() -> None:
    """What a command says last that Ctrl-C has cut short."""
    message = "interrupted"
    hint = "run the same command again, it resumes" if state.resumes else ""
    if state.json:
        _report_json("Interrupted", message, hint, EXIT_INTERRUPTED)
    else:
        sys.stderr.write("; ".join(filter(None, (message, hint))) + "\n")


def _report_json(error: str, message: str, hint: str, exit_code: int) -> None:
    value = {"error": error, "message": message, "hint": hint, "exit_code": exit_code}
    sys.stderr.write(json.dumps(value) + "\n")


def report_error(error: RetroError) -> None:
    if state.json:
        _report_json(type(error).__name__, error.message, error.hint, error.exit_code)
        return
    sys.stderr.write(f"{styled('error:', '1;31', sys.stderr)} {clean(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"{styled('hint:', '1;36', sys.stderr)}  {clean(error.hint)}\n")


def number(value: float) -> str:
    return f"{value:,.0f}"


def size(amount: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 1000 or unit == "TB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:,.0f} days"


def pairs(rows: list[tuple[str, str]]) -> None:
    """Aligned "name  value" lines; a long value goes on below itself."""
    column = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        first, *others = folded(value, column + 2) or [""]
        line(f"{styled(name.ljust(column), '2')}  {first}")
        for other in others:
            line(" " * (column + 2) + other)


def folded(text: str, indent: int = 0) -> list[str]:
    """The lines of a text that stands ``indent`` columns from the left; words stay whole."""
    return textwrap.wrap(
        text, max(width() - indent, 16), break_long_words=False, break_on_hyphens=False
    )


def paragraph(text: str) -> None:
    """Lines of data for people, as wide as the terminal."""
    for row in folded(text):
        line(row)


class Reporter:
    """Draws a stage's progress: a bar on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._plain: dict[str, _PlainTask] = {}

    def started(self, task: str, total: int | None, unit: str) -> None:
        if state.quiet or state.json or not total:
            return
        if sys.stderr.isatty() and not state.verbose:
            self._start_bar(task, total, unit)
        else:
            self._plain[task] = _PlainTask(total, unit)

    def _start_bar(self, task: str, total: int, unit: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TextColumn("{task.fields[words]}{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
        identity = self._bar.add_task(task, total=total, rate="", words="")
        self._tasks[task] = (identity, unit, time.monotonic())

    def advanced(self, task: str, amount: int) -> None:
        if task in self._tasks:
            identity, unit, begun = self._tasks[task]
            self._bar.advance(identity, amount)
            done = self._bar.tasks[self._bar.task_ids.index(identity)].completed
            rate = done / max(time.monotonic() - begun, 1e-6)
            self._bar.update(identity, rate=_rate(rate, unit))
        elif task in self._plain:
            self._plain[task].advance(task, amount)

    def says(self, task: str, words: str) -> None:
        if task in self._tasks:
            self._bar.update(self._tasks[task][0], words=f"{words}, ")
        elif task in self._plain:
            self._plain[task].words = f"{words}, "

    def finished(self, task: str, summary: str = "") -> None:
        self._plain.pop(task, None)
        if task in self._tasks:
            self._bar.remove_task(self._tasks.pop(task)[0])
            if not self._tasks:
                self.close()
        if summary and state.verbose:
            say(f"{task}: {summary}")

    def note(self, message: str) -> None:
        say(clean(message))

    def warn(self, message: str) -> None:
        say(f"{styled('warning:', '1;33', sys.stderr)} {clean(message)}")

    def close(self) -> None:
        """Take the bar away, whatever happened."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._tasks.clear()


class _PlainTask:
    """Progress where there is no terminal: a line every half minute."""

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit, self.done, self.words = total, unit, 0, ""
        self.begun = self.spoken = time.monotonic()

    def advance(self, task: str, amount: int) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.spoken < PLAIN_INTERVAL:
            return
        self.spoken = now
        rate = self.done / (now - self.begun)
        left = duration((self.total - self.done) / rate) if rate else "?"
        share = 100 * self.done / self.total
        say(f"{task}: {share:.0f} %, {self.words}{_rate(rate, self.unit)}, {left} left")


def _rate(rate: float, unit: str) -> str:
    return f"{size(rate)}/s" if unit == "bytes" else f"{rate:,.0f} {unit}/s"
