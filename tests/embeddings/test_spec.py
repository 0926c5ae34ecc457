from __future__ import annotations

from dataclasses import fields, replace

import pytest

from retro_cli.embeddings.spec import EncoderSpec

SPEC = EncoderSpec("a", "bert", 8, 64, "mean", True, "q: ", "d: ", "0" * 64, "1" * 64, "bert")


def test_the_name_is_not_part_of_the_fingerprint():
    assert replace(SPEC, name="another").fingerprint() == SPEC.fingerprint()


@pytest.mark.parametrize("name", [f.name for f in fields(EncoderSpec) if f.name != "name"])
def test_everything_else_is_part_of_the_fingerprint(name):
    value = getattr(SPEC, name)
    other = (not value) if isinstance(value, bool) else value + value
    assert replace(SPEC, **{name: other}).fingerprint() != SPEC.fingerprint()


def test_a_spec_survives_json():
    assert EncoderSpec.from_json(SPEC.to_json()) == SPEC


@pytest.mark.parametrize("change", [{"dim": "8"}, {"normalize": 1}, {"new": 1}])
def test_json_that_is_not_a_spec_is_refused(change):
    with pytest.raises((KeyError, TypeError, ValueError)):
        EncoderSpec.from_json({**SPEC.to_json(), **change})


def test_a_missing_field_is_refused():
    value = SPEC.to_json()
    del value["dim"]
    with pytest.raises((KeyError, TypeError, ValueError)):
        EncoderSpec.from_json(value)
