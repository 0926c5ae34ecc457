"""retro models: what is there, made ready once, and removed without harm to anyone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers import everything, fingerprint, process
from model_helpers import base

from retro_cli.models import base as bases
from retro_cli.models import catalogue, gguf, keeping
from retro_cli.store import cache

USER = """
import sys
from dataclasses import replace
from retro_cli.models.base import find_language_model
find_language_model("SmolLM2-135M-Instruct")
print("here", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def let_go():
    """What this process made ready is let go of at the end, as when a process ends."""
    yield
    release()


def release():
    while cache._holds:
        os.close(cache._holds.popitem()[1])


@pytest.fixture
def tiny(tmp_path, bpe_path):
    """A folder with a tiny causal model."""
    path = tmp_path / "tiny"
    base().save_pretrained(path)
    (path / "tokenizer.json").write_bytes(bpe_path.read_bytes())
    return path


@pytest.fixture
def packages(monkeypatch, tmp_path, tiny):
    """Packages of few bytes in place of the real ones, and a conversion that copies ``tiny``."""
    made = []
    for each in catalogue.PACKAGED:
        path = tmp_path / "packages" / each.package / each.file
        path.parent.mkdir(parents=True)
        path.write_bytes(each.name.encode())
        made.append(replace(each, sha256=bases.file_sha256(path)))

    def package_folder(name):
        path = tmp_path / "packages" / name
        return path if path.is_dir() else None

    def convert(source, target):
        if source.read_bytes() == b"damaged":
            raise ValueError("not a GGUF file")
        for path in tiny.iterdir():
            (target / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(catalogue, "PACKAGED", tuple(made))
    for module in (bases, catalogue, keeping):
        monkeypatch.setattr(module, "package_folder", package_folder)
    monkeypatch.setattr(bases, "_SHA256", made[2].sha256)
    monkeypatch.setattr(gguf, "convert_gguf", convert)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "packages"


@pytest.fixture
def listed(retro):
    def rows():
        done = retro("models", "list", "--json")
        assert done.code == 0, done.err
        return {row["name"]: row for row in done.rows}

    return rows


def test_the_pins_are_those_that_loading_checks():
    """One model, one hash: the list must not come to differ from what the loaders want."""
    from retro_cli.embeddings import resolve
    from retro_cli.models import masked

    pins = {each.name: each.sha256 for each in catalogue.PACKAGED}
    assert pins["all-MiniLM-L6-v2"] == resolve._MINILM_SHA256
    assert pins["SmolLM2-135M-Instruct"] == bases._SHA256
    assert pins["splade-tiny-msmarco"] == masked._SHA256["model.safetensors"]


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "wordllama"])
def test_the_packaged_encoders_are_the_published_ones(retro, name):
    done = retro("models", "pull", name, "--json")
    assert done.code == 0, done.err
    assert (done.rows[0]["kind"], done.rows[0]["state"]) == ("encoder", "ready")


def test_a_packaged_model_goes_from_waiting_to_ready_and_back(retro, packages, listed):
    name = "SmolLM2-135M-Instruct"
    before = fingerprint(packages)
    assert (listed()[name]["state"], listed()[name]["removable"]) == ("not converted", 0)
    pulled = retro("models", "pull", name.lower(), "--json").rows[0]
    assert (pulled["state"], pulled["kind"]) == ("ready", "causal")
    assert (bases.find_base().as_posix(), pulled["removable"] > 0) == (pulled["folder"], True)
    assert retro("models", "convert", name).out.strip() == pulled["folder"]
    assert listed()[name] == {k: v for k, v in pulled.items() if k != "seconds"}
    release()
    removed = retro("models", "remove", name, "--json").rows[0]
    assert removed == {"model": name, "freed": pulled["removable"]}
    assert (listed()[name]["state"], listed()[name]["folder"]) == ("not converted", None)
    again = retro("models", "remove", name)
    assert (again.code, "takes no room" in again.err) == (0, True)
    assert fingerprint(packages) == before


