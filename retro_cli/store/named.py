"""Small text files that the user names: lists of names, word lists, tables of labels."""

from __future__ import annotations

from pathlib import Path

from retro_cli.errors import InputNotFound, UnreadableInput


def read_named(path: Path, hint: str) -> str:
    """The text of a file in UTF-8, without its byte order mark.

    Raises, with ``hint``, InputNotFound if it cannot be opened and UnreadableInput if it is no
    text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputNotFound(f"there is no file {path}", hint) from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InputNotFound(f"{path} cannot be read: {why}", hint) from error
    if b"\0" in data:
        raise UnreadableInput(f"{path} is no text but binary data", hint)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{path} is not UTF-8 (byte {error.start})", hint) from error
