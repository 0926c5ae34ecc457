"""What the ranking of one query is worth: the measures of trec_eval, as it computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CUTS = (1, 5, 10, 100)


def ranked(scores: Mapping[str, float]) -> list[str]:
    """The documents, best first. Scores count in single precision, and of equal ones the document
    whose name is last in the order of bytes comes first, whatever the run says of ranks: so does
    trec_eval.
    """
    with np.errstate(over="ignore"):
        single = {name: float(np.float32(score)) for name, score in scores.items()}
    by_name = sorted(single, key=lambda name: name.encode("utf-8", "surrogatepass"), reverse=True)
    return sorted(by_name, key=lambda name: -single[name])


def measure_names(cuts: Sequence[int]) -> list[str]:
    """The measures that ``measures`` gives, in this order."""
    at = [f"{name}@{cut}" for name in ("ndcg", "recall", "precision", "hit") for cut in cuts]
    return [*at, "mrr", "map"]


def measures(
    found: Sequence[str],
    judged: Mapping[str, int],
    cuts: Sequence[int] = CUTS,
    least: int = 1,
) -> dict[str, float]:
    """found: documents, best first. judged: relevance, from ``least`` (1 or more) on relevant.

    nDCG with the relevance as gain, if above 0, and a logarithm of base 2 (Jarvelin and
    Kekalainen 2002), against the best order of all that is judged; recall of all relevant
    documents; precision by the cut, also where fewer were found; hit: any relevant document.
    Reciprocal rank and average precision over all that was found. What is not judged is not
    relevant. Without a relevant document all are 0.
    """
    gains = np.array([max(judged.get(name, 0), 0) for name in found], dtype=np.float64)
    ideal = -np.sort(-np.array([grade for grade in judged.values() if grade > 0], dtype=np.float64))
    relevant = max(1, int((ideal >= least).sum()))
    places = np.flatnonzero(gains >= least) + 1
    reached = {cut: int((places <= cut).sum()) for cut in cuts}
    values = {f"ndcg@{cut}": _ratio(_dcg(gains[:cut]), _dcg(ideal[:cut])) for cut in cuts}
    values |= {f"recall@{cut}": reached[cut] / relevant for cut in cuts}
    values |= {f"precision@{cut}": reached[cut] / cut for cut in cuts}
    values |= {f"hit@{cut}": float(reached[cut] > 0) for cut in cuts}
    values["mrr"] = float(1 / places[0]) if len(places) else 0.0
    values["map"] = float((np.arange(1, len(places) + 1) / places).sum() / relevant)
    return values


def _dcg(gains: Floats) -> float:
    """Discounted cumulative gain of (n,) gains, best place first."""
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else 0.0
