"""A small database with a token datastore of a tiny model, whose tokens are not the database's."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import write_jsonl
from nearest_helpers import saved_model

from retro_cli import pipeline
from retro_cli.query.retrieve import Retriever
from retro_cli.store.layout import Layout


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, bpe_path) -> Path:
    return saved_model(tmp_path_factory.mktemp("tiny"), bpe_path)


@pytest.fixture
def layout(db, tiny) -> Layout:
    found = Layout(db)
    pipeline.datastore(found, tiny, window=32)
    return found


@pytest.fixture
def look(request):
    """Open a database's generation; it is closed at the end."""

    def open_it(layout: Layout) -> Retriever:
        retriever = Retriever(layout)
        request.addfinalizer(retriever.close)
        return retriever

    return open_it


@pytest.fixture
def succeed(retro):
    """Run ``retro ARGS``, which must succeed."""

    def run(*args: object):
        done = retro(*args)
        assert done.code == 0, done.err
        return done

    return run


@pytest.fixture
def island(succeed, static_encoder, tmp_path) -> tuple[Path, Path]:
    """Inputs and database of a document, its copy by another source, and a third."""
    root, db = tmp_path / "island", tmp_path / "island.db"
    root.mkdir()
    said = "the keeper of the light saw the storm. " * 4
    for name, source, text in (
        ("a", "bad", said), ("b", "good", said), ("c", "good", "the island boat " * 9)
    ):  # fmt: skip
        write_jsonl(root / f"{name}.jsonl", [{"id": name, "text": text, "source": source}])
    succeed("build", root, "--db", db, "--encoder", static_encoder, "--tokens", 16)
    return root, db
