"""torch computes on the cores there are, whatever ran before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from retro_cli.engine.local import cores
from retro_cli.models.threads import use_all_cores


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("said", ["3", ""])
def test_the_environment_says_how_many_threads_there_are_or_the_cores_do(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    use_all_cores()
    assert torch.get_num_threads() == (int(said) if said else cores())
