"""Train the toxicity scorer that ships, and write its weights.

    python benchmarks/train_scorer.py --data DIR [--work DIR] [--out FILE]

DIR holds tox-davidson/data.csv (Davidson et al. 2017, MIT: tweets; 1 is hate or offensive) and, as
harmless prose, books and peps. Beside them lies plain_speech.csv, written for this project: the
tweets hardly know an insult without swearing, and they name groups of people mostly to insult
them, so it holds a hundred of the one and a hundred harmless sentences that name the same things.

Everything was chosen by cross-validation on these. A fold leaves out all tweets with one family of
swear words (FAMILIES): what is asked is how the scorer does on words it has not seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from measure import say
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from training_texts import BOOKS, FAMILIES, HAND, TWEETS, Rows, bare, read_rows

from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.resolve import DEFAULT_ENCODER, resolve
from retro_cli.filters.scorers import default, tensors
from retro_cli.filters.scorers.ngrams import pair_key, pairs, scale, word_keys
from retro_cli.filters.scorers.tokens import words
from retro_cli.filters.scorers.words import SHIPPED as WORD_LIST

Floats = npt.NDArray[np.float64]

BY_HAND = {"text": 0.2, "vector": 0.1}  # the share of each label's weight
STRENGTH = {"text": 0.03, "vector": 1.0}
TEXT_SHARE = 0.75  # of the text's logit against the vector's, each over its own spread
LIST_WEIGHT = 4.0  # the feature "is on the word list", against the others
SEEN = 4  # texts that a feature has to be in
FEATURES = 7000


def embed(texts: Sequence[str], work: Path) -> Floats:
    """(n, 384) as a database holds them: float16."""
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    path = work / f"vectors-{key}.npy"
    if not path.exists():
        say(f"embedding {len(texts):,} texts")
        encoder = load_encoder(resolve(DEFAULT_ENCODER), precision="fp32", device="cpu")
        np.save(path, encoder.encode_documents(texts).astype(np.float16))
    vectors: Floats = np.load(path).astype(np.float64)
    return vectors


def embed_rows(rows: Rows, work: Path, change: Callable[[str], str]) -> Floats:
    """The vectors of all rows; each kind is kept by itself, so that one can change alone."""
    changed = np.array([change(text) for text in rows.texts], dtype=object)
    kinds = (TWEETS, BOOKS, HAND)  # the order they lie in
    return np.concatenate([embed(changed[rows.kind == kind].tolist(), work) for kind in kinds])


def features(texts: Sequence[str]) -> tuple[Any, npt.NDArray[np.int64]]:
    """A sparse (n, features + 1) matrix and the features' keys; the last column is the list's."""
    listed = {line for line in WORD_LIST.read_text(encoding="utf-8").splitlines() if line}
    counted = []
    for text in texts:
        found = words(text)
        distinct = dict.fromkeys(found)
        counts = Counter(key for word in distinct for key in word_keys(word))
        counts.update(pair_key(*pair) for pair in pairs(found))
        on_list = sum(word in listed for word in distinct)
        counted.append((counts, on_list, scale(len(distinct) or 1)))
    seen = Counter(key for counts, _, _ in counted for key in counts)
    keys = sorted(key for key, times in seen.items() if times >= SEEN)
    column = {key: at for at, key in enumerate(keys)}
    matrix = sparse.lil_matrix((len(texts), len(keys) + 1))
    for row, (counts, on_list, factor) in enumerate(counted):
        kept = sorted((column[key], times) for key, times in counts.items() if key in column)
        matrix.rows[row] = [at for at, _ in kept] + [len(keys)]
        matrix.data[row] = [times * factor for _, times in kept] + [on_list * factor * LIST_WEIGHT]
    return matrix.tocsr(), np.array(keys)


def fit(rows: Any, labels: Any, weights: Floats, strength: float) -> LogisticRegression:
    model = LogisticRegression(C=strength, max_iter=1000, tol=1e-4)
    return model.fit(rows, labels, sample_weight=weights)


def out_of_fold(
    rows: Rows, predict: Callable[[npt.NDArray[np.bool_], npt.NDArray[np.bool_]], Floats]
) -> Floats:
    """Every row's logit by a model that saw neither it nor its family of words."""
    logits = np.zeros(len(rows.texts))
    for fold in range(len(FAMILIES) + 1):
        outside = rows.fold == fold
        logits[outside] = predict(~outside, outside)
    return logits


def report(name: str, rows: Rows, logits: Floats) -> dict[str, float]:
    """Mean AUC over the left-out families, and over what was written by hand."""
    tweets, hand = rows.kind == TWEETS, rows.kind == HAND
    parts = [tweets & (rows.fold == fold) for fold in range(len(FAMILIES) + 1)]
    families = [roc_auc_score(rows.labels[part], logits[part]) for part in parts]
    found = {
        "unseen words": round(float(np.mean(families)), 4),
        "by hand": round(float(roc_auc_score(rows.labels[hand], logits[hand])), 4),
    }
    say(f"{name}: AUC {found}, families {[round(float(auc), 3) for auc in families]}")
    return found


