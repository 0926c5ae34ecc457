"""retro fit and retro train from the command line, on a database of a few dozen chunks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import write_jsonl
from model_helpers import shaken
from transformers import AutoModelForCausalLM, LlamaConfig

from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import load_base
from retro_cli.training.metrics import read_metrics

WORDS = ["the", "ferry", "harbour", "light", "keeper", "boat", "storm", "island"]
SHAPE = ["--cca-layers", "2", "--encoder-width", 16, "--encoder-heads", 2, "--encoder-layers", 1]
SHORT = ["--steps", 4, "--sequence", 192, "--batch", 2, "--save-every", 2, "--precision", "fp32"]


def documents(seed, count):
    random = np.random.default_rng(seed)
    return [
        {"id": f"{seed}-{n}", "text": " ".join(random.choice(WORDS, 150))} for n in range(count)
    ]


@pytest.fixture
def exact_db(retro, static_encoder, bpe_path, tmp_path):
    """A database cut exactly, with the model's tokenizer."""
    write_jsonl(tmp_path / "posts.jsonl", documents(1, 8))
    cut = ["--encoder", static_encoder, "--tokenizer", bpe_path, "--cut", "exact"]
    for stage in (["chunk", "posts.jsonl", "--db", "posts.db", *cut], ["embed"], ["index"]):
        done = retro(*stage, *([] if stage[1:] else ["posts.db"]))
        assert done.code == 0, done.err
    return tmp_path / "posts.db"


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory, bpe_path) -> Path:
    folder = tmp_path_factory.mktemp("base")
    vocabulary = len(json.loads(bpe_path.read_text())["model"]["vocab"])
    config = LlamaConfig(
        vocab_size=vocabulary + 8, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512,
    )  # fmt: skip
    shaken(AutoModelForCausalLM.from_config(config)).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(bpe_path.read_bytes())
    return folder


def test_fit_makes_a_model_that_opens_and_proves_its_base_untouched(
    retro, exact_db, base_folder, tmp_path
):
    told = retro("fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT)
    assert told.code == 0, told.err
    assert "bit-identical" in told.err
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json",
            "metrics.jsonl", "loss.svg"} <= names  # fmt: skip
    assert "checkpoints" not in names
    assert [line["step"] for line in read_metrics(tmp_path / "m" / "metrics.jsonl")] == [0, 1, 2, 3]
    model = RetroForCausalLM.from_pretrained(tmp_path / "m")
    ids = torch.arange(5, 69)[None]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, load_base(base_folder).eval()(ids).logits)
    record = json.loads((tmp_path / "m" / "training.json").read_text())
    assert record["proof"]["backbone_sha256"] == model.config.base_hash
    assert str(tmp_path) not in json.dumps(record)


