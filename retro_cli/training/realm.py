"""REALM (Guu et al. 2020): a masked language model, query and document encoder learn together.

log p(y | x) = log sum_z p(z | x) prod_j p(y_j | z, x) over the masked tokens y of a text x. The
candidates come from an index that is some steps old (see ``refresh.py``), but their scores are
computed anew, with the encoders as they are, so the loss reaches both. Behind the candidates comes
the null document, for masks that need no look-up; it scores as the best chunk that is not read, as
in ``readers/realm.py``. The chunk that x itself is, is no candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from retro_cli.errors import UsageError
from retro_cli.models.marginal import document_prior, sequence_logprob
from retro_cli.models.tower import Tower
from retro_cli.readers.inputs import inert
from retro_cli.training.collapse import NONE, Window
from retro_cli.training.rag import told
from retro_cli.training.refresh import FreshIndex, Ids

Tensor = Any
NULL = -1  # the id of the null document
NOBODY = -2  # as a text's own chunk, where it is none


@dataclass(frozen=True)
class Cloze:
    """A text of which the characters ``start`` to ``end`` are masked. own: the row that stands for
    the chunk that it is, or NOBODY."""

    text: str
    start: int
    end: int
    own: int = NOBODY


class Blanks:
    """Clozes as a masked language model reads them: [x; z], z cut where it does not fit."""

    def __init__(self, tokenizer: Any, budget: int) -> None:
        """budget: tokens of an input at most. Raises UsageError for one without a mask token."""
        if tokenizer.mask_token_id is None:
            raise UsageError("the model's tokenizer has no mask token", "name a masked model")
        self.tokenizer, self.budget = tokenizer, budget

    def answer(self, cloze: Cloze) -> list[int]:
        """The masked tokens."""
        masked = inert(cloze.text[cloze.start : cloze.end], self.tokenizer)
        ids: list[int] = self.tokenizer(" " + masked, add_special_tokens=False).input_ids
        return ids

    def masked(self, cloze: Cloze, masks: int) -> str:
        """x, with so many mask tokens; of a long text what is nearest to them."""
        room = max(1, (self.budget // 2 - masks) // 2)
        before = inert(cloze.text[: cloze.start], self.tokenizer)
        after = inert(cloze.text[cloze.end :], self.tokenizer)
        marks = " ".join([self.tokenizer.mask_token] * masks)
        return f"{self._cut(before, -room)}{marks}{self._cut(after, room)}"

    def _cut(self, text: str, tokens: int) -> str:
        """The first tokens of a text, or, if negative, its last."""
        offsets = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True
        ).offset_mapping
        if len(offsets) <= abs(tokens):
            return text
        return text[offsets[tokens][0] :] if tokens < 0 else text[: offsets[tokens - 1][1]]

    def read(self, x: Sequence[str], z: Sequence[str]) -> Any:
        """Of pairs, input tensors; of an empty z, x alone."""
        rows = [
            self.tokenizer(
                one, inert(other, self.tokenizer), truncation="only_second", max_length=self.budget
            )
            if other
            else self.tokenizer(one)
            for one, other in zip(x, z, strict=True)
        ]
        return self.tokenizer.pad([dict(row) for row in rows], return_tensors="pt")


class RealmLesson:
    """``course.Lesson`` for REALM's objective."""

    def __init__(
        self,
        network: Any,
        blanks: Blanks,
        queries: Tower,
        index: FreshIndex,
        clozes: Callable[[int], list[Cloze]],
        *,
        k: int,
        temperature: float,
        window: Window,
    ) -> None:
        """network: a masked language model. index: with the document encoder. clozes: those of a
        step. k: chunks that are read, besides the null document."""
        self.network, self.blanks, self.queries, self.index = network, blanks, queries, index
        self.clozes, self.k, self.temperature, self.window = clozes, k, temperature, window

    @property
    def documents(self) -> Tower:
        return self.index.tower

    def trained(self) -> dict[str, Tensor]:
        named = {f"model.{n}": p for n, p in self.network.named_parameters()}
        named |= {f"query.{n}": p for n, p in self.queries.weights().items()}
        return named | {f"document.{n}": p for n, p in self.documents.weights().items()}

    def paces(self) -> dict[str, float]:
        return {}

    def networks(self) -> list[Any]:
        return [self.network, self.queries.network, self.documents.network]

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """In nats a masked token."""
        self.index.at(step)
        clozes = self.clozes(step)
        answers = [self.blanks.answer(cloze) for cloze in clozes]
        queries = self.queries.documents([asked(cloze) for cloze in clozes])
        # One more than is read: what the null document scores.
        places = self.index.search(
            queries.detach().cpu().numpy(), self.k + 1, [cloze.own for cloze in clozes]
        )
        ids = self._ids(places)
        scores = self.scores(queries, [[self.index.texts[at] for at in each] for each in places])
        prior = document_prior(scores, self.temperature, (ids != NONE).to(scores.device))
        texts = [[self.index.texts[at] for at in each[: self.k]] for each in places]
        nats = -sequence_logprob(prior, self.likelihoods(clozes, answers, texts)).sum()
        self.window.add(ids, prior.exp())
        said = {
            "index_of_step": float(self.index.made),
            "null": round(float(prior.detach()[:, -1].exp().mean()), 4),
        }
        return nats / sum(map(len, answers)), {**told(self.window), **said}

    def _ids(self, places: list[Ids]) -> Tensor:
        """(b, k + 1) of the chunks that are read, the null document last."""
        ids = torch.full((len(places), self.k + 1), NONE)
        for row, each in enumerate(places):
            read = self.index.ids[each[: self.k]]
            ids[row, : len(read)] = torch.from_numpy(read)
        ids[:, -1] = NULL
        return ids

    def scores(self, queries: Tensor, texts: list[list[str]]) -> Tensor:
        """(b, k + 1) q(x) . d(z) with both encoders as they are now; 0 where there is no document.

        texts: of each query, of which the last is not read if there are more than k: the null
        document scores as it does, without being learned from.
        """
        unlike = {text: None for each in texts for text in each}
        found = queries.new_zeros(len(texts), self.k + 1)
        if not unlike:
            return found
        numbers = {text: number for number, text in enumerate(unlike)}
        vectors = self.documents.documents(list(unlike))
        for row, each in enumerate(texts):
            if each:
                mine = vectors[[numbers[text] for text in each]] @ queries[row]
                found[row, : min(len(each), self.k)] = mine[: self.k]
                found[row, -1] = mine[-1].detach()
        return found

    def likelihoods(
        self, clozes: list[Cloze], answers: list[list[int]], texts: list[list[str]]
    ) -> Tensor:
        """(b, k + 1, n) log p(y_j | z, x), 0 behind the last mask and where none is."""
        x, z, wanted, where = [], [], [], []
        for row, (cloze, answer, each) in enumerate(zip(clozes, answers, texts, strict=True)):
            masked = self.blanks.masked(cloze, len(answer))
            for place, text in [*enumerate(each), (self.k, "")]:
                x.append(masked)
                z.append(text)
                wanted += answer
                where += [(row, place, n) for n in range(len(answer))]
        given = self.blanks.read(x, z).to(self.network.device)
        masks = given["input_ids"] == self.blanks.tokenizer.mask_token_id
        logits = self.network(**given).logits[masks].float()
        targets = torch.tensor(wanted, device=logits.device)
        chosen = logits.log_softmax(dim=-1).gather(-1, targets[:, None])[:, 0]
        whole = chosen.new_zeros(len(clozes), self.k + 1, max(map(len, answers)))
        rows, documents, places = torch.tensor(where, device=chosen.device).T
        return whole.index_put((rows, documents, places), chosen)

    def state(self) -> dict[str, Tensor]:
        window = {f"window.{name}": value for name, value in self.window.state().items()}
        return window | self.index.state()

    def resume(self, step: int, state: dict[str, Tensor]) -> None:
        self.window.resume(
            {n.removeprefix("window."): v for n, v in state.items() if n.startswith("window.")}
        )
        self.index.resume(state)


def asked(cloze: Cloze) -> str:
    """What is looked up: the text without what is missing."""
    return " ".join(f"{cloze.text[: cloze.start]} {cloze.text[cloze.end :]}".split())
