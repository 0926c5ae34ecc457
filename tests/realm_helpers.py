"""A tiny BERT with a mask, a handful of chunks with names and numbers, and REALM's lesson."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from encoders import save_static_encoder
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from retro_cli.embeddings.resolve import resolve
from retro_cli.models.tower import Tower
from retro_cli.training.collapse import Window
from retro_cli.training.mining import Passages
from retro_cli.training.realm import Blanks, RealmLesson
from retro_cli.training.refresh import FreshIndex, encode_all
from retro_cli.training.tasks import chunk_clozes, cloze_tasks

TEXTS = [f"the keeper of isle {n} lit the lamp in {1800 + n} and rowed Ines home" for n in range(9)]
WORDS = sorted({word for text in TEXTS for word in text.lower().split()})
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def masked_tokenizer() -> PreTrainedTokenizerFast:
    pieces = {piece: number for number, piece in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


def masked_folder(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS) + len(SPECIAL), hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=24, max_position_embeddings=64,
        hidden_dropout_prob=0.1, pad_token_id=0,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    masked_tokenizer().save_pretrained(folder)
    return folder


def word_encoder(folder: Path) -> Path:
    """A static encoder of 12 dimensions that knows the words."""
    return save_static_encoder(folder, masked_tokenizer().backend_tokenizer.to_str(), dim=12)


def realm_lesson(folder: Path, settings, every: int, k: int = 3) -> RealmLesson:
    documents = Tower.open(resolve(str(word_encoder(folder / "encoder"))))
    network = BertForMaskedLM.from_pretrained(masked_folder(folder / "bert")).eval()
    ids = np.arange(10, 10 + len(TEXTS), dtype=np.int64)
    passages = Passages(ids, TEXTS, [f"d{n}" for n in ids])
    index = FreshIndex(ids, TEXTS, encode_all(documents, TEXTS), documents, every)
    return RealmLesson(
        network, Blanks(masked_tokenizer(), 64), documents.copy(), index,
        cloze_tasks(chunk_clozes(passages), settings), k=k, temperature=0.2,
        window=Window(16, documents=len(TEXTS)),
    )  # fmt: skip
