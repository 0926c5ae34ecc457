"""Logistic regression on the frozen embeddings: a probe of one encoder.

Scores cost one multiplication a dimension, because the vectors are there already.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.config import fingerprint
from retro_cli.errors import EncoderMismatch, IntegrityError, UsageError
from retro_cli.filters.scorers import tensors
from retro_cli.filters.scorers.contract import Batch, Scores
from retro_cli.filters.scorers.linear import dot_rows, probability

_FORMAT = "retro-probe-1"


@dataclass(frozen=True)
class About:
    """Where a probe comes from.

    encoder: the fingerprint of the encoder whose vectors it reads
    trained_on: in words
    rows: how many labelled rows it saw
    auc: area under the ROC curve on rows kept out of training
    """

    encoder: str
    trained_on: str
    rows: int
    auc: float


@dataclass(frozen=True)
class Probe:
    """weights: (dim,) float32; bias: with the calibration worked in, so both give a logit."""

    weights: npt.NDArray[np.float32]
    bias: float
    about: About

    def save(self, path: Path) -> None:
        """One safetensors file with JSON metadata; equal probes give equal bytes."""
        described = {"format": _FORMAT, "bias": self.bias, **asdict(self.about)}
        tensors.save(path, {"weights": self.weights.astype("<f4")}, described)


def load_probe(path: Path) -> Probe:
    """Raises InputNotFound or IntegrityError."""
    found = tensors.load(path)
    try:
        values = dict(found.description)
        if values.pop("format") != _FORMAT:
            raise ValueError("another format")
        weights = found.tensors["weights"]
        bias = float(values.pop("bias"))
        about = About(**values)
        if weights.ndim != 1 or weights.dtype != np.float32 or not np.isfinite(weights).all():
            raise ValueError("weights must be one row of finite float32")
        if not np.isfinite(bias) or not isinstance(about.encoder, str):
            raise ValueError("bias or encoder")
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is not a whole probe ({error})", "train it again") from error
    return Probe(weights, bias, about)


class ProbeScorer:
    """Scores vectors of the probe's encoder; a zero vector (a purged row) scores 0."""

    needs_text = False
    needs_vectors = True

    def __init__(self, probe: Probe, encoder_fingerprint: str, name: str = "probe") -> None:
        """Raises EncoderMismatch if the vectors come from another encoder."""
        if probe.about.encoder != encoder_fingerprint:
            raise EncoderMismatch(
                f"{name} was trained on vectors of encoder {probe.about.encoder[:12]}, "
                f"these come from {encoder_fingerprint[:12]}",
                "train a probe on this encoder's vectors, or use the scorer 'default'",
            )
        self.name = name
        self._probe = probe
        weights = probe.weights.tobytes().hex()
        self.fingerprint = fingerprint([_FORMAT, probe.about.encoder, weights, probe.bias])

    def score(self, batch: Batch) -> Scores:
        vectors = batch.need_vectors()
        return vector_scores(vectors, self._probe.weights, self._probe.bias)


def vector_scores(
    vectors: npt.NDArray[np.floating], weights: npt.NDArray[np.float32], bias: float
) -> Scores:
    """(n, dim) -> (n,) in [0, 1]. Raises UsageError if the dimensions differ."""
    if vectors.shape[1] != len(weights):
        raise UsageError(
            f"vectors of {vectors.shape[1]} dimensions for a probe of {len(weights)}",
            "a probe reads the vectors of the encoder it was trained on",
        )
    dots = dot_rows(vectors, weights)
    scores = probability(dots + bias)
    unlikely = np.flatnonzero(dots == 0)
    scores[unlikely[~vectors[unlikely].any(axis=1)]] = 0.0
    return scores
