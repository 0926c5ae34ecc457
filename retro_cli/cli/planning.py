"""retro plan: what would it cost?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.errors import UsageError
from retro_cli.wording import counted


def register(app: typer.Typer) -> None:
    command(
        app,
        "plan",
        ["retro plan 300M", "retro plan 2T --memory 64 --encoder wordllama"],
        "Look",
    )(plan)


def plan(
    tokens: Annotated[
        str, typer.Argument(help="Tokens in the corpus: 300M, 4.5B, 2T, 2e12.", show_default=False)
    ],
    chunk_tokens: Annotated[int, typer.Option(min=1, max=8192, help="Tokens a chunk.")] = 64,
    encoder: options.EncoderOption = None,
    precision: options.Precision = None,
    memory: options.Memory = 4.0,
    recall: options.Recall = None,
    *,
    running: options.Running,
) -> None:
    """Estimate rows, bytes, memory and time for a corpus, from a two-second probe."""
    from retro_cli.config import Settings
    from retro_cli.embeddings.resolve import resolve, tokenizer_path
    from retro_cli.planning import parse_count, plan_corpus

    try:
        count = parse_count(tokens)
    except ValueError:
        raise UsageError(
            f"'{tokens}' is not a number of tokens", "write 300M, 4.5B, 2T or 2e12"
        ) from None
    settings = Settings().changed(encoder=encoder, precision=precision)
    resolved = resolve(settings.encoder)
    found = plan_corpus(
        count,
        resolved,
        tokenizer_path(resolved),
        chunk_tokens=chunk_tokens,
        precision=settings.precision,
        memory_bytes=int(memory * 1e9),
        recall=recall or 0.95,
        where=running.where(),
    )
    if console.state.json:
        console.record(asdict(found))
        return
    console.pairs(
        [
            ("tokens", console.number(found.tokens)),
            ("chunks", f"{console.number(found.rows)} of {counted(chunk_tokens, 'token')}"),
            ("index", f"{found.index.factory}, {counted(found.index.code_bytes, 'byte')} a row"),
            ("because", found.index.reason),
        ]
    )
    console.line(f"\n{'stage':8}{'time':>12}{'disk':>12}{'memory':>12}  engine")
    for cost in found.costs:
        console.line(
            f"{cost.stage:8}{console.duration(cost.seconds):>12}"
            f"{console.size(cost.disk):>12}{console.size(cost.memory):>12}  {cost.engine}"
        )
    console.line()
    for cost in found.costs:
        console.paragraph(f"{cost.stage} on {cost.engine}: {cost.because}")
    console.line()
    console.paragraph(
        "Chunks and vector bytes are arithmetic; the rest are estimates from a probe of "
        f"{found.probe.seconds:.1f} s on this machine ({console.size(found.probe.tokenise_rate)}/s "
        f"tokenised, {console.number(found.probe.embed_rate)} chunks/s embedded)."
    )
