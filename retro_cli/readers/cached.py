"""A causal network that is asked for next tokens, row by row, and remembers what it was fed."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from transformers import DynamicCache

Tensor = Any


class CachedNetwork:
    """Rows that are fed as they grow. A row that no longer begins as it was fed starts anew.

    Rows may differ in length: what is fed together is padded on the left and masked, and each
    token keeps the position that it has in its own row.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.fed = 0  # tokens, over all rows, that the network has computed
        self._forget()

    def _forget(self) -> None:
        self._rows: list[list[int]] = []
        self._cache = DynamicCache(config=self.network.config)
        self._mask: Tensor = None

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def next_logprobs(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """(rows, vocabulary) float32 natural log-probabilities of what follows each row.

        Each row has at least one token that was not fed before; there are as many rows as before,
        unless all start anew.
        """
        wanted = [list(row) for row in rows]
        grown = len(wanted) == len(self._rows) and all(
            len(row) > len(known) and row[: len(known)] == known
            for row, known in zip(wanted, self._rows, strict=True)
        )
        if not grown:
            self._forget()
            self._rows = [[] for _ in wanted]
        new = [row[len(known) :] for row, known in zip(wanted, self._rows, strict=True)]
        output = self.network(
            self._padded(new), past_key_values=self._cache, use_cache=True, logits_to_keep=1,
            **self._places(new),
        )  # fmt: skip
        self._rows = wanted
        self.fed += sum(map(len, new))
        return output.logits[:, -1].float().log_softmax(dim=-1)

    def _padded(self, new: list[list[int]]) -> Tensor:
        """(rows, longest) token ids; what stands in the padding is masked."""
        longest = max(map(len, new))
        ids = [[row[0]] * (longest - len(row)) + row for row in new]
        return torch.tensor(ids, device=self.network.device)

    def _places(self, new: list[list[int]]) -> dict[str, Tensor]:
        """The mask and the positions, once rows differ; a model without padding needs neither."""
        lengths = [len(row) for row in new]
        longest, device = max(lengths), self.network.device
        if self._mask is None and len(set(lengths)) == 1:
            return {}
        if self._mask is None:
            known = max(map(len, self._rows))
            self._mask = torch.ones(len(new), known, dtype=torch.long, device=device)
        places = torch.arange(longest, device=device)
        given = places >= longest - torch.tensor(lengths, device=device)[:, None]
        self._mask = torch.cat([self._mask, given.long()], dim=1)
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        return {"attention_mask": self._mask, "position_ids": positions[:, -longest:]}

    def pick(self, parents: Sequence[int]) -> None:
        """Row i becomes row ``parents[i]``: rows may end, and may fork."""
        if list(parents) == list(range(len(self._rows))) or not self._rows:
            return
        rows = torch.tensor(parents, device=self.network.device)
        self._cache.reorder_cache(rows)
        if self._mask is not None:
            self._mask = self._mask[rows]
        self._rows = [self._rows[row] for row in parents]

    def copy(self) -> CachedNetwork:
        """One that knows the same rows and grows apart; the network itself is shared."""
        twin = CachedNetwork(self.network)
        twin._rows = [list(row) for row in self._rows]
        twin._cache = deepcopy(self._cache)
        twin._mask = self._mask
        return twin
