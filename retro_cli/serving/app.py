"""The HTTP interface: routes, and errors as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from retro_cli import __version__
from retro_cli.errors import RetroError
from retro_cli.serving import ruling, searching
from retro_cli.serving.bodies import MOST_HITS, Asked, Prompt, Question, RuleBody, TableName
from retro_cli.serving.failures import status_of, told
from retro_cli.serving.guard import App, Guard
from retro_cli.serving.metrics import KIND, Metrics
from retro_cli.serving.service import Service

LOG = logging.getLogger("retro.serve")
PAGE = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
MOST_CONTEXT = 50

ChunkId = Annotated[int, Path(ge=0, lt=1 << 63)]
Number = Annotated[int, Path(ge=1)]


class Json(Response):
    """A value as it is: nothing checks again what the program itself has made."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def application(service: Service) -> App:
    """The service behind its guard. It closes the service in the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="retro",
        version=__version__,
        description="A retrieval database: query, show, generate, ask, filter.",
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
    )
    metrics = Metrics()
    _add_page(app)
    _add_looking(app, service, metrics)
    _add_writing(app, service, metrics)
    _add_filters(app, service)
    for kind in (RetroError, OSError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _failed)
    return Guard(app, service.settings, metrics)


def _add_page(app: FastAPI) -> None:
    files = resources.files("retro_cli.serving").joinpath("page")
    for name, kind in PAGE.items():
        content = files.joinpath(name or "index.html").read_bytes()
        app.add_api_route(f"/{name}", _file(content, kind), include_in_schema=False)


def _file(content: bytes, kind: str) -> Any:
    async def file() -> Response:
        return Response(content, media_type=kind)

    return file


def _add_looking(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/health", tags=["server"])
    async def health() -> Response:
        """Whether queries are answered: 200, or the error that they meet."""
        await service.quick.run(lambda database: database.retriever.generation.number)
        return Json({"ok": True})

    @app.get("/metrics", tags=["server"])
    async def figures() -> Response:
        """For Prometheus."""
        return Response(metrics.text(), media_type=KIND)

    @app.get("/v1/status", tags=["look"])
    async def status() -> Response:
        """What is there, what is stale and why."""
        return Json(await service.slowly(searching.status))

    @app.post("/v1/query", tags=["look"])
    async def query(asked: Asked) -> Response:
        """The nearest chunks to a text or a vector, with their continuations and sources."""
        found = await service.query(asked)
        metrics.generation.set(found["generation"])
        return Json(found)

    @app.get("/v1/chunks/{chunk}", tags=["look"])
    async def show(
        chunk: ChunkId, context: Annotated[int, Query(ge=0, le=MOST_CONTEXT)] = 2
    ) -> Response:
        """A chunk in its document."""
        return Json(await service.show(chunk, context))

    @app.get("/v1/chunks/{chunk}/neighbours", tags=["look"])
    async def neighbours(
        chunk: ChunkId, k: Annotated[int, Query(ge=1, le=MOST_HITS)] = 5
    ) -> Response:
        """The nearest chunks of a chunk, none of its own document."""
        return Json(await service.neighbours(chunk, k))

    @app.get("/v1/scores", tags=["look"])
    async def scores() -> Response:
        """The score tables there are."""
        return Json(await service.slowly(ruling.score_tables))

    @app.get("/v1/sources", tags=["look"])
    async def sources(
        scores: Annotated[TableName | None, Query()] = None,
        threshold: Annotated[float, Query(ge=0, le=1)] = 0.5,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    ) -> Response:
        """Every source with its counts; with a score table, the most toxic first."""
        return Json(
            await service.slowly(lambda db: ruling.sources(threshold, scores or "", limit, db))
        )


def _add_writing(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.post("/v1/generate", tags=["write"])
    async def generate(prompt: Prompt) -> Response:
        """Continue a text: lines of JSON, one a token with what it read, then the whole.

        Whoever hangs up ends the work.
        """
        await asyncio.to_thread(_check, prompt)  # what cannot be is said before a stream begins
        lines = service.generate(prompt, metrics.tokens.inc)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    @app.post("/v1/ask", tags=["write"])
    async def ask(asked: Question) -> Response:
        """An answer with quotes that are checked to stand in the sources."""
        return Json(await service.ask(asked))


def _add_filters(app: FastAPI, service: Service) -> None:
    @app.get("/v1/filters", tags=["filter"])
    async def rules() -> Response:
        """Every rule there ever was."""
        return Json(await service.slowly(ruling.rules))

    @app.get("/v1/filters/{number}", tags=["filter"])
    async def rule(number: Number) -> Response:
        """One rule, and how many chunks it takes now."""
        return Json(await service.slowly(lambda db: ruling.rule(number, db)))

    @app.post("/v1/filters/preview", tags=["filter"])
    async def preview(body: RuleBody) -> Response:
        """What a rule would take. Changes nothing."""
        return Json(await service.slowly(lambda db: ruling.preview(body, db)))

    @app.post("/v1/filters", tags=["filter"])
    async def add(body: RuleBody) -> Response:
        """Put a rule in force. Needs the token."""
        return Json(await service.slowly(lambda db: ruling.add(body, db)))

    @app.post("/v1/filters/{number}/undo", tags=["filter"])
    async def undo(number: Number, lift: bool = False) -> Response:
        """Undo a rule. Needs the token."""
        return Json(await service.slowly(lambda db: ruling.undo(number, lift, db)))


def _check(prompt: Prompt) -> None:
    from retro_cli.serving.writing import decoding_of  # imports torch, which takes its time

    decoding_of(prompt)


async def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        return JSONResponse({"error": _first(error), "hint": "see /openapi.json"}, 422)
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail), "hint": ""}, error.status_code)
    status = status_of(error)
    if status == 500:
        LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    headers = {"retry-after": "1"} if status == 503 else None
    return JSONResponse(told(error), status, headers)


def _first(error: RequestValidationError) -> str:
    """What is wrong, and where in the request."""
    found = error.errors()[0]
    place = ".".join(str(step) for step in found["loc"] if step != "body")
    return f"{place}: {found['msg']}" if place else str(found["msg"])
