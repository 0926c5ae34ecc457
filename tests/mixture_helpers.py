"""Tiny random BART, T5 and Llama that speak bytes, and evidence that is known beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from generate_helpers import hit
from model_helpers import shaken
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

from retro_cli.models.language import CAUSAL, SEQ2SEQ, LanguageModel
from retro_cli.readers.inputs import Form
from retro_cli.readers.interface import Evidence
from retro_cli.readers.mixture import MixtureReader
from retro_cli.readers.sequence import SequenceReader

WORDS = 288  # the 285 of the tokenizer, then:
BEGIN, END, PAD = 285, 286, 287
SPECIAL = {"pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}
CONFIGS = {
    "bart": BartConfig(
        vocab_size=WORDS, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24,
        max_position_embeddings=512, decoder_start_token_id=END, forced_eos_token_id=None,
        **SPECIAL,
    ),
    "t5": T5Config(
        vocab_size=WORDS, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2,
        decoder_start_token_id=PAD, pad_token_id=PAD, eos_token_id=END,
    ),
    "llama": LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, **SPECIAL,
    ),
}  # fmt: skip
TEXTS = (
    "the keeper lit the lamp",
    "the ferry left the harbour in the storm of the year",
    "a boat",
    "the lamp of the light was lit by Ines",
)
QUESTION = "who lit the lamp?"


def tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The byte-level BPE with special tokens of its own."""
    found = PreTrainedTokenizerFast(
        tokenizer_file=str(path), pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    assert (found.bos_token_id, found.eos_token_id, found.pad_token_id) == (BEGIN, END, PAD)
    return found


def network(kind: str, seed: int = 0, **changes):
    config = CONFIGS[kind].__class__(**{**CONFIGS[kind].to_dict(), **changes})
    loader = AutoModelForCausalLM if kind == "llama" else AutoModelForSeq2SeqLM
    model = shaken(loader.from_config(config), seed).eval()
    model.generation_config.forced_eos_token_id = None
    return model


def language_model(kind: str, path: Path, seed: int = 0, **changes) -> LanguageModel:
    what = CAUSAL if kind == "llama" else SEQ2SEQ
    return LanguageModel(path.parent, what, network(kind, seed, **changes), tokenizer(path))


def saved(kind: str, path: Path, folder: Path) -> Path:
    """The model as a folder that ``--model`` can name."""
    model = language_model(kind, path)
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def evidence(scores, texts=TEXTS, metric="ip") -> Evidence:
    hits = tuple(
        replace(hit(TEXTS.index(text), score), text=text, rank=rank)
        for rank, (score, text) in enumerate(zip(scores, texts, strict=False), 1)
    )
    return Evidence(QUESTION, hits, np.empty((len(hits), 0), np.int32), metric)


class Known:
    """Answers every look-up with the same evidence."""

    def __init__(self, found: Evidence):
        self.found, self.asked = found, []

    def search(self, queries, k):
        self.asked.append(list(queries))
        return [self.found for _ in queries]


def reader(model, sequence=False, **settings):
    return (SequenceReader if sequence else MixtureReader)(model, **settings)


def reading(model, found, sequence=False, **settings):
    """One that has its evidence already."""
    mine = reader(model, sequence, **settings)
    started = mine.start(mine.encode(QUESTION))
    if found is not None:
        assert started.queries() == [QUESTION]
        started.receive([found])
    return started


def stepped(started, target):
    """(n, vocabulary) log-probabilities before each token of a target."""
    found = []
    for token in target:
        found.append(started.step().logprobs[0])
        started.advance([0], [token])
    return torch.stack(found)


def alone(model, found, target):
    """(documents, n) log p(y_i | x, z, y_<i), each document in a pass of the network of its own."""
    form = Form.of(model)
    rows = []
    for each in found.hits:
        given = form.read(QUESTION, each)
        with torch.no_grad():
            if model.kind == CAUSAL:
                ids = torch.tensor([[*given, *target]])
                logits = model.network(ids).logits[0, len(given) - 1 : -1]
            else:
                start = model.network.config.decoder_start_token_id
                logits = model.network(
                    input_ids=torch.tensor([given]),
                    decoder_input_ids=torch.tensor([[start, *target[:-1]]]),
                ).logits[0]
        logprobs = logits.log_softmax(-1)
        rows.append(logprobs.gather(-1, torch.tensor(target)[:, None])[:, 0])
    return torch.stack(rows)
