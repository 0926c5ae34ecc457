"""retro serve: a database behind HTTP, with a page for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.server import Server
from retro_cli.errors import MissingExtra

PANEL = "Look"
MODELS, SAFETY, SPREADING = "Models", "Safety", "Spreading"


def register(app: typer.Typer) -> None:
    command(
        app,
        "serve",
        [
            "retro serve wiki.db",
            "RETRO_TOKEN=$(openssl rand -hex 16) retro serve wiki.db --port 8080",
            "retro serve wiki.db --rerank lm --json",
        ],
        PANEL,
    )(serve)


@dataclass(frozen=True)
class Modelling:
    """The models that answer. A request can name none."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A name or a folder; may be repeated. Each reader takes the first that it can "
            "use. (default: each reader's own)",
            rich_help_panel=MODELS,
        ),
    ] = None
    device: options.Device = "auto"
    rerank: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="What queries may be reranked with, as in retro query.",
            show_default=False,
            rich_help_panel=MODELS,
        ),
    ] = ""
    query_encoder: options.QueryEncoder = ""


@dataclass(frozen=True)
class Spreading:
    """Who scans the index."""

    replicas: Annotated[
        int,
        typer.Option(
            min=0,
            max=4096,
            metavar="N",
            help="Workers of a Ray cluster that scan the index's segments between them, with the "
            "same answers. It pays from several segments of millions of chunks.",
            rich_help_panel=SPREADING,
        ),
    ] = 0
    ray_address: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Of that cluster, which shares these files, or auto. (default: RAY_ADDRESS, else "
            "a Ray of its own)",
            show_default=False,
            rich_help_panel=SPREADING,
        ),
    ] = ""


def serve(
    db: options.DatabaseArgument,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on; one that other machines reach needs a token.",
            rich_help_panel=SAFETY,
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            help="What a client must show to change filters, and from another machine for "
            "everything. Set RETRO_TOKEN: others can read a command line.",
            rich_help_panel=SAFETY,
        ),
    ] = None,
    allow_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A host name that requests may use besides; may be repeated.",
            rich_help_panel=SAFETY,
        ),
    ] = None,
    max_body: Annotated[
        int,
        typer.Option(min=1, metavar="KB", help="Of a request's body.", rich_help_panel=SAFETY),
    ] = 1024,
    *,
    modelling: Modelling,
    server: Server,
    spreading: Spreading,
) -> None:
    """Answer queries, questions and prompts over HTTP, with a page to look with.

    Only this machine can reach it, unless --host says otherwise. Ctrl-C ends it.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtra("retro serve", "serve") from error
    from retro_cli.serving.run import serve as listen
    from retro_cli.serving.settings import Limits, ServeSettings

    settings = ServeSettings(
        db,
        host,
        port,
        token,
        tuple(allow_name or ()),
        tuple(modelling.model or ()),
        modelling.device,
        modelling.rerank,
        modelling.query_encoder,
        server.named(),
        Limits(body=1024 * max_body),
        spreading.replicas,
        spreading.ray_address,
    )
    listen(settings, _say_where)


def _say_where(url: str) -> None:
    if console.state.json:
        console.record({"url": url})
    else:
        console.say(f"serving at {url} (Ctrl-C ends it)")
