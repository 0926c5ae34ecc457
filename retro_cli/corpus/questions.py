"""Files of questions with their answers, as DPR, FiD, Atlas, KILT and plain JSON write them.

* JSON lines: ``{question, answers}``, or ``{input, output: [{answer, provenance}]}`` (KILT)
* JSON: a list of such objects (DPR, FiD)
* TSV: question, tab, answers: a JSON or Python list, or one plain answer (DPR)

Nothing in a file is evaluated: a Python list is parsed as a literal.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retro_cli.errors import InputNotFound, UnreadableInput, UsageError

_TEXTS = ("question", "input", "query", "text")
_DOCUMENTS = ("documents", "doc_id")
_LONGEST = 100_000  # characters of a list of answers


@dataclass(frozen=True)
class Question:
    """answers: any of them is right; none where the sources do not say. documents: keys of those
    that hold the answer, as far as the file names them. fields: whatever else a JSON file says."""

    id: str
    text: str
    answers: tuple[str, ...]
    documents: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


def read_questions(path: Path) -> list[Question]:
    """The questions of a file, in order; ids are the file's own, else numbers from 1.

    Raises InputNotFound, UnreadableInput (not UTF-8, or not what its name says) and UsageError for
    a line that asks nothing, with its place, and for a file without questions.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{path} is not UTF-8 ({error})", "convert it first") from error
    except OSError as error:
        raise InputNotFound(f"{path} cannot be read ({error.strerror})", "name a file") from error
    found = list(_rows(path, text) if path.suffix in (".tsv", ".csv") else _objects(path, text))
    if not found:
        raise InputNotFound(f"{path} holds no questions", "one question a line, as JSON or TSV")
    return found


def with_answers(questions: Iterable[Question], path: Path) -> list[Question]:
    """Those that have an answer. Raises UsageError if none has."""
    found = [question for question in questions if question.answers]
    if not found:
        raise UsageError(
            f"no question of {path} has an answer",
            'each needs a field "answers", a list of texts, or "answer"',
        )
    return found


def _objects(path: Path, text: str) -> Iterator[Question]:
    for place, value in _values(path, text):
        yield _question(value, place)


def _values(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """(place, value) of a JSON list's entries, or of JSON lines."""
    if text.lstrip().startswith("["):
        values = _json(text, str(path))
        yield from ((f"{path}, entry {n}", value) for n, value in enumerate(values, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            place = f"{path}, line {number}"
            yield place, _json(line, place)


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "JSON lines or a JSON list; name a tab-separated file .tsv"
        raise UnreadableInput(f"{place}: not JSON ({error})", hint) from error


def _question(value: Any, place: str) -> Question:
    if not isinstance(value, dict):
        raise UsageError(f"{place}: not an object", 'such as {"question": ..., "answers": [...]}')
    text = next((value[name] for name in _TEXTS if value.get(name)), None)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{place}: no question", 'each needs a field "question"')
    named = next((value[n] for n in ("id", "_id") if value.get(n) not in (None, "")), None)
    identity = place.rsplit(" ", 1)[1] if named is None else str(named)
    answers, documents = _answers(value, place), _documents(value)
    return Question(identity, text.strip(), answers, documents, value)


def _answers(value: dict[str, Any], place: str) -> tuple[str, ...]:
    if isinstance(value.get("output"), list):  # KILT
        outputs = [each for each in value["output"] if isinstance(each, dict)]
        return _texts([each.get("answer") for each in outputs if each.get("answer")], place)
    return _texts(value.get("answers", value.get("answer")), place)


def _documents(value: dict[str, Any]) -> tuple[str, ...]:
    named = next((value[name] for name in _DOCUMENTS if value.get(name)), ())
    return tuple(map(str, named)) if isinstance(named, list) else (str(named),) if named else ()


def _texts(given: Any, place: str) -> tuple[str, ...]:
    listed = given if isinstance(given, (list, tuple)) else [] if given is None else [given]
    if not all(isinstance(each, (str, int, float)) for each in listed):
        raise UsageError(f"{place}: answers are texts, or a list of them", "mend the file")
    return tuple(dict.fromkeys(text for each in listed if (text := str(each).strip())))


def _rows(path: Path, text: str) -> Iterator[Question]:
    delimiter = "," if path.suffix == ".csv" else "\t"
    rows = csv.reader(text.splitlines(), delimiter=delimiter)
    for number, row in enumerate(rows, 1):
        if not any(cell.strip() for cell in row):
            continue
        place = f"{path}, line {number}"
        if len(row) != 2 or not row[0].strip():
            raise UsageError(
                f"{place}: {len(row)} columns", "two: a question, and a list of answers"
            )
        if number == 1 and [cell.strip().lower() for cell in row] == ["question", "answers"]:
            continue
        yield Question(str(number), row[0].strip(), _texts(_listed(row[1], place), place))


def _listed(cell: str, place: str) -> Any:
    """A JSON or Python list of answers, or one plain answer. Nothing is evaluated."""
    cell = cell.strip()
    if not cell.startswith(("[", "(")):
        return cell
    try:
        if len(cell) > _LONGEST:
            raise ValueError(f"{len(cell):,} characters")
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        if cell.startswith("("):  # a plain answer may begin so
            return cell
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{place}: not a list of answers ({reason})", "write it as ['one', 'another']"
        ) from error
    return list(found) if isinstance(found, (list, tuple)) else cell
