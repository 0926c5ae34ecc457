"""Conditions on documents: ``--where "year >= 1990 and author = Ines"``, ``--source 'letters/*'``.

A condition names ``source``, ``document``, ``title`` or a metadata field. It is parsed, never
evaluated as code. A document without the field does not match, except under ``!=``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from retro_cli.errors import UsageError

_CONDITION = re.compile(r"^\s*([\w.\-]+)\s*(!=|>=|<=|~|=|>|<)\s*(.*?)\s*$", re.DOTALL)
# A quote opens only where a value begins, so that O'Neil is a name.
_QUOTED = re.compile(r"(?<=[=<>~])\s*(?:'[^']*'|\"[^\"]*\")(?=\s|$)")
_ABSENT = object()
HINT = "write FIELD OP VALUE with = != < <= > >= or ~ (glob), joined by 'and'"


@dataclass(frozen=True)
class Condition:
    field: str
    operator: str
    value: str

    def matches(self, document: dict[str, Any]) -> bool:
        """``document`` has source, document, title and metadata (JSON text)."""
        have = _field(document, self.field)
        if have is _ABSENT:
            return self.operator == "!="
        if isinstance(have, list):
            hits = [self._compare(item) for item in have]
            return all(hits) if self.operator == "!=" else any(hits)
        return self._compare(have)

    def _compare(self, have: Any) -> bool:
        if self.operator == "~":
            return fnmatchcase(_text(have), self.value)
        numbers = _numbers(have, self.value)
        if numbers is None and self.operator[0] in "<>" and _number(self.value) is not None:
            return False  # a number is asked for, and this is none
        left, right = numbers if numbers is not None else (_text(have), self.value)
        return _OPERATORS[self.operator](left, right)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def parse_where(expression: str) -> list[Condition]:
    """Conditions that must all hold. Raises UsageError with the part that is not one."""
    conditions = []
    for part in _split_and(expression):
        match = _CONDITION.match(part)
        if match is None:
            raise UsageError(f"--where does not understand '{part.strip()}'", HINT)
        field, operator, value = match.groups()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        conditions.append(Condition(field, operator, value))
    return conditions


def _split_and(expression: str) -> list[str]:
    """Split at the word "and" outside quotes."""
    masked = _QUOTED.sub(lambda m: "\0" * len(m.group()), expression)
    parts, start = [], 0
    for match in re.finditer(r"\s+and(?:\s+|$)", masked, re.IGNORECASE):
        parts.append(expression[start : match.start()])
        start = match.end()
    return [*parts, expression[start:]]


def _field(document: dict[str, Any], name: str) -> Any:
    if name in ("source", "document", "title"):
        return document[name]
    value: Any = json.loads(document["metadata"] or "{}")
    for step in name.split("."):
        if not isinstance(value, dict) or step not in value:
            return _ABSENT
        value = value[step]
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _numbers(have: Any, value: str) -> tuple[float, float] | None:
    left, right = _number(have), _number(value)
    return None if left is None or right is None else (left, right)


def _number(value: Any) -> float | int | None:
    """Whole numbers exactly, others as floats, anything else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    for kind in (int, float):
        try:
            return kind(value) if isinstance(value, str) else value
        except ValueError:
            continue
    return None
