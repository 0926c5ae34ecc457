"""A small database with hostile words in it, and servers of it: in this process, and on a port."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.testclient import TestClient

from retro_cli.database import Database
from retro_cli.serving.app import application
from retro_cli.serving.run import listener
from retro_cli.serving.service import Service
from retro_cli.serving.settings import ServeSettings
from retro_cli.store.layout import Layout
from retro_cli.upkeep.scoring import score_database

TOKEN = "0123456789abcdef-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def corpus(folder: Path) -> Path:
    """Thirty letters, ten of them of a forum; one is full of HTML."""
    posts = [
        {"id": f"p{n}", "title": f"Letter {n}", "year": 1990 + n,
         "source": "forum" if n % 3 == 0 else "letters",
         "text": f"the keeper {n} of the light saw boat {n * 7} in the storm. the ferry left. " * 3}
        for n in range(30)
    ]  # fmt: skip
    posts.append(
        {
            "id": "evil",
            "title": EVIL,
            "source": f"s/{EVIL}",
            "year": 1,
            "text": f"the harbour {EVIL}",
        }
    )
    path = folder / "posts.jsonl"
    path.write_text("".join(json.dumps(post) + "\n" for post in posts), encoding="utf-8")
    return path


def built(folder: Path, encoder: Path, scored: bool = True) -> Path:
    db = folder / "a.db"
    Database.build(
        db, corpus(folder), encoder=str(encoder), tokens=24, source_field="source"
    ).close()
    if scored:
        words = folder / "list.txt"
        words.write_text("storm\n")
        score_database(Layout(db), f"words:{words}", name="w")
    return db


@contextmanager
def client(db: Path, helpers=None, **settings) -> Iterator[TestClient]:
    """Talks to a server in this process, as from this machine."""
    app = application(Service(ServeSettings(db, **settings), helpers))
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as found:
        yield found


@contextmanager
def listening(db: Path, **settings) -> Iterator[str]:
    """A server on a free port; its URL."""
    chosen = ServeSettings(db, port=0, **settings)
    with listener(chosen.host, 0) as here:
        config = uvicorn.Config(
            application(Service(chosen)), access_log=False, log_level="error", ws="none",
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [here]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server ended before it began"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{here.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
