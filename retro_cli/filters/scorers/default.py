"""The scorer that ships: a lexical model, and a probe of all-MiniLM-L6-v2 where those vectors are.

Trained by ``benchmarks/train_scorer.py``; what on, and how well it does, says ``data/card.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.config import fingerprint
from retro_cli.errors import IntegrityError
from retro_cli.filters.scorers import tensors
from retro_cli.filters.scorers.contract import Batch, Scorer, Scores
from retro_cli.filters.scorers.linear import dot_rows, probability
from retro_cli.filters.scorers.ngrams import NgramModel

SHIPPED = Path(__file__).parent / "data" / "default.safetensors"
SHA256 = "d2a613ba620818cd85168a42ac48a7c8e119aefb7b26a063fd6176d053e7719f"
# At least as likely toxic as not, if half of all texts were toxic.
THRESHOLD = 0.5

# Raised by one whenever the same weights would give other scores.
_VERSION = 1


class TextScorer:
    """The lexical model alone: for vectors of any encoder."""

    name = "default"
    needs_text = True
    needs_vectors = False

    def __init__(self, found: tensors.Described) -> None:
        self._model = _ngrams(found)
        self._slope, self._offset = found.description["text"]
        self.fingerprint = fingerprint(["default", "text", _VERSION, found.sha256])

    def score(self, batch: Batch) -> Scores:
        logits = self._model.logits(batch.need_texts())
        return probability(self._slope * logits + self._offset)


class CombinedScorer:
    """The lexical model and the probe, their logits weighed; a text without words scores 0."""

    name = "default"
    needs_text = True
    needs_vectors = True

    def __init__(self, found: tensors.Described) -> None:
        self._model = _ngrams(found)
        self._probe = found.tensors["probe"].astype(np.float32)
        self._text, self._vector, self._offset = found.description["both"]
        self.fingerprint = fingerprint(["default", "both", _VERSION, found.sha256])

    def score(self, batch: Batch) -> Scores:
        logits = self._text * self._model.logits(batch.need_texts())
        logits += self._vector * dot_rows(batch.need_vectors(), self._probe).astype(np.float64)
        return probability(logits + self._offset)


class VectorScorer:
    """The probe alone: to see what it adds, and where there is no text to read."""

    name = "default (vectors only)"
    needs_text = False
    needs_vectors = True

    def __init__(self, found: tensors.Described) -> None:
        self._probe = found.tensors["probe"].astype(np.float32)
        self._slope, self._offset = found.description["vector"]
        self.fingerprint = fingerprint(["default", "vector", _VERSION, found.sha256])

    def score(self, batch: Batch) -> Scores:
        dots = dot_rows(batch.need_vectors(), self._probe)
        return probability(self._slope * dots + self._offset)


def load_default(encoder_fingerprint: str) -> Scorer:
    """The combined scorer for vectors of the encoder it knows, else the text scorer.

    The two have different fingerprints. Raises IntegrityError if the weights were changed.
    """
    found = shipped()
    if found.description["encoder"] == encoder_fingerprint:
        return CombinedScorer(found)
    return TextScorer(found)


def shipped() -> tensors.Described:
    """The weights in this package, checked against the hash in this module."""
    found = tensors.load(SHIPPED)
    if found.sha256 != SHA256:
        raise IntegrityError(
            f"{SHIPPED} has sha256 {found.sha256[:12]}..., not {SHA256[:12]}...",
            "pip install --force-reinstall --no-deps retro-cli",
        )
    return found


def quantised(
    weights: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.int8], float]:
    """Weights as int8 and the unit to multiply them by."""
    unit = float(np.abs(weights).max()) / 127
    return np.rint(weights / unit).astype(np.int8), unit


def _ngrams(found: tensors.Described) -> NgramModel:
    about: dict[str, Any] = found.description
    weights = found.tensors["weights"].astype(np.float32) * np.float32(about["unit"])
    return NgramModel(found.tensors["keys"], weights, about["bias"])
