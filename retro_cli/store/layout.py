"""Where things lie in a retrieval database."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retro_cli.errors import ConfigError, DatabaseTooNew, NotBuiltYet, UsageError

FORMAT_VERSION = 1
SETTINGS_FILE = "retro.toml"
VIEW_FILE = ".remote.json"  # in the folder of a view: what it is a view of


_FILE_URL = re.compile(r"file:(//)?(?=/[^/])", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # of two letters or more: c:/ is a drive


def local_folder(name: str | Path) -> Path:
    """The folder of a database, by its path or its file:// URL.

    Raises UsageError for an empty name, which Python takes for the current folder, and for the URL
    of another place, where nothing is written but by push. A Path has lost the second slash of a
    URL.
    """
    text = _FILE_URL.sub("", str(name), count=1)
    if not text:
        raise UsageError("the name is empty", "the folder you are in is '.'")
    if _URL.match(text):
        raise UsageError(
            f"{name} is a URL, and this needs a folder",
            "retro pull URL FOLDER fetches a database, retro push FOLDER URL publishes it",
        )
    return Path(text)


def is_remote(name: str | Path) -> bool:
    """Whether a database is named by the URL of another place than this disk."""
    text = str(name)
    return "://" in text and not text.lower().startswith("file:")


def database_folder(name: str | Path) -> Path:
    """The folder of a database that is to be read; of one behind a URL, of a view of it.

    Raises what ``local_folder`` and ``open_view`` do.
    """
    if not is_remote(name):
        return local_folder(name)
    from retro_cli.store.remote.view import open_view

    return open_view(str(name))


@dataclass(frozen=True)
class Layout:
    """The folders of one database. Creating a Layout touches nothing."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / SETTINGS_FILE

    @property
    def chunks(self) -> Path:
        return self.root / "chunks"

    @property
    def embeddings(self) -> Path:
        return self.root / "embeddings"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def lexical(self) -> Path:
        return self.root / "lexical"

    @property
    def attributes(self) -> Path:
        return self.root / "attributes"

    @property
    def neighbours(self) -> Path:
        return self.root / "neighbours"

    @property
    def filters(self) -> Path:
        return self.root / "filters"

    @property
    def datastore(self) -> Path:
        return self.root / "datastore"

    def size(self) -> int:
        """Bytes of all files of the database; one that has several names counts once."""
        from retro_cli.store.here import stored_bytes

        if (stored := stored_bytes(self.root)) is not None:
            return stored
        found = [path.stat() for path in self.root.rglob("*") if path.is_file()]
        return sum({(each.st_dev, each.st_ino): each.st_size for each in found}.values())

    def exists(self) -> bool:
        return self.settings.is_file()

    def require(self) -> dict[str, Any]:
        """The values of ``retro.toml``, but for its format.

        Raises NotBuiltYet unless this folder is a retrieval database, DatabaseTooNew if a newer
        version wrote it, and ConfigError for a file that is no TOML. Whoever opens a database, to
        read or to write, comes through here first.
        """
        if not self.exists():
            raise NotBuiltYet(
                f"{self.root} is not a retrieval database",
                f"create one: retro chunk INPUT --db {self.root}",
            )
        try:
            values = tomllib.loads(self.settings.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{self.settings}: {error}", "correct the file by hand") from error
        version = values.pop("format", 0)
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise DatabaseTooNew(
                f"{self.root} has format {version}; this retro reads up to {FORMAT_VERSION}",
                "upgrade: pip install --upgrade retro-cli",
            )
        return values
