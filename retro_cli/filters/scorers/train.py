"""Train a probe. The only module that needs scikit-learn, which sentence-transformers brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.errors import UsageError
from retro_cli.filters.scorers.probe import About, Probe

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # inverse regularisation, as scikit-learn counts it
_FOLDS = 5
_HELD_OUT = 0.2
_FEWEST = 25  # rows of either label: five for every fold and the held-out part


def train_probe(
    vectors: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    *,
    encoder_fingerprint: str,
    trained_on: str,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> Probe:
    """Class-balanced logistic regression with the regularisation that cross-validates best.

    vectors: (n, dim) unit rows; labels: (n,) 0 harmless or 1 toxic
    trained_on: where the rows come from, in words, for the file's description

    A fifth of the rows is kept out to measure the AUC. On the rest, five-fold cross-validation
    chooses the regularisation by AUC, and the out-of-fold logits are calibrated by Platt's method
    (Platt 1999): the score is the probability that a row is toxic, among rows mixed as these. The
    weights themselves are then trained on all rows.

    Raises UsageError where there is not enough to train on.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split

    rows, wanted = _checked(vectors, labels)
    kept, held = train_test_split(
        np.arange(len(wanted)), test_size=_HELD_OUT, stratify=wanted, random_state=seed
    )
    tried = [_out_of_fold(rows[kept], wanted[kept], strength, seed) for strength in strengths]
    aucs = [float(roc_auc_score(wanted[kept], logits)) for logits in tried]
    best = int(np.argmax(aucs))  # of equals the first: the most regularised
    slope, offset = _platt(tried[best], wanted[kept])
    judged = _regression(strengths[best]).fit(rows[kept], wanted[kept])
    auc = float(roc_auc_score(wanted[held], judged.decision_function(rows[held])))
    final = _regression(strengths[best]).fit(rows, wanted)
    weights = (slope * final.coef_[0]).astype(np.float32)
    bias = round(slope * float(final.intercept_[0]) + offset, 6)
    about = About(encoder_fingerprint, trained_on, len(wanted), round(auc, 4))
    return Probe(weights, bias, about)


def _checked(
    vectors: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]
) -> tuple[Floats, Labels]:
    rows, wanted = np.asarray(vectors, dtype=np.float32), np.asarray(labels, dtype=np.int64)
    if rows.ndim != 2 or wanted.shape != rows.shape[:1]:
        raise UsageError(f"{wanted.size} labels for vectors of shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise UsageError("a vector holds NaN or infinity", "check what made the vectors")
    if not np.isin(wanted, (0, 1)).all():
        raise UsageError("labels must be 0 (harmless) or 1 (toxic)")
    counts = np.bincount(wanted, minlength=2)
    if counts.min() < _FEWEST:
        raise UsageError(
            f"{counts[1]} toxic and {counts[0]} harmless rows are too few to train on",
            f"label at least {_FEWEST} of each; some hundreds make a useful probe",
        )
    return rows, wanted


def _regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)


def _out_of_fold(rows: Floats, wanted: Labels, strength: float, seed: int) -> Floats:
    """Every row's logit from the four folds that it is not in."""
    from sklearn.model_selection import StratifiedKFold

    logits = np.zeros(len(wanted), dtype=np.float32)
    for inside, outside in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(
        rows, wanted
    ):
        model = _regression(strength).fit(rows[inside], wanted[inside])
        logits[outside] = model.decision_function(rows[outside])
    return logits


def _platt(logits: Floats, wanted: Labels) -> tuple[float, float]:
    """Slope and offset that turn logits into the log-odds of label 1."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6, max_iter=1000).fit(logits[:, None], wanted)
    # A probe that learned nothing may come out falling; it must not turn the ranking around.
    return max(0.0, float(model.coef_[0, 0])), float(model.intercept_[0])
