"""A model of the hub: fetched only when that is asked for, and then there without a network.

The hub is a server on loopback that answers as the real one does where it matters here: which
commit "main" is, the commit's tree, and its files.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "acme/tiny-static"


@dataclass
class Hub:
    url: str
    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    breaks: bool = False  # in the middle of the weights

    @property
    def fetched(self) -> set[str]:
        return {path.partition(COMMIT + "/")[2] for path in self.asked if "/resolve/" in path}


@pytest.fixture
def hub(static_encoder: Path) -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in static_encoder.iterdir() if path.is_file()}
    files |= {"pytorch_model.bin": b"a pickle", "modeling.py": b"raise SystemExit('ran')"}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            path = self.path.partition("?")[0]
            name = path.removeprefix(f"/{NAME}/resolve/{COMMIT}/")
            if path == f"/api/models/{NAME}/revision/main":
                self.send({"id": NAME, "sha": COMMIT, "siblings": []})
            elif path == f"/api/models/{NAME}/tree/{COMMIT}":
                self.send([
                    {"type": "file", "path": name, "size": len(data), "oid": digest(data)}
                    for name, data in files.items()
                ])  # fmt: skip
            elif name in files:
                self.send(files[name])
            else:
                self.send({"error": "Repository not found"}, 404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def send(self, value: object, code: int = 200) -> None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{digest(data)}"')
            if code == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if self.command == "GET":
                broken = here.breaks and self.path.endswith("model.safetensors")
                self.wfile.write(data[: len(data) // 2] if broken else data)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    here = Hub(f"http://127.0.0.1:{server.server_port}", files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield here
    server.shutdown()
    server.server_close()


def digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def chunked(retro, archive, static_encoder, tmp_path: Path) -> Path:
    assert retro("chunk", archive, "--db", "h.db", "--tokenizer", static_encoder).code == 0
    return tmp_path / "h.db"


def embed(db: Path, hub: Hub, *more: str, name: str = NAME) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's library reads its settings when it is imported."""
    unset = ("HF_", "TRANSFORMERS_", "RETRO_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(unset)}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(db.parent / "hf")}
    command = [sys.executable, "-m", "retro_cli", "embed", str(db), "--encoder", f"hf:{name}"]
    return subprocess.run(
        [*command, *more], capture_output=True, text=True, env=environment, timeout=120
    )


def test_nothing_is_asked_of_the_hub_unless_the_user_allows_it(chunked: Path, hub: Hub) -> None:
    done = embed(chunked, hub)
    assert done.returncode == 2
    assert "--download" in done.stderr
    assert hub.asked == []


def test_a_model_that_was_fetched_once_needs_no_hub_again(chunked: Path, hub: Hub) -> None:
    done = embed(chunked, hub, "--download")
    assert done.returncode == 0, done.stderr
    assert "%|" not in done.stderr
    assert {"model.safetensors", "modules.json", "tokenizer.json"} <= hub.fetched
    asked = len(hub.asked)
    again = embed(chunked, hub)
    assert again.returncode == 0, again.stderr
    assert len(hub.asked) == asked


def test_neither_pickles_nor_code_are_fetched(chunked: Path, hub: Hub) -> None:
    assert embed(chunked, hub, "--download").returncode == 0
    assert hub.fetched
    assert not {name for name in hub.fetched if name.endswith((".bin", ".py"))}


def test_the_vectors_are_those_of_the_same_weights_in_a_folder(
    chunked: Path, hub: Hub, retro, static_encoder: Path
) -> None:
    assert embed(chunked, hub, "--download").returncode == 0
    assert retro("export", chunked, "hub.npy").code == 0
    assert retro("embed", chunked, "--encoder", static_encoder).code == 0
    assert retro("export", chunked, "folder.npy").code == 0
    folder = chunked.parent
    assert (folder / "hub.npy").read_bytes() == (folder / "folder.npy").read_bytes()


def test_a_name_that_the_hub_does_not_know_is_refused_in_one_line(chunked: Path, hub: Hub) -> None:
    done = embed(chunked, hub, "--download", name="acme/nothing")
    assert done.returncode == 2
    assert "hf:acme/nothing" in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr


def test_a_download_that_was_cut_short_is_not_taken_for_the_model(chunked: Path, hub: Hub) -> None:
    hub.breaks = True
    done = embed(chunked, hub, "--download")
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()[-2:]  # the hub's client says before how often it tried
    assert error.startswith("error: hf:acme/tiny-static could not be fetched")
    assert "try again" in hint
    without = embed(chunked, hub)
    assert without.returncode == 2
    assert "--download" in without.stderr
    hub.breaks = False
    assert embed(chunked, hub, "--download").returncode == 0
