"""retro show and sources: what is in a database."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from retro_cli.cli import console, options, render
from retro_cli.cli.command import command

PANEL = "Look"


def register(app: typer.Typer) -> None:
    command(app, "show", ["retro show wiki.db 1203", "retro show wiki.db 1203 --json"], PANEL)(show)
    command(app, "sources", ["retro sources wiki.db", "retro sources wiki.db --json"], PANEL)(
        sources
    )


def show(
    db: options.DatabaseArgument,
    chunk: Annotated[int, typer.Argument(min=0, help="A chunk id, as query prints it.")],
    context: Annotated[int, typer.Option(min=0, help="Chunks to show before and after.")] = 2,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the text of chunks that no query may show.")
    ] = False,
) -> None:
    """Show a chunk in its document."""
    from retro_cli.query.retrieve import Retriever
    from retro_cli.query.surroundings import surroundings
    from retro_cli.store.layout import Layout

    retriever = Retriever(Layout(db))
    try:
        found = surroundings(retriever, chunk, context)
    finally:
        retriever.close()
    if console.state.json:
        console.record(found.to_json(everything))
        return
    document, wanted = found.document, found.chunk
    rows = [
        ("document", console.clean(document["document"])),
        ("title", console.clean(document["title"])),
        ("source", console.clean(document["source"])),
        ("characters", f"{wanted.start}-{wanted.end} of {document['characters']}"),
        ("chunk", f"{wanted.position + 1} of {document['chunks']}"),
        ("metadata", console.clean(document["metadata"])),
    ]
    if not found.alive:
        rows.append(("state", "gone: replaced, removed or kept out by a rule"))
    console.pairs([(name, value) for name, value in rows if value not in ("", "{}")])
    console.line()
    for piece in found.around:
        marker = "> " if piece.id == chunk else "  "
        seen = everything or piece.id in found.shown
        text = piece.text if seen else "(gone; --all shows it while it is on the disk)"
        render.paragraph(text, sys.stdout, marker, "" if piece.id == chunk else "2")


def sources(db: options.DatabaseArgument) -> None:
    """List the sources with their documents and chunks."""
    from retro_cli.chunks.dedup import Aliases
    from retro_cli.chunks.manifest import require_manifest
    from retro_cli.filters.exclusion import exclude
    from retro_cli.filters.ledger import load_ledger
    from retro_cli.query.select import count_sources
    from retro_cli.store.layout import Layout

    layout = Layout(db)
    layout.require()
    manifest = require_manifest(layout.chunks)
    aliases = Aliases.load(layout.chunks, manifest.aliases)
    excluded = exclude(layout, manifest, aliases, load_ledger(layout)).rows
    found = count_sources(layout.chunks, manifest, excluded)
    if console.state.json:
        for item in found:
            console.record(asdict(item))
        return
    rules = any(item.filtered for item in found)
    head = f"{'documents':>10} {'chunks':>10}" + (f" {'filtered':>9}" if rules else "")
    render.row(head, len(head), "source")
    for item in found:
        out = f" {item.filtered or '':>9}" if rules else ""
        render.row(f"{item.docs:>10,} {item.chunks:>10,}{out}", len(head), item.source)
