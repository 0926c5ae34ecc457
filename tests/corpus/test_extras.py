"""PDF, WARC and URLs, which need an extra."""

from __future__ import annotations

import functools
import gzip
import http.server
import sys
import threading

import pytest
from corpus.helpers import documents, good, make_file, records, rejected

from retro_cli.corpus import ReadOptions, Slice, read, remote, split
from retro_cli.errors import InputNotFound, MissingExtra


def pdf(*pages: str) -> bytes:
    """A small PDF file, written by hand."""
    first = 4
    kids = " ".join(f"{first + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, words in enumerate(pages):
        content = f"BT /F1 12 Tf 50 700 Td ({words}) Tj ET"
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {first + 2 * i + 1} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    objects.append("<< /Title (About Dune) >>")
    out = "%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
    start = f"startxref\n{len(out)}\n%%EOF\n"
    return (out + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}{start}").encode()


def warc_record(kind: str, uri: str, block: bytes) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {uri}\r\n"
        "WARC-Date: 2020-01-02T03:04:05Z\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
        f"Content-Type: application/http;msgtype={kind}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def page(body: bytes, kind: str = "text/html") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode() + body


WARC = [
    warc_record("request", "http://a/", b"GET / HTTP/1.1\r\n\r\n"),
    warc_record("response", "http://a/", page(b"<title>A</title><p>caf\xc3\xa9")),
    warc_record("response", "http://a/x.png", page(b"\x89PNG", "image/png")),
    warc_record("response", "http://b/", page(b"<p>caf\xe9", "text/html; charset=latin-1")),
    warc_record("response", "http://c/", page(b"<p>caf\xe9")),
    warc_record("response", "http://d/", page(b"<p>last")),
]


def test_a_pdf_is_one_document_of_its_pages(tmp_path):
    pytest.importorskip("pypdf")
    file = make_file(tmp_path, "a.pdf", pdf("Hello there", "Second page"))
    (document,) = documents(file, with_title=True)
    assert document.title == "About Dune"
    assert document.text == "About Dune\n\nHello there\n\nSecond page"


@pytest.mark.parametrize("data", [b"%PDF-1.4 nothing", pdf("x")[:150], pdf("")])
def test_a_damaged_or_empty_pdf_is_set_aside(tmp_path, data):
    pytest.importorskip("pypdf")
    (bad,) = rejected(make_file(tmp_path, "a.pdf", data))
    assert bad.where == "file"


@pytest.mark.parametrize("pack", [b"".join, lambda records: b"".join(map(gzip.compress, records))])
def test_a_warc_gives_its_html_responses_by_uri(tmp_path, pack):
    pytest.importorskip("warcio")
    file = make_file(tmp_path, "a.warc.gz", pack(WARC))
    found = good(file)
    assert [(d.key, d.text, d.position) for d in found] == [
        ("http://a/", "café", 1),
        ("http://b/", "café", 3),
        ("http://d/", "last", 5),
    ]
    assert found[0].title == "A"
    assert found[0].metadata == '{"date":"2020-01-02T03:04:05Z"}'
    assert [(r.where, r.excerpt) for r in rejected(file)] == [("record 4", "http://c/")]
    assert records(file, only=[3]) == [found[1]]


def test_a_truncated_warc_gives_what_came_before(tmp_path):
    pytest.importorskip("warcio")
    packed = b"".join(map(gzip.compress, WARC))
    file = make_file(tmp_path, "a.warc.gz", packed[:-20])
    assert [d.key for d in good(file)][:2] == ["http://a/", "http://b/"]
    assert any("truncated gzip" in r.reason for r in rejected(file))


@pytest.mark.parametrize(
    ("module", "name", "data"), [("pypdf", "a.pdf", pdf("x")), ("warcio", "a.warc", WARC[1])]
)
def test_without_the_extra_planning_and_reading_say_what_to_install(
    tmp_path, monkeypatch, module, name, data
):
    monkeypatch.setitem(sys.modules, module, None)
    file = make_file(tmp_path, name, data)
    for attempt in (
        lambda: split(file, ReadOptions(), 1 << 20),
        lambda: list(read(Slice(file), ReadOptions())),
    ):
        with pytest.raises(MissingExtra) as caught:
            attempt()
        assert caught.value.hint.startswith("pip install")


def test_a_corpus_is_read_over_http(tmp_path):
    (tmp_path / "a.txt").write_text("the boat")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.txt"
        ((uri, size, _),) = remote.listing(url)
        with remote.open_url(url) as stream:
            read = stream.read()
        with pytest.raises(InputNotFound):
            list(remote.listing(url + ".none"))
        server.shutdown()
    assert (uri, size, read) == (url, 8, b"the boat")


@pytest.mark.parametrize(("url", "extra"), [("s3://b/a.txt", "s3"), ("https://h/a.txt", "http")])
def test_a_place_that_needs_an_extra_names_it(monkeypatch, url, extra):
    def missing(_):
        raise ImportError("not installed")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(MissingExtra, match=f"needs the extra '{extra}'"):
        list(remote.listing(url))
