"""Tiny causal language models in folders of their own, for readers that look at states."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
from generate_helpers import hit
from model_helpers import BASES, shaken
from transformers import AutoModelForCausalLM

from retro_cli.datastore.maker import key_model
from retro_cli.models.language import open_language_model
from retro_cli.readers.interface import Evidence

VOCABULARY = 300
PROMPT = "the ferry left the harbour in "


def saved_model(folder: Path, tokenizer: Path, kind: str = "llama", seed: int = 0) -> Path:
    """A model of random weights whose words are those of a tokenizer.json."""
    config = deepcopy(BASES[kind])
    config.vocab_size = VOCABULARY
    shaken(AutoModelForCausalLM.from_config(config), seed).save_pretrained(folder)
    shutil.copy(tokenizer, folder / "tokenizer.json")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def opened(folder: Path, window: int = 64):
    language = open_language_model(folder, device="cpu")
    return language, key_model(language, folder, window)


class Chunks:
    """Answers every look-up with the same chunks of made-up tokens, or by its text."""

    def __init__(self, count=3, length=9, by_text=False):
        self.count, self.length, self.by_text, self.asked = count, length, by_text, []

    def search(self, queries, k):
        self.asked.extend(queries)
        return [self._answer(text) for text in queries]

    def _answer(self, text):
        seed = int.from_bytes(text.encode(), "little") % (1 << 32) if self.by_text else 7
        tokens = np.random.default_rng(seed).integers(3, VOCABULARY, (self.count, self.length))
        hits = tuple(hit(seed % 1000 + number) for number in range(self.count))
        return Evidence(text, hits, tokens.astype(np.int32))


def ids(trace):
    return [token.token for token in trace.tokens]
