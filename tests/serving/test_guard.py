"""Who may ask: hosts, origins, tokens, and what a body may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import UsageError
from retro_cli.serving.guard import OPEN_PATHS, host_name, refusal
from retro_cli.serving.settings import ServeSettings

TOKEN = "0123456789abcdef"
LOCAL = ServeSettings(Path("a.db"), token=TOKEN)
WIDE = ServeSettings(Path("a.db"), host="0.0.0.0", token=TOKEN, names=("retro.example",))
JSON = {"host": "localhost:8000", "content-type": "application/json"}
BEARER = {**JSON, "authorization": f"Bearer {TOKEN}"}


def status(settings, method="GET", path="/v1/status", **headers):
    found = refusal(settings, method, path, {"host": "localhost:8000", **headers})
    return None if found is None else found.status


@given(st.text("abcdefghijklmnopqrstuvwxyz.-0123456789", min_size=1))
def test_a_name_that_is_not_ours_is_refused_whatever_it_points_to(name):
    ours = {"localhost", "127.0.0.1", "localhost."}
    assert (status(LOCAL, host=f"{name}:8000") == 421) is (name not in ours)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost:1"])
def test_the_names_of_this_machine_are_ours(name):
    assert status(LOCAL, host=name) is None


def test_no_host_at_all_is_refused():
    assert refusal(LOCAL, "GET", "/", {}).status == 421


@pytest.mark.parametrize("name", ["192.168.1.7:80", "retro.example", "[fe80::1]:80"])
def test_open_to_others_addresses_and_named_names_are_ours(name):
    assert status(WIDE, host=name, authorization=f"Bearer {TOKEN}") is None
    assert status(WIDE, host="evil.example", authorization=f"Bearer {TOKEN}") == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost.evil.example", "http://localhost"]
)
def test_a_page_of_another_origin_reaches_nothing(origin):
    assert status(LOCAL, origin=origin) == 403
    assert status(LOCAL, "POST", "/v1/query", **{**JSON, "origin": origin}) == 403


def test_our_own_page_may_ask():
    mine = {**JSON, "origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    assert status(LOCAL, "POST", "/v1/query", **mine) is None


def test_what_another_page_loads_of_its_own_accord_is_refused_but_a_link_may_be_followed():
    other = {"sec-fetch-site": "cross-site"}
    assert status(LOCAL, path="/v1/sources", **other, **{"sec-fetch-mode": "no-cors"}) == 403
    assert status(LOCAL, path="/v1/sources", **other, **{"sec-fetch-mode": "navigate"}) == 403
    assert status(LOCAL, path="/", **other, **{"sec-fetch-mode": "navigate"}) is None


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_form_can_post_nothing(kind):
    assert status(LOCAL, "POST", "/v1/query", **{"content-type": kind}) == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_not_used(method):
    assert status(LOCAL, method) == 405


@pytest.mark.parametrize("path", ["/v1/filters", "/v1/filters/3/undo", "/v1/filters/"])
def test_changes_need_the_token_and_a_server_without_one_changes_nothing(path):
    assert status(ServeSettings(Path("a.db")), "POST", path, **BEARER) == 403
    assert status(LOCAL, "POST", path, **JSON) == 401
    assert status(LOCAL, "POST", path, **{**JSON, "authorization": "Bearer no"}) == 401
    assert status(LOCAL, "POST", path, **{**JSON, "authorization": "Bearer \xfc"}) == 401
    assert status(LOCAL, "POST", path, **BEARER) is None


def test_a_preview_and_reading_need_none_here():
    assert status(LOCAL, "POST", "/v1/filters/preview", **JSON) is None
    assert status(LOCAL, path="/v1/filters") is None


def test_open_to_others_everything_but_the_page_and_health_needs_the_token():
    for path in OPEN_PATHS:
        assert status(WIDE, path=path) is None
    for path in ("/v1/status", "/metrics", "/openapi.json", "/v1/filters", "/page.js/../v1/status"):
        assert status(WIDE, path=path) == 401
    assert status(WIDE, "POST", "/v1/query", **JSON) == 401


@pytest.mark.parametrize(
    ("host", "name"),
    [("[::1]:80", "::1"), ("a.b:1", "a.b"), ("A.b.", "a.b"), ("", ""), ("[::1", "::1")],
)
def test_the_name_in_a_host_header(host, name):
    assert host_name(host) == name


def test_a_server_that_is_not_safe_is_not_started():
    with pytest.raises(UsageError, match="open to other machines"):
        ServeSettings(Path("a.db"), host="0.0.0.0").check()
    with pytest.raises(UsageError, match="token of 3"):
        ServeSettings(Path("a.db"), token="abc").check()
    WIDE.check()
