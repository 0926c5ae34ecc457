"""An evaluation as tables of 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retro_cli.cli import console, render

if TYPE_CHECKING:
    from retro_cli.evaluate.bootstrap import Estimate
    from retro_cli.evaluate.lm_report import LmReport
    from retro_cli.evaluate.measures import Leakage

_ORDER = ("on", "shuffled", "off")
_PAIR = "on - shuffled"


def show(report: LmReport) -> None:
    """Everything that was measured, then what has to be known to read it."""
    n = console.number
    settings = report.settings
    console.line(
        f"{n(report.documents)} documents, {n(report.chunks)} chunks, {n(report.tokens)} tokens "
        f"and {n(report.bytes)} bytes scored"
    )
    console.line(
        f"window {settings.window}, stride {settings.stride}, {settings.k} neighbours; generation "
        f"{report.generation} of {n(report.database_rows)} chunks"
    )
    heading("bits per byte", "95 % interval")
    bpb = report.measured.overall.bpb
    for name in _ORDER:
        if name in bpb:
            row(name, bpb[name])
    if report.backbone == "verified":
        row("backbone", bpb["off"], "  = off")
    for name, value in report.measured.overall.differences.items():
        row(name, value, sign="+", mark=value.excludes_zero())
    _asked(report)
    _leakage(report.measured.leakage)
    console.line()
    for note in report.notes():
        render.paragraph(note, sys.stdout, "", "2")
    for one in report.contaminated:
        console.line(console.clean(f"left out: {one.name} ({one.jaccard:.2f} of {one.copy})"))
    rate = report.tokens / max(report.model_seconds, 1e-6)
    console.say(
        f"{console.duration(report.seconds)}, of which the model "
        f"{console.duration(report.model_seconds)} ({n(rate)} tokens/s under all conditions)"
    )
    if left := _not_asked(report):
        console.say(f"for the curves over neighbours or the database's size: {left}")


def _asked(report: LmReport) -> None:
    """What was asked for besides."""
    known = {**report.measured.overall.bpb, **report.measured.others}
    if report.counts:
        heading("by neighbours", "95 % interval")
        for count, name in report.counts.items():
            row(str(count), known[name])
    if report.shares:
        heading("by share of the database", "95 % interval")
        for share, name in report.shares.items():
            row(f"{share:g} %", known[name])


def _not_asked(report: LmReport) -> str:
    """The options of what was not measured."""
    options = {"--neighbours 1,2,4,10": report.counts, "--shares 1,10,100": report.shares}
    return " ".join(option for option, measured in options.items() if not measured)


def heading(name: str, interval: str) -> None:
    console.line()
    console.line(console.styled(f"{name:<28}{'':>8}   {interval}", "1"))


def row(
    name: str, value: Estimate, remark: str = "", *, sign: str = "", mark: bool = False
) -> None:
    """One line: a name, a value, its interval."""
    line = f"  {name:<26}{number(value.value, sign):>8}   {interval(value, sign)}{remark}"
    line = line.rstrip()
    console.line(console.styled(line, "32") if mark else line)


def _leakage(rows: Sequence[Leakage]) -> None:
    names = [name for name in _ORDER if name in rows[-1].compared.bpb]
    paired = _PAIR in rows[-1].compared.differences
    console.line()
    console.line(
        console.styled("by overlap: chunks whose longest run of tokens shared with one of 10", "1")
    )
    console.line(console.styled("neighbours is at most this share of them", "1"))
    head = "".join(f"{name:>9}" for name in names)
    console.line(f"  {'shared':<9}{'chunks':>8}{head}" + (f"   {_PAIR}" if paired else ""))
    for row in rows:
        label = "< 8 tok." if row.alpha is None else f"{row.alpha:.1%}".replace(".0%", "%")
        cells = "".join(f"{number(row.compared.bpb[name].value):>9}" for name in names)
        line = f"  {label:<9}{row.chunks:>8,}{cells}"
        if paired:
            pair = row.compared.differences[_PAIR]
            line += f"{number(pair.value, '+'):>10} {interval(pair, '+')}"
        console.line(line.rstrip())


def number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"


def interval(value: Estimate, sign: str = "") -> str:
    if value.low is None or value.high is None:
        return ""
    return f"{value.low:{sign}.4f} to {value.high:{sign}.4f}"
