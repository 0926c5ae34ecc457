"""Tiny RETRO models that speak bytes, and retrievers whose answers are known beforehand."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from model_helpers import BASES, shaken
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from retro_cli.models.retro import RetroForCausalLM
from retro_cli.query.retrieve import Hit
from retro_cli.readers.interface import Evidence
from retro_cli.readers.retro import RetroReader

VOCABULARY = 300


def speaking(m=4, *, end=None, seed=0, shake=True, **settings):
    """A model of random weights whose words are those of the ``bpe_path`` fixture."""
    config = deepcopy(BASES["llama"])
    config.vocab_size, config.eos_token_id = VOCABULARY, end
    base = shaken(AutoModelForCausalLM.from_config(config), seed).eval()
    chosen = {"cca_layers": [2, 3], "encoder_width": 12, "encoder_heads": 3, **settings}
    model = RetroForCausalLM.from_base(base, chunk_length=m, **chosen)
    if shake:
        shaken(model.added, seed + 1)
    return model


def reader(model, path, **settings):
    return RetroReader(model, Tokenizer.from_file(str(path)), **settings)


def hit(chunk, score=0.5):
    return Hit(
        rank=1, score=score, chunk=chunk, document=f"d{chunk}", source=f"s{chunk}.txt", title="",
        text=f"text {chunk}", continuation="", start=0, end=6, position=0,
    )  # fmt: skip


class Fixed:
    """Answers the n-th look-up with the n-th entry of a table (look-ups, k, r), all beams alike."""

    def __init__(self, table):
        self.table = table.numpy().astype(np.int32)
        self.place = 0

    def search(self, queries, k):
        prompt = not self.place  # all its chunks come together; later queries are those of beams
        places = [self.place + (row if prompt else 0) for row in range(len(queries))]
        self.place = places[-1] + 1
        return [
            Evidence(
                text,
                tuple(hit(100 * at + number) for number in range(self.table.shape[1])),
                self.table[at],
            )
            for text, at in zip(queries, places, strict=True)
        ]


class ByText:
    """Answers a text with tokens that depend on the text alone."""

    def __init__(self, k=2, r=8):
        self.k, self.r, self.asked = k, r, []

    def search(self, queries, k):
        self.asked.append(list(queries))
        return [self._answer(text) for text in queries]

    def _answer(self, text):
        seed = int.from_bytes(text.encode(), "little") % (1 << 32)
        found = np.random.default_rng(seed).integers(3, VOCABULARY, (self.k, self.r))
        hits = tuple(hit(seed % 1000 + number) for number in range(self.k))
        return Evidence(text, hits, found.astype(np.int32))


class Renewed(ByText):
    """Another database than before from the n-th step on, which shows what ``shown`` says."""

    def __init__(self, step, shown, **sizes):
        super().__init__(**sizes)
        self.left, self.shown = step, shown

    def renewed(self):
        self.left -= 1
        return None if self.left else self.shown

    def _answer(self, text):
        return super()._answer(text if self.left > 0 else text + "!")


def table(looks, k=2, r=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (looks, k, r), generator=generator)
