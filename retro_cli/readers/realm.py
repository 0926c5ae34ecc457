"""REALM (Guu et al. 2020): the masks of a sentence, filled by a mixture over documents.

p(y | x) = sum_z p(z | x) prod_j p(y_j | x, z), where a masked language model reads the sentence x
beside each chunk z (section 3.2), and beside none: the null document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from retro_cli.errors import UsageError
from retro_cli.models.language import LanguageModel
from retro_cli.models.marginal import document_prior
from retro_cli.readers.inputs import inert, longest_input
from retro_cli.readers.interface import Evidence, Retriever
from retro_cli.readers.mixture import DOCUMENTS, TEMPERATURES
from retro_cli.readers.own_text import OwnText

Tensor = Any
MASK = "[MASK]"
_BEAMS = 32
_LONGEST = 512  # tokens, where a model does not say


@dataclass(frozen=True)
class Candidate:
    """A token for a mask. posterior: p(z | x, y) of each document, the null one last."""

    token: int
    text: str
    probability: float
    posterior: tuple[float, ...]


@dataclass(frozen=True)
class Filled:
    """What the masks may hide.

    text: the sentence with the tokens that are likeliest together, which are ``chosen``.
    logprob: of these, natural. masks: of each mask its likeliest tokens. evidence: the documents
    that were read. prior: of these and the null document, which is last. posterior: the same,
    given all of ``chosen``. null_score: of the null document. own: hits that were left out as the
    text's own.
    """

    text: str
    chosen: tuple[Candidate, ...]
    logprob: float
    masks: tuple[tuple[Candidate, ...], ...]
    evidence: Evidence
    prior: tuple[float, ...]
    posterior: tuple[float, ...]
    null_score: float
    own: int


class RealmReader:
    """Any masked language model, over ``k`` chunks and the null document."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        k: int | None = None,
        temperature: float | None = None,
        null_score: float | None = None,
    ) -> None:
        """temperature: of the prior, as for ``MixtureReader``. null_score: what the null document
        scores; by default as the best chunk that is not read, for all of which it stands.

        Raises UsageError for a temperature that is not above 0, or a model without a mask.
        """
        if temperature is not None and not 0.0 < temperature < float("inf"):
            raise UsageError(f"a document temperature of {temperature}", "a number above 0")
        if model.tokenizer.mask_token is None:
            raise UsageError(f"the tokenizer in {model.folder} has no mask", "name another model")
        self.model = model
        self.k = DOCUMENTS if k is None else k
        self.temperature = temperature
        self.null_score = null_score

    def fill(
        self, text: str, retriever: Retriever | None, top: int = 5, own: OwnText | None = None
    ) -> Filled:
        """text: with at least one [MASK]. top: candidates a mask. own: what must not be read.

        Raises UsageError for a text without a mask, or one that is too long.
        """
        parts = text.replace(self._mask, MASK).split(MASK)
        if len(parts) == 1:
            raise UsageError("there is nothing to fill", f"write {MASK} for each word to find")
        evidence, null, left = self._look_up(" ".join(" ".join(parts).split()), retriever, own)
        prior = self._log_prior(evidence, null)
        likelihoods = self._likelihoods(self._mask.join(self._inert(p) for p in parts), evidence)
        tokens, joint = likeliest_together(prior, likelihoods)
        of_masks = [prior[:, None] + each for each in likelihoods.unbind(dim=1)]
        chosen = [self._candidate(*pair) for pair in zip(of_masks, tokens, strict=True)]
        return Filled(
            text=_written(parts, [each.text for each in chosen]),
            chosen=tuple(chosen),
            logprob=float(joint.logsumexp(dim=0)),
            masks=tuple(self._candidates(each, top) for each in of_masks),
            evidence=evidence,
            prior=tuple(prior.exp().tolist()),
            posterior=tuple(joint.softmax(dim=0).tolist()),
            null_score=null,
            own=left,
        )

    def _look_up(
        self, query: str, retriever: Retriever | None, own: OwnText | None
    ) -> tuple[Evidence, float, int]:
        """What to read, the null document's score, and how many hits were the text's own. One hit
        more than is read tells what the null document scores."""
        if retriever is None:
            return Evidence(query, (), np.empty((0, 0), dtype=np.int32)), 0.0, 0
        asked = self.k + 1 if own is None else 2 * self.k + 2
        while True:
            (found,) = retriever.search([query], asked)
            kept = [row for row, mine in enumerate(_own_rows(found, own)) if not mine]
            if len(kept) > self.k or len(found.hits) < asked:
                break
            asked *= 2
        scores = [found.hits[row].score for row in kept]
        null = scores[min(self.k, len(scores) - 1)] if scores else 0.0
        read = kept[: self.k]
        hits = tuple(replace(found.hits[row], rank=rank) for rank, row in enumerate(read, 1))
        evidence = replace(found, hits=hits, tokens=found.tokens[read])
        left = len(found.hits) - len(kept)
        return evidence, null if self.null_score is None else self.null_score, left

    def _log_prior(self, evidence: Evidence, null: float) -> Tensor:
        """(documents + 1,) float32."""
        scores = torch.tensor([*(hit.score for hit in evidence.hits), null], dtype=torch.float32)
        if not evidence.hits:
            return torch.zeros(1)
        usual = TEMPERATURES.get(evidence.metric, 1.0)
        return document_prior(scores, self.temperature or usual)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _likelihoods(self, sentence: str, evidence: Evidence) -> Tensor:
        """(documents + 1, masks, vocabulary) float32, log p(y_j | x, z)."""
        tokenizer, network = self.model.tokenizer, self.model.network
        most = min(tokenizer.model_max_length, longest_input(self.model) or _LONGEST)
        alone = tokenizer(sentence).input_ids
        if len(alone) >= most:
            raise UsageError(
                f"a text of {len(alone):,} tokens is too long", f"the model takes {most:,}"
            )
        places = [place for place, token in enumerate(alone) if token == tokenizer.mask_token_id]
        given: list[Any] = [
            (sentence, self._inert(f"{hit.text}{hit.continuation}")) for hit in evidence.hits
        ]
        rows = [
            *(tokenizer(*pair, truncation="only_second", max_length=most) for pair in given),
            tokenizer(sentence),
        ]
        batch = tokenizer.pad(rows, return_tensors="pt").to(network.device)
        logits = network(**batch).logits[:, places]
        return logits.float().log_softmax(dim=-1).cpu()

    def _candidates(self, joint: Tensor, top: int) -> tuple[Candidate, ...]:
        """joint: (documents + 1, vocabulary) log p(z | x) + log p(y | x, z) of one mask."""
        best = joint.logsumexp(dim=0).topk(min(top, joint.shape[1])).indices.tolist()
        return tuple(self._candidate(joint, token) for token in best)

    def _candidate(self, joint: Tensor, token: int) -> Candidate:
        of_token = joint[:, token]
        chance = float(of_token.logsumexp(dim=0).exp())
        return Candidate(token, self._text(token), chance, tuple(of_token.softmax(0).tolist()))

    def _text(self, token: int) -> str:
        return str(self.model.tokenizer.decode([token])).strip()

    def _inert(self, text: str) -> str:
        return inert(text, self.model.tokenizer)

    @property
    def _mask(self) -> str:
        return str(self.model.tokenizer.mask_token)