def text_model(matrix: Any, rows: Rows) -> tuple[LogisticRegression, npt.NDArray[np.int64]]:
    """The model over the FEATURES columns that weighed most, and their numbers."""
    weights, strength = rows.weights(BY_HAND["text"]), STRENGTH["text"]
    whole = np.abs(fit(matrix, rows.labels, weights, strength).coef_[0])
    spread = np.sqrt(np.asarray((matrix != 0).mean(axis=0)).ravel())
    order = np.argsort(-(whole * spread)[:-1], kind="stable")[: FEATURES - 1]
    columns = np.append(np.sort(order), matrix.shape[1] - 1)
    return fit(matrix[:, columns], rows.labels, weights, strength), columns


def baked(
    keys: npt.NDArray[np.int64], coefficients: Floats
) -> tuple[npt.NDArray[np.uint32], Floats]:
    """The word list's weight added to each listed word's own, so that no list is needed."""
    table = dict(zip(keys.tolist(), coefficients[:-1].tolist(), strict=True))
    for line in WORD_LIST.read_text(encoding="utf-8").splitlines():
        if words(line) == [line]:
            key = word_keys(line)[0]
            table[key] = table.get(key, 0.0) + LIST_WEIGHT * float(coefficients[-1])
    ordered = sorted(table)
    return np.array(ordered, dtype=np.uint32), np.array([table[key] for key in ordered])


def calibrate(rows: Rows, logits: Floats) -> tuple[float, float]:
    """Slope and offset that make out-of-fold logits log-odds (Platt 1999)."""
    model = fit(logits[:, None], rows.labels, rows.weights(BY_HAND["text"]), 1e3)
    return round(float(model.coef_[0, 0]), 5), round(float(model.intercept_[0]), 5)


def train(data: Path, work: Path, out: Path) -> None:
    rows = read_rows(data)
    say(f"{len(rows.texts):,} rows: {np.bincount(rows.kind)}, {rows.labels.sum():,} toxic")
    matrix, keys = features(rows.texts)
    plain = embed_rows(rows, work, str)
    clean = embed_rows(rows, work, bare)
    text_weights, weights = rows.weights(BY_HAND["text"]), rows.weights(BY_HAND["vector"])

    def by_text(inside: Any, outside: Any) -> Floats:
        model = fit(matrix[inside], rows.labels[inside], text_weights[inside], STRENGTH["text"])
        decided: Floats = model.decision_function(matrix[outside])
        return decided

    def probe(inside: Any) -> LogisticRegression:
        both = np.concatenate([plain[inside], clean[inside]])
        twice = np.tile(weights[inside], 2) / 2
        return fit(both, np.tile(rows.labels[inside], 2), twice, STRENGTH["vector"])

    texts = out_of_fold(rows, by_text)
    vectors = out_of_fold(
        rows, lambda inside, outside: probe(inside).decision_function(plain[outside])
    )
    shares = (TEXT_SHARE / texts.std(), 1.0 / vectors.std())
    mixed = shares[0] * texts + shares[1] * vectors
    slope, offset = calibrate(rows, mixed)
    both = [round(float(slope * share), 5) for share in shares]
    figures = {
        "text": report("text", rows, texts),
        "vector": report("vector", rows, vectors),
        "both": report("both", rows, mixed),
    }
    by_word, columns = text_model(matrix, rows)
    table, coefficients = baked(keys[columns[:-1]], by_word.coef_[0])
    stored, unit = default.quantised(coefficients)
    by_vector = probe(np.ones(len(rows.texts), dtype=bool))
    intercept = float(by_vector.intercept_[0])
    vector = calibrate(rows, vectors)
    description = {
        "format": "retro-default-1",
        "encoder": resolve(DEFAULT_ENCODER).spec.fingerprint(),
        "unit": float(np.float32(unit)),
        "bias": round(float(by_word.intercept_[0]), 5),
        "text": calibrate(rows, texts),
        "vector": [vector[0], round(vector[1] + vector[0] * intercept, 5)],
        "both": [*both, round(offset + both[1] * intercept, 5)],
        "rows": len(rows.texts),
        "cross-validated AUC": figures,
    }
    found = {
        "keys": table,
        "weights": stored,
        "probe": by_vector.coef_[0].astype(np.float16),
    }
    tensors.save(out, found, description)
    written = tensors.load(out)
    say(json.dumps(description, indent=1))
    say(f"{out}: {out.stat().st_size:,} bytes, {len(table):,} features")
    say(f"sha256, for default.py: {written.sha256}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the toxicity scorer that ships.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    parser.add_argument("--out", type=Path, default=default.SHIPPED)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    train(given.data, given.work, given.out)


if __name__ == "__main__":
    main()
