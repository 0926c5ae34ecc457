"""Any other encoder, through sentence-transformers (Reimers and Gurevych 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

from retro_cli.embeddings.batching import plan_batches
from retro_cli.embeddings.bert_numpy import unit_rows
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.embeddings.tokens import special_frame
from retro_cli.errors import ConfigError

Floats = npt.NDArray[np.float32]

_TOKEN_BUDGET = {"cpu": 2048, "cuda": 1 << 15}
_BATCH_ROWS = {"cpu": 32, "cuda": 512}


class SentenceEncoder:
    """The ``Encoder`` contract over a SentenceTransformer."""

    def __init__(
        self, spec: EncoderSpec, folder: Path, *, device: str, half: bool, threads: int
    ) -> None:
        """Raises ConfigError if the folder cannot be loaded without code of its own."""
        self.spec = spec
        self._device = device
        if device == "cpu":
            torch.set_num_threads(threads)
        self._model = load_sentence_transformer(folder, device)
        if half:
            self._model.half()
        fast: Any = getattr(self._model.tokenizer, "backend_tokenizer", None)
        self._frame = None if fast is None else special_frame(fast)

    @property
    def takes_ids(self) -> bool:
        return self._frame is not None

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        return self._encode(texts, self.spec.document_prompt)

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        return self._encode(texts, self.spec.query_prompt)

    def encode_ids(self, ids: Sequence[npt.NDArray[np.integer]]) -> Floats:
        if self._frame is None:
            raise ConfigError(
                f"{self.spec.name} has no fast tokenizer, so it cannot take token ids",
                "embed the chunks' text instead",
            )
        prefix, suffix = self._frame
        room = max(1, self.spec.max_tokens - len(prefix) - len(suffix))
        framed = [[*prefix, *row[:room].tolist(), *suffix] for row in ids]
        lengths = np.fromiter(map(len, framed), np.int64, len(framed))
        vectors = np.empty((len(ids), self.spec.dim), dtype=np.float32)
        budget, most = _TOKEN_BUDGET[self._device], _BATCH_ROWS[self._device]
        for rows in plan_batches(lengths, budget, most):
            vectors[rows] = self._forward([framed[row] for row in rows])
        return vectors

    def _encode(self, texts: Sequence[str], prompt: str) -> Floats:
        vectors = self._model.encode(
            list(texts),
            prompt=prompt,
            batch_size=_BATCH_ROWS[self._device],
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        shaped = np.asarray(vectors, dtype=np.float32).reshape(len(texts), self.spec.dim)
        return unit_rows(shaped)

    def _forward(self, framed: list[list[int]]) -> Floats:
        features = self._model.tokenizer.pad({"input_ids": framed}, return_tensors="pt")
        moved = {name: value.to(self._device) for name, value in features.items()}
        with torch.inference_mode():
            output = self._model(moved)["sentence_embedding"]
        return unit_rows(output.float().cpu().numpy())


def load_sentence_transformer(folder: Path, device: str) -> Any:
    """A SentenceTransformer without code of its own. Raises ConfigError."""
    try:
        return SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
    except Exception as error:  # whatever the model's own parts raise
        raise ConfigError(
            f"{folder} cannot be loaded ({error})", "is it a sentence-transformers folder?"
        ) from error
