"""RAG beside transformers' own, where that is right: losses of both, decoding of RAG-Token."""

from __future__ import annotations

import pytest
import torch
from mixture_helpers import (
    END,
    PAD,
    QUESTION,
    WORDS,
    Known,
    evidence,
    language_model,
    reader,
)
from transformers import (
    DPRConfig,
    DPRQuestionEncoder,
    RagConfig,
    RagSequenceForGeneration,
    RagTokenForGeneration,
)

from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate, score
from retro_cli.models.decoder_rows import padded_batch
from retro_cli.readers.inputs import Form

SCORES = (0.3, 1.4, -0.2, 0.9)
TARGET = [17, 80, 4, 210, 80, END]


def theirs(kind, model):
    """Their model around the same generator, and what it is given: contexts, masks and scores."""
    encoder = DPRConfig(
        vocab_size=WORDS, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8,
    )  # fmt: skip
    config = RagConfig.from_question_encoder_generator_configs(
        encoder, model.network.config, n_docs=len(SCORES), pad_token_id=PAD, eos_token_id=END,
        bos_token_id=None, decoder_start_token_id=model.network.config.decoder_start_token_id,
        is_encoder_decoder=True,
    )  # fmt: skip
    found = evidence(SCORES)
    form = Form.of(model)
    ids, mask = padded_batch([form.read(QUESTION, each) for each in found.hits])
    rag = kind(config, question_encoder=DPRQuestionEncoder(encoder), generator=model.network)
    given = {
        "context_input_ids": ids.where(mask == 1, PAD),
        "context_attention_mask": mask,
        "doc_scores": torch.tensor([SCORES]),
        "n_docs": len(SCORES),
    }
    return rag.eval(), given, Known(found)


@pytest.mark.parametrize(
    ("kind", "network", "sequence"),
    [
        (RagTokenForGeneration, "bart", False),
        (RagTokenForGeneration, "t5", False),
        (RagSequenceForGeneration, "bart", True),  # theirs fails on T5: it wants a bos_token_id
    ],
)
def test_the_loss_is_theirs(kind, network, sequence, bpe_path):
    model = language_model(network, bpe_path)
    rag, given, known = theirs(kind, model)
    labels = torch.tensor([[model.network.config.decoder_start_token_id, *TARGET]])
    with torch.no_grad():
        loss = rag(**given, labels=labels, reduce_loss=True).loss
    mine = score(reader(model, sequence), known, QUESTION, TARGET)
    assert mine.logprob == pytest.approx(-float(loss), abs=1e-4)


@pytest.mark.parametrize("network", ["bart", "t5"])
@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_rag_token_generates_is_theirs(network, beams, seed, bpe_path):
    model = language_model(network, bpe_path, seed=seed)
    rag, given, known = theirs(RagTokenForGeneration, model)
    written = rag.generate(**given, num_beams=beams, max_length=10, do_sample=False)[0].tolist()
    mine = generate(reader(model), known, QUESTION, Decoding(9, beams=beams))
    ours = [token.token for token in mine.tokens]
    assert written[1 : len(ours) + 1] == ours
    assert set(written[len(ours) + 1 :]) <= {PAD}
