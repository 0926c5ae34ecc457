"""Readers that look up tokens, in bits per byte of held-out text: kNN-LM and a memory.

python benchmarks/nearest.py knn|memory --data DIR --out DIR

knn: a datastore of PEPs, and the beginnings of PEPs that are not in it; once more without what
stands before "Abstract", which is much the same in all of them. memory: SmolLM2's gates and
layer trained on chapters of books, and chapters that are not among them, read with their own past
in memory, with another chapter, with nothing, and by the base. One document in ten is held out by
a hash of its id. Writes OUT/knn.json or OUT/memory.json; ``results_page.py --take-nearest OUT``
puts both on the page.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from context import records
from held_out import is_held_out
from measure import say
from results import machine

from retro_cli import pipeline
from retro_cli.datastore.maker import model_fingerprint
from retro_cli.datastore.reader import Datastore
from retro_cli.evaluate.bootstrap import Estimate, ratios
from retro_cli.evaluate.tokenwise import knn_nats, memory_nats, memory_of
from retro_cli.index.stage import IndexJob
from retro_cli.models.base import DEFAULT_BASE
from retro_cli.models.language import LanguageModel, open_language_model
from retro_cli.models.memorizing import MemorizingModel
from retro_cli.models.memory_saving import load_config, load_memorizing
from retro_cli.query.retrieve import Retriever
from retro_cli.readers.votes import Votes
from retro_cli.store.layout import Layout
from retro_cli.training.memorizing import MemoryTraining, train_memory

Floats = npt.NDArray[np.float64]
STORED, CHARACTERS = 30, 8_000  # PEPs in the datastore, of each its beginning
HELD, HELD_TOKENS = 16, 384
LAMBDAS = (0.0, 0.1, 0.25, 0.5)
WINDOWS, WINDOW = 100, 512  # of the memory's training
CHAPTERS, CHAPTER_TOKENS = 5, 3_072


def texts(data: Path, name: str, held: bool, most: int, characters: int, least: int) -> list[str]:
    """The first documents of a set that are long enough, of each its beginning."""
    found = [
        record["text"][:characters]
        for record in records(data, name)
        if is_held_out(record["id"]) == held and len(record["text"]) >= least
    ]
    step = max(1, len(found) // most)
    return found[::step][:most]


def measure_knn(data: Path, out: Path) -> dict[str, Any]:
    layout = Layout(out / "knn.db")
    corpus = out / "stored.jsonl"
    stored = texts(data, "peps", False, STORED, CHARACTERS, CHARACTERS)
    lines = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(stored)]
    corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"tokenizer": DEFAULT_BASE, "cut": "exact", "encoder": "wordllama"}
    pipeline.chunk(layout, [str(corpus)], settings)
    pipeline.embed(layout)
    pipeline.index(layout, IndexJob(layout))
    begun, cost = time.process_time(), out / "datastore-seconds"
    report = pipeline.datastore(layout)
    if report.chunks_done:
        cost.write_text(str(round(time.process_time() - begun)))
    opened = open_language_model()
    retriever = Retriever(layout)
    datastore = Datastore(retriever)
    choices = [Votes(weight=weight) for weight in LAMBDAS]
    whole: dict[str, list[float]] = {f"{weight:g}": [] for weight in LAMBDAS}
    body: dict[str, list[float]] = {name: [] for name in whole}
    sizes, body_sizes = [], []
    for text in texts(data, "peps", True, HELD, 4 * HELD_TOKENS, 2 * HELD_TOKENS):
        ids, size = _tokens(opened, text, HELD_TOKENS)
        begin, body_size = _body(opened, text, ids)
        found = knn_nats(opened.network, datastore, choices, ids, 512)
        for name, row in zip(whole, found, strict=True):
            whole[name].append(float(row.sum()))
            body[name].append(float(row[begin - 1 :].sum()))
        sizes.append(size)
        body_sizes.append(body_size)
        say(f"{len(sizes)} of {HELD} held-out PEPs")
    return {
        "bpb": _estimates(whole, sizes, "0"),
        "body": _estimates(body, body_sizes, "0"),
        "body_bytes": sum(body_sizes),
        "tokens": report.tokens_total,
        "documents": len(stored),
        "held": len(sizes),
        "bytes": sum(sizes),
        "datastore_seconds": int(cost.read_text()),
        "datastore_bytes": sum(file.bytes for file in datastore.manifest.files()),
        "factory": report.factory,
        "recall": report.recall,
        "votes": {"k": choices[0].k, "temperature": choices[0].temperature},
    }


def measure_memory(data: Path, out: Path) -> dict[str, Any]:
    folder = out / "memory"
    least = 6 * CHAPTER_TOKENS
    begun = time.process_time()
    if not (folder / "config.json").is_file():
        chapters = texts(data, "books", False, 40, 6 * 8_192, least)
        settings = MemoryTraining(windows=WINDOWS, window=WINDOW)
        train_memory(DEFAULT_BASE, chapters, folder, settings)
        say(f"trained in {time.process_time() - begun:.0f} CPU seconds")
        (out / "seconds").write_text(str(round(time.process_time() - begun)))
    config = load_config(folder)
    opened = open_language_model()
    assert model_fingerprint(opened.folder) == config.base_sha256
    held = texts(data, "books", True, CHAPTERS, 6 * CHAPTER_TOKENS, least)
    read = [_tokens(opened, text, CHAPTER_TOKENS) for text in held]
    base = MemorizingModel(opened.network, config.layer, config.k, config.capacity, config.window)
    nats: dict[str, list[float]] = {name: [] for name in ("off", "on", "other", "base")}
    for ids, _ in read:
        nats["base"].append(float(memory_nats(base, ids, learns=False).sum()))
    model = load_memorizing(opened.network, config, folder)
    for place, (ids, _) in enumerate(read):
        another = memory_of(model, read[place - 1][0])
        nats["on"].append(float(memory_nats(model, ids, learns=True).sum()))
        nats["off"].append(float(memory_nats(model, ids, learns=False).sum()))
        nats["other"].append(float(memory_nats(model, ids, another, learns=False).sum()))
        say(f"{place + 1} of {len(read)} held-out chapters")
    sizes = [size for _, size in read]
    return {
        "bpb": _estimates(nats, sizes, "off"),
        "on_less_other": _estimates(nats, sizes, "other")["on"]["difference"],
        "gates": [round(g, 3) for g in model.attention.gate.sigmoid().tolist()],
        "layer": config.layer,
        "window": config.window,
        "windows": WINDOWS,
        "train_seconds": int((out / "seconds").read_text()),
        "held": len(sizes),
        "tokens_each": CHAPTER_TOKENS,
        "bytes": sum(sizes),
    }


def _tokens(opened: LanguageModel, text: str, most: int) -> tuple[Sequence[int], int]:
    """A text's first tokens, and the bytes of all of them but the first."""
    ids = opened.tokenizer(text, verbose=False)["input_ids"][:most]
    return ids, len(opened.tokenizer.decode(ids[1:]).encode())


