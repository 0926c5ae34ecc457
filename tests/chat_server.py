"""A loopback server that answers chat completions in the ways that servers do, good and bad."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def event(text=None, finish=None):
    choice = {"index": 0, "delta": {} if text is None else {"content": text}}
    return {"choices": [{**choice, "finish_reason": finish}]}


def streamed(*pieces, done=True):
    """The lines of a whole answer in pieces."""
    events = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}]
    events += [event(piece) for piece in pieces]
    if done:
        events.append(event(finish="stop"))
    lines = [f"data: {json.dumps(each)}" for each in events] + (["data: [DONE]"] if done else [])
    return "\n\n".join(lines) + "\n\n"


class Served:
    """status, headers, body: what every request gets. wait: seconds before a word is said."""

    def __init__(self):
        self.status, self.kind, self.body = 200, "text/event-stream", streamed("Paris", " [1]")
        self.models = ["small"]
        self.wait, self.headers, self.asked, self.url = 0.0, {}, [], ""

    def says(self, value, kind="application/json", status=200):
        self.body = value if isinstance(value, (str, bytes)) else json.dumps(value)
        self.kind, self.status = kind, status


@contextmanager
def serving():
    served, stop = Served(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            served.asked.append((self.path, dict(self.headers), None))
            self._send(
                200, "application/json", json.dumps({"data": [{"id": n} for n in served.models]})
            )

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.asked.append((self.path, dict(self.headers), body))
            stop.wait(served.wait)
            self._send(served.status, served.kind, served.body)

        def _send(self, status, kind, body):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else body.encode())

        def log_message(self, *_):
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield served
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
