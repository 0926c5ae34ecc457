"""Tiny causal language models in folders of their own, for readers that look at states."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path

from model_helpers import BASES, shaken
from transformers import AutoModelForCausalLM

from retro_cli.datastore.maker import key_model
from retro_cli.models.language import open_language_model

VOCABULARY = 300


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