def test_what_another_process_uses_is_not_removed(tmp_path):
    """With a conversion that lies where the real one would."""
    folder = bases.converted_folder()
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text("{}")
    user = subprocess.Popen([sys.executable, "-c", USER], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert user.stdout.readline() == b"here\n"
        refused = process("models", "remove", "SmolLM2-135M-Instruct")
        assert (refused.returncode, "is in use" in refused.stderr) == (5, True), refused.stderr
        assert (folder / "config.json").is_file()
    finally:
        user.communicate()
    freed = process("models", "remove", "SmolLM2-135M-Instruct", "--json")
    assert json.loads(freed.stdout)["freed"] == 6
    assert not folder.exists()


def test_other_weights_than_the_published_ones_are_refused(retro, packages):
    for each in catalogue.PACKAGED:
        (packages / each.package / each.file).write_bytes(b"other")
        refused = retro("models", "pull", each.name)
        assert refused.code == 4, refused.err
        assert "published" in refused.err
        assert "--force-reinstall" in refused.err


def test_a_package_that_is_not_there_is_told_with_its_command(retro, packages, listed):
    packages.rename(packages.with_name("elsewhere"))
    assert {row["state"] for row in listed().values()} == {"not installed", "ready"}
    for each in catalogue.PACKAGED:
        refused = retro("models", "pull", each.name)
        assert (refused.code, each.install in refused.err) == (2, True), refused.err


def test_a_damaged_conversion_is_found_and_made_again(retro, packages):
    name = "SmolLM2-135M-Instruct"
    folder = retro("models", "pull", name, "--json").rows[0]["folder"]
    weights = os.path.join(folder, "model.safetensors")
    os.truncate(weights, os.path.getsize(weights) - 9)
    refused = retro("models", "pull", name)
    assert (refused.code, "models remove" in refused.err) == (4, True), refused.err
    release()
    assert retro("models", "remove", name).code == 0
    assert retro("models", "pull", name).code == 0


def test_a_file_is_converted_once_by_its_bytes(retro, packages, tmp_path, listed):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"four bits each")
    one, two = (retro("models", "convert", name, "--json").rows[0] for name in ("a.gguf", "b.gguf"))
    assert one["folder"] != two["folder"]
    assert retro("models", "convert", "a.gguf").out.strip() == one["folder"]
    assert listed()[one["name"]]["source"] == "converted"
    release()
    assert retro("models", "remove", one["name"]).code == 0
    assert retro("models", "remove", two["folder"]).code == 0
    assert one["name"] not in listed()
    assert (tmp_path / "a.gguf").is_file()


def test_a_file_that_cannot_be_converted_leaves_nothing(retro, packages, tmp_path, listed):
    (tmp_path / "bad.gguf").write_bytes(b"damaged")
    refused = retro("models", "convert", "bad.gguf")
    assert (refused.code, "cannot be loaded" in refused.err) == (4, True), refused.err
    assert not any(name.startswith("bad") for name in listed())


def test_a_folder_is_looked_at_and_never_touched(retro, packages, tiny):
    before = everything(tiny)
    pulled = retro("models", "pull", tiny, "--json").rows[0]
    assert (pulled["kind"], pulled["source"], pulled["removable"]) == ("causal", "folder", 0)
    for command, says in (("remove", "is yours"), ("convert", "needs no conversion")):
        refused = retro("models", command, tiny)
        assert (refused.code, says in refused.err) == (2, True), refused.err
    assert everything(tiny) == before
    (tiny / "model.safetensors").write_bytes(b"cut")
    assert retro("models", "pull", tiny).code == 4


def test_a_package_is_not_removed(retro, packages):
    before = fingerprint(packages)
    for name in ("all-MiniLM-L6-v2", "wordllama"):
        refused = retro("models", "remove", name)
        assert (refused.code, "belongs to a Python package" in refused.err) == (2, True)
        assert retro("models", "convert", name).code == 2
    assert fingerprint(packages) == before


@pytest.fixture
def fetched(packages, tiny, tmp_path):
    """A model in the hub's cache, as huggingface_hub lays it out."""
    root = tmp_path / "hub" / "models--acme--tiny"
    snapshot = root / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(snapshot.name)
    for path in tiny.iterdir():
        (root / "blobs" / path.name).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    return root


def test_the_hub_s_cache_is_listed_and_removed_by_name(retro, fetched, listed, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(fetched.parent))
    row = listed()["hf:acme/tiny"]
    assert (row["kind"], row["source"], row["state"]) == ("causal", "hub cache", "ready")
    refused = retro("models", "remove", "hf:acme/tinny")
    assert (refused.code, "near: hf:acme/tiny" in refused.err) == (2, True), refused.err
    removed = retro("models", "remove", "hf:acme/tiny", "--json").rows[0]
    assert removed["freed"] == row["removable"] > 0
    assert not fetched.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pull", "SmolLM2-135M"], "SmolLM2-135M-Instruct"),
        (["remove", "nothing"], "no model is called"),
        (["remove", ""], "no model is called"),
        (["pull", ""], "no model is called"),
        (["convert", ""], "no model is called"),
        (["remove", "../tiny"], "no model is called"),
        (["convert", "none.gguf"], "no model is called"),
        (["convert", "weights.bin"], "may hold code"),
        (["convert", "notes.txt"], "is no .gguf file"),
        (["pull", "hf:nonsense"], "is not a hub name"),
    ],
)
def test_what_there_is_not_is_told(retro, packages, tmp_path, words, says):
    for name in ("weights.bin", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    refused = retro("models", *words)
    assert (refused.code, says in refused.err) == (2, True), refused.err
    assert "defect" not in refused.err


def test_the_list_fits_a_terminal_and_loads_no_torch(retro, packages):
    lines = retro("models", "list").out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["model", "kind", "from", "state", "size"]
    probe = "import sys; from retro_cli.models.catalogue import models; models(); " \
            "print('torch' in sys.modules)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
