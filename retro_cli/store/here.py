"""Files that may be elsewhere. In a local database every file is here, and asking costs a look at
its name. In a view of a remote one a file is a link into a cache: it is fetched when it is asked
for (``remote/view.py``)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from retro_cli.store.layout import VIEW_FILE

if TYPE_CHECKING:
    from retro_cli.store.remote.blocks import BlockFile


def here(path: Path) -> Path:
    """The same path, with its file on this disk, if the database has it."""
    all_here([path])
    return path


def all_here(paths: Iterable[Path]) -> None:
    """The same for several files, which are fetched at once."""
    linked = [path for path in paths if os.path.islink(path)]
    if linked:
        from retro_cli.store.remote.view import view_of

        view = view_of(linked[0])
        if view is not None:
            view.fetch(linked)


def in_blocks(path: Path) -> BlockFile | None:
    """A file that is read by blocks, since it is elsewhere; None if it is here."""
    if os.path.islink(path):
        from retro_cli.store.remote.view import view_of

        view = view_of(path)
        if view is not None and (file := view.blocks(path)) is not None:
            return file
        here(path)
    return None


def shown_name(root: Path) -> str:
    """What people call a database: its folder, or the URL that it is a view of."""
    if not (root / VIEW_FILE).is_file():
        return str(root)
    from retro_cli.store.remote.view import view_at

    return view_at(root).url


def newest_root(root: Path, again: bool = False) -> Path:
    """The folder where the newest state of a database is: of a view, perhaps another.

    again: whether a remote place is asked even if it just was.
    """
    if not (root / VIEW_FILE).is_file():
        return root
    from retro_cli.store.remote.view import open_view, view_at

    view = view_at(root)
    return open_view(view.url) if again or view.outdated() else root


def stored_bytes(root: Path) -> int | None:
    """The bytes of all files of a database of which this is a view; None for any other."""
    if not (root / VIEW_FILE).is_file():
        return None
    from retro_cli.store.remote.view import view_at

    return view_at(root).snapshot.size
