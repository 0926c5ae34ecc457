"""retro filter add --from-file: names of sources, documents and chunks, one a line."""

from __future__ import annotations

import pytest
from helpers import fingerprint

WHY = ("--reason", "insults")


def test_a_file_names_sources_documents_and_chunks(retro, db, tmp_path):
    lines = ["# insults", "", "forum", '{"document": "p1"}', '{"chunk": 0}', '{"source": "l*r"}']
    (tmp_path / "names.txt").write_text("\n".join(lines))
    ask = ["filter", "add", db, "--from-file", "names.txt", *WHY, "--json", "--dry-run"]
    refused = retro(*ask)
    assert (refused.code, "l*r" in refused.err) == (2, True)
    (tmp_path / "names.txt").write_text("\n".join(lines[:-1]))
    rule = retro(*ask).rows[0]["rule"]
    assert (rule["sources"], rule["documents"]) == (["forum"], ["p1"])
    assert [passage["chunk"] for passage in rule["passages"]] == [0]


@pytest.mark.parametrize(
    "line",
    ["{", '{"chunk": "x"}', '{"chunk": 1.5}', "{}", '{"paper": "x"}', '{"chunk": null}',
     '{"chunk": 99999}', '{"source": {}}', '{"source": true}', '{"chunk": -1}',
     '{"source": "forum", "document": "p3"}'],
)  # fmt: skip
def test_a_broken_line_of_a_file_is_refused_and_nothing_written(retro, db, tmp_path, line):
    (tmp_path / "names.txt").write_text("forum\n" + line + "\n")
    before = fingerprint(db)
    refused = retro("filter", "add", db, "--from-file", "names.txt", *WHY)
    assert (refused.code, "defect" in refused.err) == (2, False), refused.err
    assert fingerprint(db) == before


@pytest.mark.parametrize(
    ("line", "says"),
    [('{"source": true}', "line 2: not one name"), ('{"chunk": "x"}', "line 2: 'x' is no chunk")],
)
def test_a_value_of_another_kind_is_named_with_its_line(retro, db, tmp_path, line, says):
    (tmp_path / "names.txt").write_text("forum\n" + line + "\n")
    refused = retro("filter", "add", db, "--from-file", "names.txt", *WHY)
    assert (refused.code, says in refused.err) == (2, True), refused.err


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"forum\x00", b"\xffforum"])
def test_a_file_that_is_no_text_is_refused(retro, db, tmp_path, content):
    (tmp_path / "names.txt").write_bytes(content)
    refused = retro("filter", "add", db, "--from-file", "names.txt", *WHY)
    assert (refused.code, "defect" in refused.err) == (2, False), refused.err


def test_a_file_of_an_editor_with_a_byte_order_mark_is_read(retro, db, tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfforum\r\n")
    assert retro("filter", "add", db, "--from-file", "names.txt", *WHY).code == 0


def test_a_file_that_names_nothing_does_not_widen_the_rule_to_everything(retro, db, tmp_path):
    (tmp_path / "names.txt").write_text("# none today\n\n")
    refused = retro("filter", "add", db, "--from-file", "names.txt", "--match", "letter", *WHY)
    assert refused.code == 2
    assert not (db / "filters").exists()


def test_a_folder_is_no_file_of_names(retro, db, archive):
    refused = retro("filter", "add", db, "--from-file", archive, *WHY)
    assert (refused.code, "defect" in refused.err) == (2, False)
