"""retro diff: what chunking would change, and what changed between two generations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.render import row, shortened, shortened_path
from retro_cli.cli.run import timed
from retro_cli.errors import EXIT_WORK_FOUND
from retro_cli.wording import agreed, counted

if TYPE_CHECKING:
    from retro_cli.chunks.diff import FileDifference, InputsDifference
    from retro_cli.index.diff import GenerationsDifference
    from retro_cli.index.turnover import Documents

_COUNTED = ("added", "replaced", "unchanged", "gone")
_COLOURS = {"new": "32", "changed": "33", "missing": "31"}


def register(app: typer.Typer) -> None:
    command(app, "diff", ["retro diff wiki.db corpus/ --prune", "retro diff wiki.db 1 2"], "Look")(
        diff
    )


def diff(
    db: options.DatabaseArgument,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="What 'retro chunk' would be given; or the numbers of two generations of the "
            "index (a file with such a name: ./7).",
            show_default=False,
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Exit 3 if there is any difference.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=0, help="Files to show, or documents of each kind.")
    ] = 20,
    prune: options.Prune = False,
    *,
    chunking: options.Chunking,
) -> None:
    """Say what 'retro chunk' would change, or what changed between two generations."""
    if len(inputs) == 2 and all(map(_is_number, inputs)):
        differs = _generations(db, int(inputs[0]), int(inputs[1]), limit)
    else:
        differs = _inputs(db, inputs, asdict(chunking), prune, limit)
    if check and differs:
        raise typer.Exit(EXIT_WORK_FOUND)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _inputs(
    db: Path, inputs: list[str], overrides: dict[str, Any], prune: bool, limit: int
) -> bool:
    from retro_cli import pipeline
    from retro_cli.store.layout import Layout

    found, _ = timed(
        lambda progress: pipeline.diff(
            Layout(db), inputs, overrides, prune=prune, stdin=sys.stdin.buffer, progress=progress
        )
    )
    if console.state.json:
        for file in found.files:
            console.record(asdict(file))
        total = {name: value for name, value in vars(found).items() if name != "files"}
        console.record({"total": True, **total})
    else:
        _print_files(found.files, limit)
        _print_totals(found)
    return found.would_change


def _print_files(files: Sequence[FileDifference], limit: int) -> None:
    """Up to ``limit`` files; the end of a long name is what tells it apart."""
    shown, wide = files[:limit], 6 if console.narrow() else 9
    if shown:
        words = ("added", "repl.", "same", "gone") if console.narrow() else _COUNTED
        head = " ".join([" " * 7, *(word.rjust(wide) for word in words)])
        row(console.styled(head, "2"), len(head), "file", "2")
    for file in shown:
        counts = (file.added, file.replaced, file.unchanged, file.vanished + file.removed)
        cells = " ".join((f"{count:,}" if count else ".").rjust(wide) for count in counts)
        state = console.styled(file.state.ljust(7), _COLOURS[file.state])
        row(f"{state} {cells}", 8 + len(cells), file.file)
    _print_rest(len(files) - limit)
    if files:
        console.line()


def _print_totals(found: InputsDifference) -> None:
    rows = [
        ("files", _listed(
            (found.files_new, "new"),
            (found.files_changed, "changed"),
            (found.files_missing, "missing"),
            (found.files_unchanged, "unchanged"),
            (found.files_not_named, "not named here"),
        )),
        ("documents", _listed(
            (found.docs_added, "added"),
            (found.docs_replaced, "replaced"),
            (found.docs_removed, "removed"),
            (_kept(found), "vanished"),
            (found.docs_unchanged, "unchanged"),
        )),
    ]  # fmt: skip
    if found.characters_new:
        rows.append(("new text", counted(found.characters_new, "character")))
    if found.set_aside:
        rows.append(("set aside", f"{counted(found.set_aside, 'record')} that cannot be read"))
    console.pairs(rows)
    console.line()
    for sentence in _conclusion(found):
        console.paragraph(sentence)


def _kept(found: InputsDifference) -> int:
    """Documents that are gone from the input, but stay."""
    return found.docs_vanished + found.docs_vanished_before + found.docs_missing


def _listed(*counts: tuple[int, str]) -> str:
    return ", ".join(f"{n:,} {word}" for n, word in counts if n) or "none"


def _conclusion(found: InputsDifference) -> list[str]:
    n = console.number
    if not found.would_change:
        said = ["retro chunk would change nothing."]
    elif found.starts_over:
        said = [
            "The settings or the tokenizer changed: retro chunk would cut every document again, "
            f"{n(found.docs_written)} now in place of {n(found.docs_before)} before."
        ]
    else:
        said = [
            f"retro chunk would cut {counted(found.docs_written, 'document')}; "
            f"{n(found.docs_before)} {agreed(found.docs_before, 'becomes', 'become')} "
            f"{n(found.docs_after)}."
        ]
    kept = _kept(found)
    if kept and not found.prune:
        removed = counted(kept, "document")
        said.append(f"What vanished from the input is kept; --prune would remove {removed}.")
    return said


def _generations(db: Path, first: int, second: int, limit: int) -> bool:
    from retro_cli.index.diff import diff_generations
    from retro_cli.store.layout import Layout

    found = diff_generations(Layout(db), first, second, limit)
    if console.state.json:
        console.record(asdict(found))
    elif not found.differs:
        console.line(f"Generations {first} and {second} hold the same.")
    else:
        _print_sides(found)
        for word in ("added", "removed", "replaced"):
            _print_documents(word, getattr(found, word))
        if found.recut:
            recut = counted(found.recut, "document has", "documents have")
            console.line(f"\n{recut} new chunks of the same text")
        _print_sources(found, limit)
    return found.differs


def _print_sides(found: GenerationsDifference) -> None:
    before, after = found.before, found.after
    rows: list[tuple[str, str, str, str]] = [
        ("", f"generation {before.generation}", f"generation {after.generation}", "")
    ]
    for name, word in (("documents", "documents"), ("chunks", "chunks"), ("rows", "rows indexed")):
        old, new = getattr(before, name), getattr(after, name)
        change = f"{new - old:+,}" if new != old else ""
        rows.append((word, f"{old:,}", f"{new:,}", change))
    for setting in found.index:
        values = (_value(setting.before), _value(setting.after))
        rows.append((setting.name, *values, ""))
    for name, old, new, change in rows:
        cells = f"{old:>24} {new:>24} {change:>12}"
        if console.narrow():  # one value below the other
            cells = f"{old:>26}\n{new:>40}" + (f"\n{change:>40}" if change else "")
        console.line(f"{console.styled(name.ljust(13), '2')} {cells}".rstrip())


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return shortened_path(console.clean(value), 24)
    return f"{value:,}"


def _print_documents(word: str, documents: Documents) -> None:
    if not documents.count:
        return
    console.line(f"\n{console.styled(word, '1')}  {counted(documents.count, 'document')}")
    for name in documents.names:
        console.line("  " + shortened(console.clean(name), console.width() - 2))
    _print_rest(documents.count - len(documents.names))


def _print_sources(found: GenerationsDifference, limit: int) -> None:
    if not found.sources:
        return
    console.line(f"\n{console.styled('chunks by source', '1')}")
    for source in found.sources[:limit]:
        counts = f"{source.added:>+10,}" if source.added else f"{'.':>10}"
        counts += f" {-source.removed:>10,}" if source.removed else f" {'.':>10}"
        row(counts, len(counts), source.source)
    _print_rest(len(found.sources) - limit)


def _print_rest(count: int) -> None:
    if count > 0:
        console.line(f"and {console.number(count)} more")
