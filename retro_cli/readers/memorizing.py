"""The reader of a Memorizing Transformer: its memory is what was looked up, and its own past.

Locally it attends to the present window and half a window before; what has left that is in memory
(Wu et al. 2022, where a cache of one more window plays that part). The retrieved chunks are in
memory from the beginning, each as the model reads it alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import DynamicCache

from retro_cli.models.language import end_tokens
from retro_cli.models.memorizing import MemorizingModel, Passed
from retro_cli.models.memory import Memory, side_by_side
from retro_cli.query.hits import Hit
from retro_cli.readers.causal import Spelling
from retro_cli.readers.interface import Evidence, Step

Tensor = Any
HITS, STRIDE, QUERY = 8, 64, 64
_KEPT = 256  # chunks whose entries are held


class MemorizingReader(Spelling):
    """Looks up the last ``QUERY`` tokens at the beginning and after each ``stride`` of them; what
    a look-up found takes the place of what the one before it had found."""

    def __init__(
        self,
        model: MemorizingModel,
        tokenizer: Any,
        *,
        k: int | None = None,
        stride: int | None = None,
        record: bool = False,
    ) -> None:
        """k: chunks a look-up. record: whether steps say how much was read of each."""
        super().__init__(tokenizer)
        self.model = model
        self.k, self.stride, self.record = k or HITS, stride or STRIDE, record
        self.ends: Collection[int] = end_tokens(model.base.generation_config, model.base.config)
        self.longest: int | None = None  # what leaves the window is in memory
        self._known: OrderedDict[bytes, Memory] = OrderedDict()

    def start(self, prompt: Sequence[int]) -> MemorizingReading:
        return MemorizingReading(self, prompt)

    def memory_of(self, evidence: Evidence) -> Memory | None:
        """The tokens of what was found, hit after hit; None if there is none."""
        found = []
        for number, row in enumerate(evidence.tokens):
            text = row[row >= 0]
            if len(text):
                found.append(_of(self._entries(text), number))
        joined = found[0] if found else None
        for each in found[1:]:
            joined = each if joined is None else joined.followed_by(each)
        return joined

    def _entries(self, text: Any) -> Memory:
        name = text.tobytes()
        if name not in self._known:
            ids = torch.tensor(text.tolist()[: self.model.window], device=self.model.device)
            with torch.inference_mode():
                self._known[name] = self.model(ids[None]).fresh
        self._known.move_to_end(name)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return self._known[name]


def _of(entries: Memory, number: int) -> Memory:
    return replace(entries, whose=torch.full_like(entries.whose, number))


@dataclass
class _Window:
    """What is attended to locally: the cache, and the tokens in it as entries for later."""

    start: int
    cache: Any
    entries: Memory | None = None

    @property
    def seen(self) -> int:
        """The tokens of the text up to here."""
        return self.start + (self.entries.entries if self.entries is not None else 0)


class MemorizingReading:
    """The rows, their memories and their window."""

    def __init__(self, reader: MemorizingReader, prompt: Sequence[int]) -> None:
        self._reader = reader
        self._ids = [list(prompt)]
        self._evidence: list[list[Evidence]] = [[]]
        self._begin()

    def _begin(self) -> None:
        """As if nothing had been looked up or read."""
        self._found: list[Memory | None] = [None] * len(self._ids)
        self._past: Memory | None = None  # of the rows' own text, what has left the window
        self._looked: int | None = None
        self._window = _Window(0, self._new_cache())
        self._forgotten = [len(known) for known in self._evidence]

    def _new_cache(self) -> Any:
        return DynamicCache(config=self._reader.model.base.config)

    @property
    def length(self) -> int:
        """Tokens of each row."""
        return len(self._ids[0])

    def queries(self) -> list[str]:
        if self._looked is not None and self.length - self._looked < self._reader.stride:
            return []
        return [self._reader.decode(ids[-QUERY:]).strip("�") for ids in self._ids]

    def receive(self, evidence: Sequence[Evidence]) -> None:
        self._looked = self.length
        for row, found in enumerate(evidence):
            self._evidence[row].append(found)
            self._found[row] = self._reader.memory_of(found)

    def forget(self, shown: Callable[[Hit], bool]) -> None:
        pairs = zip(self._evidence, self._forgotten, strict=True)
        known = [found for row, first in pairs for found in row[first:]]
        if not all(shown(hit) for found in known for hit in found.hits):
            self._begin()  # what was found before has left its mark on the text's own entries too

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def step(self) -> Step:
        model = self._reader.model
        passed = None
        while passed is None or self._window.seen < self.length:
            if self._window.seen == self._window.start + model.window:
                self._slide()
            memory = self._memory()
            passed = self._pass(memory, min(self.length, self._window.start + model.window))
        logprobs = model.logits(passed.hidden[:, -1]).log_softmax(dim=-1)
        latest = [known[-1] if known else None for known in self._evidence]
        read = None if latest[0] is None else len(self._evidence[0]) - 1
        if not self._reader.record or memory is None or passed.recalled is None:
            return Step(logprobs, read, latest)
        hits = max(0 if each is None else len(each.hits) for each in latest)
        mass, own = model.attention_mass(memory, passed.recalled, hits)
        gates = model.attention.shares(memory, torch.float32)[:, 0, :, 0]

        def detail(row: int, _: int) -> Mapping[str, Any]:
            read = float(mass[row].sum())
            return {
                "gate": gates[row].tolist(),
                "attention": {"chunks": read, "past": float(own[row]),
                              "local": 1 - read - float(own[row])},
            }  # fmt: skip

        return Step(logprobs, read, latest, mass.float().cpu() if read is not None else None,
                    detail=detail)  # fmt: skip

    def _pass(self, memory: Memory | None, end: int) -> Passed:
        window = self._window
        new = [row[window.seen : end] for row in self._ids]
        ids = torch.tensor(new, device=self._reader.model.device)
        passed: Passed = self._reader.model(ids, memory, window.cache)
        fresh = passed.fresh
        window.entries = fresh if window.entries is None else window.entries.followed_by(fresh)
        return passed

    def _slide(self) -> None:
        """The first half of a full window goes into memory, and the second half is read anew, as
        the beginning of the next."""
        model, window = self._reader.model, self._window
        assert window.entries is not None
        half = model.window // 2
        self._past = model.remembered(self._past, window.entries.first(half))
        self._window = _Window(window.start + half, self._new_cache())
        self._pass(self._memory(), window.start + model.window)

    def _memory(self) -> Memory | None:
        """Of each row what was found and then its past, side by side."""
        past = [None if self._past is None else self._past.row(n) for n in range(len(self._ids))]
        rows = []
        for found, own in zip(self._found, past, strict=True):
            both = [each for each in (found, own) if each is not None]
            if not both:
                rows.append(self._reader.model.nothing())
            else:
                rows.append(both[0] if len(both) == 1 else both[0].followed_by(both[1]))
        joined = side_by_side(rows)
        return joined if joined.entries else None

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> None:
        if list(parents) != list(range(len(self._ids))):
            self._pick(parents)
        for ids, token in zip(self._ids, tokens, strict=True):
            ids.append(token)

    def _pick(self, parents: Sequence[int]) -> None:
        rows = torch.tensor(list(parents), device=self._reader.model.device)
        window = self._window
        window.cache.reorder_cache(rows)
        window.entries = None if window.entries is None else window.entries.rows(rows)
        self._past = None if self._past is None else self._past.rows(rows)
        self._ids = [list(self._ids[row]) for row in parents]
        self._evidence = [list(self._evidence[row]) for row in parents]
        self._found = [self._found[row] for row in parents]
        self._forgotten = [self._forgotten[row] for row in parents]

    def evidence(self, row: int) -> list[Evidence]:
        return list(self._evidence[row])
