"""A server on a port: generations that change under load, ports in use, the process itself."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from helpers import hear_interrupts, imported_by
from serving_helpers import BEARER, TOKEN, client, listening

from retro_cli.errors import UsageError
from retro_cli.serving.run import listener, url
from retro_cli.serving.settings import Limits

JSON = {"Content-Type": "application/json"}


def test_no_request_is_lost_while_generations_change_and_none_shows_what_is_out(copied):
    ended, failures, counts = threading.Event(), [], []
    hidden = threading.Event()  # while it is set, the forum is out

    def ask(host):
        connection = http.client.HTTPConnection(host, timeout=60)
        body = json.dumps({"text": "the keeper of the light", "k": 50})
        count, generations = 0, set()
        while not ended.is_set():
            before = hidden.is_set()
            connection.request("POST", "/v1/query", body, JSON)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            if answer.status != 200:
                failures.append(found)
                continue
            forum = any(hit["source"] == "forum" for hit in found["hits"])
            if before and hidden.is_set() and forum:
                failures.append("what a rule has taken was shown")
            count += 1
            generations.add(found["generation"])
        counts.append((count, len(generations)))

    with listening(copied, token=TOKEN) as base:
        host = base.removeprefix("http://")
        threads = [threading.Thread(target=ask, args=(host,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        writer = http.client.HTTPConnection(host, timeout=60)
        for number in range(1, 5):
            rule = json.dumps({"source": ["forum"], "reason": "insults"})
            _done(writer, "/v1/filters", rule)
            hidden.set()
            threading.Event().wait(0.05)
            hidden.clear()
            _done(writer, f"/v1/filters/{number}/undo", "{}")
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert all(count and generations > 1 for count, generations in counts), counts


def _done(connection, path, body):
    connection.request("POST", path, body, {**JSON, **BEARER})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()


def test_a_port_in_use_is_said_to_be_that():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 is in use"):
            listener("127.0.0.1", port)


def test_an_address_of_another_machine_cannot_be_listened_on():
    with pytest.raises(UsageError, match="cannot listen on 192"):
        listener("192.0.2.1", 0)


def test_the_address_of_a_page():
    assert url("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert url("::1", 80) == "http://[::1]:80"


def test_a_body_that_does_not_arrive_is_not_waited_for(kept):
    with listening(kept, limits=Limits(body_seconds=0.2)) as base:
        host, port = base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as slow:
            slow.sendall(
                b"POST /v1/query HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
            assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_the_command_serves_until_it_is_interrupted(kept):
    command = [sys.executable, "-m", "retro_cli", "serve", str(kept), "--port", "0", "--json"]
    environment = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=hear_interrupts,
    ) as process:  # fmt: skip
        where = json.loads(process.stdout.readline())["url"]
        connection = http.client.HTTPConnection(where.removeprefix("http://"), timeout=60)
        connection.request("GET", "/health")
        assert json.loads(connection.getresponse().read()) == {"ok": True}
        connection.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err


def test_what_is_wrong_is_said_before_anybody_asks(retro, tmp_path, db):
    assert "open to other machines" in retro("serve", db, "--host", "0.0.0.0").err
    assert retro("serve", tmp_path / "no.db").code == 2
    assert retro("serve", db, "--token", "short").code == 2


def test_help_imports_nothing_of_the_server():
    loaded = imported_by("serve", "--help") | imported_by("mcp", "--help")
    assert loaded.isdisjoint({"fastapi", "uvicorn", "pydantic", "mcp", "numpy", "torch"})


def test_queries_are_spread_over_the_helpers_that_a_server_has(kept):
    class Helpers:
        asked = 0

        def ask(self, function, pieces):
            self.asked += len(pieces)
            return [function(piece) for piece in pieces]

    helpers, found = Helpers(), []
    for chosen in (None, helpers):
        with client(kept, chosen) as asked:
            found.append(asked.post("/v1/query", json={"text": "the ferry", "k": 3}).json())
    assert found[0] == found[1]
    assert len(found[0]["hits"]) == 3
    assert helpers.asked >= 1
