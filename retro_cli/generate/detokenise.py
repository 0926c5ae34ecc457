"""Tokens into text as they come: never half a character, and spaces as the whole text has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_CUT = "�"
_BEFORE = 8  # tokens that a decoder sees before the new one: spaces and marks may depend on them
_WINDOW = 32
_HELD = 3  # a character has at most four bytes, so that no more can be missing of one


class Detokeniser:
    """Gives the text that each token adds.

    A token may end inside a character; what it adds is then held until the character is whole,
    and never shown if it does not become so. Bytes that are no text show as U+FFFD.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int]) -> None:
        """before: the tokens of the prompt."""
        self._decode = decode
        self._ids = list(before[-_BEFORE:])
        self._shown = len(_whole(decode(self._ids)))

    def add(self, token: int) -> str:
        """What can be shown now, and could not be before."""
        self._ids.append(token)
        text = self._decode(self._ids)
        whole = _whole(text)
        new = whole[self._shown :]
        self._shown = max(self._shown, len(whole))
        if len(self._ids) > _WINDOW and whole == text:
            self._ids = self._ids[-_BEFORE:]
            self._shown = len(_whole(self._decode(self._ids)))
        return new


def _whole(text: str) -> str:
    """Without the end that further tokens may turn into a character."""
    return text[: max(len(text.rstrip(_CUT)), len(text) - _HELD)]
