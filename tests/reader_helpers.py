"""Tiny causal language models that speak bytes, and retrievers that say the same of a text."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from generate_helpers import VOCABULARY
from model_helpers import BASES, shaken
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from retro_cli.models.language import CAUSAL, LanguageModel
from retro_cli.query.retrieve import Hit
from retro_cli.readers.interface import Evidence

CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def language_model(bpe_path, kind="llama", *, window=512, end=None, seed=0, chat=False):
    """Random weights that speak the words of the ``bpe_path`` fixture."""
    config = deepcopy(BASES[kind])
    config.vocab_size, config.eos_token_id = VOCABULARY, end
    config.max_position_embeddings = window
    network = shaken(AutoModelForCausalLM.from_config(config), seed).eval()
    network.generation_config.eos_token_id = end
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(bpe_path))
    if chat:
        tokenizer.chat_template = CHAT
    return LanguageModel(Path("tiny"), CAUSAL, network, tokenizer)


def saved_language_model(folder, bpe_path, **settings):
    """The same in a folder."""
    model = language_model(bpe_path, **settings)
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def text_hit(text, number=0, *, title="", continuation=""):
    return Hit(
        rank=number + 1, score=0.9 - number / 10, chunk=number, document=f"d{number}",
        source=f"s{number}.txt", title=title, text=text, continuation=continuation, start=0,
        end=len(text), position=0,
    )  # fmt: skip


class Library:
    """Finds texts that depend on the query alone, as different in length as texts are."""

    def __init__(self, nothing=False):
        self.nothing, self.asked = nothing, []

    def search(self, queries, k):
        self.asked.append(list(queries))
        return [self.about(query, k) for query in queries]

    def about(self, query, k):
        seed = int.from_bytes(query.encode(), "little") % (1 << 32)
        words = np.random.default_rng(seed).choice(["the", "ferry", "lamp", "keeper", "lit"], 40)
        hits = tuple(
            text_hit(" ".join(words[: 3 + (seed + number) % 9]), number) for number in range(k)
        )
        return Evidence(query, () if self.nothing else hits, np.empty((0, 0), dtype=np.int32))


def plain_logprobs(model, ids):
    """(n, vocabulary) log-probabilities after each token, from one pass without a cache."""
    with torch.inference_mode():
        return model.network(torch.tensor([list(ids)])).logits[0].float().log_softmax(-1)
