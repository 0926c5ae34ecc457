"""What a server is started with, and what it allows."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from retro_cli.asking.endpoint import Endpoint
from retro_cli.errors import UsageError

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
LEAST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Limits:
    """Bounds on what one request may cost.

    body: bytes. body_seconds: for it to arrive. waiting: requests in a lane, that in work too.
    The seconds are those from arrival to answer: of a query, of what reads whole tables, and of a
    model's text. hits, context, tokens, beams: the most that may be asked for.
    """

    body: int = 1 << 20
    body_seconds: float = 10.0
    connections: int = 128
    waiting: int = 64
    waiting_for_tables: int = 8
    waiting_for_models: int = 4
    query_seconds: float = 10.0
    table_seconds: float = 60.0
    model_seconds: float = 120.0


@dataclass(frozen=True)
class ServeSettings:
    """token: what changes need, and from another host everything; None allows no changes.

    names: that a request may call the host by, besides addresses and the local ones.
    models: each reader takes the first that it can use, else its default. device, rerank, endpoint:
    as the commands take them. A request can name none of these.
    replicas: workers of the Ray cluster at ray_address, that scan the index's segments; 0 for none.
    """

    db: Path
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    names: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    device: str = "auto"
    rerank: str = ""
    query_encoder: str = ""
    endpoint: Endpoint | None = None
    limits: Limits = field(default_factory=Limits)
    replicas: int = 0
    ray_address: str = ""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOCAL_NAMES

    def check(self) -> None:
        """Raises UsageError for what is not safe."""
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise UsageError(
                f"a token of {len(self.token)} characters", f"{LEAST_TOKEN} or more, at random"
            )
        if not self.local and self.token is None:
            raise UsageError(
                f"--host {self.host} is open to other machines", "set RETRO_TOKEN, or leave --host"
            )
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"--port {self.port}", "0 to 65535; 0 takes a free one")

    def calls_us(self, name: str) -> bool:
        """Whether a Host header's name is one of ours.

        A web page can let a name of its own point here (DNS rebinding), but not an address.
        """
        if name in (*LOCAL_NAMES, self.host, *self.names):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not self.local
