"""How fast ``retro generate`` writes: against the same backbone in transformers, which reads
nothing; and how much of the time is retrieval.

python benchmarks/generate_lm.py --base FOLDER --db DB

The added weights are random (their values take no time), CCA in six layers and an encoder of
width 256. Both sides write the same number of tokens after the same prompts, greedily, in turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import alternate, ratio, say
from results import FOLDER, Line, Result
from transformers import AutoConfig
from transformers.utils import logging

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.database import Database
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.live import LiveRetriever
from retro_cli.generate.loop import generate
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.readers.retro import RetroReader
from retro_cli.reading.evidence import NeighbourTokens

PROMPTS = (
    "A generator expression differs from a list comprehension in that",
    "The steering council decides",
    "To add a new keyword to the language, the grammar of the tokenizer",
    "Packages that are deprecated should",
)
LAYERS = 6


def spread(layers: int) -> list[int]:
    """LAYERS of them, evenly over the depth."""
    return sorted({max(1, round(layers * (number + 1) / LAYERS)) for number in range(LAYERS)})


def measure(base: Path, db: Path, tokens: int, rounds: int, threads: int) -> Result:
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    depth = AutoConfig.from_pretrained(base, local_files_only=True).num_hidden_layers
    model = RetroForCausalLM.from_base(
        base, encoder_width=256, encoder_heads=4, cca_layers=spread(depth), zero_gate=False
    )
    tokenizer = ChunkTokenizer(base)
    reader = RetroReader(model, tokenizer.raw)
    reader.ends = ()  # both sides write just as much
    shares: list[float] = []
    recorded = RetroReader(model, tokenizer.raw, record=True)
    recorded.ends = ()
    with Database.open(db) as database:
        longest = model.config.retrieved_length
        stored = NeighbourTokens(database.retriever, tokenizer, longest).stored

        def reading(source: RetroReader) -> Callable[[int], float]:
            def run(turn: int) -> float:
                # A new one each time: every text meets its neighbours for the first time.
                known = NeighbourTokens(database.retriever, tokenizer, longest)
                find = database.finder(as_documents=True)
                live = LiveRetriever(find, known)
                timing = generate(
                    source, live, PROMPTS[turn % len(PROMPTS)], Decoding(tokens)
                ).timing
                if source is reader:
                    shares.append(timing.retrieval / timing.total)
                return tokens / timing.total

            return run

        def plain(turn: int) -> float:
            ids = torch.tensor([reader.encode(PROMPTS[turn % len(PROMPTS)])])
            begun = time.perf_counter()
            model.backbone.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False,
                min_new_tokens=tokens, max_new_tokens=tokens,
            )  # fmt: skip
            return tokens / (time.perf_counter() - begun)

        reading(reader)(0)  # opens the files and warms both sides
        plain(0)
        shares.clear()
        rates = alternate(
            {
                "transformers generate, no retrieval, tokens/s": plain,
                "retro generate, tokens/s": reading(reader),
                "retro generate with a trace, tokens/s": reading(recorded),
            },
            rounds,
        )
        facts = {
            "base": base.name, "layers": depth, "cca_layers": model.config.cca_layers,
            "chunks": database.retriever.generation.rows, "tokens": tokens, "threads": threads,
            "stored tokens": stored, "encoder": database.encoder.spec.name,
        }  # fmt: skip
    theirs, mine, traced = rates.values()
    speed, share = statistics.median(mine), statistics.median(shares)
    per_round = [a / b for a, b in zip(mine, theirs, strict=True)]
    return Result(
        "generate_lm",
        [
            Line(
                f"`retro generate` of {tokens} tokens, against `generate` of transformers with "
                "the same backbone and no retrieval",
                "0.8x its tokens/s",
                f"{statistics.median(per_round):.2f}x ({speed:.1f}, "
                f"{statistics.median(theirs):.1f} tokens/s; with a trace "
                f"{ratio(traced, theirs):.2f}x)",
                statistics.median(per_round), 0.8, True, rates,
            ),
            Line(
                f"retrieval's share of that, {facts['chunks']:,} chunks",
                "under 10 %", f"{100 * share:.1f} %", share, 0.1, False,
                {"share of the time": shares},
            ),
        ],
        facts,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="The benchmark 'generate_lm'.")
    parser.add_argument("--base", type=Path, required=True, help="a causal language model")
    parser.add_argument("--db", type=Path, required=True, help="a database of English text")
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    result = measure(given.base, given.db, given.tokens, given.rounds, given.threads)
    path = result.save(given.results, quick=False)
    for line in result.lines:
        say(f"{'met   ' if line.met else 'MISSED'} {line.what}: {line.measured} ({line.target})")
    say(f"generate_lm: {path}")


if __name__ == "__main__":
    main()
