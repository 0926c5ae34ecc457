"""Generated texts and answers over HTTP."""

from __future__ import annotations

import http.client
import json
import time
from functools import partial

import pytest
from serving_helpers import client, listening

from retro_cli.database import Database
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.live import newest_retriever
from retro_cli.generate.loop import generate
from retro_cli.readers.open import ReaderOptions, open_reader

PROMPT = "the keeper of the light"


def lines(answer):
    return [json.loads(line) for line in answer.text.splitlines()]


def written(served, **how):
    answer = served.post("/v1/generate", json={"prompt": PROMPT, "max_tokens": 6, **how})
    assert answer.status_code == 200, answer.text
    return lines(answer)


@pytest.mark.parametrize("reader", ["rag-token", "rag-sequence", "in-context", "closed-book"])
def test_a_text_is_the_one_that_the_reader_writes(served, kept, llama, reader):
    *tokens, end = written(served, reader=reader)
    opened = open_reader(reader, ReaderOptions(llama, record=True))
    with Database.open(kept) as database:
        retriever = newest_retriever(database, opened, str)
        alone = reader == "closed-book"
        found = generate(opened.reader, None if alone else retriever, PROMPT, Decoding(6))
    assert end["event"] == "end"
    assert end["text"] == found.text
    assert [said["token"] for said in tokens if said["event"] == "token"] == end["tokens"]


def test_each_token_says_what_it_was_read_from_and_each_text_comes_once(served):
    *tokens, _ = written(served, reader="rag-token", k=3)
    texts = []
    for said in tokens:
        assert sum(read["mass"] for read in said["neighbours"]) == pytest.approx(1, abs=1e-5)
        texts += [read["chunk"] for read in said["neighbours"] if "text" in read]
    assert len(texts) == len(set(texts)) == 3


def test_beams_give_the_whole_at_once(served):
    *tokens, end = written(served, reader="rag-token", beams=2)
    assert [said["token"] for said in tokens] == end["tokens"]


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ({"prompt": ""}, 422, "prompt"),
        ({"prompt": "a", "reader": "knn-lm"}, 422, "reader"),
        ({"prompt": "a", "max_tokens": 10**6}, 422, "max_tokens"),
        ({"prompt": "a", "model": "/etc"}, 422, "model"),
        ({"prompt": "a", "temperature": 0.5, "beams": 2}, 400, "beams"),
        ({"prompt": "a", "top_k": 3}, 400, "drawn from"),
    ],
)
def test_what_cannot_be_is_refused_before_a_stream_begins(served, how, status, said):
    answer = served.post("/v1/generate", json=how)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_what_goes_wrong_later_is_the_last_line(served):
    how = {"prompt": "a", "reader": "rag-token", "decoding": "thorough", "beams": 2}
    *_, last = lines(served.post("/v1/generate", json=how))
    assert last["event"] == "error"
    assert "rag-sequence" in last["error"]


def test_an_answer_cites_what_it_was_found_in(served):
    asked = {"question": "who saw the boat?", "least": 0}
    answer = served.post("/v1/ask", json=asked)
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    assert reply["evidence"]
    for citation in reply["citations"]:
        assert citation["verbatim"]


@pytest.mark.parametrize("reader", ["in-context", "closed-book"])
def test_a_model_answers_in_its_own_words(served, reader):
    asked = {"question": "who saw the boat?", "reader": reader, "max_tokens": 4}
    answer = served.post("/v1/ask", json=asked)
    assert answer.status_code == 200, answer.text
    assert bool(answer.json()["evidence"]) is (reader == "in-context")


def test_a_rule_that_comes_in_the_middle_of_a_text_holds_from_the_next_token_on(
    copied, llama, monkeypatch
):
    from retro_cli.filters.rules import Rule
    from retro_cli.serving import writing
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.filtering import add_rule

    real, seen = writing.TracedToken.to_json, []

    def then_filter(self, texts_of=()):
        if not seen:
            add_rule(Layout(copied), Rule(1, "insults", sources=("forum",)))
        seen.append({hit.source for hit in self.evidence.hits})
        return real(self, texts_of)

    monkeypatch.setattr(writing.TracedToken, "to_json", then_filter)
    with client(copied, models=(llama,)) as served:
        *_, end = written(served, reader="rag-token", k=20)
    assert "forum" in seen[0]
    assert all("forum" not in sources for sources in seen[1:])
    assert end["generation"] == 2


def test_a_client_that_hangs_up_ends_the_work(kept, llama):
    """Many tokens are asked for, and the client leaves after the first: the next one is served
    long before those would have been written."""
    with listening(kept, models=(llama,)) as url:
        host = url.removeprefix("http://")
        figures = partial(_figure, host, "retro_tokens_total")
        body = json.dumps({"prompt": PROMPT, "reader": "rag-token", "max_tokens": 400})
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("POST", "/v1/generate", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert json.loads(answer.readline())["event"] == "token"
        answer.close()
        connection.close()
        end = time.monotonic() + 30
        while (count := figures()) != (time.sleep(0.3) or figures()):
            assert time.monotonic() < end
    assert 1 <= count < 400


def _figure(host, name):
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(next(row.split()[1] for row in text.splitlines() if row.startswith(name + " ")))
