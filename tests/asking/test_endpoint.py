"""A server's chat completions: what is sent, what is read, and what each failure is called."""

from __future__ import annotations

import json
import socket

import pytest
from chat_server import event, serving, streamed

from retro_cli.asking.endpoint import Endpoint, key_of_environment
from retro_cli.errors import EndpointError, UsageError

ASKED = [{"role": "user", "content": "Where?"}]


@pytest.fixture
def server():
    with serving() as served:
        yield served


def chat(server, **settings):
    return list(Endpoint(server.url, "small", **{"timeout": 5, **settings}).chat(ASKED, 32))


def test_pieces_come_as_they_are_streamed(server):
    server.body = streamed("It is ", "Pa", "ris.")
    assert chat(server, key="secret") == ["It is ", "Pa", "ris."]
    path, headers, body = server.asked[-1]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert body["messages"] == ASKED
    assert (body["model"], body["max_tokens"], body["stream"]) == ("small", 32, True)


def test_without_a_key_none_is_sent(server):
    chat(server)
    assert "Authorization" not in server.asked[-1][1]


def test_a_server_that_does_not_stream_is_read_too(server):
    server.says({"choices": [{"message": {"role": "assistant", "content": "Paris"}}]})
    assert chat(server) == ["Paris"]


@pytest.mark.parametrize("end", ["", "/", "/chat/completions"])
def test_the_url_may_name_the_api_or_the_completions(server, end):
    server.url += end
    assert chat(server) == ["Paris", " [1]"]


def test_the_url_may_name_the_server_alone(server):
    server.url = server.url.removesuffix("/v1")
    chat(server)
    assert server.asked[-1][0] == "/v1/chat/completions"


def test_the_only_model_is_taken_and_several_are_named(server):
    assert Endpoint(server.url).named() == "small"
    server.models = ["a", "b"]
    with pytest.raises(EndpointError, match="2 models") as caught:
        Endpoint(server.url).named()
    assert "a, b" in caught.value.hint


def test_counts_that_come_last_and_empty_pieces_are_passed_by(server):
    usage = json.dumps({"choices": [], "usage": {"total_tokens": 3}})
    server.body = f": a comment\n\ndata: {usage}\n\n" + streamed("", "yes")
    assert chat(server) == ["yes"]


REFUSALS = [
    (401, {"error": {"message": "bad key"}}, "bad key", "RETRO_API_KEY"),
    (404, {"error": "model 'x' not found"}, "not found", "--endpoint-model"),
    (404, "<html><body>nothing here</body></html>", "404", "/v1"),
    (422, {"detail": [{"msg": "too long"}]}, "too long", "URL"),
    (429, {}, "429", "later"),
    (500, "it broke", "it broke", "log"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "said", "hint"), REFUSALS)
def test_a_refusal_is_told_with_the_servers_own_reason(server, status, body, said, hint):
    server.says(body, status=status)
    with pytest.raises(EndpointError) as caught:
        chat(server, key="secret")
    assert str(status) in caught.value.message
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint
    assert "<html" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_redirect_is_not_followed_and_says_where_to(server):
    server.status, server.headers = 307, {"Location": "https://elsewhere.example/v1"}
    with pytest.raises(EndpointError) as caught:
        chat(server, key="secret")
    assert "elsewhere.example" in caught.value.hint
    assert len(server.asked) == 1


BROKEN = [
    (streamed("half an", done=False), "breaks off"),
    ("data: {not json}\n\n", "not JSON"),
    ('data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
    (f"data: {json.dumps({'choices': [{'delta': {'content': 7}}]})}\n\n", "no text"),
    ("data: [1, 2]\n\n", "no choices"),
    ("data: " + "x" * (1 << 21), "too long"),
    ("data: " + "[" * 100_000 + "\n\n", "not JSON"),
]


@pytest.mark.parametrize(("body", "said"), BROKEN)
def test_a_stream_that_breaks_is_an_error_that_says_how(server, body, said):
    server.body = body
    with pytest.raises(EndpointError, match=said):
        chat(server)


@pytest.mark.parametrize("value", [[], {}, {"choices": []}, {"choices": ["a"]}, "never", "{"])
def test_what_is_no_completion_is_an_error(server, value):
    server.says(value)
    with pytest.raises(EndpointError, match="cannot be used"):
        chat(server)


def test_an_answer_without_end_is_stopped(server):
    piece = json.dumps(event("word " * 1000))
    server.body = f"data: {piece}\n\n" * 300
    with pytest.raises(EndpointError, match="does not stop"):
        chat(server)


def test_a_stream_that_is_cut_inside_a_piece_keeps_what_came_before(server):
    whole = streamed("first", "second")
    server.body = whole[: whole.index("second")]
    pieces = Endpoint(server.url, "small", 5).chat(ASKED, 32)
    assert next(pieces) == "first"
    with pytest.raises(EndpointError):
        next(pieces)


def test_a_server_that_says_nothing_is_given_up(server):
    server.wait = 30
    with pytest.raises(EndpointError, match=r"said nothing for 0\.2 s"):
        chat(server, timeout=0.2)


def test_no_server_is_an_error():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(EndpointError, match="cannot be reached"):
        list(Endpoint(url, "small").chat(ASKED, 8))


def test_what_does_not_speak_http_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        import threading

        def babble():
            connection, _ = deaf.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"hello?\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(EndpointError):
            list(Endpoint(url, "small", 5).chat(ASKED, 8))
        thread.join()


@pytest.mark.parametrize(
    "url",
    ["localhost:11434", "ftp://host/v1", "http://", "http://host:port", "", "http://a:b@host"],
)
def test_what_is_no_url_is_a_usage_error(url):
    with pytest.raises(UsageError, match="--endpoint"):
        Endpoint(url)


def test_the_key_is_retros_own_before_openais(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert key_of_environment() == ""
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    assert key_of_environment() == "theirs"
    monkeypatch.setenv("RETRO_API_KEY", " ours\n")
    assert key_of_environment() == "ours"
    monkeypatch.setenv("RETRO_API_KEY", "two\nlines")
    with pytest.raises(UsageError, match="RETRO_API_KEY") as caught:
        key_of_environment()
    assert "lines" not in caught.value.message
