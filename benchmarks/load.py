"""A load generator: some connections, each of which asks as soon as it is answered."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Load:
    """seconds: of the whole; latencies: ms of each request; failed: those not answered with 200."""

    seconds: float
    latencies: list[float]
    failed: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return (len(self.latencies) - self.failed) / self.seconds


def request(path: str, body: dict[str, Any]) -> bytes:
    """A POST as it goes over the wire."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def load(port: int, requests: Sequence[bytes], connections: int) -> Load:
    """Send every request once, over so many connections at a time."""
    latencies, failed, lock = [], [0], threading.Lock()
    waiting = iter(requests)

    def work() -> None:
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    one = next(waiting, None)
                if one is None:
                    return
                begun = time.perf_counter()
                line.sendall(one)
                ok = _answered(line)
                took = 1000 * (time.perf_counter() - begun)
                with lock:
                    latencies.append(took)
                    failed[0] += not ok

    begun = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(time.perf_counter() - begun, latencies, failed[0])


def _answered(line: socket.socket) -> bool:
    """Read one answer to its end; whether it is one."""
    have = b""
    while b"\r\n\r\n" not in have:
        piece = line.recv(1 << 16)
        if not piece:
            return False
        have += piece
    head, _, body = have.partition(b"\r\n\r\n")
    length = next(
        int(row.split(b":")[1])
        for row in head.split(b"\r\n")
        if row.lower().startswith(b"content-length:")
    )
    left = length - len(body)
    while left > 0:
        piece = line.recv(min(left, 1 << 16))
        if not piece:
            return False
        left -= len(piece)
    return head.startswith(b"HTTP/1.1 200")


def main() -> None:
    """``load.py PORT CONNECTIONS FILE``: the bodies as JSON, a line each; prints a Load."""
    port, connections, path = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    bodies = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
    found = load(port, [request("/v1/query", body) for body in bodies], connections)
    print(json.dumps(vars(found)))


if __name__ == "__main__":
    main()