def likeliest_together(prior: Tensor, likelihoods: Tensor) -> tuple[list[int], Tensor]:
    """A token a mask, by p(y | x), and (documents,) log p(z | x) + log p(y | x, z) of them.

    prior: (documents,). likelihoods: (documents, masks, vocabulary). The masks are filled from
    the left, with the weights that the documents have by then; for one mask it is exact.
    """
    beams: list[tuple[list[int], Tensor]] = [([], prior)]
    for mask in range(likelihoods.shape[1]):
        joint = torch.stack([weights for _, weights in beams])[:, :, None] + likelihoods[:, mask]
        total = joint.logsumexp(dim=1)
        places = total.flatten().topk(min(_BEAMS, total.numel())).indices.tolist()
        found = [divmod(place, total.shape[1]) for place in places]
        beams = [([*beams[row][0], token], joint[row, :, token]) for row, token in found]
    return beams[0]


def _own_rows(found: Evidence, own: OwnText | None) -> Sequence[bool]:
    return [False] * len(found.hits) if own is None else own.among(found.hits)


def _written(parts: Sequence[str], words: Sequence[str]) -> str:
    """The sentence; a piece of a word joins the word before it."""
    text = parts[0]
    for word, part in zip(words, parts[1:], strict=True):
        piece = word.startswith("##")
        text = (text.rstrip() + word[2:] if piece else text + word) + part
    return text
