"""Settings: what is saved is what is read, and fingerprints tell what matters apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.config import Settings, load_settings, save_settings
from retro_cli.errors import ConfigError, NotBuiltYet
from retro_cli.store.layout import Layout


@given(field=st.text(max_size=20), encoder=st.text(max_size=20), tokens=st.integers(1, 8192))
def test_settings_read_back_as_they_were_saved(tmp_path_factory, field, encoder, tokens):
    layout = Layout(tmp_path_factory.mktemp("db"))
    settings = Settings(text_field=field, encoder=encoder, tokens=tokens, with_title=True)
    save_settings(layout, settings)
    assert load_settings(layout) == settings


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"tokens": 32}, True),
        ({"cut": "exact"}, True),
        ({"encoder": "other"}, False),
        ({"precision": "int8"}, False),
        ({"dedup": "none"}, False),
        ({"keep_generations": 9}, False),
    ],
)
def test_only_what_shapes_a_chunk_changes_its_fingerprint(change, matters):
    same = Settings().chunk_fingerprint("t", "r")
    assert (Settings(**change).chunk_fingerprint("t", "r") != same) is matters
    assert Settings().chunk_fingerprint("u", "r") != same
    assert Settings().chunk_fingerprint("t", "s") != same


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": 0},
        {"cut": "line"},
        {"dedup": "all"},
        {"precision": "int4"},
        {"keep_generations": 0},
    ],
)
def test_an_impossible_choice_is_refused(change):
    with pytest.raises(ConfigError):
        Settings(**change)


def test_none_means_as_before():
    assert Settings(tokens=32).changed(tokens=None, cut="exact") == Settings(tokens=32, cut="exact")


def test_no_database_is_said_to_be_none(tmp_path):
    with pytest.raises(NotBuiltYet, match="not a retrieval database"):
        load_settings(Layout(tmp_path))


def test_a_database_from_before_there_was_a_number_keeps_three_generations(tmp_path):
    layout = Layout(tmp_path)
    save_settings(layout, Settings(tokens=32))
    lines = layout.settings.read_text().splitlines(keepends=True)
    layout.settings.write_text("".join(line for line in lines if "generations" not in line))
    assert load_settings(layout) == Settings(tokens=32)
    assert load_settings(layout).keep_generations == 3
