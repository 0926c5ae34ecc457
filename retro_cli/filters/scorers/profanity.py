"""The scorer of the package alt-profanity-check, if it is installed.

A linear support vector machine over words, trained on Davidson et al. 2017 and Jigsaw comments.
retro itself never unpickles anything, but this package reads its own model with joblib, which
does: to install it is to trust it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from retro_cli.config import fingerprint
from retro_cli.errors import MissingExtra
from retro_cli.filters.scorers.contract import Batch, Scores


class ProfanityScorer:
    """The package's ``predict_prob``. Its weights are known by the package's version."""

    name = "profanity"
    needs_text = True
    needs_vectors = False

    def __init__(self) -> None:
        """Raises MissingExtra."""
        try:
            import profanity_check
        except ImportError as error:
            raise MissingExtra("the scorer 'profanity'", "toxicity") from error
        self._check: Any = profanity_check
        versions = [version(package) for package in ("alt-profanity-check", "scikit-learn")]
        self.fingerprint = fingerprint(["profanity", *versions])

    def score(self, batch: Batch) -> Scores:
        texts = list(batch.need_texts())
        if not texts:
            return np.zeros(0, dtype=np.float32)
        found = np.asarray(self._check.predict_prob(texts), dtype=np.float32)
        return np.clip(found, 0.0, 1.0)
