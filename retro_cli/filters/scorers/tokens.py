"""A text -> the words that the lexical scorers look at."""

from __future__ import annotations

import html
import re
import unicodedata

# What a message is wrapped in says nothing about its tone.
_WRAPPING = re.compile(r"https?://\S+|www\.\S+|@\w+|\brt\b")
_REPEATED = re.compile(r"([^\W\d_])\1{2,}")
# Letters; inside a word also an apostrophe, or the stars that hide a letter.
_WORD = re.compile(r"[^\W\d_]+(?:['*]+[^\W\d_]+)*")


def words(text: str) -> list[str]:
    """Case-folded words of ``text`` in order, without addresses, mentions and "RT".

    HTML entities are resolved, and a letter said three times or more is said once.
    """
    if "&" in text:
        text = html.unescape(html.unescape(text))  # posts are often escaped twice
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    text = _WRAPPING.sub(" ", text.casefold())
    return _WORD.findall(_REPEATED.sub(r"\1", text))
