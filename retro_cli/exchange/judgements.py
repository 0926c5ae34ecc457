"""Which documents answer which question: judgements ("qrels") of TREC, MS MARCO and BEIR."""

from __future__ import annotations

from collections.abc import Iterable

from retro_cli.errors import UsageError
from retro_cli.exchange.lines import called, numbered_lines
from retro_cli.exchange.questions import Question

# By query, then by document: how relevant it is. Above 0 is relevant, 0 and below is not.
Judgements = dict[str, dict[str, int]]

_HINT = "TREC's 'query 0 document relevance', or BEIR's three columns with tabs between"
_GRADES = {"score", "rel", "relevance", "label", "grade"}


def read_judgements(name: str) -> Judgements:
    """Four columns as TREC and MS MARCO have them, or BEIR's three under a header.

    Raises InputNotFound, and UsageError for a line that is none, for two lines that contradict
    each other, and for a file without judgements.
    """
    found: Judgements = {}
    for number, line in numbered_lines(name):
        try:
            query, document, grade = _columns(line)
            if grade.lower() in _GRADES and not found:
                continue  # the header
            relevance = _relevance(grade)
            known = found.setdefault(query, {}).setdefault(document, relevance)
            if known != relevance:
                raise ValueError(f"query {query}, document {document}: {relevance}, before {known}")
        except ValueError as error:
            raise UsageError(f"{called(name)}, line {number}: {error}", _HINT) from error
    if not found:
        raise UsageError(f"{called(name)} holds no judgements", _HINT)
    return found


def judgements_of(questions: Iterable[Question]) -> Judgements:
    """What the questions themselves say, where their file names the documents that answer them."""
    return {q.id: dict.fromkeys(q.documents, 1) for q in questions if q.documents}


def judgement_lines(judgements: Judgements, shape: str) -> Iterable[str]:
    """The lines of a file: shape "beir" (a header, tabs), "msmarco" (tabs) or "trec" (spaces)."""
    if shape == "beir":
        yield "query-id\tcorpus-id\tscore\n"
    for query, documents in judgements.items():
        for document, relevance in documents.items():
            middle = [] if shape == "beir" else ["0"]
            columns = [query, *middle, document, str(relevance)]
            yield (" " if shape == "trec" else "\t").join(columns) + "\n"


def _columns(line: str) -> tuple[str, str, str]:
    parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
    if len(parts) not in (3, 4) or not all(parts):
        raise ValueError(f"{len(parts)} columns")
    return parts[0], parts[-2], parts[-1]


def _relevance(value: str) -> int:
    try:
        number = float(value)
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"the relevance '{value}' is no whole number")
