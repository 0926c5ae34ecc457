"""``retro`` against its peers on one corpus with one encoder, each in an environment of its own.

The figures are of whole commands: what a person or a nightly job waits for. Each peer's script
in ``peers/`` does what its documentation shows; see docs/benchmarks.md, which this writes.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import peers_page
from context import Context, main
from measure import alternate, run, say
from peers_corpus import Corpus, corpus
from peers_page import Measure
from peers_sides import PEERS, Side, peer_side, retro_side
from peers_trial import Figures, Trial, store_of
from results import Line, Result

COLD_ROUNDS = 3
K = 10
EQUAL = 0.005  # of recall

AHEAD = (
    peers_page.COLD, peers_page.RERUN, peers_page.ADD, peers_page.DELETE, peers_page.GONE,
    peers_page.RESUME,
)  # fmt: skip


def measure(context: Context) -> Result:
    given = corpus(context)
    say(f"{given.rows:,} chunks")
    sides, figures = _sides(context, given)
    truth: list[list[str]] = []
    for side in sides:
        say(f"== {side.name}")
        try:
            trial = Trial(side, given, context.work / "peers-stores", truth)
            figures[side.name] = trial.figures()
            truth = truth or trial.answers  # the first side searches exactly
        except SystemExit as problem:
            if not truth:
                raise
            figures[side.name] = {"failed": str(problem)[-300:]}
        say(f"  {figures[side.name]}")
    _cold(context, given, sides, figures)
    packages = {peer.name: list(peer.packages) for peer in PEERS}
    facts = {"chunks": given.rows, "sides": figures, "packages": packages}
    return Result("peers", _lines(figures), facts)


def _sides(context: Context, given: Corpus) -> tuple[list[Side], dict[str, Figures]]:
    """Whoever can be installed; of the others, the reason. The first one gives the truth."""
    sides, failed = [], {}
    for peer in PEERS:
        try:
            sides.append(peer_side(context, peer))
        except SystemExit as problem:
            if not sides:
                raise
            failed[peer.name] = {"failed": str(problem)[-300:]}
    return [*sides, retro_side(given, Path(sys.executable))], failed


def _cold(context: Context, given: Corpus, sides: list[Side], figures: dict[str, Figures]) -> None:
    """A query from process start to printed answer, the sides taking turns."""
    texts = given.queries.read_text(encoding="utf-8").splitlines()
    working = [side for side in sides if "failed" not in figures[side.name]]

    def ask(side: Side, turn: int) -> float:
        store = store_of(context.work / "peers-stores", side)
        return run(side.command("query", store, texts[turn])).seconds

    times = alternate(
        {side.name: partial(ask, side) for side in working},
        context.pick(COLD_ROUNDS, 1),
    )
    for name, seconds in times.items():
        figures[name]["cold_s"] = seconds


def _lines(figures: dict[str, Figures]) -> list[Line]:
    found = peers_page.measured(figures)
    ours = found.pop(peers_page.US)
    dense = {peer.name: found[peer.name] for peer in PEERS if peer.dense and peer.name in found}
    lines = [_line(measure, ours, found, dense) for measure in AHEAD]
    return [_line(peers_page.BUILD, ours, dense, dense), _recall_line(ours, dense), *lines]


def _recall_line(ours: Figures, dense: dict[str, Figures]) -> Line:
    known = {name: each["recall"] for name, each in dense.items()}
    first = max(known, key=known.__getitem__)
    return Line(
        f"its recall@{K} there, against the dense peer with the most",
        f"no more than {EQUAL} below",
        f"{ours['recall']:.3f}, {known[first]:.3f} ({first})",
        ours["recall"] - known[first],
        -EQUAL,
        True,
        {f"{name}, recall": [value] for name, value in {"retro": ours["recall"], **known}.items()},
    )


def _line(
    measure: Measure, ours: Figures, others: dict[str, Figures], dense: dict[str, Figures]
) -> Line:
    """A line whose value is the best other's figure by ours. Where that is one without vectors, the
    best of the dense ones is named too."""
    mine = measure.of(ours)
    known = {name: value for name, each in others.items() if (value := measure.of(each))}
    assert mine is not None
    assert known
    first = min(known, key=known.__getitem__)
    best = min((name for name in known if name in dense), key=known.__getitem__)
    told = "; ".join(
        f"{name} {known[name]:{measure.form}} s" for name in dict.fromkeys([first, best])
    )
    whom = "dense peer" if others is dense else "peer"
    return Line(
        f"{measure.title.removesuffix(', s')}: `retro` against the fastest {whom}",
        "ahead",
        f"{known[first] / mine:.2f}x as fast ({mine:{measure.form}} s; {told})",
        known[first] / mine,
        1.0,
        True,
        {f"{name}, s": [value] for name, value in {"retro": mine, **known}.items()},
    )


if __name__ == "__main__":
    main("peers", measure)
    if "--quick" not in sys.argv:
        peers_page.write(peers_page.PAGE, peers_page.RESULT, check=False)
