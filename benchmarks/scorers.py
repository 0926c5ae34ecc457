"""Toxicity scorers on sets that none of ours was trained or tuned on.

ROC AUC with 95 % bootstrap intervals on Surge AI's comments (all rows) and on OLID's test tweets;
how much ordinary prose each scorer puts over the threshold; and how many vectors a second a probe
scores. alt-profanity-check is measured where it is installed.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from context import Context, main
from measure import say
from results import Line, Result
from sklearn.metrics import roc_auc_score

from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.resolve import DEFAULT_ENCODER, resolve
from retro_cli.errors import MissingExtra
from retro_cli.filters.scorers.contract import Batch, Scorer
from retro_cli.filters.scorers.default import (
    THRESHOLD,
    CombinedScorer,
    TextScorer,
    VectorScorer,
    shipped,
)
from retro_cli.filters.scorers.profanity import ProfanityScorer
from retro_cli.filters.scorers.words import load_words

SEED = 1
ROUNDS = 2000
OLID_TEST = 860  # its last rows; the others are training rows
PROSE = {"squad20": "corpus.jsonl", "cranfield": "corpus.jsonl"}
PIECE = 45  # words, about a chunk of 64 tokens
VECTORS = 400_000
DIM = 384
AUC_TARGET = {"tox-surge": 0.843, "tox-olid": 0.833}  # of alt-profanity-check 1.9.1
FALSE_TARGET = 0.01
SPEED_TARGET = 100_000

Labels = npt.NDArray[np.int64]


def measure(context: Context) -> Result:
    weights = shipped()
    default = CombinedScorer(weights)
    scorers: dict[str, Scorer] = {
        "default": default,
        "text only": TextScorer(weights),
        "probe only": VectorScorer(weights),
        "word list": load_words(),
    }
    try:
        scorers["alt-profanity-check"] = ProfanityScorer()
    except MissingExtra as error:
        say(f"{error.message}: left out ({error.hint})")
    encoder = load_encoder(resolve(DEFAULT_ENCODER), precision="fp32", device="cpu")

    def batch(texts: Sequence[str]) -> Batch:
        return Batch(texts, encoder.encode_documents(texts).astype(np.float16))

    lines = [_ranking(context, name, scorers, batch) for name in AUC_TARGET]
    lines += [_false_alarms(context, name, scorers, batch) for name in PROSE]
    lines.append(_speed(context, VectorScorer(weights)))
    return Result("scorers", lines, {"sha256": weights.sha256, "threshold": THRESHOLD})


def _ranking(
    context: Context, name: str, scorers: dict[str, Scorer], batch: Callable[[Sequence[str]], Batch]
) -> Line:
    texts, labels = _labelled(context.data / name / "data.csv")
    if name == "tox-olid":
        texts, labels = texts[-OLID_TEST:], labels[-OLID_TEST:]
    rows = batch(texts)
    sides = {}
    for side, scorer in scorers.items():
        sides[side] = interval(labels, scorer.score(rows), context.pick(ROUNDS, 50))
        say(f"{name}: {side} {_words(sides[side])}")
    auc = sides["default"][0]
    target = AUC_TARGET[name]
    others = "; ".join(f"{side} {_words(found)}" for side, found in sides.items())
    return Line(
        f"ROC AUC of the toxicity scorers on {name} ({len(labels)} texts, held out)",
        f"at least {target}",
        others,
        auc,
        target,
        True,
        # AUC, lower and upper end of its interval
        {f"{side}: AUC, lower, upper": list(found) for side, found in sides.items()},
    )


def interval(
    labels: Labels, scores: npt.NDArray[np.float32], rounds: int
) -> tuple[float, float, float]:
    """AUC, and the 2.5th and 97.5th percentile of it over resampled rows."""
    random = np.random.default_rng(SEED)
    found = []
    for _ in range(rounds):
        rows = random.integers(0, len(labels), len(labels))
        if labels[rows].min() != labels[rows].max():
            found.append(roc_auc_score(labels[rows], scores[rows]))
    lower, upper = np.percentile(found, [2.5, 97.5])
    return float(roc_auc_score(labels, scores)), float(lower), float(upper)


def _false_alarms(
    context: Context, name: str, scorers: dict[str, Scorer], batch: Callable[[Sequence[str]], Batch]
) -> Line:
    texts = pieces(context.data / name / PROSE[name])
    rows = batch(texts[: context.pick(len(texts), 200)])
    shares = {
        side: float((scorer.score(rows) > THRESHOLD).mean()) for side, scorer in scorers.items()
    }
    words = "; ".join(f"{side} {share:.2%}" for side, share in shares.items())
    say(f"{name}: over {THRESHOLD}: {words}")
    return Line(
        f"share of {name}'s prose over the threshold {THRESHOLD} "
        f"({len(rows.need_texts())} pieces of {PIECE} words)",
        f"at most {FALSE_TARGET:.0%}",
        words,
        shares["default"],
        FALSE_TARGET,
        False,
        {f"{side}: share": [share] for side, share in shares.items()},
    )


def _speed(context: Context, scorer: Scorer) -> Line:
    random = np.random.default_rng(SEED)
    rows = context.pick(VECTORS, 20_000)
    vectors = random.standard_normal((rows, DIM), dtype=np.float32).astype(np.float16)
    rates = []
    for _ in range(context.pick(5, 2)):
        begun = time.perf_counter()
        scorer.score(Batch(None, vectors))
        rates.append(rows / (time.perf_counter() - begun))
    rate = float(np.median(rates))
    return Line(
        f"vectors a second through a probe ({DIM} dimensions, float16)",
        f"at least {SPEED_TARGET:,}",
        f"{rate:,.0f}",
        rate,
        SPEED_TARGET,
        True,
        {"vectors per second": rates},
    )


def _labelled(path: Path) -> tuple[list[str], Labels]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], np.array([int(row["label"]) for row in rows])


def pieces(path: Path) -> list[str]:
    """Every record's text in pieces of PIECE words."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)["text"].split()
        found += [" ".join(said[at : at + PIECE]) for at in range(0, len(said), PIECE)]
    return found


def _words(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.3f} ({found[1]:.3f} to {found[2]:.3f})"


if __name__ == "__main__":
    main("scorers", measure)
