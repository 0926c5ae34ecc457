"""One contract: every backend gives the vectors that sentence-transformers gives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from retro_cli.embeddings import encoder as module
from retro_cli.embeddings.bert import BertEncoder
from retro_cli.embeddings.bert_onnx import quantise
from retro_cli.embeddings.bert_weights import load_bert, read_config
from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.resolve import DEFAULT_ENCODER, ResolvedEncoder, resolve, tokenizer_path
from retro_cli.embeddings.tokens import TextTokenizer
from retro_cli.errors import ConfigError, IntegrityError, UsageError

TEXTS = [
    "the ferry left the harbour",
    "",
    "a",
    "the keeper of the light saw a storm. " * 9,
    "light",
    "Boats? The boat storms",
    "the island",
    "é中 unknown ☃ signs",
    "harbour " * 38,
    "harbour " * 37,
]
BACKENDS = ["numpy", "onnx", "torch", "sentence"]


def load(backend: str, resolved: ResolvedEncoder, half: bool = False):
    if backend == "numpy":
        return load_encoder(resolved, purpose="query")
    if backend == "onnx":
        return load_encoder(resolved, device="cpu", threads=1)
    if backend == "sentence":
        from retro_cli.embeddings.sentence import SentenceEncoder

        return SentenceEncoder(resolved.spec, resolved.folder, device="cpu", half=False, threads=1)
    from retro_cli.embeddings.bert_torch import TorchBert

    model = load_bert(resolved.folder / "model.safetensors", read_config(resolved.folder))
    forward = TorchBert(model, resolved.spec.pooling, device="cpu", half=half)
    tokenizer = TextTokenizer(tokenizer_path(resolved), resolved.spec.max_tokens)
    return BertEncoder(resolved.spec, tokenizer, forward)


def reference(folder, texts):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.encode(texts, normalize_embeddings=True)


@pytest.fixture(params=["mean", "cls"])
def small(request, make_bert):
    return resolve(str(make_bert(pooling=request.param)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_backends_agree_with_sentence_transformers(small, backend):
    vectors = load(backend, small).encode_documents(TEXTS)
    assert vectors.shape == (len(TEXTS), 32)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert (vectors * reference(small.folder, TEXTS)).sum(axis=1).min() > 0.99999


def test_half_precision_gives_the_same_vectors_to_three_digits(small):
    single = load("torch", small).encode_documents(TEXTS)
    half = load("torch", small, half=True).encode_documents(TEXTS)
    assert half.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, rtol=1e-5)
    assert (single * half).sum(axis=1).min() > 0.9995
    assert (single != half).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_ids_give_what_their_text_gives(small, backend):
    encoder = load(backend, small)
    ids = TextTokenizer(tokenizer_path(small)).ids(TEXTS)  # not cut to the encoder's limit
    assert encoder.takes_ids
    vectors = encoder.encode_ids([row.astype(np.uint16) for row in ids])
    np.testing.assert_allclose(vectors, encoder.encode_documents(TEXTS), atol=2e-6)


@pytest.mark.parametrize("backend", [*BACKENDS, "int8"])
def test_a_vector_does_not_depend_on_its_company(small, backend):
    if backend == "int8":
        encoder = load_encoder(small, precision="int8", device="cpu", threads=1)
    else:
        encoder = load(backend, small)
    random = np.random.default_rng(0)
    rows = [random.integers(4, 60, size) for size in random.integers(0, 39, 90)]
    together = encoder.encode_ids(rows)
    alone = np.concatenate([encoder.encode_ids([row]) for row in rows])
    # In int8 a last bit may round to the next step.
    np.testing.assert_allclose(together, alone, atol=2e-2 if backend == "int8" else 2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_gives_nothing(small, backend):
    encoder = load(backend, small)
    assert encoder.encode_ids([]).shape == (0, 32)
    assert encoder.encode_documents([]).shape == (0, 32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_order_given_is_the_order_returned(small, backend):
    encoder = load(backend, small)
    backwards = encoder.encode_documents(TEXTS[::-1])[::-1]
    np.testing.assert_allclose(encoder.encode_documents(TEXTS), backwards, atol=2e-6)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_the_same_input_gives_the_same_bytes(small, backend):
    first, second = (load(backend, small).encode_documents(TEXTS) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
def test_prompts_go_before_the_text(make_bert, backend):
    plain = load(backend, resolve(str(make_bert("plain"))))
    prompts = {"query": "the storm ", "document": "a boat "}
    prompted = load(backend, resolve(str(make_bert("prompted", prompts=prompts))))
    expected = plain.encode_documents(["the storm harbour", "a boat harbour"])
    queries, documents = (
        prompted.encode_queries(["harbour"]),
        prompted.encode_documents(["harbour"]),
    )
    np.testing.assert_allclose(np.concatenate([queries, documents]), expected, atol=2e-6)


@pytest.mark.parametrize("backend", ["numpy", "onnx", "torch"])
def test_ids_of_another_tokenizer_are_a_config_error(small, backend):
    with pytest.raises(ConfigError, match="outside"):
        load(backend, small).encode_ids([np.array([5, 4_000])])


def test_int8_stays_close_to_float32(small):
    encoder = load_encoder(small, precision="int8", device="cpu", threads=1)
    exact = load("numpy", small).encode_documents(TEXTS)
    assert (encoder.encode_documents(TEXTS) * exact).sum(axis=1).min() > 0.98


def test_quantised_weights_have_seven_bits_and_a_scale_for_each_output():
    weight = np.random.default_rng(0).standard_normal((40, 7)).astype(np.float32)
    weight[:, 3] = 0
    small, scale = quantise(weight)
    assert small.dtype == np.int8
    assert np.abs(small).max() == 63
    assert np.abs(small * scale - weight).max() <= scale.max() / 2 + 1e-6


def test_other_models_run_through_sentence_transformers(make_bert):
    resolved = resolve(str(make_bert(pooling="max", hidden_act="relu")))
    assert resolved.spec.kind == "sentence-transformers"
    encoder = load_encoder(resolved, device="cpu", threads=1)
    expected = reference(resolved.folder, TEXTS)
    assert (encoder.encode_queries(TEXTS) * expected).sum(axis=1).min() > 0.99999
    ids = TextTokenizer(tokenizer_path(resolved)).ids(TEXTS)
    assert (encoder.encode_ids(ids) * expected).sum(axis=1).min() > 0.99999


def test_a_folder_that_sentence_transformers_saved_is_the_same_encoder(make_bert, tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = make_bert()
    SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "saved"))
    first, second = resolve(str(folder)), resolve(str(tmp_path / "saved"))
    assert second.spec.kind == "bert"
    assert second.spec.max_tokens == first.spec.max_tokens
    vectors = [load("numpy", resolved).encode_documents(TEXTS) for resolved in (first, second)]
    np.testing.assert_allclose(*vectors, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"purpose": "fun"},
        {"precision": "fp8"},
        {"device": "tpu"},
        {"precision": "fp16", "device": "cpu"},
        {"precision": "int8", "device": "cuda"},
    ],
)
def test_what_no_backend_offers_is_a_usage_error(make_bert, options, monkeypatch):
    monkeypatch.setattr(module, "_has_gpu", lambda: options.get("device") == "cuda")
    with pytest.raises(UsageError) as error:
        load_encoder(resolve(str(make_bert())), **options)
    assert error.value.hint


def test_a_gpu_that_is_not_there_is_a_usage_error(make_bert, monkeypatch):
    monkeypatch.setattr(module, "_has_gpu", lambda: False)
    with pytest.raises(UsageError, match="no CUDA"):
        load_encoder(resolve(str(make_bert())), device="cuda")


def test_a_query_is_float32_whatever_the_stored_precision(make_bert):
    resolved = resolve(str(make_bert()))
    exact = load("numpy", resolved).encode_queries(TEXTS)
    for precision in ("int8", "fp16"):
        encoder = load_encoder(resolved, purpose="query", precision=precision)
        assert encoder.encode_queries(TEXTS).tobytes() == exact.tobytes()


def test_weights_that_do_not_fit_the_config_are_refused(make_bert):
    folder = make_bert()
    config = json.loads((folder / "config.json").read_text())
    for changed, error in (({"num_attention_heads": 5}, ConfigError),
                           ({"num_hidden_layers": 3}, IntegrityError)):  # fmt: skip
        (folder / "config.json").write_text(json.dumps({**config, **changed}))
        with pytest.raises(error):
            load("numpy", resolve(str(folder)))


def test_the_packaged_encoder_agrees_with_sentence_transformers():
    resolved = resolve(DEFAULT_ENCODER, verify=False)
    texts = ["who wrote Dune?", "Frank Herbert wrote the novel Dune in 1965.", "", "rain " * 400]
    expected = reference(resolved.folder, texts)
    for backend in ("numpy", "onnx", "torch"):
        vectors = load(backend, resolved).encode_documents(texts)
        assert (vectors * expected).sum(axis=1).min() > 0.99999, backend
    small = load_encoder(resolved, precision="int8", device="cpu").encode_documents(texts)
    assert (small * expected).sum(axis=1).min() > 0.97
