"""Damage to what lies behind a URL, and what must hold of a query that reads it there."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from fuzzing import answer, bounded, damaged, refused_or, strange_json
from remote_helpers import as_new_process, objects, put

from retro_cli.store.layout import Layout
from retro_cli.store.remote.push import push

URL = "memory://fuzz/d.db"


@dataclass(frozen=True)
class GoodRemote:
    """A database in the memory of this process, whole, and what it answers.

    cache: the folder of what was read of it, which each try begins without.
    """

    objects: dict[str, bytes]
    texts: frozenset[str]
    cache: Path

    @classmethod
    def of(cls, root: Path) -> GoodRemote:
        cache = root.parent / "cache"
        os.environ["RETRO_CACHE"] = str(cache)
        push(Layout(root), URL)
        return cls(objects(URL), frozenset(answer(URL)), cache)

    def forget(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)
        as_new_process()


def try_remote(good: GoodRemote, source: random.Random) -> None:
    """Damage an object and query: every block has its hash, so nothing else is ever shown."""
    key = source.choice(sorted(good.objects))
    data = good.objects[key]
    strange = data.startswith(b"{") and source.random() < 0.7
    try:
        put(URL, key, (strange_json if strange else damaged)(data, source))
        good.forget()
        with bounded():
            retriever = source.choice(("dense", "bm25", "hybrid"))
            shown = refused_or(lambda: frozenset(answer(URL, retriever)))
            assert shown is None or shown <= good.texts, "shows what was not there"
    except BaseException as error:
        error.add_note(f"in {key}")
        raise
    finally:
        put(URL, key, data)
