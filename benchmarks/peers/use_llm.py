"""``llm embed-multi`` and ``llm similar``, with the plugin for sentence-transformers.

The commands are its own, but for two: many queries of one process go through its Python interface,
and it deletes whole collections only, so a source is deleted by SQL, as the file is plain SQLite.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from adapter import Adapter, K, Record, Searcher, main

DATABASE, USER, COLLECTION = "embeddings.db", "user", "chunks"


def build(store: Path, model: str, records: list[Record]) -> None:
    """A rerun embeds only what has a new content hash."""
    if not (store / USER).exists():
        _llm(store, "sentence-transformers", "register", "--lazy", model)
    rows = "".join(
        json.dumps({"id": f"{record['source']}/{record['id']}", "text": record["text"]}) + "\n"
        for record in records
    )
    given = ("--format", "nl", "--store", "-m", f"sentence-transformers/{model}")
    _llm(store, "embed-multi", COLLECTION, "-", *given, "-d", str(store / DATABASE), text=rows)


def delete(store: Path, source: str) -> None:
    with closing(sqlite3.connect(store / DATABASE)) as connection, connection:
        connection.execute("delete from embeddings where id like ?", [f"{source}/%"])


def clean(store: Path) -> None:
    with closing(sqlite3.connect(store / DATABASE)) as connection:
        connection.execute("vacuum")


def open_store(store: Path, model: str) -> Searcher:
    os.environ["LLM_USER_PATH"] = str(store / USER)
    import llm
    import sqlite_utils

    collection = llm.Collection(COLLECTION, sqlite_utils.Database(store / DATABASE))

    def search(text: str) -> list[str]:
        return [_id(entry.id) for entry in collection.similar(text, number=K)]

    return search


def similar(store: Path, text: str) -> None:
    """A cold query is the command, printed in the form of all."""
    path = str(store / DATABASE)
    found = _llm(store, "similar", COLLECTION, "-c", text, "-n", str(K), "-d", path)
    print(json.dumps([_id(json.loads(line)["id"]) for line in found.splitlines()]))


def _id(name: str) -> str:
    return name.partition("/")[2]


def _llm(store: Path, *words: str, text: str = "") -> str:
    program = Path(sys.executable).with_name("llm")
    environment = {**os.environ, "LLM_USER_PATH": str(store / USER)}
    done = subprocess.run(
        [program, *words], input=text, env=environment, check=True, text=True, stdout=-1
    )
    return done.stdout


if __name__ == "__main__":
    if sys.argv[1] == "query":
        similar(Path(sys.argv[2]), sys.argv[4])
    else:
        main(Adapter(build, build, open_store, delete, clean))
