"""retro fill: what it prints, what it leaves out, what it refuses."""

from __future__ import annotations

import json
import shutil

import pytest
from model_helpers import shaken
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

TEXT = "the [MASK] saw the [MASK] in the harbour"


@pytest.fixture(scope="session")
def model(tmp_path_factory, wordpiece_path):
    folder = tmp_path_factory.mktemp("masked")
    tokenizer = BertTokenizerFast(tokenizer_file=str(wordpiece_path))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=128,
    )  # fmt: skip
    shaken(BertForMaskedLM(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def fill(retro, db, model):
    return lambda text, *args: retro("fill", db, text, "--model", model, *args)


def test_each_mask_has_candidates_with_a_posterior(fill):
    found = fill(TEXT, "--json", "-k", 3, "--top", 4)
    assert found.code == 0, found.err
    (record,) = found.rows
    assert record["prompt"] == TEXT
    assert "[MASK]" not in record["text"]
    assert [len(mask) for mask in record["masks"]] == [4, 4]
    assert len(record["documents"]) == 3
    prior = [each["prior"] for each in record["documents"]] + [record["null"]["prior"]]
    assert sum(prior) == pytest.approx(1, abs=1e-5)
    for candidate in record["masks"][0]:
        assert sum(candidate["posterior"]) == pytest.approx(1, abs=1e-5)
        assert len(candidate["posterior"]) == 4


def test_people_get_the_text_first_then_candidates_and_documents(fill):
    shown, (record,) = fill(TEXT), fill(TEXT, "--json").rows
    lines = shown.out.splitlines()
    assert lines[0] == record["text"]
    assert sum(line.startswith("mask ") for line in lines) == 2
    assert max(map(len, lines)) <= 80
    assert f"{100 * record['masks'][0][0]['probability']:.1f}%" in shown.out


def test_the_texts_own_document_is_left_out_and_said_so(fill):
    own = "the keeper of the light saw the [MASK]"
    left, kept = fill(own, "--json").rows[0], fill(own, "--json", "--keep-own").rows[0]
    assert left["left_out"] > 0
    assert not any(each["source"].endswith("light.txt") for each in left["documents"])
    assert any(each["source"].endswith("light.txt") for each in kept["documents"])
    assert kept["left_out"] == 0
    assert "--keep-own" in fill(own).err


def test_a_document_may_be_named(fill):
    first = fill(TEXT, "--json").rows[0]["documents"][0]["document"]
    without = fill(TEXT, "--json", "--document", first).rows[0]
    assert first not in {each["document"] for each in without["documents"]}


def test_reading_nothing_needs_no_database(retro, model, tmp_path):
    found = retro("fill", tmp_path / "none", TEXT, "--model", model, "--no-retrieval", "--json")
    assert found.code == 0, found.err
    assert found.rows[0]["null"]["posterior"] == 1
    assert found.rows[0]["documents"] == []


def test_what_is_filtered_fills_nothing(retro, fill, db):
    before = {each["source"] for each in fill(TEXT, "--json").rows[0]["documents"]}
    worst = sorted(before)[0]
    assert retro("filter", "add", db, "--source", worst, "--reason", "x").code == 0
    after = {each["source"] for each in fill(TEXT, "--json").rows[0]["documents"]}
    assert worst not in after


def test_its_trace_is_drawn_as_others_are(fill, retro, tmp_path):
    path = tmp_path / "t.jsonl"
    assert fill(TEXT, "--trace", path, "-k", 2).code == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        total = sum(each["mass"] for each in line["neighbours"]) + line["null"]
        assert total == pytest.approx(1, abs=1e-5)
    assert retro("trace", path).code == 0


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        ("no gap", (), "nothing to fill"),
        ("", (), "nothing to fill"),
        ("the [MASK] " * 200, (), "too long"),
        (TEXT, ("--doc-temperature", -1), "document temperature"),
    ],
)
def test_what_cannot_be_filled_is_refused(fill, text, how, message):
    refused = fill(text, *how)
    assert refused.code == 2
    assert message in refused.err
    assert "defect" not in refused.err


def test_a_model_of_another_kind_is_refused(retro, db, model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForCausalLM"]}))
    refused = retro("fill", db, TEXT, "--model", copy)
    assert refused.code == 2
    assert "realm cannot use" in refused.err
