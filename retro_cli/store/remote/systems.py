"""Which file system a URL names, and what is said when it cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retro_cli.errors import FULL, MissingExtra, RemoteError, RetroError, UnreadableInput

_EXTRAS = {"http": "http", "https": "http", "s3": "s3", "gs": "gs", "gcs": "gs"}
_REFUSED = ("credential", "token", "accessdenied", "access denied", "forbidden", "unauthorized")
_LONGEST = 300  # characters of a library's own words


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path there.

    Raises MissingExtra, and UnreadableInput for what is no URL of one place.
    """
    if "::" in url:
        raise UnreadableInput(f"{url} is a chain of URLs", "name one file or folder")
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        protocol = url.partition("://")[0]
        if protocol in _EXTRAS:
            raise MissingExtra(f"reading {protocol}:// URLs", _EXTRAS[protocol]) from error
        raise UnreadableInput(f"cannot open {url}", str(error)) from error
    except ValueError as error:
        raise UnreadableInput(f"cannot open {url}: {error}") from error
    return system, str(path)


@contextmanager
def reaching(verb: str, what: str) -> Iterator[None]:
    """Around a call of fsspec: each file system behind it has errors of its own. Raises
    RemoteError; a full disk of our own passes through."""
    try:
        yield
    except RetroError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise _unreachable(verb, what, error) from error


def _unreachable(verb: str, what: str, error: Exception) -> RemoteError:
    if isinstance(error, FileNotFoundError):
        return RemoteError(
            f"cannot {verb} {what}: it is not there",
            "see that the bucket is; what a newer push has replaced is found by running it again",
        )
    why = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
    if isinstance(error, PermissionError) or any(word in why.lower() for word in _REFUSED):
        return RemoteError(
            f"cannot {verb} {what}: access was refused ({why})",
            "renew the credentials and run the same command again; nothing is lost",
        )
    return RemoteError(
        f"cannot {verb} {what}: {why}",
        "see that the network and the address are right, then run it again; nothing is lost",
    )
