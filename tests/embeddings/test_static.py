from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.resolve import resolve
from retro_cli.errors import ConfigError


@pytest.fixture(scope="module")
def encoder(static_encoder):
    return load_encoder(resolve(str(static_encoder)))


@pytest.fixture(scope="module")
def table(static_encoder):
    return load_file(str(static_encoder / "model.safetensors"))["embedding.weight"]


def expected(table, row):
    mean = table[row].astype(np.float64).mean(axis=0) if row else np.zeros(table.shape[1])
    return mean / max(np.linalg.norm(mean), 1e-12)


@given(rows=st.lists(st.lists(st.integers(0, 79), max_size=40), max_size=30))
def test_a_vector_is_the_unit_mean_of_its_tokens(encoder, table, rows):
    vectors = encoder.encode_ids([np.array(row, dtype=np.uint16) for row in rows])
    assert vectors.shape == (len(rows), table.shape[1])
    assert vectors.dtype == np.float32
    for vector, row in zip(vectors, rows, strict=True):
        np.testing.assert_allclose(vector, expected(table, row), atol=2e-5)


def test_a_vector_does_not_depend_on_its_company(encoder):
    random = np.random.default_rng(0)
    rows = [random.integers(0, 80, size) for size in random.integers(0, 90, 700)]
    together = encoder.encode_ids(rows)
    for place in (0, 17, 350, 699):
        np.testing.assert_array_equal(encoder.encode_ids([rows[place]])[0], together[place])


def test_text_and_its_ids_have_one_vector(encoder, static_encoder):
    texts = ["the ferry", "", "a storm at the harbour light"]
    ids = [np.array([5, 6]), np.array([], dtype=np.int64)]
    vectors = encoder.encode_documents(texts)
    np.testing.assert_array_equal(vectors[:2], encoder.encode_ids(ids))
    np.testing.assert_array_equal(vectors, encoder.encode_queries(texts))
    assert not vectors[1].any()


def test_ids_outside_the_table_are_a_config_error(encoder):
    with pytest.raises(ConfigError, match="outside"):
        encoder.encode_ids([np.array([1, 60_000])])


def test_it_agrees_with_sentence_transformers(encoder, static_encoder):
    from sentence_transformers import SentenceTransformer

    texts = ["the ferry", "storms and boats", "light " * 300]
    reference = SentenceTransformer(str(static_encoder), device="cpu").encode(
        texts, normalize_embeddings=True
    )
    assert (encoder.encode_documents(texts) * reference).sum(axis=1).min() > 0.99999


def test_the_packaged_static_encoder_tells_texts_apart():
    pytest.importorskip("tokenizers")
    try:
        resolved = resolve("wordllama")
    except ConfigError:
        pytest.skip("the extra is not installed")
    vectors = load_encoder(resolved).encode_documents(
        ["the cat sat on the mat", "a kitten rested on the rug", "interest rates rose again"]
    )
    assert vectors.shape == (3, 256)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
