"""Fixtures that every test may use: tokenizers of a few words, small corpora, no network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

os.environ.setdefault("HF_HUB_OFFLINE", "1")

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = ["the", "ferry", "harbour", "light", "keeper", "island", "storm", "boat", "##s", "##ing"]


def wordpiece(folder: Path) -> Path:
    """A BERT-style tokenizer that knows a few words, and spells out all others."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS]
    pieces += [f"##{letter}" for letter in LETTERS] + list(".,;:!?'\"()-")
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def byte_bpe(folder: Path) -> Path:
    """A byte-level BPE like GPT-2's, trained on two sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["the ferry left the harbour", "the keeper lit the lamp"], trainer)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def wordpiece_path(tmp_path_factory) -> Path:
    return wordpiece(tmp_path_factory.mktemp("wordpiece"))


@pytest.fixture(scope="session")
def bpe_path(tmp_path_factory) -> Path:
    return byte_bpe(tmp_path_factory.mktemp("bpe"))


def write_jsonl(path: Path, records: list[dict]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


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
