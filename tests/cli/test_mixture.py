"""retro generate with the readers over a mixture of documents."""

from __future__ import annotations

import json

import pytest
from mixture_helpers import saved

PROMPT = "the keeper of the light"
SHORT = ("--max-tokens", 8)


@pytest.fixture(scope="session", params=["llama", "bart", "t5"])
def folder(request, tmp_path_factory, bpe_path):
    return saved(request.param, bpe_path, tmp_path_factory.mktemp(request.param))


@pytest.fixture(params=["rag-token", "rag-sequence"])
def write(request, retro, db, folder):
    return lambda *args: retro(
        "generate", db, PROMPT, "--reader", request.param, "--model", folder, *SHORT, *args
    )


def test_each_token_has_a_posterior_over_the_chunks_that_were_found(write, tmp_path):
    whole = write("-k", 3, "--trace", tmp_path / "t.jsonl", "--json")
    assert whole.code == 0, whole.err
    (record,) = whole.rows
    (found,) = record["chunks"]
    assert found["query"] == PROMPT
    assert len(found["neighbours"]) == 3
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [line["token"] for line in lines] == record["tokens"]
    for line in lines:
        masses = [each["mass"] for each in line["neighbours"]]
        assert sum(masses) == pytest.approx(1, abs=1e-5)
        assert sum(line["prior"]) == pytest.approx(1, abs=1e-5)
    assert all("text" in each for each in lines[0]["neighbours"])
    assert not any("text" in each for each in lines[1]["neighbours"])


@pytest.mark.parametrize(
    "how", [(), ("--temperature", 0.9, "--seed", 4), ("--beams", 3), ("--doc-temperature", 1)]
)
def test_streamed_text_is_that_of_json(write, how):
    streamed, record = write(*how), write(*how, "--json")
    assert streamed.out == record.rows[0]["text"] + "\n"


def test_a_sharp_prior_is_the_best_chunk_alone(write):
    sharp = write("--doc-temperature", 1e-9, "--json").rows[0]
    alone = write("-k", 1, "--json").rows[0]
    assert sharp["tokens"] == alone["tokens"]
    assert sharp["logprobs"] == pytest.approx(alone["logprobs"], abs=1e-4)


@pytest.mark.parametrize("documents", ["thorough", "fast", "exact"])
def test_the_ways_to_decode_are_for_rag_sequence(retro, db, folder, documents):
    how = ("--model", folder, *SHORT, "--beams", 2, "--decoding", documents, "--json")
    found = retro("generate", db, PROMPT, "--reader", "rag-sequence", *how)
    assert found.code == 0, found.err
    token = retro("generate", db, PROMPT, "--reader", "rag-token", *how)
    assert token.code == (0 if documents == "exact" else 2)


def test_what_shows_was_read(write):
    shown = write("--show", "-k", 2)
    assert shown.code == 0, shown.err
    assert f"looked up  {PROMPT}" in shown.out
    assert "[2]" in shown.out


def test_a_database_with_nothing_to_show_is_as_no_retrieval(retro, db, tmp_path, bpe_path):
    hits = retro("query", db, PROMPT, "-k", 500, "--json").rows[0]["hits"]
    sources = [word for source in {hit["source"] for hit in hits} for word in ("--source", source)]
    assert retro("filter", "add", db, *sources, "--reason", "all", "--yes").code == 0
    model = saved("t5", bpe_path, tmp_path / "t5")
    how = (db, PROMPT, "--reader", "rag-token", "--model", model, *SHORT)
    empty = retro("generate", *how)
    assert empty.out == retro("generate", *how, "--no-retrieval").out
    assert "no chunk that may be shown" in empty.err


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (("--doc-temperature", 0), "document temperature"),
        (("--decoding", "quick"), "--decoding quick"),
        (("--length-penalty", -1), "length penalty"),
        (("--reader", "realm"), "retro fill"),
        (("--reader", "fid"), "--reader fid"),
    ],
)
def test_what_cannot_be_is_refused(write, how, message):
    refused = write(*how)
    assert refused.code == 2
    assert message in refused.err
    assert "defect" not in refused.err
