"""What a proof looked at and found, and how it says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from retro_cli.wording import agreed, counted, listed

K = 10  # results of which recall is measured
SHOWN_LEAKS = 20


@dataclass
class Proof:
    """What was looked at and what leaked. ``leaks`` is empty when every rule holds."""

    generation: int = 0
    rules: tuple[int, ...] = ()
    purged: tuple[int, ...] = ()  # rules whose chunks a purge has blanked
    removed: int = 0  # chunks of live documents that the rules take
    stored: int = 0  # ids in the inverted lists
    reachable: int = 0  # of them not masked
    live: int = 0
    searched: int = 0  # removed texts that were searched for
    queries_are: str = "their own texts"
    retrievers: tuple[str, ...] = ("dense",)  # by which they were searched for
    results: int = 0  # results looked at
    recall: float | None = None  # at 10, of the kept chunks against exact search over them
    tables: dict[str, int] = field(default_factory=dict)  # neighbour table -> its generation
    tokens: int = 0  # of a datastore, if there is one
    tokens_reachable: int = 0
    keys_asked: int = 0  # keys of removed chunks that it was searched with
    keys_found: int = 0  # tokens that this found
    copies: int = 0  # kept chunks with the very text of a removed one, purged or not
    copies_in: tuple[str, ...] = ()
    near_copies: int = 0  # others, with nearly the text of a removed one
    near_copies_in: tuple[str, ...] = ()
    older: tuple[str, ...] = ()  # generations on the disk that still hold removed chunks
    leaks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The proof for people."""
        if not self.rules:
            return [f"no rule is in force; {counted(self.live, 'chunk')} can be found"]
        take = agreed(len(self.rules), "takes", "take")
        found = [
            f"in force: {listed('rule', self.rules)}, which {take} "
            f"{counted(self.removed, 'chunk')} of live documents",
            f"structure: generation {self.generation} has {counted(self.stored, 'id')} in its "
            f"lists, {self.reachable:,} of them reachable, {self.live:,} may be found",
        ]
        if self.tables:
            names = ", ".join(f"{name} of generation {n}" for name, n in self.tables.items())
            found.append(f"neighbour tables: {names}; none gives a removed chunk")
        if self.tokens:
            found.append(f"datastore: {self._datastore_line()}")
        found.append(f"search: {self._search_line()}")
        if self.recall is not None:
            found.append(f"recall at {K} of the kept chunks: {self.recall:.3f} of exact search")
        found += self._copies_line("exact", self.copies, self.copies_in)
        found += self._copies_line("near", self.near_copies, self.near_copies_in)
        if self.older:
            found.append(
                f"on the disk: {listed('generation', self.older)} still "
                f"{agreed(len(self.older), 'holds', 'hold')} removed chunks, for undo "
                "and rollback; retro compact --purge ends that"
            )
        return found

    def _search_line(self) -> str:
        if self.searched:
            asked = (
                f"{counted(self.searched, 'removed chunk')} asked for by {self.queries_are} "
                f"({', '.join(self.retrievers)})"
            )
            found = counted(self.results, "result or continuation", "results and continuations")
            return asked if self.leaks else f"{asked}, {found}, none of a removed chunk"
        if self.removed:
            return "none was asked for (--sample 0)"
        if self.purged:
            return "nothing removed is left to search with: the purge took its text"
        return "nothing is removed yet, so there is nothing to search with"

    def _datastore_line(self) -> str:
        of = f"{self.tokens_reachable:,} of {counted(self.tokens, 'token')} may be found"
        if not self.keys_asked:
            return f"{of}, none of a removed chunk" if not self.leaks else of
        asked = f"{of}; {counted(self.keys_asked, 'key')} of removed chunks asked for"
        if self.leaks:
            return asked
        return f"{asked}, {counted(self.keys_found, 'token')} found, none of a removed chunk"

    def _copies_line(self, how: str, count: int, names: Sequence[str]) -> list[str]:
        if not count:
            return []
        say = counted(count, "kept chunk says", "kept chunks say")
        takes = f"a rule with --copies {how} takes them too"
        todo = takes if self.removed else "the purge did not reach them: name them in a rule"
        what = f"{say} {'nearly ' if how == 'near' else ''}the same as a removed one"
        return [f"{how} copies: {what} (in {', '.join(names)}); {todo}"]

    def leak(self, text: str) -> None:
        if len(self.leaks) < SHOWN_LEAKS:
            self.leaks.append(text)
