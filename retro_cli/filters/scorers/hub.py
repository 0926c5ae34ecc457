"""Any text classifier in the layout of Hugging Face: a local folder, or a hub name if allowed.

Weights are read from safetensors only, and no code that comes with a model is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.config import fingerprint
from retro_cli.embeddings.batching import plan_batches
from retro_cli.embeddings.hashes import model_sha256
from retro_cli.embeddings.places import HUB, hub_folder
from retro_cli.errors import ConfigError, UsageError
from retro_cli.filters.scorers.contract import Batch, Scores

# Raised by one whenever the same model would give other scores.
_VERSION = 1
_SHAPING = ("*.json", "*.safetensors", "*.txt", "*.model")
_TOKEN_BUDGET = 4096
_BATCH_ROWS = 64
_LONGEST = 512  # tokens; more are cut off
# Names of a toxic label, best first; then those that say no more than "yes".
_TOXIC = ("toxic", "toxicity", "hate", "hateful", "offensive", "abusive", "insult", "label_1")


class HubScorer:
    """The probability that a model gives to its toxic label."""

    needs_text = True
    needs_vectors = False

    def __init__(
        self, folder_or_name: str, *, allow_download: bool = False, toxic_label: str = ""
    ) -> None:
        """toxic_label: one of the model's labels; by default the one whose name says so.

        A name that was fetched once is found in the hub's cache from then on. Raises UsageError
        (not here and no download allowed, or no such label) or ConfigError (no name, or not a
        classifier that loads from safetensors).
        """
        folder = _folder(folder_or_name, allow_download)
        self.name = f"hf:{folder_or_name}"
        self._tokenizer, self._model = _load(folder)
        labels = {int(at): str(label) for at, label in self._model.config.id2label.items()}
        self._label = choose_label(labels, toxic_label)
        self._sigmoid = _sigmoid(self._model.config, len(labels))
        hashes = [
            (path.name, model_sha256(path, every_byte=True))
            for pattern in _SHAPING
            for path in sorted(folder.glob(pattern))
        ]
        settings = ["hub", _VERSION, self._label, self._sigmoid, _LONGEST]
        self.fingerprint = fingerprint([*settings, sorted(hashes)])

    def score(self, batch: Batch) -> Scores:
        texts = list(batch.need_texts())
        scores = np.zeros(len(texts), dtype=np.float32)
        if not texts:
            return scores
        room = min(_LONGEST, self._tokenizer.model_max_length, _positions(self._model.config))
        ids = self._tokenizer(texts, truncation=True, max_length=room)["input_ids"]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        for rows in plan_batches(lengths, _TOKEN_BUDGET, _BATCH_ROWS):
            scores[rows] = self._forward([ids[row] for row in rows])
        return scores

    def _forward(self, ids: list[list[int]]) -> npt.NDArray[np.float32]:
        import torch

        padded = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**padded.to(self._model.device)).logits.float()
        shares = logits.sigmoid() if self._sigmoid else logits.softmax(dim=-1)
        found: npt.NDArray[np.float32] = shares[:, self._label].cpu().numpy()
        return found


def choose_label(labels: Mapping[int, str], wanted: str = "") -> int:
    """The number of the label called ``wanted``, or of the one whose name says toxic.

    Raises UsageError with the model's labels where that is not clear.
    """
    folded = {label.casefold(): at for at, label in labels.items()}
    named = f"the model's labels: {', '.join(labels.values())}"
    if wanted:
        if wanted.casefold() not in folded:
            raise UsageError(f"the model has no label '{wanted}'", named)
        return folded[wanted.casefold()]
    found = [folded[name] for name in _TOXIC if name in folded]
    if "label_1" in folded and len(labels) != 2:
        found = [at for at in found if at != folded["label_1"]]  # one of many says nothing
    if not found:
        raise UsageError("it is not clear which label means toxic", f"name one of {named}")
    return found[0]


def _sigmoid(config: Any, labels: int) -> bool:
    """Whether each label stands for itself, by the config's problem type."""
    problem = getattr(config, "problem_type", None)
    if problem == "regression":
        raise ConfigError("the model is a regression, not a classifier", "choose another model")
    return problem == "multi_label_classification" or labels == 1


def _positions(config: Any) -> int:
    # RoBERTa's tables hold two positions more than there is room for tokens.
    spare = 2 if getattr(config, "pad_token_id", 0) == 1 else 0
    return int(getattr(config, "max_position_embeddings", _LONGEST)) - spare


def _folder(folder_or_name: str, allow_download: bool) -> Path:
    folder = Path(folder_or_name).expanduser()
    if folder.is_dir():
        return folder
    return hub_folder(f"{HUB}{folder_or_name}", allow_download)


def _load(folder: Path) -> tuple[Any, Any]:
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"{folder} holds no safetensors weights", "retro does not read pickled weights"
        )
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
        model = AutoModelForSequenceClassification.from_pretrained(
            str(folder), use_safetensors=True, **options
        )
    except Exception as error:  # whatever the model's own parts raise
        raise ConfigError(
            f"{folder} cannot be loaded ({error})", "is it a text-classification model?"
        ) from error
    return tokenizer, model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
