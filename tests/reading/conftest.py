"""A database of posts, and texts that are not among them."""

from __future__ import annotations

import pytest
from helpers import write_jsonl
from text_table_helpers import CORPUS, HELD, TOKENS, build

from retro_cli.chunks.tokenizer import ChunkTokenizer


@pytest.fixture
def posts(retro, static_encoder, tmp_path):
    """Documents of several chunks, one of them twice, and texts that are not among them."""
    corpus = [*CORPUS, {"id": "copy", "text": CORPUS[0]["text"], "source": "copies"}]
    write_jsonl(tmp_path / "posts.jsonl", corpus)
    write_jsonl(tmp_path / "held.jsonl", HELD)
    return build(retro, static_encoder, tmp_path / "posts.db")


@pytest.fixture
def cutter(bpe_path):
    return ChunkTokenizer(bpe_path, cut="exact", size=TOKENS)
