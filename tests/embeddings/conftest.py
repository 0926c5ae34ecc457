"""A BERT of a few kilobytes, in the folder layout of sentence-transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import LETTERS, WORDS
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

LAYERS, HEADS, HIDDEN, INNER, POSITIONS = 2, 4, 32, 64, 48


def bert_tokenizer(folder: Path) -> int:
    """Save a WordPiece tokenizer with [CLS] and [SEP]; returns the size of its vocabulary."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *LETTERS, ".", "?"]
    pieces += [f"##{letter}" for letter in LETTERS]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # As in published models: the file asks for padding and a limit of its own.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(vocabulary)


def bert_tensors(words: int, seed: int) -> dict[str, np.ndarray]:
    """Random weights, large enough that every part of the network shows in the vectors."""
    random = np.random.default_rng(seed)

    def table(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.4).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": table(words, HIDDEN),
        "embeddings.position_embeddings.weight": table(POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": table(2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        linears = {f"attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        linears["attention.output.dense"] = (HIDDEN, HIDDEN)
        linears["intermediate.dense"] = (INNER, HIDDEN)
        linears["output.dense"] = (HIDDEN, INNER)
        for part, shape in linears.items():
            tensors[f"{name}.{part}.weight"] = table(*shape)
            tensors[f"{name}.{part}.bias"] = table(shape[0])
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    for norm in norms:
        tensors[f"{norm}.weight"] = 1 + table(HIDDEN)
        tensors[f"{norm}.bias"] = table(HIDDEN)
    return tensors


def write_bert(
    folder: Path,
    *,
    pooling: str = "mean",
    max_tokens: int = 40,
    seed: int = 0,
    prompts: dict[str, str] | None = None,
    **config: object,
) -> Path:
    """Write the folder; ``config`` overrides what config.json says."""
    folder.mkdir(parents=True, exist_ok=True)
    words = bert_tokenizer(folder)
    save_file(bert_tensors(words, seed), str(folder / "model.safetensors"), {"format": "pt"})
    described = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "vocab_size": words,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        **config,
    }
    (folder / "config.json").write_text(json.dumps(described))
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(steps)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": max_tokens, "do_lower_case": False})
    )
    modes = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pool = {f"pooling_mode_{name}": mode == pooling for name, mode in modes.items()}
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": HIDDEN, **pool})
    )
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": prompts or {}, "default_prompt_name": None})
    )
    return folder


@pytest.fixture
def make_bert(tmp_path) -> Callable[..., Path]:
    """Write a small BERT: ``make_bert(name="bert", **write_bert options)``."""

    def make(name: str = "bert", **options: object) -> Path:
        return write_bert(tmp_path / name, **options)

    return make
