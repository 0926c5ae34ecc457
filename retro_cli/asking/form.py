"""What a question asks for, by its words, and what a span of text is: a number, a date, a name.

Of questions in other languages than English nothing is known, and all spans fit them alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

_NUMERALS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    "hundred|thousand|million|billion|dozen|half|twice|once"
)
_MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december|jan|"
    "feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec"
)
_MEASURES = (
    "number|amount|age|price|salary|wages?|pay|rent|toll|fare|fee|cost|sum|distance|length|height|"
    "depth|width|weight|speed|size|population|range|power|capacity|gauge|percentage|percent|share|"
    "rate|ratio|temperature|area|volume|diameter|thickness|duration|score|total|strength|tonnage|"
    "voltage|pressure|frequency"
)
_DEGREES = (
    "many|much|long|far|tall|high|deep|old|fast|wide|heavy|large|big|often|thick|strong|loud|hot|"
    "cold|late|early"
)
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(rf"\w*\d\w*|{_NUMERALS}")
_MONTH = re.compile(_MONTHS)
_YEAR = re.compile(r"\b(1[0-9]{3}|20[0-9]{2})\b")
_UNIT = re.compile(r"[£$€¥%]")
_LONGEST_DATE = 4  # words
_FIRST = 3  # words, among which the number of a span that is one stands


class Form(StrEnum):
    """What an answer is; ``OTHER`` is all that is neither of these."""

    NUMBER = "number"
    DATE = "date"
    PERSON = "person"
    PLACE = "place"
    OTHER = "other"


_ASKED = (
    (Form.DATE, r"\b(when|(what|which) (year|date|day|month|decade|century|season|time))\b"),
    (Form.NUMBER, rf"\bhow ({_DEGREES})\b"),
    (
        Form.NUMBER,
        rf"\b(what|which)( (is|was|are|were) (the|its|his|her|their|a))?( \w+)? ({_MEASURES})\b",
    ),
    (
        Form.NUMBER,
        r"\bwhat (do|does|did|would)\b.*\b(pay|cost|charge|earn|owe|weigh|measure|fetch)\b",
    ),
    (Form.PERSON, r"\b(who|whom|whose)\b"),
    (Form.PLACE, r"\bwhere\b"),
)
_RULES = tuple((form, re.compile(rule)) for form, rule in _ASKED)


def asked_for(question: str) -> Form:
    """The form of the answer that the words of a question ask for."""
    words = " ".join(_WORD.findall(question.lower()))
    return next((form for form, rule in _RULES if rule.search(words)), Form.OTHER)


def form_of(span: str) -> Form:
    """NUMBER, DATE or OTHER. A number stands at the beginning of a span that is one, and a date
    is short: "some 800 metres" and "12 May 1931", not "the paper of 12 May 1931"."""
    words = _WORD.findall(span.lower())
    first = next((n for n, word in enumerate(words) if _NUMBER.fullmatch(word)), None)
    if first is None:
        return Form.OTHER
    if _dated(span, words) and len(words) <= _LONGEST_DATE:
        return Form.DATE
    return Form.NUMBER if first < _FIRST else Form.OTHER


def fit(question: str, span: str) -> float:
    """1 where a span is what a question asks for, -1 where it is not, 0 where that is not known.

    A number or a date is asked for by one form, a person by a name; a date answers nothing else.
    """
    wanted, given = asked_for(question), form_of(span)
    if wanted in (Form.NUMBER, Form.DATE):
        return 1.0 if given == wanted else -1.0
    if given == Form.DATE or (given == Form.NUMBER and wanted != Form.OTHER):
        return -1.0
    return 1.0 if wanted == Form.PERSON and _named(span) else 0.0


def best_fit(question: str, text: str) -> float:
    """The best that a span of a text can fit a question."""
    wanted, words = asked_for(question), _WORD.findall(text.lower())
    if wanted == Form.NUMBER:
        return 1.0 if any(map(_NUMBER.fullmatch, words)) else -1.0
    if wanted == Form.DATE:
        return 1.0 if _dated(text, words) else -1.0
    return 1.0 if wanted == Form.PERSON and _named(text) else 0.0


def _dated(text: str, words: Sequence[str]) -> bool:
    year = bool(_YEAR.search(text)) and not _UNIT.search(text)
    return year or any(map(_MONTH.fullmatch, words))


def _named(span: str) -> bool:
    """Whether a word of two letters or more begins with a capital."""
    return any(word[0].isupper() for word in re.findall(r"[^\W\d_]\w+", span))
