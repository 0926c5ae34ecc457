"""Beam search: the likeliest continuation among those that a few rows side by side find."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from retro_cli.generate.trace import Continuation, TracedToken
from retro_cli.readers.interface import Evidence, Reading


@dataclass(frozen=True)
class _Beam:
    """logprob: the sum over its tokens. row: of the reading; its tokens continue that row."""

    logprob: float
    row: int
    tokens: tuple[TracedToken, ...]

    @property
    def last(self) -> int:
        return self.tokens[-1].token

    @property
    def mean(self) -> float:
        """What finished beams are compared by: long ones are not at a disadvantage."""
        return self.logprob / len(self.tokens)


def search_beams(
    reading: Reading,
    look_up: Callable[[], None],
    ends: Collection[int],
    width: int,
    first: int,
    most: int,
) -> Continuation:
    """The finished beam with the best mean log-probability a token.

    look_up: gives the reading what it asks for. first: the position of the first token.
    A beam finishes with one of ``ends``, or at ``most`` tokens, if it is among the ``width`` best
    then. The search stops when ``width`` have finished and the best of the others, were it to end
    now, would not come before the worst of them.
    """
    running = [_Beam(0.0, 0, ())]
    finished: list[tuple[_Beam, list[Evidence]]] = []
    while True:
        look_up()
        candidates = _continued(reading, running, first, (1 + max(1, len(ends))) * width)
        enough = len(candidates[0].tokens) == most
        finished += [
            (beam, reading.evidence(beam.row))
            for beam in candidates[:width]
            if enough or beam.last in ends
        ]
        finished = sorted(finished, key=lambda pair: -pair[0].mean)[:width]
        running = [beam for beam in candidates if beam.last not in ends][:width]
        full = len(finished) == width
        if enough or not running or (full and running[0].mean <= finished[-1][0].mean):
            best, evidence = finished[0]
            return Continuation(list(best.tokens), evidence)
        reading.advance([beam.row for beam in running], [beam.last for beam in running])
        running = [_Beam(beam.logprob, row, beam.tokens) for row, beam in enumerate(running)]


def _continued(reading: Reading, running: list[_Beam], first: int, count: int) -> list[_Beam]:
    """The ``count`` likeliest continuations by one token, best first."""
    step = reading.step()
    before = step.logprobs.new_tensor([beam.logprob for beam in running])
    total = (step.logprobs + before[:, None]).flatten()
    best = total.topk(min(count, len(total)))
    vocabulary = step.logprobs.shape[1]
    found = []
    for logprob, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        row, token = divmod(place, vocabulary)
        so_far = running[row].tokens
        traced = TracedToken.of(step, row, token, first + len(so_far))
        found.append(_Beam(logprob, row, (*so_far, traced)))
    return found
