"""Two texts of a public set: what goes into the database and what is held out of it.

python benchmarks/held_out.py --data DIR --out DIR

Writes peps-train.jsonl.gz, peps-held.jsonl.gz and the same of books. A document is held out if the
first byte of its id's sha256 is a multiple of ten: one in ten, whatever the order.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from pathlib import Path

from context import records
from measure import say

SETS = ("peps", "books")


def is_held_out(document: str) -> bool:
    return hashlib.sha256(document.encode()).digest()[0] % 10 == 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold a tenth of the documents out.")
    parser.add_argument("--data", type=Path, required=True, help="the folder with books and peps")
    parser.add_argument("--out", type=Path, required=True, help="where to write")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        found: dict[bool, list[str]] = {True: [], False: []}
        for record in records(given.data, name):
            found[is_held_out(record["id"])].append(json.dumps(record, ensure_ascii=False))
        for held, part in ((False, "train"), (True, "held")):
            path = given.out / f"{name}-{part}.jsonl.gz"
            data = "".join(f"{line}\n" for line in found[held]).encode()
            path.write_bytes(gzip.compress(data, mtime=0))
            say(f"{path}: {len(found[held]):,} documents, {len(data) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
