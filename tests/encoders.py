"""A sentence-transformers StaticEmbedding folder of 24 dimensions: instant and real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from helpers import wordpiece
from safetensors.numpy import save_file


def save_static_encoder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = wordpiece(folder)
    words = len(json.loads(path.read_text())["model"]["vocab"])
    table = np.random.default_rng(3).standard_normal((words, 24)).astype(np.float32)
    save_file({"embedding.weight": table}, str(folder / "model.safetensors"))
    kind = "sentence_transformers.models.StaticEmbedding"
    modules = [{"idx": 0, "name": "0", "path": "", "type": kind}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder
