"""Models that score passages for a query again: a cross-encoder, or any causal language model.

A cross-encoder reads query and passage together and gives a score. A language model gives the
likelihood of the query behind the passage (Ponte and Croft 1998; Sachan et al. 2022, UPR), with no
training for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from retro_cli.errors import UsageError
from retro_cli.models.base import DEFAULT_BASE, find_language_model, model_fields
from retro_cli.models.language import (
    CAUSAL,
    LanguageModel,
    find_device,
    kind_of,
    load_errors,
    open_language_model,
)
from retro_cli.models.quiet import without_bars

Floats = npt.NDArray[np.float32]
LM = "lm"  # short for the default language model
BATCH = 4
_PROMPT = "Passage: {}\nA question that this passage answers:"
_LONGEST = 512  # tokens of a passage


class CrossEncoding:
    """Scores by a sentence-transformers CrossEncoder."""

    metric, depth = "cross-encoder", 50

    def __init__(self, folder: Path, device: str) -> None:
        """Raises IntegrityError for weights that cannot be loaded."""
        from sentence_transformers import CrossEncoder

        with load_errors(folder), without_bars():
            self._model = CrossEncoder(str(folder), device=device, local_files_only=True)

    def __call__(self, query: str, passages: Sequence[str]) -> Floats:
        """(n,) float32: the model's one score for each pair."""
        pairs = [(query, passage) for passage in passages]
        if not pairs:
            return np.empty(0, np.float32)
        found = self._model.predict(pairs, batch_size=BATCH, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)


class QueryLikelihood:
    """Scores by the mean natural logarithm of the probability of a query's tokens."""

    metric, depth = "query likelihood", 20

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def __call__(self, query: str, passages: Sequence[str]) -> Floats:
        """(n,) float32 nats a token, at most 0."""
        tokenizer = self._model.tokenizer
        asked = tokenizer(" " + query.strip(), add_special_tokens=False)["input_ids"]
        prompts = [
            tokenizer(_PROMPT.format(passage.strip()), add_special_tokens=True, truncation=False)[
                "input_ids"
            ][-_LONGEST:]
            for passage in passages
        ]
        batches = [prompts[first : first + BATCH] for first in range(0, len(prompts), BATCH)]
        with torch.inference_mode():
            scores = [self._batch(batch, asked) for batch in batches]
        return np.concatenate([np.empty(0, np.float32), *scores])

    def _batch(self, prompts: Sequence[list[int]], asked: list[int]) -> Floats:
        """Padded on the right, where no token looks."""
        network = self._model.network
        rows = [prompt + asked for prompt in prompts]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=network.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        logits = network(input_ids=ids, attention_mask=mask.to(network.device)).logits.float()
        ends = torch.tensor([len(prompt) for prompt in prompts], device=network.device)
        at = ends[:, None] + torch.arange(len(asked), device=network.device)
        before = logits.gather(1, (at - 1)[..., None].expand(-1, -1, logits.shape[-1]))
        nats = before.log_softmax(-1).gather(2, ids.gather(1, at)[..., None])[..., 0]
        found: Floats = nats.mean(1).cpu().numpy().astype(np.float32)
        return found


def open_reranker(
    name: str, device: str = "auto", allow_download: bool = False
) -> CrossEncoding | QueryLikelihood:
    """name: "lm" for the default language model, or a folder or hf:org/name of either kind.

    Raises what ``find_language_model`` does, UsageError for a model of neither kind, and
    IntegrityError for weights that cannot be loaded.
    """
    wanted = DEFAULT_BASE if name == LM else name
    folder = find_language_model(wanted, allow_download)
    if _scores_pairs(folder):
        return CrossEncoding(folder, find_device(device))
    if kind_of(folder) != CAUSAL:
        raise UsageError(
            f"{name} cannot rerank: it is neither a cross-encoder with one score nor a causal "
            "language model",
            f"name a cross-encoder's folder or hf:org/name, or {DEFAULT_BASE}",
        )
    return QueryLikelihood(open_language_model(wanted, (CAUSAL,), device))


def _scores_pairs(folder: Path) -> bool:
    """Whether a model is a classifier with a single output, as cross-encoders are."""
    fields = model_fields(folder)
    names = [str(name) for name in fields.get("architectures") or []]
    labels = fields.get("num_labels", len(fields.get("id2label") or {0: 0, 1: 1}))
    return any(name.endswith("ForSequenceClassification") for name in names) and labels == 1
