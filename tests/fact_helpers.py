"""A world of facts, entity relation value, drawn anew for every batch, and a tiny BART that reads.

Nothing can be learned by heart: what a question's answer is stands in the retrieved chunk only.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

from retro_cli.embeddings.resolve import resolve
from retro_cli.models.tower import Tower
from retro_cli.query.retrieve import Hit
from retro_cli.training.collapse import Window
from retro_cli.training.rag import Found, RagLesson, Task

ENTITIES = [f"isle{n}" for n in range(20)]
RELATIONS = [f"has{n}" for n in range(5)]
VALUES = [f"gold{n}" for n in range(30)]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
WORDS = [*SPECIAL, "/", *ENTITIES, *RELATIONS, *VALUES]
PAD, BEGIN, END = 0, 1, 2
DIM = 48


def word_tokenizer() -> Tokenizer:
    """One token a word; a text ends with </s> where special tokens are asked for."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        "$A </s>", special_tokens=[("</s>", 2)]
    )
    return tokenizer


def encoder_folder(folder: Path) -> Path:
    """A static encoder whose vectors know words, and nothing of the values: lexical scores."""
    folder.mkdir(parents=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS[len(SPECIAL) :]]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(pieces[:5])
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(5).standard_normal((len(pieces), DIM)).astype(np.float32)
    named = len(pieces) - len(VALUES)
    table[:5] = table[5] = 0.0
    table[named:] *= 0.2
    save_file({"embedding.weight": table}, str(folder / "model.safetensors"))
    kind = "sentence_transformers.models.StaticEmbedding"
    modules = [{"idx": 0, "name": "0", "path": "", "type": kind}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def bart_folder(folder: Path, seed: int = 0) -> Path:
    """A BART of about 25,000 weights, random."""
    torch.manual_seed(seed)
    config = BartConfig(
        vocab_size=len(WORDS), d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_ffn_dim=64, max_position_embeddings=32, dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0, pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END,
        decoder_start_token_id=END, forced_eos_token_id=None, init_std=0.1, scale_embedding=False,
    )  # fmt: skip
    model = BartForConditionalGeneration(config)
    model.generation_config.forced_eos_token_id = None
    model.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(), pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>",
    )  # fmt: skip
    fast.save_pretrained(folder)
    return folder


def fact(entity: str, relation: str, value: str) -> str:
    return f"{entity} {relation} {value}"


def hit(chunk: int, text: str) -> Hit:
    return Hit(
        rank=1, score=0.0, chunk=chunk, document="", source="", title=text.split()[0], text=text,
        continuation="", start=0, end=len(text), position=0,
    )  # fmt: skip


class World:
    """The facts of each batch, and the shelf that they stand on."""

    def __init__(self, tower: Tower, batch: int, k: int, seed: int = 0) -> None:
        self.tower, self.batch, self.k, self.seed = tower.snapshot(), batch, k, seed
        self.facts: list[list[str]] = []

    def at(self, step: int) -> list[Task]:
        """Each question with k facts: its own; of its entity, its relation, neither."""
        random = np.random.default_rng([self.seed, step])
        tasks: list[Task] = []
        self.facts = []
        for _ in range(self.batch):
            entities = random.permutation(ENTITIES)[: self.k]
            relations = random.permutation(RELATIONS)[: self.k]
            values = random.choice(VALUES, self.k)
            pairs = [(0, 0), (0, 1), (1, 0), *((n, n) for n in range(2, self.k - 1))]
            self.facts.append(
                [
                    fact(entities[a], relations[b], v)
                    for (a, b), v in zip(pairs, values, strict=False)
                ]
            )
            question = f"{entities[0]} {relations[0]}"
            tasks.append(Task(question, (WORDS.index(values[0]), END)))
        return tasks

    def find(self, queries, k):
        found = []
        for number, texts in enumerate(self.facts):
            with torch.no_grad():
                vectors = self.tower.documents(texts).numpy()
            order = np.argsort(-(vectors @ queries[number]))[:k]
            hits = tuple(hit(100 * number + int(place), texts[place]) for place in order)
            found.append(Found(hits, vectors[order]))
        return found


def read(question: str, found: Hit) -> list[int]:
    """As the readers do: title, text, question."""
    text = f"{found.title} / {found.text} / / {question}"
    return [WORDS.index(word) for word in text.split()] + [END]


def lesson(folder: Path, objective: str = "rag-token", batch: int = 32, k: int = 4) -> RagLesson:
    tower = Tower.open(resolve(str(encoder_folder(folder / "encoder"))))
    network = BartForConditionalGeneration.from_pretrained(bart_folder(folder / "bart"))
    world = World(tower, batch, k)
    return RagLesson(
        objective, network, "sequence-to-sequence", tower, world, world.at, read, k=k,
        temperature=0.5, window=Window(),
    )  # fmt: skip