def _body(opened: LanguageModel, text: str, ids: Sequence[int]) -> tuple[int, int]:
    """The first token behind what a PEP opens with, and the bytes from there on."""
    opening = text[: max(text.find("Abstract"), 1)]
    begin = len(opened.tokenizer(opening, verbose=False)["input_ids"])
    begin = min(max(begin, 1), len(ids) - 1)
    return begin, len(opened.tokenizer.decode(ids[begin:]).encode())


def _estimates(
    nats: Mapping[str, Sequence[float]], sizes: Sequence[int], reference: str
) -> dict[str, dict[str, Any]]:
    """Bits per byte of each condition, and its difference to one of them, over documents."""
    bits = {name: np.array(values) / np.log(2) for name, values in nats.items()}
    rows = [*bits.values(), *(bits[name] - bits[reference] for name in bits)]
    found = ratios(np.stack(rows), np.stack([np.array(sizes, dtype=np.float64)] * len(rows)), 0)
    values, gains = found[: len(bits)], found[len(bits) :]
    return {
        name: {**_plain(value), "difference": _plain(gain)}
        for name, value, gain in zip(bits, values, gains, strict=True)
    }


def _plain(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def main() -> None:
    parser = argparse.ArgumentParser(description="Bits per byte of kNN-LM and of a memory.")
    parser.add_argument("what", choices=("knn", "memory"))
    parser.add_argument("--data", type=Path, required=True, help="the folder with books and peps")
    parser.add_argument("--out", type=Path, required=True, help="where to work and to write")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    measure = measure_knn if given.what == "knn" else measure_memory
    found = {**measure(given.data, given.out), "machine": machine()}
    path = given.out / f"{given.what}.json"
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    say(f"wrote {path}")


if __name__ == "__main__":
    main()
