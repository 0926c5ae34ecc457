"""What a rule takes, for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from retro_cli.cli import console, render
from retro_cli.wording import agreed, counted

if TYPE_CHECKING:
    from retro_cli.chunks.rows import Chunk
    from retro_cli.upkeep.reach import Reach


def reach_lines(reach: Reach) -> list[str]:
    """What a rule takes, for people."""
    lines = [
        f"{reach.chunks:,} of {counted(reach.chunks_before, 'chunk')}, {reach.documents:,} of "
        f"{counted(reach.documents_before, 'document')} whole, {reach.sources:,} of "
        f"{counted(reach.sources_before, 'source')} whole"
    ]
    if reach.already:
        are = agreed(reach.already, "is", "are")
        lines.append(f"{reach.already:,} more {are} kept out by older rules already")
    return lines


def example_values(chunks: Iterable[Chunk]) -> list[dict[str, Any]]:
    """Some chunks as JSON."""
    return [{"chunk": c.id, "source": c.source, "text": c.text} for c in chunks]


def print_examples(chunks: Iterable[Chunk]) -> None:
    for chunk in chunks:
        console.line()
        name = render.shortened_path(console.clean(chunk.source), console.width() - 16)
        console.line(console.styled(f"chunk {chunk.id}, {name}", "36"))
        render.paragraph(chunk.text, sys.stdout)
