"""Any language model by name or folder; one of another kind is told what would do."""

from __future__ import annotations

import json

import pytest
import torch
from model_helpers import base
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from retro_cli.errors import InputNotFound, IntegrityError, UsageError
from retro_cli.models.language import (
    CAUSAL,
    MASKED,
    SEQ2SEQ,
    find_device,
    kind_of,
    open_language_model,
)

SMALL = {"vocab_size": 300, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
         "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16,
         "decoder_ffn_dim": 16, "max_position_embeddings": 64}  # fmt: skip
MAKE = {
    "llama": (CAUSAL, lambda: base()),
    "gpt2": (CAUSAL, lambda: base("gpt2")),
    "bart": (SEQ2SEQ, lambda: BartForConditionalGeneration(BartConfig(**SMALL))),
    "t5": (
        SEQ2SEQ,
        lambda: T5ForConditionalGeneration(
            T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
    ),
    "bert": (
        MASKED,
        lambda: BertForMaskedLM(
            BertConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=16)
        ),
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, bpe_path):
    """A tiny model of a kind, with a tokenizer."""

    def make(name):
        path = tmp_path / name
        MAKE[name][1]().save_pretrained(path)
        (path / "tokenizer.json").write_bytes(bpe_path.read_bytes())
        (path / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')
        return path

    return make


@pytest.mark.parametrize("name", MAKE)
def test_each_kind_is_known_by_its_configuration_and_opens(folder, name):
    path, kind = folder(name), MAKE[name][0]
    assert kind_of(path) == kind
    model = open_language_model(path, {CAUSAL, SEQ2SEQ, MASKED}, "cpu")
    assert (model.kind, model.folder) == (kind, path)
    assert not model.network.training
    assert {weight.dtype for weight in model.network.parameters()} == {torch.float32}
    assert model.tokenizer("the ferry").input_ids


@pytest.mark.parametrize("name", MAKE)
def test_another_kind_is_refused_in_words_that_say_what_would_do(folder, name):
    path, kind = folder(name), MAKE[name][0]
    others = {CAUSAL, SEQ2SEQ, MASKED} - {kind}
    with pytest.raises(UsageError, match=f"is a {kind} language model") as told:
        open_language_model(path, others, "cpu", reader="rag-token")
    assert "which the reader rag-token cannot use" in told.value.message
    assert all(f"a {other} one" in told.value.hint for other in others)
    assert ("SmolLM2" in told.value.hint) == (CAUSAL in others)


@pytest.mark.parametrize(
    "fields",
    [{}, {"architectures": None}, {"architectures": "BertForMaskedLM"}, {"architectures": [7]},
     {"architectures": ["BertForSequenceClassification"]}, []],
)  # fmt: skip
def test_what_is_no_language_model_is_refused(folder, fields):
    path = folder("llama")
    (path / "config.json").write_text(json.dumps(fields))
    assert kind_of(path) == ""
    with pytest.raises(UsageError, match="no language model that retro knows"):
        open_language_model(path, device="cpu")


@pytest.mark.parametrize("left", [0, 4, 100, -7])
def test_damaged_weights_are_an_integrity_error(folder, left):
    path = folder("llama")
    weights = path / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:left])
    with pytest.raises(IntegrityError, match="cannot be loaded") as told:
        open_language_model(path, device="cpu")
    assert "save it again" in told.value.hint


def test_a_damaged_configuration_is_an_integrity_error(folder):
    path = folder("llama")
    (path / "config.json").write_text('{"architectures": ')
    with pytest.raises(IntegrityError, match="not valid JSON"):
        open_language_model(path, device="cpu")


def test_a_damaged_tokenizer_is_an_integrity_error(folder):
    path = folder("llama")
    (path / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(IntegrityError, match="cannot be loaded"):
        open_language_model(path, device="cpu")


def test_code_in_a_folder_is_never_run(folder, tmp_path):
    path = folder("llama")
    fields = json.loads((path / "config.json").read_text())
    fields |= {"auto_map": {"AutoModelForCausalLM": "evil.Model"}, "model_type": "evil"}
    (path / "config.json").write_text(json.dumps(fields))
    (path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Model: ...")
    with pytest.raises((IntegrityError, UsageError)):
        open_language_model(path, device="cpu")
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_are_not_looked_at(folder):
    path = folder("llama")
    (path / "model.safetensors").unlink()
    (path / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n")
    with pytest.raises(InputNotFound, match=r"model\.safetensors"):
        open_language_model(path, device="cpu")


def test_a_device_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="no GPU"):
        find_device("cuda")
    with pytest.raises(UsageError, match="--device tpu"):
        find_device("tpu")