def test_a_fitted_model_is_gone_on_with_and_its_base_stays_untouched(
    retro, exact_db, base_folder, tmp_path
):
    assert retro("fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT).code == 0
    told = retro("fit", exact_db, "--base", "m", "--out", "n", *SHORT, "-k", 1)
    assert told.code == 0, told.err
    assert "bit-identical" in told.err
    before, after = (RetroForCausalLM.from_pretrained(tmp_path / name) for name in ("m", "n"))
    assert after.config.base_hash == before.config.base_hash
    assert after.config.cca_layers == before.config.cca_layers
    assert after.config.neighbours == 1
    # It learned on from where it was: far nearer to that than to where fresh weights begin.
    moved = {n: (w - before.state_dict()[n]).norm() for n, w in after.state_dict().items()}
    assert max(moved.values()) > 0
    assert all(moved[n] < 0.2 * w.norm() + 0.1 for n, w in before.state_dict().items())
    record = json.loads((tmp_path / "n" / "training.json").read_text())
    assert record["made_from"]["fitted before"]
    again = retro("fit", exact_db, "--base", "m", "--out", "n", *SHORT, "-k", 1)
    assert "nothing is left to do" in again.err


def test_what_a_fitted_model_has_settled_is_not_chosen_again(
    retro, exact_db, base_folder, tmp_path
):
    assert retro("fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT).code == 0
    weights = (tmp_path / "m" / "model.safetensors").read_bytes()
    shaped = retro("fit", exact_db, "--base", "m", "--out", "n", *SHAPE, *SHORT)
    assert shaped.code == 2
    assert "cca_layers" in shaped.err
    itself = retro("fit", exact_db, "--base", "m", "--out", "m", *SHORT, "--overwrite")
    assert itself.code == 2
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("--begin", "begin", "random"), ("--echoes", "echoes", 0.25), ("--seed", "seed", 3),
        ("--warmup", "warmup", 2), ("--learning-rate", "learning_rate", 0.002),
        ("--accumulate", "accumulate", 2), ("-k", "neighbours", 1),
    ],
)  # fmt: skip
def test_what_is_asked_of_a_run_is_what_it_records(
    retro, exact_db, base_folder, tmp_path, option, name, value
):
    asked = ["fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT]
    assert retro(*asked, option, value).code == 0
    record = json.loads((tmp_path / "m" / "training.json").read_text())
    assert record["settings"][name] == value


def test_a_table_that_was_made_otherwise_is_not_made_anew(retro, exact_db, base_folder, tmp_path):
    assert retro("neighbours", exact_db, "--max-copy", 0.5).code == 0
    manifest = exact_db / "neighbours" / "default" / "manifest.json"
    before = manifest.read_bytes()
    asked = ["fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT]
    refused = retro(*asked)
    assert refused.code == 2
    assert "--max-copy 0.5" in refused.err
    assert manifest.read_bytes() == before
    assert retro(*asked, "--max-copy", 0.5).code == 0
    assert manifest.read_bytes() == before
    assert retro(*asked, "--table", "all", "--out", "n").code == 0
    assert manifest.read_bytes() == before


def test_more_neighbours_than_the_database_has_chunks_leave_gaps(
    retro, static_encoder, bpe_path, base_folder, tmp_path
):
    write_jsonl(tmp_path / "two.jsonl", documents(3, 2))
    cut = ["--encoder", static_encoder, "--tokenizer", bpe_path, "--cut", "exact"]
    assert retro("build", "two.jsonl", "--db", "two.db", *cut).code == 0
    told = retro(
        "fit", "two.db", "--base", base_folder, "--out", "m", *SHAPE, *SHORT, "-k", 50
    )  # fmt: skip
    assert told.code == 0, told.err
    assert RetroForCausalLM.from_pretrained(tmp_path / "m").config.neighbours == 50


def test_texts_without_one_whole_chunk_are_refused(
    retro, static_encoder, bpe_path, base_folder, tmp_path
):
    short = [{"id": f"s{n}", "text": f"the ferry {n} left"} for n in range(6)]
    write_jsonl(tmp_path / "short.jsonl", short)
    cut = ["--encoder", static_encoder, "--tokenizer", bpe_path, "--cut", "exact"]
    assert retro("build", "short.jsonl", "--db", "short.db", *cut).code == 0
    refused = retro("fit", "short.db", "--base", base_folder, "--out", "m", *SHAPE, *SHORT)
    assert refused.code == 2
    assert "longer texts" in refused.err


def test_a_run_that_was_killed_ends_as_one_that_was_not(
    retro, exact_db, base_folder, tmp_path, monkeypatch
):
    from retro_cli.training.checkpoint import Checkpoints

    asked = ["fit", exact_db, "--base", base_folder, *SHAPE, *SHORT]
    assert retro(*asked, "--out", "whole").code == 0
    save = Checkpoints.save

    def save_and_die(self, step, *rest):
        save(self, step, *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", save_and_die)
        assert retro(*asked, "--out", "cut").code == 130
    assert not (tmp_path / "cut" / "config.json").exists()
    resumed = retro(*asked, "--out", "cut")
    assert resumed.code == 0, resumed.err
    assert "resuming after step 2" in resumed.err
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert same[0] == same[1]


def test_a_run_killed_between_its_record_and_its_end_leaves_no_checkpoints_for_ever(
    retro, exact_db, base_folder, tmp_path, monkeypatch
):
    from retro_cli.training.checkpoint import Checkpoints

    def die(self):
        raise KeyboardInterrupt

    asked = ["fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT]
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "clear", die)
        assert retro(*asked).code == 130
    assert (tmp_path / "m" / "training.json").is_file()
    assert (tmp_path / "m" / "checkpoints").is_dir()
    again = retro(*asked)
    assert again.code == 0
    assert "nothing is left to do" in again.err
    assert not (tmp_path / "m" / "checkpoints").exists()


def test_a_loss_that_is_no_number_ends_the_command_and_names_the_last_checkpoint(
    retro, exact_db, base_folder, tmp_path, monkeypatch
):
    from retro_cli.training import loop

    real, steps = loop.summed_loss, []

    def breaks(model, batch, device):
        steps.append(1)
        return real(model, batch, device) * (float("nan") if len(steps) > 2 else 1.0)

    monkeypatch.setattr(loop, "summed_loss", breaks)
    told = retro("fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT)
    assert told.code == 1
    assert "no number at step 3" in told.err
    assert "step-0000002" in told.err
    assert "Traceback" not in told.err
    assert not (tmp_path / "m" / "config.json").exists()


def test_progress_says_the_loss_the_speed_and_the_time_left(
    retro, exact_db, base_folder, monkeypatch
):
    monkeypatch.setattr("retro_cli.cli.console.PLAIN_INTERVAL", 0.0)
    told = retro("fit", exact_db, "--base", base_folder, "--out", "m", "-v", *SHAPE, *SHORT)
    assert told.code == 0
    lines = [line for line in told.err.splitlines() if line.startswith("training: ")]
    assert any("loss" in line and "tokens/s" in line and "left" in line for line in lines), told.err


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_base_that_is_half_written_is_refused(retro, exact_db, base_folder, tmp_path, name):
    broken = Path(shutil.copytree(base_folder, tmp_path / "broken"))
    data = (broken / name).read_bytes()
    (broken / name).write_bytes(data[: len(data) // 2])
    told = retro("fit", exact_db, "--base", broken, "--out", "m", *SHAPE, *SHORT)
    assert told.code in (2, 4)
    assert "Traceback" not in told.err
    assert not (tmp_path / "m" / "config.json").exists()


def test_a_finished_run_is_not_done_again_and_another_needs_overwrite(
    retro, exact_db, base_folder, tmp_path
):
    asked = ["fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT]
    assert retro(*asked).code == 0
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    again = retro(*asked)
    assert again.code == 0
    assert "nothing is left to do" in again.err
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    other = retro(*asked, "--seed", 5)
    assert other.code == 2
    assert "--overwrite" in other.err
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    assert retro(*asked, "--seed", 5, "--overwrite").code == 0
    assert (tmp_path / "m" / "model.safetensors").read_bytes() != before


def test_train_takes_the_databases_tokenizer(retro, exact_db, tmp_path):
    told = retro("train", exact_db, "--json", "--out", "s", *SHAPE, *SHORT)
    assert told.code == 0, told.err
    report = json.loads(told.out)
    assert report["outcome"]["steps"] == 4
    assert report["frozen_weights"] == 0
    model = RetroForCausalLM.from_pretrained(tmp_path / "s")
    assert model.config.origin == "from_scratch"


def test_a_database_cut_for_another_model_trains_one_on_texts_only(
    retro, db, base_folder, tmp_path
):
    asked = ["fit", db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT]
    refused = retro(*asked)
    assert refused.code == 2
    assert "--text" in refused.err
    assert not (tmp_path / "m").exists()
    write_jsonl(tmp_path / "held.jsonl", documents(2, 4))
    told = retro(*asked, "--text", "held.jsonl")
    assert told.code == 0, told.err
    assert "tokenising its neighbours' text again" in told.err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--preset", "huge"], "one of tiny"),
        (["--cca-layers", "two"], "6,9,12"),
        (["--cca-layers", "9"], "layers from 1 to 3"),
        (["--sequence", 100], "multiple of 64"),
        (["--sequence", 576], "512 positions"),
        (["--steps", 0], "at least 1"),
        (["--base", "nowhere"], "no language model"),
        (["--precision", "fp8"], "bf16"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(
    retro, exact_db, base_folder, tmp_path, more, says
):
    told = retro("fit", exact_db, "--base", base_folder, "--out", "m", *SHAPE, *SHORT, *more)
    assert told.code == 2, told.err
    assert says in told.err
    assert "Traceback" not in told.err
    assert not (tmp_path / "m" / "config.json").exists()
