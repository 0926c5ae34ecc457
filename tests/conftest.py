"""Fixtures that every test may use: tokenizers of a few words, small corpora, no network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from helpers import Result, byte_bpe, wordpiece, write_jsonl
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")


# How long an example takes says something of the machine, not of the code. `make test` tries the
# same examples each time, so that a change is judged by what it changes; `make hunt` looks for new
# ones, and what it finds becomes an @example.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("hunt", deadline=None, max_examples=1000)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def wordpiece_path(tmp_path_factory) -> Path:
    return wordpiece(tmp_path_factory.mktemp("wordpiece"))


@pytest.fixture(scope="session")
def bpe_path(tmp_path_factory) -> Path:
    return byte_bpe(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch, tmp_path):
    """No colours, no user settings, no user cache, whatever the machine has."""
    for name in list(os.environ):
        if name.startswith("RETRO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


@pytest.fixture(scope="session")
def static_encoder(tmp_path_factory) -> Path:
    """A sentence-transformers StaticEmbedding folder of 24 dimensions: instant and real."""
    from encoders import save_static_encoder

    return save_static_encoder(tmp_path_factory.mktemp("static"))


@pytest.fixture
def archive(tmp_path) -> Path:
    """A small corpus of several formats about an island."""
    root = tmp_path / "archive"
    (root / "notes").mkdir(parents=True)
    for number in range(6):
        story = f"the ferry number {number} left the harbour in storm {number * 7}. "
        (root / "notes" / f"{number}.md").write_text(f"# Ferry {number}\n\n" + story * (number + 1))
    (root / "light.txt").write_text("the keeper of the light saw the boat. " * 12)
    (root / "page.html").write_text("<html><title>Boats</title><body><p>the boat</p></body></html>")
    posts = [
        {"id": f"p{n}", "text": f"a letter about boat {n} and keeper {n}", "year": 1990 + n,
         "source": "letters" if n % 2 else "forum"}
        for n in range(10)
    ]  # fmt: skip
    write_jsonl(root / "posts.jsonl", posts)
    return root


@pytest.fixture
def retro(capfd, monkeypatch, tmp_path):
    """Run ``retro ARGS`` in this process, through the same ``main`` as the installed command."""
    from retro_cli.cli.app import main

    monkeypatch.chdir(tmp_path)

    def run(*args: object, stdin: bytes | None = None) -> Result:
        monkeypatch.setattr(sys, "argv", ["retro", *map(str, args)])
        if stdin is not None:
            (tmp_path / "stdin").write_bytes(stdin)
            monkeypatch.setattr(sys, "stdin", (tmp_path / "stdin").open(encoding="utf-8"))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def db(retro, archive, static_encoder, tmp_path) -> Path:
    """The archive, built with the tiny static encoder."""
    path = tmp_path / "a.db"
    built = retro("build", archive, "--db", path, "--encoder", static_encoder, "--tokens", 16)
    assert built.code == 0, built.err
    return path
