"""Make as much text as a benchmark needs: pseudo-English documents, none like another.

    python benchmarks/generate.py --bytes 300M --seed 1 > big.jsonl

The vocabulary has the words of ``words.txt`` and words that a Markov chain over their letters
makes, and is used with Zipf's frequencies. Each document has a topic, which lends it some of its
words, so that vectors of words cluster. Every word is drawn on its own: no sentence comes twice.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

INVENTED_WORDS = 20_000
TOPICS = 2_000
TOPIC_WORDS = 64
BLOCK_DOCUMENTS = 512
SHORTEST, LONGEST, TYPICAL = 60, 4_000, 450  # words in a document
COMMON_SHARE, TOPIC_SHARE = 0.45, 0.35  # of the words; the rest come from the whole vocabulary
COMMA_SHARE = 0.06
TABLE = 1 << 20  # steps of a distribution that is looked up

Ints = npt.NDArray[np.int64]
PLAIN, COMMA, STOP, CAPITAL, ALONE = range(5)  # how a word is written


@dataclass(frozen=True)
class Language:
    """What a seed fixes: ``forms[kind * words + word]`` is a word as it is written."""

    forms: list[str]
    words: int
    common: Ints  # (TABLE,) word ids, as often as they are used
    every: Ints  # (TABLE,) the same over the whole vocabulary
    ranks: Ints  # (TABLE,) places in a topic's list
    topics: Ints  # (TOPICS, TOPIC_WORDS) word ids


def language(seed: int) -> Language:
    """The vocabulary and the topics of a seed."""
    rng = np.random.default_rng([seed, 0])
    listed = (Path(__file__).parent / "words.txt").read_text(encoding="ascii").split()
    real = list(dict.fromkeys(listed))
    words = real + _invented(real, INVENTED_WORDS, rng)
    forms = [*words, *(w + "," for w in words), *(w + "." for w in words)]
    forms += [*(w.capitalize() for w in words), *(w.capitalize() + "." for w in words)]
    mixed = np.concatenate([np.arange(len(real)), len(real) + rng.permutation(INVENTED_WORDS)])
    topics = np.stack([rng.choice(len(words), TOPIC_WORDS, replace=False) for _ in range(TOPICS)])
    return Language(
        forms=forms,
        words=len(words),
        common=_zipf(len(real), 3),
        every=mixed[_zipf(len(words), 3)],
        ranks=_zipf(TOPIC_WORDS, 10),
        topics=topics,
    )


def _zipf(count: int, flattened: int) -> Ints:
    """(TABLE,) ranks, each in proportion to 1 / (rank + flattened)."""
    weights = 1 / (np.arange(count) + flattened)
    steps = (np.arange(TABLE) + 0.5) / TABLE
    found: Ints = np.searchsorted(np.cumsum(weights) / weights.sum(), steps).astype(np.int64)
    return np.minimum(found, count - 1)


def _invented(real: list[str], count: int, rng: np.random.Generator) -> list[str]:
    """Words whose every letter follows the two before it as in the real words."""
    following: dict[str, list[str]] = {}
    for word in real:
        padded = f"^^{word}$"
        for at in range(2, len(padded)):
            following.setdefault(padded[at - 2 : at], []).append(padded[at])
    found: dict[str, None] = {}
    known = set(real)
    while len(found) < count:
        letters = "^^"
        draws = iter(rng.random(14).tolist())
        for draw in draws:
            choices = following[letters[-2:]]
            letter = choices[int(draw * len(choices))]
            if letter == "$":
                break
            letters += letter
        word = letters[2:]
        if 4 <= len(word) <= 11 and word not in known:
            found[word] = None
    return list(found)


def documents(seed: int, stream: int = 0) -> Iterator[dict[str, str]]:
    """Records without end. Streams of one seed share words and topics, and no sentence."""
    speech = language(seed)
    number = 0
    for block in range(sys.maxsize):
        rng = np.random.default_rng([seed, 1, stream, block])
        for title, text in _block(speech, rng):
            yield {"id": f"g{seed}-{stream}-{number:07d}", "title": title, "text": text}
            number += 1


def _block(speech: Language, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """(title, text) of BLOCK_DOCUMENTS documents."""
    lengths = rng.lognormal(np.log(TYPICAL), 0.7, BLOCK_DOCUMENTS)
    sizes = np.clip(lengths, SHORTEST, LONGEST).astype(np.int64)
    topics = rng.integers(TOPICS, size=BLOCK_DOCUMENTS)
    ends = np.cumsum(sizes)
    forms = _words(speech, rng, np.repeat(topics, sizes))
    forms += speech.words * _kinds(rng, int(ends[-1]), ends)
    written = list(map(speech.forms.__getitem__, forms.tolist()))
    begin = 0
    for topic, end in zip(topics.tolist(), ends.tolist(), strict=True):
        heading = rng.choice(speech.topics[topic], 3, replace=False)
        title = " ".join(speech.forms[word] for word in heading.tolist()).capitalize()
        yield title, " ".join(written[begin:end])
        begin = end


def _words(speech: Language, rng: np.random.Generator, topics: Ints) -> Ints:
    """(n,) word ids, given each word's topic."""
    count = len(topics)
    where = rng.integers(TABLE, size=count)
    share = rng.random(count, dtype=np.float32)
    words = speech.common[where]
    special = np.flatnonzero(share >= COMMON_SHARE)
    topical = special[share[special] < COMMON_SHARE + TOPIC_SHARE]
    general = special[share[special] >= COMMON_SHARE + TOPIC_SHARE]
    words[topical] = speech.topics[topics[topical], speech.ranks[where[topical]]]
    words[general] = speech.every[where[general]]
    return words


def _kinds(rng: np.random.Generator, count: int, ends: Ints) -> Ints:
    """(n,) how each word is written: sentences of 6 to 24 words, documents end with one."""
    kinds = np.where(rng.random(count, dtype=np.float32) < COMMA_SHARE, COMMA, PLAIN)
    stops = np.cumsum(rng.integers(6, 25, size=count // 6 + 1)) - 1
    last = np.union1d(stops[stops < count], ends - 1)
    kinds[last] = STOP
    first = np.concatenate([[0], last[:-1] + 1])
    kinds[first] = np.where(kinds[first] == STOP, ALONE, CAPITAL)
    return kinds.astype(np.int64)


def write(out: BinaryIO, size: int, seed: int, stream: int = 0) -> int:
    """Write JSON lines until ``size`` bytes are reached; return how many were written."""
    written = 0
    for record in documents(seed, stream):
        line = json.dumps(record).encode("ascii") + b"\n"
        out.write(line)
        written += len(line)
        if written >= size:
            break
    return written


def parse_size(text: str) -> int:
    """Bytes of "300M", "2G", "64k" or "1000"; decimal units."""
    units = {"k": 10**3, "m": 10**6, "g": 10**9}
    unit = units.get(text[-1:].lower())
    return int(float(text[:-1]) * unit) if unit else int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write generated documents as JSON lines.")
    parser.add_argument("--bytes", type=parse_size, required=True, metavar="SIZE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stream", type=int, default=0, help="other documents, the same topics")
    arguments = parser.parse_args()
    write(sys.stdout.buffer, arguments.bytes, arguments.seed, arguments.stream)


if __name__ == "__main__":
    main()
