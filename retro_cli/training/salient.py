"""Spans worth masking: dates, numbers and names, by their form alone.

REALM (Guu et al. 2020, section 3.4) masks what a tagger of named entities and a date expression
find. There is no tagger here: a capitalised word inside a sentence counts as a name. That takes
"Monday" and "French" too, and misses a name that begins a sentence.
"""

from __future__ import annotations

import re

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DATE = rf"\b\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}(?: \d{{4}})?\b|\b{_MONTH} \d{{1,2}}, \d{{4}}\b"
_DATE += rf"|\b{_MONTH} \d{{4}}\b|\b\d{{4}}-\d{{2}}-\d{{2}}\b"
_NUMBER = r"[£$€]?\b\d+(?:[.,:]\d+)*\b%?"
_WORD = r"[^\W\d_a-zà-öø-ÿ][\w'’-]+"  # begins with a capital
# Behind a word of the same sentence; words in a row, also joined by a small one, are one name.
_NAME = rf"(?<=[\w,;:'’)] )(?!I\b){_WORD}(?: (?:(?:of|the|de|von|van|and|&) )?{_WORD})*"
_SALIENT = re.compile(f"{_DATE}|{_NAME}|{_NUMBER}")

Span = tuple[int, int]


def salient_spans(text: str) -> list[Span]:
    """(start, end) in characters, in order, none overlapping."""
    return [found.span() for found in _SALIENT.finditer(text)]
