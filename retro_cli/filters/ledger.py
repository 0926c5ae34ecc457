"""The ledger: every rule there ever was, in order. Rules are added and undone, never erased.

``filters/ledger.json`` is the truth; a generation only notes which rules it was made with. So a
rule that was written down stands, even if the power went before it took effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from retro_cli.errors import DatabaseTooNew, IntegrityError, UsageError
from retro_cli.filters.rules import ACTIVE, PURGED, UNDONE, Rule
from retro_cli.store.atomic import read_json, write_json
from retro_cli.store.layout import FORMAT_VERSION, Layout
from retro_cli.wording import listed

FILE = "ledger.json"


@dataclass(frozen=True)
class Ledger:
    """``purged``: no generation up to this number is answered from again, kept or not."""

    rules: tuple[Rule, ...] = ()
    purged: int = 0

    @property
    def active(self) -> tuple[Rule, ...]:
        """The rules that hold. A purged one still does: what it took must not come back."""
        return tuple(rule for rule in self.rules if rule.state != UNDONE)

    @property
    def next_number(self) -> int:
        return len(self.rules) + 1

    def get(self, number: int) -> Rule:
        """Raises UsageError if there is no such rule."""
        if not 1 <= number <= len(self.rules):
            several = f"there are rules 1 to {len(self.rules)}"
            known = ("there are no rules", "there is only rule 1", several)[min(len(self.rules), 2)]
            raise UsageError(f"there is no rule {number}", f"{known}: retro filter list DB")
        return self.rules[number - 1]

    def added(self, rule: Rule) -> Ledger:
        added = replace(rule, number=self.next_number, created=now())
        return replace(self, rules=(*self.rules, added))

    def undone(self, number: int, *, lift: bool = False) -> Ledger:
        """Raises UsageError for a rule that does not hold any more, or whose rows were purged.

        ``lift`` undoes a purged rule for what is chunked from now on.
        """
        rule = self.get(number)
        if rule.state == UNDONE:
            raise UsageError(
                f"rule {number} was undone before ({rule.changed})",
                "to take the rows out again, add a rule: retro filter add",
            )
        if rule.state == PURGED and not lift:
            raise UsageError(
                f"rule {number} was purged ({rule.changed}): the text is gone from the disk",
                "--lift undoes it for what was chunked since and what will be",
            )
        return self.changed({number}, UNDONE)

    def changed(self, numbers: set[int], state: str) -> Ledger:
        rules = tuple(
            replace(rule, state=state, changed=now()) if rule.number in numbers else rule
            for rule in self.rules
        )
        return replace(self, rules=rules)

    def without_return(self, generation: int) -> Ledger:
        """After a purge of that generation and all before it."""
        return replace(self, purged=max(self.purged, generation))

    def as_of(self, numbers: tuple[int, ...]) -> Ledger:
        """The ledger with just these rules in force, but for purged ones, which stay."""
        revived = {n for n in numbers if self.get(n).state == UNDONE}
        gone = {rule.number for rule in self.rules if rule.state == ACTIVE} - set(numbers)
        return self.changed(revived, ACTIVE).changed(gone, UNDONE)

    def to_json(self) -> dict[str, Any]:
        purged = {"purged": self.purged} if self.purged else {}
        rules = [rule.to_json() for rule in self.rules]
        return {"format": FORMAT_VERSION, "rules": rules, **purged}

    def save(self, layout: Layout) -> None:
        layout.filters.mkdir(exist_ok=True)
        write_json(layout.filters / FILE, self.to_json())


def load_ledger(layout: Layout) -> Ledger:
    """The ledger of a database; one without rules has no file. Raises IntegrityError."""
    path = layout.filters / FILE
    if not path.is_file():
        return Ledger()
    value = read_json(path)
    try:
        if value["format"] > FORMAT_VERSION:
            raise DatabaseTooNew(
                f"{path} has format {value['format']}, this retro reads {FORMAT_VERSION}",
                "upgrade: pip install --upgrade retro-cli",
            )
        rules = tuple(Rule.from_json(rule) for rule in value["rules"])
        return Ledger(rules, int(value.get("purged", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} lacks what it should hold ({error})", "restore it from a backup"
        ) from error


def require_rules(ledger: Ledger, numbers: Iterable[int], generation: int) -> None:
    """A ledger that lost rules must not reveal what they took. Raises IntegrityError."""
    lost = sorted(set(numbers) - {rule.number for rule in ledger.rules})
    if lost:
        raise IntegrityError(
            f"the ledger lacks {listed('rule', lost)}, which generation {generation} was made with",
            "restore filters/ledger.json from a backup; queries go on as they were",
        )


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
