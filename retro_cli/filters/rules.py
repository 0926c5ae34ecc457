"""What a filter rule says. Plain values: matching is in ``match.py``, keeping in ``ledger.py``.

A rule takes the rows that any of its names names (sources, documents, passages; all rows if it
names none) and that meet every one of its conditions (where, match, toxicity). With ``only`` it
is an allow list: the rows it does *not* take are kept out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from retro_cli.store.files import typed, whole_number

ACTIVE, UNDONE, PURGED = "active", "undone", "purged"
LEVELS = ("chunk", "document", "source")
COPIES = ("none", "exact", "near")


@dataclass(frozen=True)
class Passage:
    """One chunk, known again after its document was edited around it: by file, key and text, and
    where its borders moved, by what most of a text's shingles leave in a sketch."""

    chunk: int
    uri: str
    key: str
    hash: str  # of the text, hex
    sketch: str = ""  # hex; empty if the text is too short to have a shingle
    shingles: int = 0


@dataclass(frozen=True)
class Toxicity:
    """Scores of at least ``threshold`` in the table of ``scorer``.

    A document counts by its highest chunk, a source by the mean of its chunks.
    """

    scorer: str
    threshold: float
    level: str = "chunk"


@dataclass(frozen=True)
class Rule:
    """``until``: the rule holds only for ids below it (``--once``); None: for all, for good."""

    number: int
    reason: str
    sources: tuple[str, ...] = ()  # globs
    documents: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    where: str = ""
    match: str = ""  # an RE2 expression, searched for in the chunk's text
    toxicity: Toxicity | None = None
    only: bool = False
    copies: str = "none"
    until: int | None = None
    state: str = ACTIVE
    created: str = ""  # UTC, for people; no decision depends on it
    changed: str = ""

    @property
    def says(self) -> dict[str, Any]:
        """What decides which rows it takes: equal for rules that do the same."""
        value = asdict(self)
        for name in ("number", "reason", "state", "created", "changed"):
            del value[name]
        return value

    @property
    def empty(self) -> bool:
        named = self.sources or self.documents or self.passages
        return not (named or self.where or self.match or self.toxicity)

    def describe(self) -> str:
        """One line for people."""
        names = [*(f"source {glob}" for glob in self.sources)]
        names += [f"document {name}" for name in self.documents]
        names += [f"chunk {passage.chunk}" for passage in self.passages]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        words = [" or ".join(names[:3]) + more] if names else []
        words += [f"where {self.where}"] if self.where else []
        words += [f"text matches /{self.match}/"] if self.match else []
        if self.toxicity:
            words.append(
                f"{self.toxicity.level} toxicity >= {self.toxicity.threshold:g} "
                f"({self.toxicity.scorer})"
            )
        text = ", ".join(words)
        text = f"all but: {text}" if self.only else text
        text += f", with {self.copies} copies" if self.copies != "none" else ""
        return text + (", once" if self.until is not None else "")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Rule:
        """Raises KeyError, TypeError or ValueError for what is no rule."""
        toxicity, until = value["toxicity"], value["until"]
        if value["state"] not in (ACTIVE, UNDONE, PURGED):
            raise ValueError(f"a rule that is {value['state']!r}")
        made = {
            "sources": _words(value["sources"]),
            "documents": _words(value["documents"]),
            "passages": tuple(typed(Passage, passage) for passage in value["passages"]),
            "toxicity": typed(Toxicity, toxicity) if toxicity else None,
            "until": None if until is None else whole_number(until),
        }
        return typed(cls, {**value, **made})


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"{value!r} is no list of names")
    return tuple(value)
