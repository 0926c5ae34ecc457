"""Runs: what a retriever found for each query, in the formats of TREC and MS MARCO."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote

from retro_cli.errors import UsageError
from retro_cli.exchange.lines import called, numbered_lines

if TYPE_CHECKING:
    from retro_cli.query.retrieve import Hit

# By query, then by document: its score, higher is better.
Run = dict[str, dict[str, float]]

_HINT = "TREC's 'query Q0 document rank score tag', or MS MARCO's 'query document rank'"


def read_run(name: str) -> tuple[Run, int]:
    """A run, and how many lines name a document that its query has already, which keeps its best
    score. In MS MARCO's three columns the rank is the score.

    Raises InputNotFound, and UsageError for a line that is none and for a file without any.
    """
    found: Run = {}
    again = 0
    for number, line in numbered_lines(name):
        try:
            query, document, score = _columns(line)
        except ValueError as error:
            raise UsageError(f"{called(name)}, line {number}: {error}", _HINT) from error
        scores = found.setdefault(query, {})
        again += document in scores
        scores[document] = max(score, scores.get(document, score))
    if not found:
        raise UsageError(f"{called(name)} holds no run", _HINT)
    return found, again


def _columns(line: str) -> tuple[str, str, float]:
    parts = line.split()
    if len(parts) == 3:
        return parts[0], parts[1], -_number(parts[2])
    if len(parts) in (5, 6):
        return parts[0], parts[2], _number(parts[4])
    raise ValueError(f"{len(parts)} columns")


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"'{value}' is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"'{value}' is no score to rank by")
    return number


def document_scores(hits: Sequence[Hit]) -> dict[str, float]:
    """Documents by their best hit, best first; no more than there are hits.

    Those that hold the same text follow one another, and a name that documents of two files have
    comes once. Hits that are in another order than that of their scores (diverse ones) score by
    their ranks, since a run is ranked by its scores.
    """
    best: dict[str, float] = {}
    for hit in hits:
        for name in (hit.document, *(document for document, _ in hit.also)):
            best.setdefault(name, hit.score)
    found = dict(islice(best.items(), len(hits)))
    if any(after > before for before, after in pairwise(found.values())):
        return {name: 1 / rank for rank, name in enumerate(found, 1)}
    return found


def trec_lines(query: str, scores: Mapping[str, float], tag: str = "retro") -> Iterator[str]:
    """scores: best first. To nine digits, so that no two float32 scores are written alike."""
    for rank, (document, score) in enumerate(_columns_of(scores).items(), 1):
        yield f"{column(query)} Q0 {document} {rank} {score:.9g} {tag}\n"


def msmarco_lines(query: str, scores: Mapping[str, float]) -> Iterator[str]:
    """scores: best first; only their order is written."""
    for rank, document in enumerate(_columns_of(scores), 1):
        yield f"{column(query)}\t{document}\t{rank}\n"


def column(name: str) -> str:
    """White space would end a column: it is written as in an address."""
    return re.sub(r"\s", lambda space: quote(space.group()), name) or "-"


def _columns_of(scores: Mapping[str, float]) -> dict[str, float]:
    """By what is written for a document, which may be the same for two."""
    written: dict[str, float] = {}
    for document, score in scores.items():
        written.setdefault(column(document), score)
    return written
