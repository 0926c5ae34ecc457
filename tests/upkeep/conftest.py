"""Small databases for rules, and commands that must succeed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import Result, write_jsonl
from safetensors.numpy import load_file, save_file
from upkeep_library import Library, posts


@pytest.fixture
def library(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    library.write("a", posts("bad", "the boat was rude", "the rude ferry", "a rude storm"))
    library.write("b", posts("good", "the boat was kind", "the kind ferry", "a kind storm"))
    library.update()
    return library


@pytest.fixture
def twins(tmp_path, static_encoder):
    """Two sources that share a first chunk and go on in their own words."""
    library = Library(tmp_path, static_encoder, tokens=4, dedup="chunk")
    library.write("a", posts("a", "the boat the storm the ferry ferry ferry"))
    library.write("b", posts("b", "the boat the storm the light light light"))
    library.write("c", posts("c", "the island harbour the"))
    library.update()
    return library


@pytest.fixture
def succeed(retro) -> Callable[..., Result]:
    """Run ``retro ARGS``, which must succeed."""

    def run(*args: object) -> Result:
        done = retro(*args)
        assert done.code == 0, done.err
        return done

    return run


@pytest.fixture
def ask(succeed) -> Callable[..., list[dict]]:
    """The hits of one question: ``ask(db, text, k)``."""
    return lambda db, text, k=99: succeed("query", db, text, "-k", k, "--json").rows[0]["hits"]


@pytest.fixture
def name_sources(succeed) -> Callable[..., Result]:
    """Add a rule that takes whole sources: ``name_sources(db, source, ...)``."""

    def add(db: Path, *sources: str) -> Result:
        named = [word for source in sources for word in ("--source", source)]
        return succeed("filter", "add", db, *named, "--reason", "named")

    return add


@pytest.fixture
def score_word(succeed, tmp_path) -> Callable[..., dict]:
    """Score by a list of one word, as ``words``: ``score_word(db, word)``."""

    def score(db: Path, word: str) -> dict:
        (tmp_path / "words.txt").write_text(f"{word}\n")
        ask = ("--scorer", "words:words.txt", "--as", "words", "--json")
        return succeed("filter", "score", db, *ask).rows[0]

    return score


@pytest.fixture
def take_word(succeed, score_word) -> Callable[..., Result]:
    """Score by a word and add a rule that takes what reaches a share of it."""

    def take(db: Path, word: str, share: float, *how: str) -> Result:
        score_word(db, word)
        limit = ("--min-toxicity", share, "--scores", "words")
        return succeed("filter", "add", db, *limit, *how, "--reason", "rude", "--yes")

    return take


@pytest.fixture
def other_encoder(static_encoder, tmp_path) -> Path:
    """The static encoder with other weights."""
    folder = tmp_path / "other"
    shutil.copytree(static_encoder, folder)
    weights = folder / "model.safetensors"
    shape = load_file(weights)["embedding.weight"].shape
    table = np.random.default_rng(9).standard_normal(shape).astype(np.float32)
    save_file({"embedding.weight": table}, weights)
    return folder


@pytest.fixture
def island(succeed, static_encoder, tmp_path) -> tuple[Path, Path]:
    """Inputs and database of three builds: a document, its copy by another source, a third."""
    root, db = tmp_path / "island", tmp_path / "island.db"
    root.mkdir()
    said = "the keeper of the light saw the storm. " * 4
    settings = ["--encoder", static_encoder, "--tokens", 16]
    for name, source, text in (
        ("a", "bad", said), ("b", "good", said), ("c", "good", "the island boat " * 9)
    ):  # fmt: skip
        write_jsonl(root / f"{name}.jsonl", [{"id": name, "text": text, "source": source}])
        succeed("build", root, "--db", db, *settings)
        settings = []
    return root, db


@pytest.fixture
def copied(succeed, ask, static_encoder, tmp_path) -> tuple[Path, Path]:
    """Inputs and database of a document that a rule takes with its copies, and one it leaves."""
    root, db = tmp_path / "copied", tmp_path / "copied.db"
    root.mkdir()
    said = "the keeper of the light saw the storm. "
    write_jsonl(root / "a.jsonl", [{"id": "a", "text": said, "source": "bad"}])
    kept = [
        {"id": "b", "text": said, "source": "good"},
        {"id": "c", "text": "the island boat " * 3, "source": "good"},
    ]
    write_jsonl(root / "b.jsonl", kept)
    succeed("build", root, "--db", db, "--encoder", static_encoder, "--tokens", 16)
    succeed("filter", "add", db, "--source", "bad", "--copies", "exact", "--reason", "named")
    assert {hit["document"] for hit in ask(db, "the keeper")} == {"c"}
    return root, db
