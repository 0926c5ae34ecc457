"""An evaluation of retrieval as tables of 80 columns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from retro_cli.cli import console, eval_table, render
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.evaluate.retrieval import Scores
    from retro_cli.evaluate.retrieval_report import Against, RetrievalReport

_PER_QUERY = ("ndcg@10", "recall@10", "mrr", "map")


def show(report: RetrievalReport, per_query: bool) -> None:
    """The means with their intervals; then the comparison, the queries, and what to know."""
    scores = report.scores
    asked = counted(len(scores.queries), "judged query", "judged queries")
    console.line(f"{_shown(report.system)}: {asked}")
    eval_table.heading("mean over queries", "95 % interval")
    for measure, value in scores.estimates.items():
        eval_table.row(measure, value)
    if report.against is not None:
        _against(report.against)
    if per_query:
        _queries(scores)
    if report.notes:
        console.line()
    for note in report.notes:
        render.paragraph(note, sys.stdout, "", "2")


def _against(against: Against) -> None:
    console.line()
    console.line(f"less {_shown(against.name)} (paired over queries)")
    eval_table.heading("difference", "95 % interval            better  worse")
    for measure, found in against.differences.items():
        counts = f"{found.better:>9,}{found.worse:>7,}"
        mark = found.estimate.excludes_zero()
        eval_table.row(measure, found.estimate, counts, sign="+", mark=mark)


def _shown(name: str) -> str:
    return render.shortened_path(console.clean(name), 50)


def _queries(scores: Scores) -> None:
    shown = [name for name in _PER_QUERY if name in scores.names] or list(scores.names[:4])
    console.line()
    head = "".join(f"{name:>11}" for name in shown)
    console.line(console.styled(f"{head}  query", "1"))
    for place, query in enumerate(scores.queries):
        values = scores.of_query(place)
        cells = "".join(f"{values[name]:>11.4f}" for name in shown)
        console.line(f"{cells}  {console.clean(query)}")
