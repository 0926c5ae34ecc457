"""What the toxicity scorer that ships is trained on: texts, labels, kinds, folds and weights."""

from __future__ import annotations

import csv
import gzip
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.filters.scorers.tokens import words

Floats = npt.NDArray[np.float64]

SEED = 1
FAMILIES = (
    r"bitch|\bhoe|puss(y|ies)",
    r"\bn+i+g+[ae]",
    r"fuck",
    r"fag|queer|dyke|gay",
    r"trash|ghetto|redneck|cracker|coon|white",
    r"shit",
    r"\bass|cunt|dick|retard",
)
PIECES = (6, 15, 45, 45)  # words in a piece of prose, in turn
PROSE = 3000  # pieces of each of books and peps
RARITY = 0.5  # a family of n tweets weighs n ** (1 - RARITY)
TWEETS, BOOKS, HAND = range(3)


@dataclass(frozen=True)
class Rows:
    """Training texts. fold: which part of the cross-validation tests a row."""

    texts: list[str]
    labels: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    fold: npt.NDArray[np.int64]

    def weights(self, by_hand: float) -> Floats:
        """Both labels weigh the same; in each, what was written by hand has a fixed share."""
        weights = np.ones(len(self.texts))
        sworn = (self.kind == TWEETS) & (self.labels == 1)
        sizes = np.bincount(self.fold[sworn], minlength=len(FAMILIES) + 1)
        weights[sworn] = sizes[self.fold[sworn]] ** -RARITY
        for label in (0, 1):
            hand = (self.labels == label) & (self.kind == HAND)
            rest = (self.labels == label) & (self.kind != HAND)
            weights[hand] *= by_hand / weights[hand].sum()
            weights[rest] *= (1 - by_hand) / weights[rest].sum()
        return weights * len(weights) / 2


def read_rows(data: Path) -> Rows:
    tweets, sworn = _labelled(data / "tox-davidson" / "data.csv")
    prose = [piece for name in ("books", "peps") for piece in _prose(data / name)]
    hand, meant = _labelled(Path(__file__).with_name("plain_speech.csv"))
    texts = tweets + prose + hand
    labels = np.array(sworn + [0] * len(prose) + meant)
    kind = np.repeat([TWEETS, BOOKS, HAND], [len(tweets), len(prose), len(hand)])
    fold = np.random.default_rng(SEED).integers(0, len(FAMILIES) + 1, len(texts))
    for row in np.flatnonzero((kind == TWEETS) & (labels == 1)):
        said = " ".join(words(texts[row]))
        found = (at for at, family in enumerate(FAMILIES) if re.search(family, said))
        fold[row] = next(found, len(FAMILIES))
    return Rows(texts, labels, kind, fold)


def _labelled(path: Path) -> tuple[list[str], list[int]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [int(row["label"]) for row in rows]


def _prose(folder: Path) -> list[str]:
    """Pieces from all over the folder's documents."""
    pieces: list[str] = []
    with gzip.open(folder / "docs.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            said, at = json.loads(line)["text"].split(), 0
            while at < len(said):
                size = PIECES[len(pieces) % len(PIECES)]
                pieces.append(" ".join(said[at : at + size]))
                at += size
    chosen = np.random.default_rng(SEED).choice(len(pieces), PROSE, replace=False)
    return [pieces[at] for at in sorted(chosen)]


def bare(text: str) -> str:
    """A tweet as it would stand in a book: no mentions, addresses, entities, runs of marks."""
    text = html.unescape(html.unescape(text))
    text = re.sub(r"https?://\S+|@\w+:?|\bRT\b:?", " ", text).replace("#", " ")
    text = re.sub(r"([!?.])\1+", r"\1", text)
    return " ".join(text.split()).strip(" \"':!")
