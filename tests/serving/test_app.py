"""What is answered over HTTP, and what is refused."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from helpers import fingerprint
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_helpers import BEARER, EVIL

from retro_cli.database import Database
from retro_cli.store.lock import writer_lock

TEXT = "the keeper of the light"


def post(client, path, body, **rest):
    return client.post(f"/v1/{path}", json=body, **rest)


# -- looking -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"retriever": "bm25"},
        {"retriever": "hybrid", "fusion": "interpolate", "weight": 0.3},
        {"mmr": 0.5, "per_document": 1},
        {"level": "doc"},
        {"source": ["letters"], "where": "year >= 2000"},
    ],
)
def test_a_query_is_answered_as_by_the_database(served, kept, how):
    found = post(served, "query", {"text": TEXT, "k": 4, **how}).json()
    with Database.open(kept) as database:
        (answer,) = database.answer([TEXT], 4, **how)
    assert found["hits"] == json.loads(json.dumps([hit.to_json() for hit in answer.hits]))
    assert found["metric"] == answer.metric


def test_a_vector_finds_what_its_text_does_also_if_it_is_not_of_length_one(served, kept):
    with Database.open(kept) as database:
        vector = (3 * database.encoder.encode_queries([TEXT])[0]).tolist()
    by_text = post(served, "query", {"text": TEXT}).json()["hits"]
    packed = base64.b64encode(np.array(vector, "<f4").tobytes()).decode()
    for form in (vector, packed):
        by_vector = post(served, "query", {"vector": form}).json()["hits"]
        assert [hit["chunk"] for hit in by_vector] == [hit["chunk"] for hit in by_text]


def test_an_explanation_says_how_the_hits_were_found(served):
    found = post(served, "query", {"text": TEXT, "retriever": "hybrid", "explain": True}).json()
    assert found["explanation"]["retriever"] == "hybrid"
    assert {part["name"] for part in found["hits"][0]["parts"]} <= {"dense", "bm25"}


def test_a_chunk_is_shown_in_its_document_and_with_its_neighbours(served):
    shown = served.get("/v1/chunks/3?context=1").json()
    assert shown["chunk"] == 3
    assert 3 in [each["chunk"] for each in shown["around"]]
    near = served.get("/v1/chunks/3/neighbours?k=4").json()["hits"]
    assert len(near) == 4
    assert all(hit["document"] != shown["document"] for hit in near)
    assert [hit["score"] for hit in near] == sorted((hit["score"] for hit in near), reverse=True)


@pytest.mark.parametrize("chunk", [100_000, (1 << 63) - 1])
def test_a_chunk_that_there_is_not_is_not_found(served, chunk):
    for path in (f"/v1/chunks/{chunk}", f"/v1/chunks/{chunk}/neighbours"):
        assert served.get(path).status_code == 404


def test_sources_stand_with_their_scores_the_most_toxic_first(served):
    found = served.get("/v1/sources?scores=w&threshold=0.2").json()
    means = [source["mean"] for source in found["sources"]]
    assert means == sorted(means, reverse=True)
    assert {"forum", "letters", f"s/{EVIL}"} == {source["source"] for source in found["sources"]}
    assert sum(found["histogram"]) == sum(source["chunks"] for source in found["sources"])
    plain = served.get("/v1/sources").json()
    assert plain["sources"][0]["source"] == "letters"


def test_status_health_metrics_and_openapi(served):
    assert served.get("/v1/status").json()["stages"][0]["name"] == "chunks"
    assert served.get("/health").json() == {"ok": True}
    assert 'retro_requests_total{route="/health",status="200"}' in served.get("/metrics").text
    paths = served.get("/openapi.json").json()["paths"]
    assert {"/v1/query", "/v1/generate", "/v1/ask", "/v1/filters", "/health"} <= set(paths)


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script_but_its_own(served):
    page = served.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in ("", "page.css", "page.js"):
        assert "://" not in served.get(f"/{name}").text.replace("http://127", "")
    assert "innerHTML" not in served.get("/page.js").text


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "one of text and vector"),
        ({"text": "a", "vector": [1.0]}, 400, "one of text and vector"),
        ({"text": "  "}, 400, "empty"),
        ({"vector": [1.0, 2.0]}, 400, "dimensions"),
        ({"vector": [0.0] * 24}, 400, "zero"),
        ({"vector": [1e300] * 24}, 400, "not finite"),
        ({"vector": "AAAAAA=="}, 400, "zero"),
        ({"vector": "not base64"}, 400, "base64"),
        ({"vector": "AAAA"}, 400, "base64"),
        ({"vector": [1.0] * 24, "retriever": "hybrid"}, 400, "no words"),
        ({"text": "a", "k": 0}, 422, "k:"),
        ({"text": "a", "k": 10**9}, 422, "k:"),
        ({"text": "a", "mmr": 2}, 422, "mmr:"),
        ({"text": "a", "where": "year >"}, 400, "year >"),
        ({"text": "a", "source": ["nowhere"]}, 400, "nowhere"),
        ({"text": "a", "rerank": True}, 400, "rerank"),
        ({"text": "a", "model": "/etc/passwd"}, 422, "model:"),
        ({"text": "a" * 30_000}, 422, "text:"),
        ([], 422, ""),
        ("text", 422, ""),
    ],
)
def test_a_query_that_cannot_be_is_refused_with_a_reason(served, body, status, said):
    answer = post(served, "query", body)
    assert answer.status_code == status
    assert said in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"text": NaN}', b"[" * 5000])
def test_what_is_no_json_is_refused(served, body):
    answer = served.post("/v1/query", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


@settings(max_examples=15)
@given(st.text(min_size=1, max_size=40))
def test_no_text_brings_the_server_down(served, text):
    answer = post(served, "query", {"text": text, "retriever": "hybrid"})
    assert answer.status_code == (200 if text.strip() else 400)


def test_ten_megabytes_are_too_many_with_and_without_a_length(served):
    kind = {"content-type": "application/json"}
    whole = b'{"text": "' + b"a" * 10_000_000 + b'"}'
    assert served.post("/v1/query", content=whole, headers=kind).status_code == 413
    pieces = (whole[at : at + 65536] for at in range(0, len(whole), 65536))
    assert served.post("/v1/query", content=pieces, headers=kind).status_code == 413


@pytest.mark.parametrize("name", ["../chunks", "..", ".", "a/b", "", "%2e%2e"])
def test_a_score_table_is_a_name_and_no_path(served, name):
    answer = served.get("/v1/sources", params={"scores": name})
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/page/../../app.py", "/page.js%00", "/docs"]
)
def test_no_other_file_is_served(served, path):
    assert served.get(path).status_code == 404


def test_another_sites_page_and_name_reach_nothing(served):
    assert served.get("/v1/status", headers={"host": "evil.example"}).status_code == 421
    assert (
        post(served, "query", {"text": "a"}, headers={"origin": "http://evil.example"}).status_code
        == 403
    )


# -- filters -----------------------------------------------------------------------------------


def test_a_preview_says_what_a_rule_would_take_and_changes_nothing(served, kept):
    before = fingerprint(kept)
    found = post(served, "filters/preview", {"source": ["forum"]}).json()
    assert found["sources"] == 1
    assert found["chunks"] > 0
    assert {each["source"] for each in found["examples"]} == {"forum"}
    assert fingerprint(kept) == before


def test_a_rule_holds_from_the_next_answer_on_and_its_undo_too(changing):
    def sources():
        hits = post(changing, "query", {"text": TEXT, "k": 200}).json()["hits"]
        return {hit["source"] for hit in hits}

    gone = next(
        hit["chunk"]
        for hit in post(changing, "query", {"text": TEXT, "k": 200}).json()["hits"]
        if hit["source"] == "forum"
    )
    rule = {"source": ["forum"], "reason": "insults"}
    assert post(changing, "filters", rule).status_code == 401
    added = post(changing, "filters", rule, headers=BEARER)
    assert added.status_code == 200, added.text
    assert sources().isdisjoint({"forum"})
    assert changing.get(f"/v1/chunks/{gone}").status_code == 404
    assert changing.get(f"/v1/chunks/{gone}/neighbours").status_code == 404
    (listed,) = changing.get("/v1/filters").json()["rules"]
    assert listed["reason"] == "insults"
    alone = changing.get("/v1/filters/1").json()
    assert alone["takes_chunks"] == added.json()["chunks"]
    undone = post(changing, "filters/1/undo", {}, headers=BEARER)
    assert undone.status_code == 200, undone.text
    assert "forum" in sources()


def test_a_generation_that_cannot_be_opened_is_an_error_and_not_the_one_before(changing, copied):
    assert post(changing, "query", {"text": TEXT}).status_code == 200
    (copied / "index" / "CURRENT").write_text("gen-000099.json")
    for answer in (post(changing, "query", {"text": TEXT}), changing.get("/health")):
        assert answer.status_code == 500
        assert "gen-000099.json is missing" in answer.json()["error"]
    (copied / "index" / "CURRENT").write_text("gen-000001.json")
    assert post(changing, "query", {"text": TEXT}).status_code == 200


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"source": ["forum"]}, "reason"),
        ({"reason": "x"}, "nothing in particular"),
        ({"reason": "x", "source": ["*"]}, "takes all"),
        ({"reason": "x", "source": ["nowhere"]}, "nowhere"),
        ({"reason": "x", "match": "("}, "("),
        ({"reason": "x", "chunk": [10**6]}, "no chunk"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_and_changes_nothing(changing, copied, rule, said):
    before = fingerprint(copied)
    answer = post(changing, "filters", rule, headers=BEARER)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert fingerprint(copied) == before


def test_a_database_that_somebody_writes_to_is_said_to_be_locked(changing, copied):
    with writer_lock(copied, "index"):
        answer = post(changing, "filters", {"reason": "x", "source": ["forum"]}, headers=BEARER)
    assert answer.status_code == 423
