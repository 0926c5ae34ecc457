"""What stands before every request: whose it is, how large, and whether anybody still waits.

A page of another site must not reach the database through somebody's browser. Its requests carry
an Origin that is not ours, or a Host that is its own name (DNS rebinding); both are refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from retro_cli.serving.failures import Refused, told
from retro_cli.serving.metrics import Metrics
from retro_cli.serving.settings import ServeSettings

LOG = logging.getLogger("retro.serve")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/", "/page.css", "/page.js", "/health")  # they tell nothing of the database
CHANGES = "/v1/filters"  # with POST, but for the preview
# Bytes that are read and dropped: a client that is cut off before would not hear why.
DRAINED = 1 << 26
PREVIEW = "/v1/filters/preview"
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def refusal(
    settings: ServeSettings, method: str, path: str, headers: Mapping[str, str]
) -> Refused | None:
    """Why a request is not taken, or None. headers: with names in lower case."""
    host = headers.get("host", "")
    if not settings.calls_us(host_name(host)):
        return Refused(421, "the Host header names another server", "--allow-name adds a name")
    if method not in ("GET", "HEAD", "POST"):
        return Refused(405, f"{method} is not used here", "")
    if _of_another_site(path, host, headers):
        return Refused(403, "the request comes from another site's page", "")
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if method == "POST" and kind != "application/json":
        return Refused(415, "the body is not JSON", "Content-Type: application/json")
    return _without_token(settings, method, path, headers.get("authorization", ""))


def host_name(host: str) -> str:
    """The name in a Host header, without the port; of an IPv6 address what is in the brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


def _of_another_site(path: str, host: str, headers: Mapping[str, str]) -> bool:
    origin = headers.get("origin")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return True
    # A link to the page from anywhere is fine; what a page loads of its own accord is not.
    site = headers.get("sec-fetch-site", "same-origin")
    followed = path == "/" and headers.get("sec-fetch-mode") == "navigate"
    return site not in ("same-origin", "none") and not followed


def _without_token(
    settings: ServeSettings, method: str, path: str, authorization: str
) -> Refused | None:
    changes = method == "POST" and path.startswith(CHANGES) and path != PREVIEW
    if not changes and (settings.local or path in OPEN_PATHS):
        return None
    if settings.token is None:
        return Refused(403, "this server changes nothing", "start it with RETRO_TOKEN set")
    given = authorization.removeprefix("Bearer ").strip()
    if not secrets.compare_digest(given.encode(), settings.token.encode()):
        return Refused(401, "a token is needed", "Authorization: Bearer TOKEN")
    return None


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._guarded(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, seen = time.perf_counter(), _Seen(send)
        try:
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            error = refusal(self._settings, scope["method"], scope["path"], headers)
            if error is not None:
                raise error
            body = await self._body(receive)
            await _while_wanted(self._app, scope, body, receive, seen)
        except Refused as error:
            await _answer(seen, error)
        except Exception as error:
            if not seen.status:  # else who began to answer has told the log
                LOG.error("a request failed", exc_info=error)
                await _answer(seen, Refused(500, told(error)["error"], told(error)["hint"]))
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(route, seen.status, time.perf_counter() - begun)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body. Raises Refused where it is too long, or too long in coming."""
        limits = self._settings.limits
        too_long = Refused(413, f"a body of more than {limits.body:,} bytes", "send less")
        pieces, size = [], 0
        try:
            async with asyncio.timeout(limits.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(499, "the client hung up")
                    piece = message.get("body", b"")
                    size += len(piece)
                    if size <= limits.body:
                        pieces.append(piece)
                    elif size > DRAINED:
                        raise too_long
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refused(408, "the body did not arrive", "send it at once") from None
        if size > limits.body:
            raise too_long
        return b"".join(pieces)


class _Seen:
    """Sends, adds the headers that every answer has, and keeps its status."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await self._send(message)


async def _while_wanted(app: App, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Run the application for as long as the client is there."""
    gone = asyncio.ensure_future(receive())  # after the body only its end can come
    given = False

    async def replayed() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await asyncio.shield(gone)

    work = asyncio.ensure_future(app(scope, replayed, send))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        try:
            await work
        except asyncio.CancelledError:
            if not gone.done():
                raise
    finally:
        work.cancel()
        gone.cancel()


async def _answer(send: Send, error: Refused) -> None:
    body = json.dumps(told(error)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if error.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
