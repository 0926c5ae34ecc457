"""Questions, with their answers where they are known, from the files that data sets come in.

Lines of plain text or of JSON (BEIR, KILT, Atlas, SQuAD), a JSON list (DPR, FiD), or a table of
two columns: MS MARCO's ``id<TAB>query``, or DPR's ``question<TAB>['answer', ...]``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import PurePath
from typing import Any

from retro_cli.errors import UsageError
from retro_cli.exchange.lines import called, numbered_lines

_ID = ("_id", "id", "qid", "query_id", "question_id")
_TEXT = ("text", "question", "query", "input")
_ANSWERS = ("answers", "answer", "target")
_DOCUMENTS = ("doc_ids", "doc_id", "documents")
_GOLD = ("doc_id", "doc_ids", "documents", "wikipedia_id", "passage_id", "psg_id", "docid")
_HEADER = {*_ID, *_TEXT, *_ANSWERS, "query-id"}
_TABLES = {".tsv", ".tab", ".csv"}
_COMPRESSED = {".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz"}
_LIST = re.compile(r"\s*\[\s*(\{|\]|$)")  # how a list of objects begins
_LITERAL = re.compile(r"\[.*\]$", re.DOTALL)  # a list, as Python or JSON writes it
_LONGEST_LITERAL = 1 << 20  # characters

_HINT = "a question needs a field 'text' or 'question', or a line of its own"

_Parse = Callable[[int, str], "Question"]


@dataclass(frozen=True)
class Question:
    """answers: each of them is right; none where they are not known. documents: the ids of those
    said to hold the answer. fields: all that a JSON object said."""

    id: str
    text: str
    answers: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class NoQuestion:
    """A line that is none, and why."""

    id: str
    error: str


def read_questions(name: str) -> Iterator[Question]:
    """The questions of a file, or of standard input (``-``) as they arrive.

    One without an id is named by its line, or by its place in a list. Raises InputNotFound at once
    for what cannot be opened, and later UsageError that names the line of what is no question.
    """
    return _refusing(_read(numbered_lines(name), name), name)


def _refusing(found: Iterator[Question | NoQuestion], name: str) -> Iterator[Question]:
    for each in found:
        if isinstance(each, NoQuestion):
            raise UsageError(f"{called(name)}, line {each.id}: {each.error}", _HINT)
        yield each


def read_stream(name: str) -> Iterator[Question | NoQuestion]:
    """The same of each line, also of blank ones: what is no question does not end it."""
    return _read(numbered_lines(name, every=True), name)


def _read(lines: Iterator[tuple[int, str]], name: str) -> Iterator[Question | NoQuestion]:
    first = next(lines, None)
    if first is None:
        return
    if _LIST.match(first[1]) or (_is_json(name) and first[1].lstrip().startswith("[")):
        yield from _listed("\n".join([first[1], *(line for _, line in lines)]), called(name))
        return
    header = set(first[1].lower().split("\t"))
    parse: _Parse = _line
    if _is_table(name):
        answered = _is_answered(first[1]) or header.intersection(_ANSWERS)
        parse = _answered_row if answered else _row
    for number, line in lines if _is_table(name) and header <= _HEADER else chain([first], lines):
        try:
            _check_utf8(line)
            question = parse(number, line)
            _check_utf8(question.text)
            yield question
        except (ValueError, RecursionError) as error:
            yield NoQuestion(str(number), str(error))


def all_questions(name: str, limit: int | None = None) -> list[Question]:
    """The questions of a file, at most ``limit``. Raises UsageError where there is none, or where
    two have the same id, besides what ``read_questions`` raises."""
    questions = list(islice(read_questions(name), limit))
    if not questions:
        raise UsageError(f"{called(name)} holds no questions", _HINT)
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise UsageError(
                f"{called(name)}: two questions have the id '{question.id}'", "give each its own"
            )
        seen.add(question.id)
    return questions


def with_answers(questions: Iterable[Question], name: str) -> list[Question]:
    """Those that have an answer. Raises UsageError if none has."""
    found = [question for question in questions if question.answers]
    if not found:
        raise UsageError(
            f"no question of {name} has an answer",
            'each needs a field "answers", a list of texts, or "answer"',
        )
    return found


def _check_utf8(text: str) -> None:
    """Raises UnicodeError for bytes that were not UTF-8, and for halves of characters."""
    text.encode("utf-8", "surrogateescape").decode("utf-8")


def _is_table(name: str) -> bool:
    path = PurePath(name.lower())
    return (path.with_suffix("") if path.suffix in _COMPRESSED else path).suffix in _TABLES


def _is_json(name: str) -> bool:
    return name.lower().endswith((".json", ".jsonl"))


def _is_answered(line: str) -> bool:
    _, tab, last = line.rpartition("\t")
    return bool(tab) and _LITERAL.match(_unquoted(last)) is not None


def _line(number: int, line: str) -> Question:
    words = line.strip()
    if not words:
        raise ValueError("the line is blank")
    if not words.startswith("{"):
        return Question(str(number), words)
    return _question(json.loads(words), number)


def _row(number: int, line: str) -> Question:
    identity, tab, text = line.partition("\t")
    if not tab or not text.strip():
        raise ValueError("no tab between an id and a query")
    return Question(identity.strip(), text.strip())


def _answered_row(number: int, line: str) -> Question:
    text, tab, literal = line.rpartition("\t")
    if not tab or not text.strip():
        raise ValueError("no tab between a question and its answers")
    cell = _unquoted(literal)
    answers = python_strings(cell) if cell.startswith(("[", "(")) else _strings([cell])
    return Question(str(number), _unquoted(text).strip(), answers)


def _unquoted(field: str) -> str:
    """A field as the csv module reads it."""
    field = field.strip()
    quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"') if quoted else field


def python_strings(literal: str) -> tuple[str, ...]:
    """The strings of a list as Python writes it. It is parsed, never evaluated.

    Raises ValueError for anything but a list of strings and numbers.
    """
    if len(literal) > _LONGEST_LITERAL:
        raise ValueError(f"a list of answers of {len(literal):,} characters")
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"not a list of answers: {literal[:60]}") from None
    if not isinstance(value, list | tuple):
        raise ValueError(f"not a list of answers: {literal[:60]}")
    return _strings(value)


def _listed(text: str, name: str) -> Iterator[Question]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not valid JSON ({error})", "a list of objects") from error
    for number, value in enumerate(values, 1):
        try:
            yield _question(value, number)
        except ValueError as error:
            raise UsageError(f"{name}, item {number}: {error}", _HINT) from error


def _question(value: Any, number: int) -> Question:
    if not isinstance(value, dict):
        raise ValueError(f"not a JSON object but {type(value).__name__}")
    text = next((value[name] for name in _TEXT if value.get(name)), None)
    if not isinstance(text, str) or not text.strip():
        raise ValueError("no text")
    named = (value[name] for name in _ID if value.get(name) not in (None, ""))
    answers, documents = _answers(value), _documents(value)
    return Question(str(next(named, number)), text.strip(), answers, documents, value)


def _answers(value: Mapping[str, Any]) -> tuple[str, ...]:
    """answers, or a single answer (FiD's ``target``), or the answers of KILT's ``output``."""
    given = next((value[name] for name in _ANSWERS if value.get(name)), None)
    if given is None:
        return _strings(item["answer"] for item in _outputs(value) if item.get("answer"))
    if isinstance(given, dict):  # SQuAD's {"text": [...], "answer_start": [...]}
        given = given.get("text", ())
    return _strings(given if isinstance(given, list) else [given])


def _documents(value: Mapping[str, Any]) -> tuple[str, ...]:
    """The question's own field, or KILT's provenance, or DPR's positive passages."""
    given = next((value[name] for name in _DOCUMENTS if name in value), None)
    if given is not None:
        return _strings(given if isinstance(given, list) else [given])
    items = [item for output in _outputs(value) for item in _objects(output.get("provenance"))]
    items += _objects(value.get("positive_ctxs"))
    names = [next((item[name] for name in _GOLD if item.get(name)), None) for item in items]
    return _strings(name for name in names if name is not None)


def _outputs(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _objects(value.get("output"))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strings(values: Iterable[Any]) -> tuple[str, ...]:
    """Each once. Raises ValueError for what is neither text nor a number."""
    found: dict[str, None] = {}
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"an answer or id that is not text but {type(value).__name__}")
        found[str(value)] = None
    return tuple(found)
