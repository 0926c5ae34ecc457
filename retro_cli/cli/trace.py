"""retro trace: which chunk each token of a generated text was read from, as a map."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, render
from retro_cli.cli.command import command
from retro_cli.errors import InputNotFound

if TYPE_CHECKING:
    from retro_cli.generate.heat_map import Cell, HeatMap

_LABEL = 5  # columns before the cells
_WIDEST = 16  # columns of a token at most
_RAMP = (17, 18, 19, 20, 26, 32, 38, 44, 50, 51)  # of 256 colours, from dark to bright


def register(app: typer.Typer) -> None:
    command(
        app,
        "trace",
        [
            'retro generate wiki.db "Who kept the light?" --reader rag-token --trace t.jsonl',
            "retro trace t.jsonl --html t.html",
        ],
        "Look",
    )(trace)


def trace(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="What --trace wrote; - is standard input.", show_default=False
        ),
    ],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page for a browser.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, help="Chunks to show: those with the largest shares.")
    ] = 12,
) -> None:
    """Draw how much each token of a text was read from each chunk.

    The share is the document's posterior with the readers rag-token, rag-sequence and realm, and
    of the attention with retro. A digit is a tenth: 7 is from 70 % to 80 %.
    """
    from retro_cli.generate.heat_map import read_trace

    found = read_trace(_lines(file), "standard input" if file == "-" else file, top)
    if html is not None:
        from retro_cli.cli import trace_page

        trace_page.write(html, Path(file).name, found)
    if console.state.json:
        console.record(to_json(found))
    elif html is None:
        show(found)
    else:
        console.say(f"wrote {html}")


def _lines(name: str) -> Iterator[bytes]:
    if name == "-":
        yield from sys.stdin.buffer
        return
    try:
        with open(name, "rb") as file:
            yield from file
    except OSError as error:
        raise InputNotFound(f"{name} cannot be read ({error.strerror})", "name a file") from error


def to_json(found: HeatMap) -> dict[str, object]:
    """shares: of each chunk one a token, null where the token did not read it."""
    return {
        "tokens": list(found.tokens),
        "logprobs": list(found.logprobs),
        "chunks": [
            {
                "chunk": one.chunk,
                "document": one.document,
                "source": one.source,
                "mean": one.mean,
                "shares": [None if cell is None else cell.share for cell in row],
            }
            for one, row in zip(found.chunks, found.rows, strict=True)
        ],
        "rest": list(found.rest),
    }


def show(found: HeatMap) -> None:
    """A list of the chunks, then the map in bands as wide as the terminal."""
    if not found.chunks:
        console.line(console.printable("".join(found.tokens)))
        console.say("nothing was read")
        return
    for number, one in enumerate(found.chunks, 1):
        head = f"{f'[{number}]':<4} {100 * one.mean:>3.0f} %  "
        name = render.shortened_path(console.clean(one.source), console.width() - len(head))
        console.line(f"{head}{console.styled(name, '36')}")
    words = [_word(token) for token in found.tokens]
    for first, last in bands([_cells(word) for word in words], console.width() - _LABEL):
        console.line()
        _band(found, words, first, last)


def bands(widths: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    """[first, last) of the tokens that stand side by side; a token has its width and a space."""
    first, used = 0, 0
    for place, width in enumerate(widths):
        if used and used + width > room:
            yield first, place
            first, used = place, 0
        used += width + 1
    yield first, len(widths)


def _band(found: HeatMap, words: Sequence[str], first: int, last: int) -> None:
    heads = [_padded(word) for word in words[first:last]]
    console.line((" " * _LABEL + " ".join(heads)).rstrip())
    for number, row in enumerate(found.rows, 1):
        if not any(row[first:last]):
            continue
        cells = [
            _cell(cell, _cells(word))
            for cell, word in zip(row[first:last], words[first:last], strict=True)
        ]
        console.line(f"{f'[{number}]':<{_LABEL}}" + " ".join(cells).rstrip())
    if any(share >= 0.005 for share in found.rest[first:last]):
        cells = [
            f"{digit(share):<{_cells(word)}}"
            for share, word in zip(found.rest[first:last], words[first:last], strict=True)
        ]
        console.line(f"{'rest':<{_LABEL}}" + " ".join(cells).rstrip())


def _cell(cell: Cell | None, width: int) -> str:
    if cell is None:
        return " " * width
    if cell.share is None:
        return f"{'+':<{width}}"
    text = f"{digit(cell.share):<{width}}"
    if not console.colours(sys.stdout) or cell.share < 0.05:
        return text
    step = min(int(cell.share * len(_RAMP)), len(_RAMP) - 1)
    ink = 231 if step < 6 else 16
    return console.styled(text, f"38;5;{ink};48;5;{_RAMP[step]}")


def digit(share: float) -> str:
    """Tenths; a dot for less than one."""
    return "·" if share < 0.1 else str(min(int(share * 10), 9))


def _word(token: str) -> str:
    """A token as a column's head: in one line, without the space before it."""
    inner = token.strip(" ")
    shown = console.clean(inner.replace("\n", "↵")) or ("↵" if "\n" in token else "·")
    while _wide(shown) > _WIDEST:
        shown = shown[:-1]
    return shown


def _cells(word: str) -> int:
    return max(_wide(word), 1)


def _padded(word: str) -> str:
    return word + " " * (_cells(word) - _wide(word))


def _wide(text: str) -> int:
    """Columns on a terminal."""
    from rich.cells import cell_len

    return cell_len(text)
