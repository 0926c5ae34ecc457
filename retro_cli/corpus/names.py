"""Names of local files: how they are shown, how they are found again, and which are nearly one."""

from __future__ import annotations

import difflib
import os
import posixpath
import re
from itertools import islice

_SHOWN = re.compile(rb"\\x([89a-f][0-9a-f])")  # no other byte can be invalid
_NEAR_NAMES = 10_000  # names of a folder that are compared with a misspelt one


def printable(path: str) -> str:
    """``path`` itself unless its name is not valid UTF-8 (then such bytes show as \\xNN)."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return path


def as_named(uri: str) -> str:
    """The path that ``printable`` shows as ``uri``."""
    data = _SHOWN.sub(lambda found: bytes.fromhex(found[1].decode()), uri.encode())
    return os.fsdecode(data)


def near_names(path: str) -> str:
    """A hint with the existing names that look like the one that does not exist."""
    if os.path.islink(path):
        return f"it is a link to {os.readlink(path)}, which does not exist"
    parent, name = posixpath.split(path)
    while parent and not os.path.isdir(parent):
        parent, name = posixpath.split(parent)
    try:
        with os.scandir(parent or ".") as entries:
            names = sorted(entry.name for entry in islice(entries, _NEAR_NAMES))
    except OSError:
        names = []
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(posixpath.join(parent, each) for each in near) + "?"
    return f"{name} is not in {parent or 'the current folder'}"
