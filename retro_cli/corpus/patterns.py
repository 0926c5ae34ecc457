"""Globs over posix paths, and whether a path lies under what a user named. Pure."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Sequence

_MAGIC = re.compile(r"[*?\[]")


def has_magic(spec: str) -> bool:
    """Whether a spec is a glob."""
    return _MAGIC.search(spec) is not None


def fixed_part(pattern: str) -> str:
    """The folders before the first component that has a wildcard ("" if there are none)."""
    kept: list[str] = []
    for component in pattern.split("/")[:-1]:
        if has_magic(component):
            break
        kept.append(component)
    return "/" if kept == [""] else "/".join(kept)


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for whole paths. ``**`` as a component stands for any number of folders."""
    components = [
        None if component == "**" else re.compile(fnmatch.translate(component)).match
        for component in pattern.split("/")
    ]

    def reachable(states: set[int]) -> set[int]:
        """Also the components behind a ``**`` that stands for no folder."""
        for state in sorted(states):
            while state < len(components) and components[state] is None:
                state += 1
                states.add(state)
        return states

    def matches(path: str) -> bool:
        states = reachable({0})
        for name in path.split("/"):
            following: set[int] = set()
            for state in states - {len(components)}:
                test = components[state]
                if test is None:
                    following.add(state)
                elif test(name):
                    following.add(state + 1)
            states = reachable(following)
        return len(components) in states

    return matches


class Roots:
    """What the user named, as a test for uris: files, folders and globs, existing or not."""

    def __init__(self, specs: Sequence[str]) -> None:
        self._exact: set[str] = set()
        self._prefixes: list[str] = []
        self._matchers: list[Callable[[str], bool]] = []
        self._everything_relative = False
        for spec in filter(None, specs):  # an empty name names nothing
            self._add(spec)

    def _add(self, spec: str) -> None:
        url = "://" in spec
        root = spec.rstrip("/") if url else posixpath.normpath(spec)
        if has_magic(root):
            self._matchers.append(matcher(root))
        if root == ".":
            self._everything_relative = True
            return
        self._exact.add(root)
        self._prefixes.append(root if root.endswith("/") else root + "/")

    def covers(self, uri: str) -> bool:
        """Whether ``uri`` is one of the files, lies under a folder or matches a glob."""
        if uri in self._exact or uri.startswith(tuple(self._prefixes)):
            return True
        if self._everything_relative and not uri.startswith(("/", "../")) and "://" not in uri:
            return True
        return any(matches(uri) for matches in self._matchers)


def roots(specs: Sequence[str]) -> Roots:
    """Compile ``specs`` once, for many uris."""
    return Roots(specs)


def covers(specs: Sequence[str], uri: str) -> bool:
    """Whether ``uri`` lies under one of ``specs`` (a folder, a glob or a file)."""
    return Roots(specs).covers(uri)
