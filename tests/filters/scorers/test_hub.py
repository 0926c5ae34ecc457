"""The hub scorer on a network of a few kilobytes with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retro_cli.errors import ConfigError, UsageError
from retro_cli.filters.scorers.contract import Batch
from retro_cli.filters.scorers.hub import HubScorer, choose_label

TEXTS = ["red", "a long text of many words: red blue green red blue green", "", "blue green"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "green", "a", "of"]


def write_model(folder: Path, labels: dict[int, str], problem: str | None = None) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        id2label=labels,
        label2id={label: at for at, label in labels.items()},
        problem_type=problem,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
    return folder


def expected(folder: Path, text: str, label: int, sigmoid: bool) -> float:
    """One text at a time, straight through transformers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(
        text, return_tensors="pt", truncation=True, max_length=16
    )
    with torch.inference_mode():
        logits = model(**tokens).logits[0]
    return float((logits.sigmoid() if sigmoid else logits.softmax(0))[label])


@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
def test_scores_are_the_models_share_for_the_toxic_label(tmp_path, problem):
    folder = write_model(tmp_path / "model", {0: "neutral", 1: "threat", 2: "Toxic"}, problem)
    scores = HubScorer(str(folder)).score(Batch(TEXTS * 20, None))
    wanted = [expected(folder, text, 2, problem is not None) for text in TEXTS] * 20
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert np.ptp(scores) > 0.01


def test_the_fingerprint_follows_the_label_and_the_weights(tmp_path):
    labels = {0: "ok", 1: "hate", 2: "insult"}
    folder = write_model(tmp_path / "model", labels)
    first, same = HubScorer(str(folder)), HubScorer(str(folder), toxic_label="HATE")
    assert first.fingerprint == same.fingerprint
    assert HubScorer(str(folder), toxic_label="insult").fingerprint != first.fingerprint
    other = write_model(tmp_path / "other", {**labels, 0: "fine"})
    assert HubScorer(str(other)).fingerprint != first.fingerprint
    assert HubScorer(str(folder)).score(Batch([], None)).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        ({0: "non-toxic", 1: "toxic"}, 1),
        ({0: "OFFENSIVE", 1: "neither", 2: "HATE"}, 2),
        ({0: "LABEL_0", 1: "LABEL_1"}, 1),
        ({0: "not_offensive", 1: "offensive"}, 1),
    ],
)
def test_the_label_that_says_toxic_is_found(labels, chosen):
    assert choose_label(labels) == chosen


@pytest.mark.parametrize(
    "labels",
    [{0: "non-toxic", 1: "fine"}, {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, {0: "joy"}],
)
def test_labels_that_do_not_say_are_named_in_the_error(labels):
    with pytest.raises(UsageError) as caught:
        choose_label(labels)
    assert all(label in caught.value.hint for label in labels.values())


def test_a_label_that_the_model_lacks_is_refused():
    with pytest.raises(UsageError, match="no label 'rude'"):
        choose_label({0: "ok", 1: "toxic"}, "rude")


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A model that was fetched before, as the hub's library keeps it."""
    cache = tmp_path / "hub" / "models--someone--some-model"
    write_model(cache / "snapshots" / "1234", {0: "fine", 1: "toxic"})
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("1234")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return cache / "snapshots" / "1234"


def test_a_model_that_was_fetched_before_needs_no_leave(cached):
    by_name, by_folder = HubScorer("someone/some-model"), HubScorer(str(cached))
    assert by_name.fingerprint == by_folder.fingerprint
    assert by_name.name == "hf:someone/some-model"


def test_a_rule_on_the_scores_of_a_fetched_model_stands_for_what_comes_later(
    retro, db, archive, cached
):
    assert retro("filter", "score", db, "--scorer", "hf:someone/some-model").code == 0
    rule = ("--min-toxicity", 0.0, "--scores", "hf-some-model", "--reason", "x", "--yes")
    added = retro("filter", "add", db, *rule)
    assert added.code == 0, added.err
    (archive / "later.md").write_text("# Later\n\nA new boat came to the harbour.\n")
    for stage in (("chunk", archive, "--db", db), ("embed", db), ("index", db)):
        done = retro(*stage)
        assert done.code == 0, done.err
    assert retro("query", db, "a new boat", "--json").rows[0]["hits"] == []
    assert retro("rollback", db, 1).code == 0


def test_no_download_without_leave():
    with pytest.raises(UsageError, match="downloads nothing"):
        HubScorer("someone/some-model")


def test_pickled_weights_and_other_models_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="safetensors"):
        HubScorer(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        HubScorer(str(tmp_path))


def test_a_regression_is_no_classifier(tmp_path):
    folder = write_model(tmp_path / "model", {0: "toxicity"}, "regression")
    with pytest.raises(ConfigError, match="regression"):
        HubScorer(str(folder))
