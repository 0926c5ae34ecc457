"""nDCG, for judgements that say relevant or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path


def ndcg(ranking: Sequence[str], relevant: Set[str], k: int = 10) -> float:
    """Discounted cumulative gain of the first ``k`` over that of a perfect ranking.

    A relevant document at rank r gains 1 / log2(r + 1) (Järvelin and Kekäläinen 2002).
    """
    gains = [1 / math.log2(rank + 1) for rank in range(1, k + 1)]
    found = sum(gain for gain, name in zip(gains, ranking, strict=False) if name in relevant)
    perfect = sum(gains[: len(relevant)])
    return found / perfect if perfect else 0.0


def mean_ndcg(
    rankings: Mapping[str, Sequence[str]], relevant: Mapping[str, Set[str]], k: int = 10
) -> float:
    """Over the queries that have a relevant document; one without a ranking gains nothing."""
    judged = [query for query, names in relevant.items() if names]
    return sum(ndcg(rankings.get(q, ()), relevant[q], k) for q in judged) / len(judged)


def overlap(a: Mapping[str, Sequence[str]], b: Mapping[str, Sequence[str]], k: int = 10) -> float:
    """The mean share of the first ``k`` of ``a`` that are also among the first ``k`` of ``b``."""
    shares = [len(set(a[q][:k]) & set(b[q][:k])) / len(a[q][:k]) for q in a if a[q]]
    return sum(shares) / len(shares)


def read_qrels(path: Path) -> dict[str, set[str]]:
    """Relevant documents of each query: those of a score above 0 in a BEIR ``qrels.tsv``."""
    found: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            found.setdefault(query, set()).add(document)
    return found


def read_trec(text: str) -> dict[str, list[str]]:
    """Documents of each query by rank, from a TREC run."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        query, _, document, _, _, _ = line.split()
        found.setdefault(query, []).append(document)
    return found
