"""Beam search: the likeliest continuation among those that a few rows side by side find."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from retro_cli.generate.decoding import normalised
from retro_cli.generate.trace import Continuation, TracedToken
from retro_cli.readers.interface import Evidence, Reading


@dataclass(frozen=True)
class Search:
    """ends: the tokens that end a text. width: beams. first: the position of the first token.
    most: tokens. length_penalty: see ``Decoding``."""

    ends: Collection[int]
    width: int
    first: int
    most: int
    length_penalty: float = 1.0


@dataclass(frozen=True)
class _Beam:
    """logprob: the sum over its tokens. row: of the reading; its tokens continue that row."""

    logprob: float
    row: int
    tokens: tuple[TracedToken, ...]

    @property
    def last(self) -> int:
        return self.tokens[-1].token

    def value(self, length_penalty: float) -> float:
        """What finished beams are compared by."""
        return normalised(self.logprob, len(self.tokens), length_penalty)


def search_beams(reading: Reading, look_up: Callable[[], None], how: Search) -> list[Continuation]:
    """The beams that finished, at most ``how.width``, best first.

    look_up: gives the reading what it asks for. A beam finishes with one of the ends, or at the
    most tokens, if it is among the best then. The search stops when as many as it is wide have
    finished and the best of the others, were it to end now, would not come before the worst of
    them.
    """
    running = [_Beam(0.0, 0, ())]
    finished: list[tuple[_Beam, list[Evidence]]] = []

    def value(beam: _Beam) -> float:
        return beam.value(how.length_penalty)

    while True:
        look_up()
        candidates = _continued(reading, running, how)
        enough = len(candidates[0].tokens) == how.most
        finished += [
            (beam, reading.evidence(beam.row))
            for beam in candidates[: how.width]
            if enough or beam.last in how.ends
        ]
        finished = sorted(finished, key=lambda pair: -value(pair[0]))[: how.width]
        running = [beam for beam in candidates if beam.last not in how.ends][: how.width]
        full = len(finished) == how.width
        if enough or not running or (full and value(running[0]) <= value(finished[-1][0])):
            return [Continuation(list(beam.tokens), evidence) for beam, evidence in finished]
        reading.advance([beam.row for beam in running], [beam.last for beam in running])
        running = [_Beam(beam.logprob, row, beam.tokens) for row, beam in enumerate(running)]


def _continued(reading: Reading, running: list[_Beam], how: Search) -> list[_Beam]:
    """The likeliest continuations by one token, best first: enough for a full width, whichever
    of them end."""
    step = reading.step()
    before = step.logprobs.new_tensor([beam.logprob for beam in running])
    total = (step.logprobs + before[:, None]).flatten()
    best = total.topk(min((1 + max(1, len(how.ends))) * how.width, len(total)))
    vocabulary = step.logprobs.shape[1]
    found = []
    for logprob, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        row, token = divmod(place, vocabulary)
        so_far = running[row].tokens
        traced = TracedToken.of(step, row, token, how.first + len(so_far))
        found.append(_Beam(logprob, row, (*so_far, traced)))
    return found
