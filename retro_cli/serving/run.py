"""Listening: one port, until a signal ends it."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import uvicorn

from retro_cli.engine import open_replicas
from retro_cli.errors import UsageError
from retro_cli.serving.app import application
from retro_cli.serving.service import Service
from retro_cli.serving.settings import ServeSettings

if TYPE_CHECKING:
    from retro_cli.engine.replicas import Replicas

GRACE = 5  # seconds that requests have to end in
SWITCH = 0.0005  # seconds; else a short answer waits 5 ms for a thread that computes


def serve(settings: ServeSettings, listening: Callable[[str], None]) -> None:
    """Answer until SIGINT or SIGTERM. listening: is told the URL, once there is one.

    Raises UsageError for a port in use, and whatever opening the database raises.
    """
    settings.check()
    logging.getLogger("retro.serve").setLevel(logging.WARNING)
    Service(settings).opened().close()  # what cannot be opened is said before anybody asks
    with listener(settings.host, settings.port) as here, _replicas(settings) as helpers:
        config = uvicorn.Config(
            application(Service(settings, helpers)),
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            ws="none",
            limit_concurrency=settings.limits.connections,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE,
            h11_max_incomplete_event_size=1 << 16,
        )
        sys.setswitchinterval(SWITCH)
        listening(url(settings.host, here.getsockname()[1]))
        uvicorn.Server(config).run(sockets=[here])


@contextmanager
def _replicas(settings: ServeSettings) -> Iterator[Replicas | None]:
    """Raises MissingExtra, and RetroError for a cluster that gives no worker."""
    if not settings.replicas:
        yield None
        return
    with closing(open_replicas(settings.ray_address, settings.replicas)) as found:
        yield found


def listener(host: str, port: int) -> socket.socket:
    """A bound socket. Raises UsageError for a port in use, or a host that is none of ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is in use", "--port names another; 0 takes a free one"
            ) from error
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}",
            "--host takes an address of this machine",
        ) from error


def url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
