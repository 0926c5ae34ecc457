"""Whether a Ray cluster answers at an address: asked by a process that can be given up.

``ray.init`` waits for minutes where nobody answers, and may then end its process. Run as
``python -m retro_cli.engine.knock ADDRESS``; prints why it could not join.
"""

from __future__ import annotations

import socket
import subprocess
import sys

from retro_cli.errors import RetroError, UsageError

SECONDS = 60.0  # for a process to start, import Ray and join
_CONNECT = 5.0
_HINT = "see that 'ray status' answers there; the address is the head node's, HOST:6379"


def require_cluster(address: str) -> None:
    """Raises UsageError for what is no address, RetroError if nobody answers there in time, or who
    answers cannot be joined."""
    host, colon, port = address.rpartition(":")
    if "://" in address or (address != "auto" and not (host and colon and port.isdigit())):
        raise UsageError(
            f"'{address}' is no address of a Ray cluster",
            "give HOST:PORT, as 'ray start --head' prints it, on a machine of the cluster",
        )
    if address != "auto":
        _connect(host, int(port), address)
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "retro_cli.engine.knock", address],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RetroError(f"no Ray cluster answers at {address}", _HINT) from None
    if asked.returncode:
        why = asked.stdout.strip() or "it ended without a word"
        raise RetroError(f"the Ray cluster at {address} cannot be joined: {why}", _HINT)


def _connect(host: str, port: int, address: str) -> None:
    """The common case, a machine that is not there, without starting a process."""
    try:
        socket.create_connection((host, port), timeout=_CONNECT).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise RetroError(f"no Ray cluster answers at {address} ({error})", _HINT) from error


def _knock(address: str) -> str:
    """Join and leave. Returns why not, or ""."""
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        ray.shutdown()
    except (RuntimeError, ConnectionError, ValueError) as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    return ""


if __name__ == "__main__":
    reason = _knock(sys.argv[1])
    sys.stdout.write(reason)
    sys.exit(1 if reason else 0)
