"""A sentence-transformers StaticEmbedding folder of random vectors: instant and real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from helpers import wordpiece
from safetensors.numpy import save_file


def save_static_encoder(folder: Path, tokenizer: str = "", dim: int = 24) -> Path:
    """tokenizer: the text of a tokenizer.json, one of a few words if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer:
        (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    else:
        wordpiece(folder)
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    table = np.random.default_rng(3).standard_normal((len(model["vocab"]), dim))
    save_file({"embedding.weight": table.astype(np.float32)}, str(folder / "model.safetensors"))
    kind = "sentence_transformers.models.StaticEmbedding"
    modules = [{"idx": 0, "name": "0", "path": "", "type": kind}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder
