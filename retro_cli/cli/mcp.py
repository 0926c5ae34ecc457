"""retro mcp: a database as tools for assistants, over standard input and output."""

from __future__ import annotations

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.serve import Modelling
from retro_cli.cli.server import Server
from retro_cli.errors import MissingExtra

PANEL = "Look"


def register(app: typer.Typer) -> None:
    command(
        app,
        "mcp",
        ["retro mcp wiki.db", "retro mcp wiki.db --endpoint http://localhost:11434/v1"],
        PANEL,
    )(mcp)


def mcp(db: options.DatabaseArgument, *, modelling: Modelling, server: Server) -> None:
    """Offer query and ask to an assistant, by the Model Context Protocol (stdio).

    The assistant starts it: name this command in its settings.
    """
    try:
        import mcp.server.mcpserver  # noqa: F401
    except ImportError as error:
        raise MissingExtra("retro mcp", "mcp") from error
    from retro_cli.serving.service import Service
    from retro_cli.serving.settings import ServeSettings
    from retro_cli.serving.tools import tools

    settings = ServeSettings(
        db,
        models=tuple(modelling.model or ()),
        device=modelling.device,
        rerank=modelling.rerank,
        query_encoder=modelling.query_encoder,
        endpoint=server.named(),
    )
    service = Service(settings)
    service.opened().close()  # what cannot be opened is said before anybody asks
    console.say(f"offering query and ask of {db} on standard input and output")
    try:
        tools(service).run("stdio")
    finally:
        service.close()
