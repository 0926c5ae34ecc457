"""Sliding windows over documents: which tokens a model reads, and which of them it is scored on.

A window of W tokens moves by a stride S. Its input position t predicts token t + 1, also the one
behind the window, so that windows that do not overlap leave nothing out. The first window of a
document is scored on all of its predictions, the later ones on their last S.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retro_cli.errors import UsageError


@dataclass(frozen=True)
class Window:
    """start: of its first token among those of all documents. inputs: how many tokens are read.

    skip: how many of them only give context; the others predict the token behind them, so tokens
    start + skip + 1 .. start + inputs are scored.
    """

    start: int
    inputs: int
    skip: int

    @property
    def scored(self) -> int:
        return self.inputs - self.skip


def check_window(window: int, stride: int, chunk: int) -> None:
    """Raises UsageError unless both are multiples of the chunk length and none is left out."""
    for name, value in (("window", window), ("stride", stride)):
        if value < 1 or value % chunk:
            raise UsageError(
                f"--{name} {value} is no multiple of the chunk length {chunk}",
                "windows begin where chunks do",
            )
    if stride > window:
        raise UsageError(
            f"--stride {stride} is more than --window {window}", "tokens between would be left out"
        )


def default_window(window: int | None, limit: int | None, chunk: int, most: int = 1024) -> int:
    """The window asked for, or ``most`` tokens, in whole chunks and within the model's limit."""
    wanted = most if window is None else window
    if limit is not None and wanted > limit:
        if window is not None:
            raise UsageError(
                f"--window {window} is more than the model's {limit} positions", "choose less"
            )
        wanted = limit
    return wanted if window is not None else max(chunk, wanted // chunk * chunk)


def default_stride(window: int, chunk: int) -> int:
    """Half a window, in whole chunks."""
    return max(chunk, window // 2 // chunk * chunk)


def plan_windows(lengths: Sequence[int], window: int, stride: int) -> list[Window]:
    """The windows of documents of these many tokens, one document after the other.

    Every token but each document's first is scored once.
    """
    found: list[Window] = []
    begin = 0
    for length in map(int, lengths):
        start = skip = 0
        while start + skip < length - 1:
            found.append(Window(begin + start, min(window, length - 1 - start), skip))
            start, skip = start + stride, window - stride
        begin += length
    return found


def batches(windows: Sequence[Window], size: int) -> Iterator[list[Window]]:
    """Windows of like shape together, ``size`` at a time, so that little is padded."""
    alike = sorted(windows, key=lambda window: (window.skip, -window.inputs, window.start))
    for first in range(0, len(alike), size):
        yield alike[first : first + size]
