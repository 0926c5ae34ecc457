from __future__ import annotations

import subprocess
import sys

import pytest

from retro_cli.errors import EncoderMismatch, MissingExtra, UsageError
from retro_cli.filters.scorers.contract import Batch
from retro_cli.filters.scorers.registry import NAMES, load_scorer
from retro_cli.filters.scorers.train import train_probe


def test_every_kind_is_found_by_its_name(rows, tmp_path):
    words = tmp_path / "list.txt"
    words.write_text("bother\n")
    probe = tmp_path / "probe.safetensors"
    train_probe(*rows(200), encoder_fingerprint="one", trained_on="").save(probe)
    specs = {
        "default": "default",
        "words": "words",
        f"words:{words}": f"words:{words}",
        f"probe:{probe}": f"probe:{probe}",
        str(probe): f"probe:{probe}",
    }
    for spec, name in specs.items():
        assert load_scorer(spec, encoder_fingerprint="one").name == name
    with pytest.raises(EncoderMismatch):
        load_scorer(str(probe), encoder_fingerprint="two")


@pytest.mark.parametrize(
    ("spec", "near"), [("defualt", "default"), ("word", "words"), ("prob:x", "probe"), ("", None)]
)
def test_an_unknown_name_is_answered_with_the_names_and_the_nearest(spec, near):
    with pytest.raises(UsageError) as caught:
        load_scorer(spec, encoder_fingerprint="one")
    assert all(name in caught.value.hint for name in NAMES)
    assert (f"did you mean '{near}'" in caught.value.message) == (near is not None)


@pytest.mark.parametrize("spec", ["probe:", "hf:", "profanity:x"])
def test_a_name_without_its_file_is_unknown(spec):
    with pytest.raises(UsageError):
        load_scorer(spec, encoder_fingerprint="one")


def test_a_toxic_label_is_for_models_that_have_several():
    with pytest.raises(UsageError, match="one label"):
        load_scorer("words", encoder_fingerprint="one", toxic_label="hate")


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "profanity_check", None)
    with pytest.raises(MissingExtra) as caught:
        load_scorer("profanity", encoder_fingerprint="one")
    assert "retro-cli[toxicity]" in caught.value.hint


def test_an_installed_package_is_asked_for_probabilities(monkeypatch):
    import types

    from retro_cli.filters.scorers import profanity

    fake = types.SimpleNamespace(predict_prob=lambda texts: [len(text) / 4 for text in texts])
    monkeypatch.setitem(sys.modules, "profanity_check", fake)
    monkeypatch.setattr(profanity, "version", lambda package: f"{package} 1")
    scorer = load_scorer("profanity", encoder_fingerprint="one")
    assert scorer.score(Batch(["a", "ab", "abcdef"], None)).tolist() == [0.25, 0.5, 1.0]
    assert scorer.score(Batch([], None)).shape == (0,)


def test_the_real_package_tells_an_insult_from_a_greeting():
    scorer = load_scorer("profanity", encoder_fingerprint="one")
    insult, greeting = scorer.score(Batch(["you stupid bastard", "good morning to you"], None))
    assert 0 <= greeting < 0.3 < 0.7 < insult <= 1
    assert scorer.fingerprint == load_scorer("profanity", encoder_fingerprint="two").fingerprint


def test_nothing_heavy_is_imported_for_the_scorers_that_ship():
    code = (
        "import sys\n"
        "from retro_cli.filters.scorers.registry import load_scorer\n"
        "for spec in ('default', 'words'): load_scorer(spec, encoder_fingerprint='x')\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'transformers', 'sentence_transformers', 'joblib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
