"""retro eval lm: one command from texts to numbers, and what it says when it cannot."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch
from helpers import everything, write_jsonl
from model_helpers import BASES, shaken
from transformers import AutoModelForCausalLM

from retro_cli.models.retro import RetroForCausalLM

SHAPE = {
    "chunk_length": 8, "cca_layers": [2, 3], "encoder_width": 12, "encoder_heads": 3,
    "neighbours": 2,
}  # fmt: skip
WORDS = ["the", "ferry", "harbour", "light", "keeper", "boat", "storm", "island", "lamp", "rope"]


def make_model(folder, tokenizer, *, shake=True, added_only=False, seed=0):
    """A tiny RETRO model with its tokenizer, in a folder; with added_only its base beside it."""
    config = deepcopy(BASES["llama"])
    config.vocab_size = 300
    base = shaken(AutoModelForCausalLM.from_config(config), seed)
    if added_only:
        base.save_pretrained(folder / "base")
        base = folder / "base"
        shutil.copy(tokenizer, base / "tokenizer.json")
    model = RetroForCausalLM.from_base(base, **SHAPE)
    if shake:
        shaken(model.added, 1)
    path = folder / "model"
    model.save_pretrained(path, added_only=added_only)
    if not added_only:
        shutil.copy(tokenizer, path / "tokenizer.json")
    return path


@pytest.fixture
def model(tmp_path, static_encoder):
    return make_model(tmp_path, static_encoder / "tokenizer.json")


@pytest.fixture
def held(tmp_path):
    rng = np.random.default_rng(4)
    return write_jsonl(
        tmp_path / "held.jsonl",
        [{"id": f"h{n}", "text": " ".join(rng.choice(WORDS, 30 + 7 * n))} for n in range(5)],
    )


@pytest.fixture
def evaluated(retro, db, model, held):
    def run(*options, model=model, text=held):
        done = retro(
            "eval", "lm", model, db, "--text", text, "--resamples", 200, "--json", *options
        )
        assert done.code == 0, done.err
        assert len(done.rows) == 1
        return done.rows[0]

    return run


def test_the_numbers_are_those_of_the_model_itself(evaluated, held, model):
    found = evaluated("--window", 32, "--stride", 32)
    loaded = RetroForCausalLM.from_pretrained(model)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    nats = size = count = 0
    for line in held.read_text().splitlines():
        text = json.loads(line)["text"]
        encoding = tokenizer.encode(text, add_special_tokens=False)
        ids = torch.tensor(encoding.ids)
        for first in range(0, len(ids) - 1, 32):
            span = ids[first : first + 33]
            with torch.no_grad():
                logits = loaded(span[None, :-1]).logits[0]
            nats += torch.nn.functional.cross_entropy(logits, span[1:], reduction="sum").item()
        size += len(text.encode()) - encoding.offsets[1][0]
        count += len(ids) - 1
    assert (found["tokens"], found["bytes"]) == (count, size)
    assert found["bpb"]["off"]["value"] == pytest.approx(nats / np.log(2) / size, rel=1e-5)


def test_on_off_and_shuffled_are_compared_with_intervals(evaluated):
    found = evaluated()
    assert set(found["bpb"]) == {"on", "off", "shuffled", "backbone"}
    for value in (*found["bpb"].values(), *found["differences"].values()):
        assert value["low"] <= value["value"] <= value["high"]
        assert value["documents"] == 5
    pairs = found["differences"]
    assert set(pairs) == {"on - off", "on - shuffled"}
    for name, value in pairs.items():
        one, other = (found["bpb"][part]["value"] for part in name.split(" - "))
        assert value["value"] == pytest.approx(one - other)


def test_alpha_one_is_the_whole_text(evaluated):
    found = evaluated()
    last = found["leakage"][-2]
    assert last["alpha"] == 1.0
    assert (last["chunks"], last["bytes"]) == (found["chunks"], found["bytes"])
    assert all(last["bpb"][name] == found["bpb"][name] for name in last["bpb"])
    assert found["leakage"][-1]["shared_tokens_below"] == 8


def test_a_closed_gate_leaves_nothing_between_the_conditions(
    evaluated, tmp_path_factory, static_encoder
):
    folder = tmp_path_factory.mktemp("closed")
    fresh = make_model(folder, static_encoder / "tokenizer.json", shake=False)
    found = evaluated("--neighbours", "1,4", "--shares", "50", model=fresh)
    for pair in found["differences"].values():
        assert (pair["value"], pair["low"], pair["high"]) == (0, 0, 0)
    off = found["bpb"]["off"]
    for asked in (*found["neighbours"], *found["shares"]):
        assert asked["value"] == off["value"]


def test_neighbours_and_shares_are_asked_for_beside(evaluated):
    found = evaluated("--neighbours", "1,2,10", "--shares", "20,100")
    assert [row["k"] for row in found["neighbours"]] == [1, 2, 10]
    assert [row["percent"] for row in found["shares"]] == [20, 100]
    on = found["bpb"]["on"]
    assert found["neighbours"][1]["value"] == found["shares"][1]["value"] == on["value"]
    assert found["neighbours"][0]["value"] != on["value"]
    assert found["shares"][0]["value"] != on["value"]


def test_the_same_command_gives_the_same_numbers_from_the_same_table(evaluated, db):
    timing = ("seconds", "model_seconds", "tokens_per_second")
    first = evaluated()
    before = everything(db)
    second = evaluated()
    assert everything(db) == before
    assert all(second[name] == first[name] for name in first if name not in timing)
    assert evaluated("--seed", 3)["bpb"]["shuffled"] != first["bpb"]["shuffled"]
    assert evaluated("--seed", 3)["bpb"]["on"]["value"] == first["bpb"]["on"]["value"]


def test_a_rule_that_was_added_since_is_obeyed_and_the_table_made_anew(evaluated, retro, db):
    before = evaluated()
    done = retro("filter", "add", db, "--source", "letters", "--source", "forum", "--reason", "r")
    assert done.code == 0, done.err
    after = evaluated()
    assert after["generation"] == before["generation"] + 1
    assert after["database_rows"] < before["database_rows"]
    assert after["bpb"]["on"]["value"] != before["bpb"]["on"]["value"]
    assert after["bpb"]["off"] == before["bpb"]["off"]


def test_limits_keep_the_first_documents_and_their_beginnings(evaluated):
    assert evaluated("--limit", 2)["documents"] == 2
    some = evaluated("--max-tokens", 16)
    assert some["documents"] == 5
    assert some["tokens"] == 5 * 15
    assert some["chunks"] == 10


def test_one_document_has_no_interval_and_nothing_to_exchange(evaluated):
    found = evaluated("--limit", 1)
    assert set(found["bpb"]) == {"on", "off", "backbone"}
    assert found["bpb"]["on"]["low"] is None
    assert any("no other" in note for note in found["notes"])


def test_batches_and_windows_of_any_size_score_the_same_tokens(evaluated):
    one = evaluated("--window", 16, "--stride", 8)
    many = evaluated("--window", 16, "--stride", 8, "--batch", 7)
    assert one["tokens"] == many["tokens"] == evaluated()["tokens"]
    assert one["bpb"]["on"]["value"] == pytest.approx(many["bpb"]["on"]["value"], rel=1e-5)


def test_documents_of_the_database_are_left_out_and_named(evaluated, archive, held):
    light = (archive / "light.txt").read_text()
    texts = [json.loads(line) for line in held.read_text().splitlines()]
    texts += [{"id": "same", "text": light}, {"id": "near", "text": light + "boat"}]
    write_jsonl(held, texts)
    found = evaluated("--decontaminate")
    assert found["documents"] == 5
    assert [one["name"].split("#")[-1] for one in found["contaminated"]] == ["same", "near"]
    assert all("light" in one["copy"] for one in found["contaminated"])
    assert found["contaminated"][0]["jaccard"] == 1.0
    kept = evaluated()
    assert kept["documents"] == 7
    assert not kept["contaminated"]


def test_the_backbone_of_added_weights_is_off_and_said_to_be(
    evaluated, tmp_path_factory, static_encoder
):
    folder = tmp_path_factory.mktemp("added")
    added = make_model(folder, static_encoder / "tokenizer.json", added_only=True)
    found = evaluated(model=added)
    moved = folder / "moved"
    (folder / "base").rename(moved)
    assert evaluated("--base", moved, model=added)["bpb"] == found["bpb"]
    assert found["backbone"] == "verified"
    assert found["bpb"]["backbone"] == found["bpb"]["off"]
    assert any("hash" in note for note in found["notes"])


def test_a_trained_backbone_and_a_model_from_scratch_are_told_apart(
    evaluated, tmp_path_factory, static_encoder
):
    folder = tmp_path_factory.mktemp("trained")
    path = make_model(folder, static_encoder / "tokenizer.json")
    changed = RetroForCausalLM.from_pretrained(path)
    changed.backbone.lm_head.weight.data += 0.01
    changed.save_pretrained(path)
    assert evaluated(model=path)["backbone"] == "trained"
    config = deepcopy(BASES["llama"])
    config.vocab_size = 300
    RetroForCausalLM.from_config(config, **SHAPE).save_pretrained(path)
    found = evaluated(model=path)
    assert found["backbone"] == "from_scratch"
    assert "backbone" not in found["bpb"]


def test_another_tokenizer_than_the_databases_works_and_says_so(
    evaluated, tmp_path_factory, bpe_path
):
    folder = tmp_path_factory.mktemp("bpe")
    found = evaluated(model=make_model(folder, bpe_path))
    assert found["retokenised"]
    assert any("tokenised again" in note for note in found["notes"])
    assert found["bpb"]["on"]["value"] != found["bpb"]["off"]["value"]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ((), ["--neighbours 1,2,4,10", "--shares 1,10,100"]),
        (("--shares", "100"), ["--neighbours 1,2,4,10"]),
        (("--shares", "100", "--neighbours", "1"), []),
    ],
)
def test_the_last_line_names_the_curves_that_were_not_asked_for(
    retro, db, model, held, asked, left
):
    done = retro("eval", "lm", model, db, "--text", held, "--resamples", 200, *asked)
    assert done.code == 0, done.err
    last = done.err.strip().splitlines()[-1]
    names = ["--neighbours 1,2,4,10", "--shares 1,10,100"]
    assert [name for name in names if name in last] == left


def test_people_get_tables_of_eighty_columns_and_a_page(retro, db, model, held, tmp_path):
    page = tmp_path / "out" / "page.html"
    done = retro(
        "eval", "lm", model, db, "--text", held, "--resamples", 200, "--html", page,
        "--neighbours", "1,4", "--shares", "20,100",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()) <= 80
    for part in ("on - off", "on - shuffled", "backbone", "by overlap", "< 8 tok.", "20 %"):
        assert part in done.out
    text = page.read_text()
    assert text.count("<svg") == 3
    assert text.count("<path") == text.count('style="fill: none"') > 0  # lines, not areas
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text
    assert "<script" not in text


def test_a_text_too_short_to_score_is_an_error(retro, db, model, tmp_path):
    short = write_jsonl(tmp_path / "short.jsonl", [{"id": "s", "text": "the"}])
    done = retro("eval", "lm", model, db, "--text", short)
    assert done.code == 2
    assert "no document is left" in done.err


def test_short_documents_among_others_are_named(evaluated, held):
    texts = [json.loads(line) for line in held.read_text().splitlines()]
    write_jsonl(held, [{"id": "tiny", "text": "the"}, *texts])
    found = evaluated()
    assert found["documents"] == 5
    assert [name.split("#")[-1] for name in found["too_short"]] == ["tiny"]


def test_a_model_half_written_is_damage(retro, db, model, held):
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    done = retro("eval", "lm", model, db, "--text", held)
    assert done.code == 4
    weights.unlink()
    done = retro("eval", "lm", model, db, "--text", held)
    assert done.code == 4
    assert "no weights" in done.err


def test_a_model_that_gives_no_probabilities_is_an_error_and_leaves_no_numbers(
    retro, db, model, held
):
    broken = RetroForCausalLM.from_pretrained(model)
    broken.backbone.model.norm.weight.data.fill_(float("nan"))
    broken.save_pretrained(model)
    done = retro("eval", "lm", model, db, "--text", held, "--json")
    assert done.code == 1
    assert "no probabilities" in done.err
    assert not done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--window", 20], "chunk length 8"),
        (["--window", 16, "--stride", 24], "left out"),
        (["--window", 1024], "512 positions"),
        (["--shares", "0"], "percent"),
        (["--shares", "ten"], "numbers with commas"),
        (["--neighbours", "0"], "at least one"),
        (["--device", "tpu"], "auto, cpu or cuda"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_runs(retro, db, model, held, options, said):
    done = retro("eval", "lm", model, db, "--text", held, *options)
    assert done.code == 2
    assert said in done.err


def test_a_tokenizer_that_knows_more_than_the_model_is_refused(retro, db, model, held):
    small = RetroForCausalLM.from_config(deepcopy(BASES["llama"]), **SHAPE)
    small.save_pretrained(model)
    done = retro("eval", "lm", model, db, "--text", held)
    assert done.code == 2
    assert "the model knows 61 tokens" in done.err


def test_no_model_no_text_and_no_database_are_said(retro, db, model, held, tmp_path):
    assert retro("eval", "lm", tmp_path / "none", db, "--text", held).code == 2
    assert retro("eval", "lm", model, tmp_path / "none.db", "--text", held).code == 2
    assert retro("eval", "lm", model, db, "--text", tmp_path / "none.txt").code == 2
