"""hit@5 on questions that were held out, before and after ``retro train-encoder``.

python benchmarks/train_encoder.py --data DIR --work DIR [--steps N]

DIR/squad20 holds ``corpus.jsonl`` and ``qa.jsonl``. One paragraph in five is held out by a hash of
its id: the encoder learns from no question about it, but it stays in the database. A hit is a
question whose own paragraph is among the five documents that ``retro query`` ranks first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from measure import retro, say
from ndcg import read_trec
from results import FOLDER, machine

from retro_cli.evaluate.bootstrap import ratios

K = 5


def is_held_out(document: str) -> bool:
    return hashlib.sha256(document.encode()).digest()[0] % 5 == 0


def split(data: Path, work: Path) -> list[dict[str, Any]]:
    """Write the questions to learn from; return those that are held out."""
    lines = (data / "squad20" / "qa.jsonl").read_text(encoding="utf-8").splitlines()
    every = [json.loads(line) for line in lines]
    held = [each for each in every if is_held_out(each["doc_id"])]
    learned = [each for each in every if not is_held_out(each["doc_id"])]
    for name, part in (("held", held), ("learned", learned)):
        text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in part)
        (work / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return held


def hits(db: Path, work: Path, held: list[dict[str, Any]]) -> list[bool]:
    asked: list[str | Path] = ["--queries", work / "held.jsonl", "-k", str(K)]
    found = read_trec(retro("query", db, *asked, "--format", "trec").stdout)
    return [each["doc_id"] in found.get(each["id"], []) for each in held]


def measure(data: Path, work: Path, steps: int) -> dict[str, Any]:
    work.mkdir(parents=True, exist_ok=True)
    held = split(data, work)
    corpus = data / "squad20" / "corpus.jsonl"
    before, after, encoder = work / "before.db", work / "after.db", work / "encoder"
    say("build with the packaged encoder")
    retro("build", corpus, "--db", before)
    say(f"train for {steps} steps")
    command: list[str | Path] = ["--questions", work / "learned.jsonl", "--out", encoder]
    retro("train-encoder", before, *command, "--steps", str(steps))
    record = json.loads((encoder / "training.json").read_text(encoding="utf-8"))
    say("embed and index with what was learned")
    shutil.copytree(before, after, dirs_exist_ok=True)
    retro("embed", after, "--encoder", encoder)
    retro("index", after)
    both = np.array([hits(before, work, held), hits(after, work, held)], dtype=np.float64)
    # Questions about one paragraph are not independent: whole paragraphs are drawn.
    names = sorted({each["doc_id"] for each in held})
    place = np.array([names.index(each["doc_id"]) for each in held])
    rows = [*both, both[1] - both[0]]
    sums = np.array([np.bincount(place, weights=row, minlength=len(names)) for row in rows])
    counts = np.tile(np.bincount(place, minlength=len(names)).astype(np.float64), (3, 1))
    estimates = ratios(sums, counts, seed=0)
    return {
        "hits": dict(zip(("before", "after", "gain"), map(asdict, estimates), strict=True)),
        "k": K,
        "questions": {"held_out": len(held), "learned_from": record["made_from"]["learned_from"]},
        "settings": record["settings"],
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what train-encoder gains.")
    parser.add_argument("--data", type=Path, required=True, help="the folder with squad20")
    parser.add_argument("--work", type=Path, required=True, help="where databases may go")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    found = measure(given.data, given.work, given.steps)
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    (given.results / "train_encoder.json").write_text(text, encoding="utf-8")
    say(f"hit@{K}: {found['hits']}")


if __name__ == "__main__":
    main()
