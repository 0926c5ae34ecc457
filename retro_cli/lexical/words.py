"""What counts as a word: the one analysis of chunks and of queries.

Words are runs of letters and digits, in lower case, without accents, cut to their stems. A
character of a script that is written without spaces is a word by itself.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tantivy import TextAnalyzer

LONGEST = 255  # bytes; what is longer is no word
# Han, Kana, Thai, Lao, Myanmar, Khmer: no spaces tell their words apart.
_UNSPACED = re.compile(
    "([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u3041-\u30ff\u31f0-\u31ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])"
)


def prepared(text: str) -> str:
    """One spelling of the same characters, and spaces where a script has none."""
    if text.isascii():
        return text
    whole = text.encode("utf-8", "replace").decode()  # half a character may come from a terminal
    return _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFKC", whole))


@cache
def analyzer(stemmer: str) -> TextAnalyzer:
    """Tantivy's, for prepared text. stemmer: of ``config.STEMMERS``."""
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    builder = TextAnalyzerBuilder(Tokenizer.simple())
    builder = builder.filter(Filter.remove_long(LONGEST)).filter(Filter.lowercase())
    steps = [Filter.ascii_fold()]
    if stemmer == "english":  # whose rules know no accents, so these go first
        steps.append(Filter.stemmer(stemmer))
    elif stemmer != "none":
        steps.insert(0, Filter.stemmer(stemmer))
    for step in steps:
        builder = builder.filter(step)
    return builder.build()


def words(text: str, stemmer: str) -> list[str]:
    """The words of a text as they stand in the index, in order, repeated ones too."""
    found: list[str] = analyzer(stemmer).analyze(prepared(text))
    return found
