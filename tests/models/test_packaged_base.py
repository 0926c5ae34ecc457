"""The packaged base itself: converted once for all tests here, into a cache they share."""

from __future__ import annotations

import json
import os

import pytest
import torch
from helpers import write_jsonl
from tokenizers import Tokenizer

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.models import gguf
from retro_cli.models.base import SMOLLM2, find_base
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import load_base, weights_hash
from retro_cli.reading.of_model import reading_of

pytestmark = pytest.mark.slow
WEIGHTS = "5bf586bf3b11ca984287b9a047ce03dfebcd8b59ac86d8e169bb8440f3a4709d"
TOKENIZER = "bf346d64f6f0fbcefb4c1b6928a98241467dff36c6fbae5fe1785c4ff90667f4"
SMALL = {"encoder_width": 48, "encoder_heads": 3, "cca_layers": [12]}


@pytest.fixture
def smollm2(monkeypatch, tmp_path_factory):
    """Its folder. Whichever test of whichever worker comes first converts, the others wait."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # the session's
    monkeypatch.setenv("RETRO_CACHE", str(root / "bases-of-all"))
    return find_base()


def test_each_conversion_gives_the_same_weights_and_tokenizer(smollm2):
    model = load_base(SMOLLM2)
    assert (weights_hash(model), model.dtype) == (WEIGHTS, torch.float32)
    assert ChunkTokenizer(smollm2).sha256 == TOKENIZER
    assert model.config.model_type == "llama"


def test_it_is_a_language_model(smollm2):
    tokenizer = Tokenizer.from_file(str(smollm2 / "tokenizer.json"))
    ids = torch.tensor([tokenizer.encode("The capital of France is").ids])
    with torch.no_grad():
        best = load_base(SMOLLM2)(ids).logits[0, -1].argmax()
    assert tokenizer.decode([int(best)]) == " Paris"


def test_it_is_ready_without_the_package_once_it_was_converted(smollm2, monkeypatch):
    monkeypatch.setattr("retro_cli.models.base.package_folder", lambda name: None)
    monkeypatch.setattr(gguf, "convert_gguf", None)
    assert find_base(SMOLLM2.lower()) == smollm2


def test_added_weights_name_it_and_find_it_anywhere(smollm2, monkeypatch, tmp_path):
    by_name = RetroForCausalLM.from_base(SMOLLM2.lower(), **SMALL)
    by_folder = RetroForCausalLM.from_base(smollm2, **SMALL)
    assert by_name.config.base_name == by_folder.config.base_name == SMOLLM2
    by_name.save_pretrained(tmp_path / "added", added_only=True)
    written = (tmp_path / "added" / "config.json").read_text()
    assert json.loads(written)["base_hash"] == WEIGHTS
    assert str(smollm2.parent) not in written
    moved = tmp_path / "another-cache"
    moved.mkdir()
    (moved / "bases").symlink_to(smollm2.parent)
    monkeypatch.setenv("RETRO_CACHE", str(moved))
    loaded = RetroForCausalLM.from_pretrained(tmp_path / "added")
    ids = torch.arange(20, 100)[None]
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, by_name(ids).logits)


def test_texts_are_cut_as_it_reads_them(smollm2, tmp_path):
    tokenizer, length = reading_of(SMOLLM2.upper())
    assert (tokenizer.sha256, length) == (TOKENIZER, 64)
    RetroForCausalLM.from_base(smollm2, chunk_length=32, **SMALL).save_pretrained(
        tmp_path / "added", added_only=True
    )
    tokenizer, length = reading_of(tmp_path / "added")
    assert (tokenizer.sha256, length) == (TOKENIZER, 32)


def test_from_a_database_cut_for_it_to_a_model_that_reads(
    smollm2, retro, archive, static_encoder, tmp_path
):
    cut = ["--tokenizer", SMOLLM2, "--cut", "exact", "--encoder", static_encoder]
    assert retro("build", archive, "--db", "a.db", *cut).code == 0
    shape = ["--cca-layers", 24, "--encoder-width", 48, "--encoder-heads", 3]
    run = ["--steps", 2, "--batch", 1, "--sequence", 192]
    fitted = retro("fit", "a.db", "--out", "m", *shape, *run)
    assert fitted.code == 0, fitted.err
    assert "bit-identical" in fitted.err
    written = retro("generate", "a.db", "The keeper", "--model", "m", "--max-tokens", 4, "--json")
    assert written.code == 0, written.err
    assert len(written.rows[0]["tokens"]) == 4
    assert written.rows[0]["chunks"][0]["neighbours"]
    write_jsonl(
        tmp_path / "held.jsonl", [{"id": "h", "text": "the keeper of the light slept. " * 30}]
    )
    asked = ["eval", "lm", "m", "a.db", "--text", "held.jsonl", "--max-tokens", 128]
    measured = retro(*asked, "--decontaminate", "--json")
    assert measured.code == 0, measured.err
    assert measured.rows[0]["documents"] == 1
