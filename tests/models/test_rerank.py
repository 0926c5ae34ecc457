"""Cross-encoders and language models as judges of passages, tiny ones of random weights."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from model_helpers import BASES, shaken
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    PreTrainedTokenizerFast,
)

from retro_cli.errors import InputNotFound, IntegrityError, UsageError
from retro_cli.models import rerank
from retro_cli.models.rerank import open_reranker

PASSAGES = ["the ferry left the harbour", "the keeper lit the lamp", "the lamp", "x" * 900, ""]


def saved(folder, model, path):
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(str(path)))
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.convert_ids_to_tokens(0)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def judge(tmp_path, bpe_path):
    config = deepcopy(BASES["llama"])
    config.vocab_size, config.max_position_embeddings = 300, 2048
    return saved(tmp_path / "lm", shaken(AutoModelForCausalLM.from_config(config)), bpe_path)


def classifier(folder, path, labels):
    config = BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=labels,
    )  # fmt: skip
    torch.manual_seed(1)
    return saved(folder, AutoModelForSequenceClassification.from_config(config), path)


def test_a_language_model_gives_the_likelihood_of_the_query_behind_each_passage(judge):
    scorer = open_reranker(judge)
    assert scorer.metric == "query likelihood"
    scores = scorer("who lit the lamp", PASSAGES)
    assert scores.shape == (len(PASSAGES),)
    assert (scores < 0).all()
    network, tokenizer = scorer._model.network, scorer._model.tokenizer
    asked = tokenizer(" who lit the lamp", add_special_tokens=False)["input_ids"]
    for passage, score in zip(PASSAGES, scores, strict=True):
        prompt = tokenizer(rerank._PROMPT.format(passage))["input_ids"][-rerank._LONGEST :]
        with torch.inference_mode():
            nats = network(torch.tensor([prompt + asked])).logits[0].log_softmax(-1)
        expected = [nats[len(prompt) + n - 1, token] for n, token in enumerate(asked)]
        assert score == pytest.approx(float(torch.stack(expected).mean()), abs=1e-4)


def test_how_passages_are_dealt_into_batches_changes_nothing(judge, monkeypatch):
    scorer = open_reranker(judge)
    together = scorer("the lamp", PASSAGES)
    monkeypatch.setattr(rerank, "BATCH", 1)
    np.testing.assert_allclose(scorer("the lamp", PASSAGES), together, atol=1e-5)
    assert scorer("the lamp", []).shape == (0,)


def test_a_cross_encoder_gives_its_own_scores(tmp_path, wordpiece_path):
    from sentence_transformers import CrossEncoder

    folder = classifier(tmp_path / "ce", wordpiece_path, labels=1)
    scorer = open_reranker(folder, device="cpu")
    assert scorer.metric == "cross-encoder"
    expected = CrossEncoder(folder, device="cpu").predict([("the lamp", p) for p in PASSAGES[:3]])
    np.testing.assert_allclose(scorer("the lamp", PASSAGES[:3]), expected, atol=1e-5)
    assert scorer("the lamp", []).shape == (0,)


def test_a_model_that_cannot_judge_is_refused(tmp_path, wordpiece_path, judge):
    three = classifier(tmp_path / "three", wordpiece_path, labels=3)
    with pytest.raises(UsageError, match="neither a cross-encoder"):
        open_reranker(three)
    with pytest.raises(InputNotFound):
        open_reranker(str(tmp_path / "nothing"))
    with (tmp_path / "lm" / "model.safetensors").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(IntegrityError):
        open_reranker(judge)
