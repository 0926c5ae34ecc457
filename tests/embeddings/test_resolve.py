from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from retro_cli.embeddings import resolve as module
from retro_cli.embeddings.folder import UNLIMITED
from retro_cli.embeddings.resolve import DEFAULT_ENCODER, resolve, tokenizer_path
from retro_cli.errors import ConfigError, IntegrityError, MissingExtra, UsageError
from retro_cli.store.atomic import file_sha256


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_default_encoder_is_the_published_minilm():
    spec = resolve(DEFAULT_ENCODER).spec
    assert (spec.kind, spec.dim, spec.max_tokens) == ("bert", 384, 256)
    assert (spec.pooling, spec.normalize) == ("mean", True)
    assert spec.weights_sha256 == module._MINILM_SHA256
    assert resolve(DEFAULT_ENCODER, verify=False).spec == spec


def test_other_weights_in_the_package_are_an_integrity_error(monkeypatch):
    monkeypatch.setattr(module, "_MINILM_SHA256", "0" * 64)
    with pytest.raises(IntegrityError, match="published"):
        resolve(DEFAULT_ENCODER)


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(module, "package_folder", lambda name: None)
    with pytest.raises(ConfigError) as missing:
        resolve(DEFAULT_ENCODER)
    assert "pip install" in missing.value.hint
    with pytest.raises(MissingExtra) as extra:
        resolve("wordllama")
    assert "[static]" in extra.value.hint


@pytest.mark.parametrize("name", ["", "no-such-model", "./nowhere", "hf:", "hf:a/b/c", "hf:../b"])
def test_an_unknown_name_is_a_config_error_that_names_what_there_is(name):
    with pytest.raises(ConfigError) as error:
        resolve(name)
    assert error.value.hint


def test_a_hub_name_is_never_fetched_unasked(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="downloads nothing unasked"):
        resolve("hf:nobody/no-such-model-at-all")


def test_a_bert_folder_is_described_by_its_own_files(make_bert):
    folder = make_bert(prompts={"query": "ask: ", "passage": "read: "}, pooling="cls")
    resolved = resolve(str(folder))
    spec = resolved.spec
    assert spec.name == str(folder)
    assert (spec.kind, spec.dim, spec.max_tokens, spec.pooling) == ("bert", 32, 40, "cls")
    assert (spec.query_prompt, spec.document_prompt) == ("ask: ", "read: ")
    assert spec.weights_sha256 == file_sha256(folder / "model.safetensors")
    assert spec.tokenizer_sha256 == file_sha256(folder / "tokenizer.json")
    assert tokenizer_path(resolved) == folder / "tokenizer.json"


def test_a_bare_bert_is_pooled_by_the_mean(make_bert):
    folder = make_bert()
    for name in ("modules.json", "sentence_bert_config.json"):
        (folder / name).unlink()
    spec = resolve(str(folder)).spec
    assert (spec.kind, spec.pooling, spec.max_tokens) == ("bert", "mean", 48)


def test_a_relative_path_is_found_again_from_elsewhere(make_bert, monkeypatch, tmp_path):
    folder = make_bert()
    monkeypatch.chdir(folder.parent)
    name = resolve("bert").spec.name
    monkeypatch.chdir("/")
    assert resolve(name).folder == folder


def test_the_number_of_heads_is_part_of_the_fingerprint(make_bert):
    one, other = (resolve(str(make_bert(str(n), num_attention_heads=n))).spec for n in (2, 4))
    assert one.weights_sha256 == other.weights_sha256
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    "options", [{"hidden_act": "relu"}, {"pooling": "max"}, {"model_type": "roberta"}]
)
def test_what_the_own_backends_do_not_know_is_left_to_sentence_transformers(make_bert, options):
    spec = resolve(str(make_bert(**options))).spec
    assert (spec.kind, spec.dim) == ("sentence-transformers", 32)


def test_any_changed_file_changes_a_generic_encoder(make_bert):
    folder = make_bert(pooling="max")
    before = resolve(str(folder)).spec.fingerprint()
    edit(folder / "1_Pooling" / "config.json", extra=1)
    assert resolve(str(folder)).spec.fingerprint() != before
    (folder / "README.md").write_text("words")
    assert resolve(str(folder)).spec.weights_sha256 == resolve(str(folder)).spec.weights_sha256


def test_a_readme_does_not_change_a_generic_encoder(make_bert):
    folder = make_bert(pooling="max")
    before = resolve(str(folder)).spec.fingerprint()
    (folder / "README.md").write_text("words")
    assert resolve(str(folder)).spec.fingerprint() == before


def test_code_that_comes_with_a_model_is_refused(make_bert):
    folder = make_bert()
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "os.path.Evil"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match=r"os\.path\.Evil"):
        resolve(str(folder))


@pytest.mark.parametrize("place", ["../elsewhere", "/etc"])
def test_a_module_outside_the_folder_is_refused(make_bert, place):
    folder = make_bert()
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = place
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError):
        resolve(str(folder))


def test_pickled_weights_are_refused(make_bert):
    folder = make_bert()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        resolve(str(folder))


IGNORED = {("tokenizer_config.json", "[1]"), ("tokenizer_config.json", "3")}


@pytest.mark.parametrize("name", ["config.json", "modules.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["{", "[1]", "3"])
def test_broken_descriptions_are_config_errors_or_ignored(make_bert, name, content):
    folder = make_bert()
    (folder / name).write_text(content)
    if (name, content) in IGNORED:
        assert resolve(str(folder)).spec.dim == 32
        return
    with pytest.raises(ConfigError):
        resolve(str(folder))


def test_an_empty_folder_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="no encoder"):
        resolve(str(tmp_path))


def test_a_static_folder_has_no_limit(static_encoder):
    spec = resolve(str(static_encoder)).spec
    assert (spec.kind, spec.dim, spec.max_tokens) == ("static", 24, UNLIMITED)


def test_a_model2vec_folder_is_static(static_encoder, tmp_path):
    save_file({"embeddings": np.ones((90, 6), np.float32)}, str(tmp_path / "model.safetensors"))
    (tmp_path / "tokenizer.json").write_bytes((static_encoder / "tokenizer.json").read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "model2vec"}')
    spec = resolve(str(tmp_path)).spec
    assert (spec.kind, spec.dim) == ("static", 6)


def test_a_static_folder_with_token_weights_is_refused(static_encoder, tmp_path):
    tensors = {"embeddings": np.ones((90, 6), np.float32), "weights": np.ones(90)}
    save_file(tensors, str(tmp_path / "model.safetensors"))
    with pytest.raises(ConfigError, match="one table"):
        resolve(str(tmp_path))
