"""Conditions on documents: ``--where "year >= 1990 and author = Ines"``, ``--source 'letters/*'``.

A condition names ``source``, ``document``, ``title`` or a metadata field. It is parsed, never
evaluated as code. A document without the field does not match, except under ``!=``.

Numbers are compared as numbers, all else as text. Which document is meant must not depend on what
a label looks like: under ``=`` and ``!=`` the three names are text, as is a value in quotes, and a
text in the metadata is a number only if it is plainly written (2.50, but not 007 or 12e4).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from typing import Any

from retro_cli.errors import UsageError

_CONDITION = re.compile(r"^\s*([\w.\-]+)\s*(!=|>=|<=|~|=|>|<)\s*(.*?)\s*$", re.DOTALL)
# A quote opens only where a value begins, so that O'Neil is a name.
_QUOTED = re.compile(r"(?<=[=<>~])\s*(?:'[^']*'|\"[^\"]*\")(?=\s|$)")
_WHOLE = re.compile(r"'[^']*'|\"[^\"]*\"")
# A bare value may be words, and a single word may hold an operator, as an address does.
_DOUBTFUL = re.compile(r"['\"=<>~]|!=|(?=.*\s).*(?:[=<>~]|\sor\s)", re.DOTALL | re.IGNORECASE)
_FINITE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_NAMES = ("source", "document", "title")
_WILD = re.compile(r"[*?]")
_ABSENT = object()
HINT = (
    "write FIELD OP VALUE, joined by 'and' alone; OP is a single =, or != < <= > >= or ~ (glob); "
    "quote a value that holds 'and', 'or', quotes or operators"
)


@dataclass(frozen=True)
class Condition:
    field: str
    operator: str
    value: str
    quoted: bool = False

    def matches(self, document: dict[str, Any]) -> bool:
        """``document`` has source, document, title and metadata (JSON text)."""
        have = _field(document, self.field)
        if have is _ABSENT:
            return self.operator == "!="
        if isinstance(have, list):
            hits = [self._compare(item) for item in have]
            return all(hits) if self.operator == "!=" else any(hits)
        return self._compare(have)

    def known_to(self, document: dict[str, Any]) -> bool:
        """Whether the document has the field."""
        return _field(document, self.field) is not _ABSENT

    def _compare(self, have: Any) -> bool:
        if self.operator == "~":
            return fnmatchcase(_text(have), self.value)
        left, right = (None, None) if self._literal(have) else (_number(have), _number(self.value))
        if left is None and right is not None and self.operator[0] in "<>":
            return False  # a number is asked for, and this is none
        if left is None or right is None:
            return _OPERATORS[self.operator](_text(have), self.value)
        return _OPERATORS[self.operator](left, right)

    def _literal(self, have: Any) -> bool:
        """Whether digits are compared as they are written."""
        label = isinstance(have, str) and (self.field in _NAMES or not _plain(have, self.value))
        return self.operator in ("=", "!=") and (self.quoted or label)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def parse_where(expression: str) -> list[Condition]:
    """Conditions that must all hold. Raises UsageError with the part that is none, or that may be
    meant otherwise than it would be read."""
    return [_condition(part, strict=True) for part in _split_and(expression)]


def kept_where(expression: str) -> list[Condition]:
    """The conditions of a rule in the ledger: what was accepted once is read as it was then."""
    return [_condition(part, strict=False) for part in _split_and(expression)]


def any_of(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name is one of these. One with ``*`` or ``?`` in it is a glob."""
    names = {pattern for pattern in patterns if not _WILD.search(pattern)}
    wild = [translate(pattern) for pattern in patterns if _WILD.search(pattern)]
    if not wild:
        return names.__contains__
    glob = re.compile("|".join(wild)).match
    return lambda name: name in names or glob(name) is not None


def _condition(part: str, *, strict: bool) -> Condition:
    match = _CONDITION.match(part)
    if match is None:
        raise UsageError(f"--where does not understand '{part.strip()}'", HINT)
    field, operator, value = match.groups()
    if strict and not value:
        raise UsageError(f"--where: '{part.strip()}' lacks a value", HINT)
    if strict and _DOUBTFUL.match(value) and not _WHOLE.fullmatch(value):
        raise UsageError(f"--where does not understand '{value}' as one value", HINT)
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return Condition(field, operator, value[1:-1] if quoted else value, quoted)


def field_names(document: dict[str, Any]) -> Iterator[str]:
    """What a condition may name of a document."""
    yield from _NAMES
    objects = [("", json.loads(document["metadata"] or "{}"))]
    while objects:
        path, value = objects.pop()
        for key, inner in value.items():
            yield path + key
            if isinstance(inner, dict):
                objects.append((f"{path}{key}.", inner))


def _split_and(expression: str) -> list[str]:
    """Split at the word "and" outside quotes."""
    masked = _QUOTED.sub(lambda m: "\0" * len(m.group()), expression)
    parts, start = [], 0
    for match in re.finditer(r"\s+and(?:\s+|$)", masked, re.IGNORECASE):
        parts.append(expression[start : match.start()])
        start = match.end()
    return [*parts, expression[start:]]


def _field(document: dict[str, Any], name: str) -> Any:
    if name in _NAMES:
        return document[name]
    value: Any = json.loads(document["metadata"] or "{}")
    while isinstance(value, dict):  # a key that holds the dots itself comes first
        if name in value:
            return value[name]
        step, _, name = name.partition(".")
        value = value.get(step)
    return _ABSENT


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(*texts: str) -> bool:
    return all(_PLAIN.fullmatch(text) for text in texts)


def _number(value: Any) -> float | int | None:
    """Whole numbers exactly, others as floats; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        return value
    number = float(value) if _FINITE.fullmatch(value) else math.inf
    if not math.isfinite(number):
        return None
    try:
        return int(value)
    except ValueError:
        return number
