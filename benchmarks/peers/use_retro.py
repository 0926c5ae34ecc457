"""Many queries of one process through retro's Python interface. All else is its commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from adapter import K, warm

from retro_cli import Database

if __name__ == "__main__":
    _, store, _, queries = sys.argv[1:]
    with Database.open(store) as db:

        def search(text: str) -> list[str]:
            return [f"{hit.document}#{hit.position}" for hit in db.query(text, K)]

        print(json.dumps(warm(search, Path(queries).read_text(encoding="utf-8").splitlines())))
