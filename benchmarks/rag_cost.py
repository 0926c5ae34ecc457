"""What reading K chunks with ``rag-token`` costs, against reading one.

python benchmarks/rag_cost.py --db DB

DB: the sample corpus, built. Both sides answer the same questions with as many tokens, greedily,
in turn; the time is that of the whole, retrieval included, without loading the model.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from measure import alternate, say
from results import FOLDER, Line, Result
from transformers.utils import logging

from retro_cli.database import Database
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.live import LiveRetriever
from retro_cli.generate.loop import generate
from retro_cli.models.base import DEFAULT_BASE
from retro_cli.models.language import open_language_model
from retro_cli.readers.mixture import MixtureReader

QUESTIONS = Path(__file__).parent.parent / "sample_corpus" / "questions.jsonl"


def measure(db: Path, model: str, k: int, tokens: int, rounds: int, threads: int) -> Result:
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    opened = open_language_model(model, device="cpu")
    with Database.open(db) as database:
        live = LiveRetriever(database.finder())

        def reading(chunks: int) -> Callable[[int], float]:
            reader = MixtureReader(opened, k=chunks)
            reader.ends = ()  # both sides write just as much

            def run(turn: int) -> float:
                question = questions[turn % len(questions)]
                return generate(reader, live, question, Decoding(tokens)).timing.total

            return run

        sides = {"1 chunk, seconds": reading(1), f"{k} chunks, seconds": reading(k)}
        for run in sides.values():  # opens the files
            run(0)
        seconds = alternate(sides, rounds)
        facts = {
            "model": model, "chunks": database.retriever.generation.rows, "k": k,
            "tokens": tokens, "threads": threads, "encoder": database.encoder.spec.name,
        }  # fmt: skip
    one, many = seconds.values()
    cost = statistics.median(b / a for a, b in zip(one, many, strict=True))
    return Result(
        "rag_cost",
        [
            Line(
                f"`retro generate --reader rag-token` of {tokens} tokens over {k} chunks, against "
                "over one, paired",
                f"at most {k} x 1.2 = {1.2 * k:g}x its time",
                f"{cost:.2f}x ({statistics.median(many):.1f}, {statistics.median(one):.1f} s)",
                cost, 1.2 * k, False, seconds,
            )
        ],
        facts,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="The benchmark 'rag_cost'.")
    parser.add_argument("--db", type=Path, required=True, help="the sample corpus, built")
    parser.add_argument("--model", default=DEFAULT_BASE, help="a causal language model")
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    result = measure(given.db, given.model, given.k, given.tokens, given.rounds, given.threads)
    path = result.save(given.results, quick=False)
    for line in result.lines:
        say(f"{'met   ' if line.met else 'MISSED'} {line.what}: {line.measured} ({line.target})")
    say(f"rag_cost: {path}")


if __name__ == "__main__":
    main()
