"""JSON Lines, JSON arrays and the choice of fields."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from corpus.helpers import by_slices, documents, good, make_file, records, rejected
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.corpus import Document, ReadOptions, Slice, read
from retro_cli.corpus.formats.json_array import elements
from retro_cli.errors import UnreadableInput, UsageError


def jsonl(*rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_beir_corpus_is_read_without_options(tmp_path):
    line = jsonl({"_id": "d1", "title": "Dune", "text": "A desert planet.", "metadata": {"y": 1}})
    file = make_file(tmp_path, "corpus.jsonl", line + line.replace("d1", "d2"))
    first = Document(
        file.uri, "d1", "A desert planet.", "Dune", file.uri, '{"metadata":{"y":1}}', 0
    )
    assert documents(file)[0] == first
    assert [(d.key, d.position) for d in documents(file)] == [("d1", 0), ("d2", len(line))]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"contents": "t", "id": 7}, ("7", "t", "", "FILE")),
        ({"body": "t", "content": "c"}, ("", "c", "", "FILE")),
        ({"Text": "t", "DocID": "x", "Title": "T"}, ("x", "t", "T", "FILE")),
        ({"passage": "t", "pid": 1.5, "name": "N", "url": "u"}, ("1.5", "t", "N", "u")),
        ({"text": "t", "source": "s", "url": "u"}, ("", "t", "", "s")),
        ({"text": "t", "id": None, "title": ["x"], "source": True}, ("", "t", "", "FILE")),
    ],
)
def test_fields_are_chosen_by_the_usual_names(tmp_path, record, expected):
    file = make_file(tmp_path, "a.jsonl", jsonl(record))
    key, text, title, source = expected
    document = documents(file)[0]
    assert (document.key, document.text, document.title) == (key, text, title)
    assert document.source == source.replace("FILE", file.uri)


def test_the_url_is_metadata_when_there_is_a_source(tmp_path):
    file = make_file(tmp_path, "a.jsonl", jsonl({"text": "t", "source": "s", "url": "u"}))
    assert documents(file)[0].metadata == '{"url":"u"}'


def test_named_fields_win(tmp_path):
    record = {"text": "not this", "summary": "this", "ref": "r", "about": "T", "from": "S"}
    file = make_file(tmp_path, "a.jsonl", jsonl(record))
    document = documents(
        file, text_field="summary", id_field="ref", title_field="about", source_field="from"
    )[0]
    assert document == Document(file.uri, "r", "this", "T", "S", '{"text":"not this"}')


@pytest.mark.parametrize("option", ["text_field", "id_field", "title_field", "source_field"])
def test_a_named_field_that_a_record_lacks_sets_only_that_record_aside(tmp_path, option):
    file = make_file(tmp_path, "a.jsonl", jsonl({"text": "a", "x": "1"}, {"text": "b"}))
    first, second = records(file, **{option: "x"})
    assert isinstance(first, Document)
    assert (second.where, second.reason) == ("line 2", "has no column 'x'; columns: text")


def test_metadata_is_canonical_and_bounded(tmp_path):
    record = {
        "text": "t", "z": 1, "a": "é", "none": None, "empty": "", "in": {"b": [1, 2], "a": None},
        "huge": "x" * 20_000, "true": True, "nan": float("nan"),
    }  # fmt: skip
    file = make_file(tmp_path, "a.jsonl", jsonl(record))
    assert documents(file)[0].metadata == '{"a":"é","in":{"a":null,"b":[1,2]},"true":true,"z":1}'


def test_a_number_too_large_for_json_is_dropped_from_metadata(tmp_path):
    file = make_file(tmp_path, "a.jsonl", '{"text": "t", "big": 1e999, "small": 1}\n')
    assert documents(file)[0].metadata == '{"small":1}'


def test_with_title_puts_the_title_before_a_text_that_lacks_it(tmp_path):
    rows = [{"title": "T", "text": "body"}, {"title": "T", "text": "T is"}, {"text": "x"}]
    file = make_file(tmp_path, "a.jsonl", jsonl(*rows))
    assert [d.text for d in documents(file, with_title=True)] == ["T\n\nbody", "T is", "x"]


BAD = [
    ('{"text": "a"', "broken JSON"),
    ('{"text": "a"} x', "broken JSON"),
    ('["text"]', "not a JSON object but list"),
    ('"text"', "not a JSON object but str"),
    ("null", "not a JSON object but NoneType"),
    ('{"title": "only"}', "has no text column; columns: title"),
    ('{"text": ""}', "empty text"),
    ('{"text": " \\n"}', "empty text"),
    ('{"text": null}', "empty text"),
    ('{"text": ["a"]}', "'text' is not a string but list"),
    ('{"text": "\\ud800"}', "lone surrogate \\ud800"),
    ('{"text": "a", "id": "\\udfff"}', "lone surrogate \\udfff"),
    ('{"text": "a", "x": "\\ud800"}', "lone surrogate \\ud800"),
    ('{"text": ' + "[" * 100_000, "JSON nested too deep"),
    ('{"text": ' + "9" * 5000 + "}", "broken JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_line_is_set_aside_with_its_number_and_reason(tmp_path, line, reason):
    head = '{"text": "good"}\n\n'
    file = make_file(tmp_path, "a.jsonl", head + line + '\n{"text": "also good"}')
    before, bad, after = records(file)
    assert (before.text, after.text) == ("good", "also good")
    assert (bad.uri, bad.position, bad.where) == (file.uri, len(head), "line 3")
    assert reason in bad.reason
    assert bad.excerpt == line[:200].strip()


def test_an_invalid_byte_is_reported_where_it_is(tmp_path):
    data = b'{"text": "good"}\n{"text": "caf\xe9"}\n{"text": "good"}\n'
    file = make_file(tmp_path, "a.jsonl", data)
    assert len(good(file)) == 2
    assert rejected(file)[0].reason == "not valid utf-8 at byte 30 (0xe9)"
    assert rejected(file)[0].excerpt == '{"text": "caf\\xe9"}'
    assert [d.text for d in documents(file, encoding="latin-1")][1] == "café"


def test_line_numbers_are_absolute_inside_a_slice(tmp_path):
    rows = [json.dumps({"text": f"row {i}"}) for i in range(1000)]
    rows[700] = "broken"
    file = make_file(tmp_path, "a.jsonl", "\n".join(rows))
    bad = [r for r in by_slices(file, 2000) if not isinstance(r, Document)]
    assert [r.where for r in bad] == ["line 701"]
    assert bad == rejected(file)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_marked_encodings_and_line_ends_give_the_same_documents(tmp_path, encoding, ending):
    rows = ending.join(json.dumps({"text": f"é{i}"}, ensure_ascii=False) for i in range(50))
    file = make_file(tmp_path, "a.jsonl", rows.encode(encoding))
    assert [d.text for d in documents(file)] == [f"é{i}" for i in range(50)]
    assert by_slices(file, 100) == documents(file)


def test_a_json_array_gives_its_items_by_ordinal(tmp_path):
    rows = [{"text": "a", "id": 1}, 5, {"title": "x"}, {"text": "b"}]
    found = records(make_file(tmp_path, "a.json", json.dumps(rows, indent=2)))
    assert [(r.position, getattr(r, "where", "")) for r in found] == [
        (0, ""), (1, "item 1"), (2, "item 2"), (3, ""),
    ]  # fmt: skip


def test_one_indented_object_is_one_document(tmp_path):
    file = make_file(tmp_path, "a.json", json.dumps({"text": "a", "id": "x"}, indent=2))
    assert [d.key for d in documents(file)] == ["x"]


@pytest.mark.parametrize(
    ("text", "count", "reason"),
    [
        ('[{"text":"a"},{"text":"b"', 1, "broken JSON"),
        ('[{"text":"a"},{"text":"b"}', 2, "the end of the file instead of"),
        ('[{"text":"a"} {"text":"b"}]', 1, "'{' instead of ',' or ']'"),
        ('[{"text":"a"}] trailing', 1, "'t' instead of the end of the file"),
        ('[{"text":"a"},{"text":tru}]' + " " * 100, 1, "broken JSON: Expecting value"),
        ('[{"text":"a"},' + "[" * 100_000, 1, "JSON nested too deep"),
    ],
)
def test_a_broken_array_gives_what_came_before(tmp_path, text, count, reason):
    file = make_file(tmp_path, "a.json", text)
    assert len(good(file)) == count
    assert reason in rejected(file)[0].reason
    assert rejected(file)[0].where == f"item {count}"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=15,
)


def in_blocks(text, sizes):
    at = 0
    for size in sizes:
        yield text[at : at + size]
        at += size
    yield text[at:]


@given(
    st.lists(JSON, max_size=8),
    st.lists(st.integers(0, 9), max_size=60),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_streaming_an_array_equals_json_loads_for_any_blocks(values, sizes, indent, ascii_only):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    assert list(elements(in_blocks(text, sizes))) == json.loads(text)


@given(st.lists(JSON, max_size=6), st.lists(st.integers(0, 9), max_size=60))
def test_values_one_after_another_are_a_stream_too(values, sizes):
    values = [{"value": value} for value in values]
    text = "\n ".join(json.dumps(value, indent=1) for value in values)
    assert list(elements(in_blocks(text, sizes))) == values


@given(st.text('[]{},:"\\ 019.-eE+truefalsn', max_size=30), st.lists(st.integers(0, 5), max_size=9))
def test_streaming_accepts_an_array_only_if_json_loads_does(text, sizes):
    text = "[" + text
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(UnreadableInput):
            list(elements(in_blocks(text, sizes)))
    else:
        assert list(elements(in_blocks(text, sizes))) == expected


def test_options_have_a_fingerprint_of_every_setting():
    base = ReadOptions()
    changed = [ReadOptions(text_field="x"), ReadOptions(with_title=True), ReadOptions(format="csv")]
    assert base.fingerprint() == ReadOptions().fingerprint()
    assert len({options.fingerprint() for options in [base, *changed]}) == 4


@pytest.mark.parametrize("options", [{"format": "docx"}, {"encoding": "nonsense"}])
def test_an_option_that_cannot_be_is_the_users_error(tmp_path, options):
    file = make_file(tmp_path, "a.jsonl", '{"text": "a"}')
    with pytest.raises(UsageError):
        list(read(Slice(file), ReadOptions(**options)))


def test_a_bad_pair_in_utf16_loses_what_follows_and_says_where(tmp_path):
    good_line = '{"text": "good"}\n'.encode("utf-16-le")
    data = b"\xff\xfe" + good_line * 3 + b"\x00\xd8" * 2 + good_line
    file = make_file(tmp_path, "a.jsonl", data)
    assert len(good(file)) == 3
    (bad,) = rejected(file)
    assert bad.where == "line 4"
    assert bad.reason.startswith(f"not valid utf-16-le at byte {2 + 3 * len(good_line)}")


def test_declared_utf16_without_a_mark_is_refused_clearly(tmp_path):
    file = make_file(tmp_path, "a.jsonl", '{"text": "a"}\n')
    assert "UTF-16" in rejected(file, encoding="utf-16")[0].reason


def test_what_precedes_a_bad_byte_in_an_array_is_kept(tmp_path):
    rows = [{"text": f"é {i}"} for i in range(100)]
    data = json.dumps(rows, ensure_ascii=False).encode()
    cut = data.index("é 70".encode())
    file = make_file(tmp_path, "a.json", data[:cut] + b"\xff" + data[cut:])
    assert len(good(file)) == 70
    (bad,) = rejected(file)
    assert (bad.where, bad.reason) == ("item 70", f"not valid utf-8 at byte {cut} (0xff)")


def test_a_truncated_compressed_array_gives_all_whole_items_before_the_break(tmp_path):
    rows = [{"text": f"row {i} {i * i}"} for i in range(3000)]
    packed = gzip.compress(json.dumps(rows).encode())
    packed = packed[: len(packed) // 2]
    content = zlib.decompressobj(wbits=31).decompress(packed)
    file = make_file(tmp_path, "a.json.gz", packed)
    assert len(good(file)) == content.count(b"}")
    (bad,) = rejected(file)
    assert bad.reason.startswith("truncated gzip data")
