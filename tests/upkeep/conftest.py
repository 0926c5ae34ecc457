"""Small databases for rules: two sources, and three of which two share a chunk."""

from __future__ import annotations

import pytest
from upkeep_library import Library, posts


@pytest.fixture
def library(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    library.write("a", posts("bad", "the boat was rude", "the rude ferry", "a rude storm"))
    library.write("b", posts("good", "the boat was kind", "the kind ferry", "a kind storm"))
    library.update()
    return library


@pytest.fixture
def twins(tmp_path, static_encoder):
    """Two sources that share a first chunk and go on in their own words."""
    library = Library(tmp_path, static_encoder, tokens=4, dedup="chunk")
    library.write("a", posts("a", "the boat the storm the ferry ferry ferry"))
    library.write("b", posts("b", "the boat the storm the light light light"))
    library.write("c", posts("c", "the island harbour the"))
    library.update()
    return library
