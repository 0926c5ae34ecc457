"""Sources with their scores, and the rules that keep some of them out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from retro_cli.database import Database
from retro_cli.errors import UsageError
from retro_cli.filters.ledger import load_ledger
from retro_cli.filters.rules import Rule, Toxicity
from retro_cli.filters.score_table import tables
from retro_cli.filters.sources import histogram, source_scores
from retro_cli.query.select import count_sources
from retro_cli.serving.bodies import RuleBody
from retro_cli.store.layout import Layout
from retro_cli.upkeep.apply import in_force
from retro_cli.upkeep.filtering import add_rule, undo_rule
from retro_cli.upkeep.reach import Reach, look_at_rule, open_filtering, passages


def sources(threshold: float, scores: str, limit: int, database: Database) -> dict[str, Any]:
    """Every source, the largest first; with a score table, the most toxic first.

    scores: the table's name, "" for none. Raises UsageError, and NotBuiltYet where it has gaps.
    """
    look = open_filtering(database.retriever.layout)
    corpus, excluded = look.corpus, look.excluded.rows
    if not scores:
        counts = count_sources(look.layout.chunks, corpus.manifest, excluded)
        rows = [
            {"source": c.source, "documents": c.docs, "chunks": c.chunks, "excluded": c.filtered}
            for c in counts
        ]
        return {"scores": None, "count": len(rows), "sources": rows[:limit]}
    values = corpus.scores(scores)
    found = source_scores(corpus, excluded, values, threshold)
    return {
        "scores": scores,
        "threshold": threshold,
        "count": len(found),
        "histogram": histogram(corpus, values),
        "sources": [asdict(each) for each in found[:limit]],
    }


def score_tables(database: Database) -> dict[str, Any]:
    """The score tables there are, by name."""
    return {"tables": [table.name for table in tables(database.retriever.layout)]}


def rules(database: Database) -> dict[str, Any]:
    """The ledger, as ``retro filter list``."""
    layout = database.retriever.layout
    found = load_ledger(layout).rules
    return {
        "in_force": in_force(layout),
        "rules": [{**rule.to_json(), "says": rule.describe()} for rule in found],
    }


def rule(number: int, database: Database) -> dict[str, Any]:
    """One rule and its reach, without the texts that it takes. Raises UsageError."""
    found, chunks, _ = look_at_rule(database.retriever.layout, number, 0)
    return {**found.to_json(), "says": found.describe(), "takes_chunks": chunks}


def preview(body: RuleBody, database: Database) -> dict[str, Any]:
    """What a rule would take; nothing changes. Raises UsageError."""
    layout = database.retriever.layout
    look, wanted = open_filtering(layout), rule_of(body, layout)
    look.check(wanted)
    return {"says": wanted.describe(), **_reach(look.reach(wanted))}


def add(body: RuleBody, database: Database) -> dict[str, Any]:
    """Put a rule in force. Raises UsageError, LockedError, DiskFull."""
    if not body.reason.strip():
        raise UsageError("a rule needs a reason", '{"reason": "why", ...}')
    layout = database.retriever.layout
    added, reach, generation = add_rule(layout, rule_of(body, layout), once=body.once, yes=body.yes)
    number = generation.number if generation else None
    return {"rule": added.to_json(), "generation": number, **_reach(reach)}


def undo(number: int, lift: bool, database: Database) -> dict[str, Any]:
    """Undo a rule. Raises UsageError, LockedError, DiskFull."""
    undone, back, generation = undo_rule(database.retriever.layout, number, lift=lift)
    number_now = generation.number if generation else None
    return {"undone": undone.number, "chunks_back": back, "generation": number_now}


def rule_of(body: RuleBody, layout: Layout) -> Rule:
    """Raises UsageError for a chunk that there is not."""
    least = body.min_toxicity
    return Rule(
        number=load_ledger(layout).next_number,
        reason=body.reason.strip(),
        sources=tuple(body.source),
        documents=tuple(body.document),
        passages=passages(layout, body.chunk),
        where=body.where,
        match=body.match,
        toxicity=None if least is None else Toxicity(body.scores, least, body.level),
        only=body.only,
        copies=body.copies,
    )


def _reach(reach: Reach) -> dict[str, Any]:
    examples = [{"chunk": c.id, "source": c.source, "text": c.text} for c in reach.examples]
    return {**asdict(reach), "examples": examples}
