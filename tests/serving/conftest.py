"""A database that no test changes, a copy for those that do, and clients of both."""

from __future__ import annotations

import shutil

import pytest
from mixture_helpers import saved
from serving_helpers import TOKEN, built, client


@pytest.fixture(scope="session")
def kept(tmp_path_factory, static_encoder):
    return built(tmp_path_factory.mktemp("served"), static_encoder)


@pytest.fixture
def copied(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "copied.db")


@pytest.fixture(scope="session")
def llama(tmp_path_factory, bpe_path):
    """A causal model of random weights."""
    return str(saved("llama", bpe_path, tmp_path_factory.mktemp("llama")))


@pytest.fixture(scope="session")
def served(kept, llama):
    with client(kept, models=(llama,)) as found:
        yield found


@pytest.fixture
def changing(copied):
    """A server that allows changes."""
    with client(copied, token=TOKEN) as found:
        yield found
