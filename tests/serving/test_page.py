"""The page in a real browser: by keyboard, on a narrow screen, with hostile words in the corpus.

Needs Chromium on the PATH; without it these tests fail, unless they are left out by name:
``pytest -m "not browser"``.
"""

from __future__ import annotations

import pytest
from browser import Browser
from serving_helpers import EVIL, TOKEN, listening

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
ENTER = ("Enter", 13, "\r")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def url(kept, llama):
    with listening(kept, models=(llama,)) as base:
        yield base


@pytest.fixture
def page(browser, url):
    """The page, just opened; in the end nothing may have gone wrong in it."""
    browser.problems.clear()
    browser.open(f"{url}/")
    yield browser
    assert browser.problems == []
    assert browser.value("document.title") == "retro"


def searched(page, text):
    page.press("/", 191, "/")
    page.type(text)
    page.press(*ENTER)
    page.until("document.querySelectorAll('#hits > li').length > 0")


def test_all_is_done_by_keyboard(page):
    searched(page, "the keeper of the light")
    assert page.value("document.activeElement.id") == "text"
    page.press("ArrowDown", 40)
    page.press("ArrowDown", 40)
    second = "document.querySelectorAll('#hits > li')[1]"
    assert page.value(f"document.activeElement === {second}")
    page.press("Tab", 9)
    assert page.value("document.activeElement.textContent") == "Why it matched"
    page.press(*ENTER)
    assert page.value(f"{second}.querySelector('details').open")
    assert "dense: place" in page.value(f"{second}.textContent")
    page.press("Tab", 9)
    page.press(*ENTER)
    page.until(f"{second}.textContent.includes('Nearest in other documents')")
    page.press("/", 191, "/")
    assert page.value("document.activeElement.id") == "text"


def test_words_of_the_query_are_marked_and_the_place_is_named(page):
    searched(page, "the keeper of the light")
    marks = page.value(
        "[...new Set([...document.querySelectorAll('mark')].map(m => m.textContent))]"
    )
    assert set(marks) == {"keeper", "light"}
    assert "characters" in page.value("document.querySelector('#hits .place').textContent")


def test_html_of_the_corpus_stays_text(page):
    searched(page, "harbour")
    page.until("document.getElementById('hits').textContent.includes('onerror')")
    assert page.value("document.querySelectorAll('#hits img, #hits script').length") == 0
    assert EVIL in page.value("document.getElementById('hits').textContent")
    page.value("location.hash = 'sources'")
    page.until("document.querySelectorAll('#table tbody tr').length === 3")
    assert page.value("document.querySelectorAll('main img, main script').length") == 0


def test_what_the_server_refuses_is_said(page):
    page.value("document.getElementById('where').value = 'year >'")
    page.press("/", 191, "/")
    page.type("boat")
    page.press(*ENTER)
    assert "year >" in page.until("document.getElementById('failure').textContent")
    page.problems.clear()  # the browser's own note of status 400


@pytest.mark.parametrize("width", [1100, 360])
def test_no_screen_is_too_narrow(page, width):
    page.resize(width)
    searched(page, "the keeper of the light")
    for place in ("search", "ask", "write", "sources"):
        page.value(f"location.hash = '{place}'")
        page.until(f"!document.getElementById('{place}').hidden")
        assert page.value("document.documentElement.scrollWidth") <= width


def test_a_text_grows_with_the_map_of_what_it_was_read_from(page):
    page.value("location.hash = 'write'")
    page.until("!document.getElementById('write').hidden")
    page.value("document.getElementById('tokens').value = 5")
    page.value("document.getElementById('write-k').value = 3")
    page.value("document.getElementById('prompt').focus()")
    page.type("the keeper of the light")
    page.value("document.getElementById('go').click()")
    page.until("document.getElementById('write-state').textContent.includes('a second')")
    assert page.value("document.querySelectorAll('#map tbody tr').length") == 3
    columns = page.value("document.querySelectorAll('#map thead th').length") - 1
    shares = "[...document.querySelectorAll('#map tbody td')].map(c => Number(c.textContent))"
    assert 1 <= columns <= 5
    assert sum(page.value(shares)) == pytest.approx(100 * columns, abs=2 * columns)
    assert page.value("document.querySelectorAll('#read li').length") == 3


def test_a_question_is_answered(page):
    page.value("location.hash = 'ask'")
    page.until("!document.getElementById('ask').hidden")
    page.value("document.getElementById('question').focus()")
    page.type("who saw the boat?")
    page.press(*ENTER)
    page.until("!!document.querySelector('#answer strong')")


def test_a_rule_is_previewed_and_put_in_force_only_with_the_token(browser, copied):
    with listening(copied, token=TOKEN) as base:
        browser.open(f"{base}/#sources")
        browser.until("document.querySelectorAll('#table tbody tr').length === 3")
        browser.value("document.getElementById('rule-source').value = 'forum'")
        browser.value("document.getElementById('rule-reason').value = 'insults'")
        browser.value("document.querySelector('#rule-form button').click()")
        browser.until("document.getElementById('reach').textContent.startsWith('Would take')")
        browser.value("document.getElementById('enforce').click()")
        browser.until("!document.getElementById('key').hidden")
        assert browser.value("document.querySelectorAll('#rules li').length") == 0
        browser.value(f"document.getElementById('token').value = '{TOKEN}'")
        browser.value("document.querySelector('#key button').click()")
        browser.until("document.getElementById('key').hidden")
        browser.value("document.getElementById('enforce').click()")
        browser.until("document.querySelectorAll('#rules li').length === 1")
        assert "insults" in browser.value("document.getElementById('rules').textContent")
