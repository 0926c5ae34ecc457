"""A real S3 server on this machine, a bucket for each test, and a small database to put there."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from helpers import wordpiece
from remote_helpers import add_a_boat, forget_connections, small_database


@pytest.fixture(scope="session")
def s3_server():
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """Credentials for the server; the file system that reaches it."""
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    forget_connections()
    yield s3fs.S3FileSystem()
    forget_connections()


@pytest.fixture
def bucket(s3, tmp_path) -> str:
    """The URL of a new bucket."""
    name = f"bucket-{abs(hash(str(tmp_path))) % 10**12}"
    s3.mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def memory() -> str:
    """A URL in the memory of this process, where nothing is yet."""
    forget_connections()
    return "memory://somewhere/a.db"


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """A small database, and the same with a document more."""
    folder = tmp_path_factory.mktemp("remote")
    first = small_database(folder, wordpiece(folder))
    second = Path(shutil.copytree(first, folder / "updated.db"))
    add_a_boat(second)
    return first, second


@pytest.fixture
def local(built, tmp_path) -> Path:
    """A database of this test's own."""
    return Path(shutil.copytree(built[0], tmp_path / "a.db"))


@pytest.fixture
def update(built):
    """Gives a copy of the database a document more, as a build did elsewhere."""

    def updated(local: Path) -> None:
        shutil.copytree(built[1], local, dirs_exist_ok=True)

    return updated


@pytest.fixture
def in_blocks(monkeypatch):
    """Files of a kilobyte already are read in blocks."""
    monkeypatch.setattr("retro_cli.store.remote.push.WHOLE", 1000)
