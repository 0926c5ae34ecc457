"""Which files are read: folders, globs, links, near names."""

from __future__ import annotations

import errno
import os
import sys

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.corpus import InputFile, covers, list_inputs, roots
from retro_cli.corpus.inputs import local_now
from retro_cli.corpus.names import near_names
from retro_cli.errors import InputNotFound, RetroError, UnreadableInput


@pytest.fixture
def tree(tmp_path, monkeypatch):
    names = [
        "corpus/b.txt", "corpus/a.txt", "corpus/deep/er/c.txt", "corpus/deep/d.jsonl",
        "corpus/.hidden.txt", "corpus/_draft.txt", "corpus/.git/x.txt", "corpus/_build/y.txt",
        "other.txt",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def uris(*specs):
    return [file.uri for file in list_inputs(specs)]


VISIBLE = ["corpus/a.txt", "corpus/b.txt", "corpus/deep/d.jsonl", "corpus/deep/er/c.txt"]


def test_a_folder_is_walked_without_hidden_names(tree):
    assert uris("corpus") == VISIBLE


def test_spellings_of_a_folder_give_the_same_uris_and_no_file_comes_twice(tree):
    assert uris("./corpus/", "corpus", "corpus/../corpus/a.txt") == VISIBLE
    assert uris(".") == [*VISIBLE, "other.txt"]


@pytest.mark.parametrize("spec", ["sets", "sets/beir", "sets/**"])
def test_of_a_folder_laid_out_as_beir_only_the_corpus_is_read(tree, spec):
    folder = tree / "sets" / "beir"
    (folder / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (folder / name).write_text("{}")
    assert uris(spec) == ["sets/beir/corpus.jsonl"]
    assert uris("sets/beir/queries.jsonl") == ["sets/beir/queries.jsonl"]  # when it is named
    (folder / "corpus.jsonl").unlink()
    assert "sets/beir/queries.jsonl" in uris(spec)


def test_an_input_file_carries_size_and_time(tree):
    status = os.stat("other.txt")
    expected = InputFile("other.txt", "other.txt", status.st_size, status.st_mtime_ns)
    assert list(list_inputs(["other.txt"])) == [expected]


def test_a_hidden_file_is_read_when_named(tree):
    assert uris("corpus/.hidden.txt", "corpus/_draft.txt") == [
        "corpus/.hidden.txt",
        "corpus/_draft.txt",
    ]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("corpus/*.txt", ["corpus/_draft.txt", "corpus/a.txt", "corpus/b.txt"]),
        ("corpus/[!_]*.txt", ["corpus/a.txt", "corpus/b.txt"]),
        ("corpus/[ab].txt", ["corpus/a.txt", "corpus/b.txt"]),
        ("corpus/?.txt", ["corpus/a.txt", "corpus/b.txt"]),
        ("corpus/*/*.jsonl", ["corpus/deep/d.jsonl"]),
        ("corpus/**/c.txt", ["corpus/deep/er/c.txt"]),
        ("**/[abc].txt", ["corpus/a.txt", "corpus/b.txt", "corpus/deep/er/c.txt"]),
        ("*.txt", ["other.txt"]),
        ("./oth*", ["other.txt"]),
    ],
)
def test_globs_match_like_a_shell(tree, glob, expected):
    assert uris(glob) == expected


def test_an_absolute_glob_matches_absolute_paths(tree):
    assert uris(f"{tree}/corpus/?.txt") == [f"{tree}/corpus/a.txt", f"{tree}/corpus/b.txt"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tree):
    (tree / "data[1].txt").write_text("x")
    assert uris("data[1].txt") == ["data[1].txt"]


def test_a_misspelt_name_gets_near_names_as_hint(tree):
    with pytest.raises(InputNotFound, match="corpsu") as caught:
        list_inputs(["corpsu"])
    assert caught.value.hint == "did you mean corpus?"
    with pytest.raises(InputNotFound) as caught:
        list_inputs(["corpus/deep/d.json"])
    assert "corpus/deep/d.jsonl" in caught.value.hint


@pytest.mark.parametrize("spec", ["corpus/*.pdf", "nowhere/*.txt", "nowhere/x/y", "", "empty"])
def test_a_spec_that_names_nothing_is_an_error(tree, spec):
    (tree / "empty").mkdir()
    with pytest.raises(InputNotFound):
        list_inputs(["other.txt", spec])
    with pytest.raises(InputNotFound):
        list_inputs([])


def test_links_to_files_are_followed_and_links_to_folders_are_not(tree):
    os.symlink(tree / "other.txt", tree / "corpus/link.txt")
    os.symlink(tree / "corpus", tree / "corpus/deep/loop")
    assert uris("corpus") == sorted([*VISIBLE, "corpus/link.txt"])


def test_a_dangling_link_is_listed_so_that_reading_reports_it(tree):
    os.symlink("gone", tree / "corpus/dangling.txt")
    assert "corpus/dangling.txt" in uris("corpus")


def test_pipes_are_skipped_in_folders_and_refused_by_name(tree):
    os.mkfifo(tree / "corpus/pipe")
    assert uris("corpus") == VISIBLE
    with pytest.raises(UnreadableInput, match="not a regular file"):
        list_inputs(["corpus/pipe"])


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_a_name_that_is_not_utf8_has_a_printable_uri_and_can_be_read(tree):
    with open(os.fsencode(tree / "corpus") + b"/caf\xe9.txt", "wb") as file:
        file.write(b"x")
    found = next(f for f in list_inputs(["corpus"]) if "caf" in f.uri)
    assert found.uri == "corpus/caf\\xe9.txt"
    with open(found.path, "rb") as file:
        assert file.read() == b"x"


@pytest.mark.parametrize("name", [b"caf\xe9", rb"caf\xe9", "café".encode(), rb"a\x00b", b"\\x"])
@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_a_file_is_found_again_by_its_uri(tree, name):
    with open(b"corpus/" + name, "wb") as file:
        file.write(b"seven b")
    os.symlink(b"nowhere", b"corpus/to " + name)
    for file in list_inputs(["corpus"]):
        assert local_now(file.uri) == (file.size, file.mtime_ns)
        os.unlink(file.path)
        assert local_now(file.uri) is None


def test_urls_are_listed_through_fsspec():
    system = fsspec.filesystem("memory")
    for name in ("/corpus-test/a.txt", "/corpus-test/b/c.txt", "/corpus-test/_x.txt"):
        system.pipe(name, b"hello")
    try:
        found = uris("memory://corpus-test/")
        assert found == ["memory://corpus-test/a.txt", "memory://corpus-test/b/c.txt"]
        assert all(covers(["memory://corpus-test/"], uri) for uri in found)
        assert uris("memory://corpus-test/[!_]*.txt") == ["memory://corpus-test/a.txt"]
        assert uris("memory://corpus-test/a.txt") == ["memory://corpus-test/a.txt"]
        assert next(iter(list_inputs(["memory://corpus-test/a.txt"]))).size == 5
        with pytest.raises(InputNotFound):
            list_inputs(["memory://corpus-test/none.txt"])
    finally:
        system.rm("/corpus-test", recursive=True)


@pytest.mark.parametrize("url", ["nosuchthing://x/y", "simplecache::memory://x/y"])
def test_an_url_that_cannot_be_opened_is_a_clear_error(url):
    with pytest.raises(RetroError) as caught:
        list_inputs([url])
    assert url in caught.value.message


@pytest.mark.parametrize(
    "specs",
    [
        ["corpus"],
        ["./corpus/"],
        ["."],
        ["corpus/*.txt"],
        ["corpus/**"],
        ["**/*.txt"],
        ["other.txt"],
    ],
)
def test_what_a_spec_lists_it_covers(tree, specs):
    compiled = roots(specs)
    for file in list_inputs(specs):
        assert compiled.covers(file.uri)
        assert covers(specs, file.uri)


@pytest.mark.parametrize(
    ("specs", "uri", "expected"),
    [
        (["corpus"], "corpus/gone/x.txt", True),
        (["corpus"], "corpus2/x.txt", False),
        (["corpus/*.txt"], "corpus/gone.txt", True),
        (["corpus/*.txt"], "corpus/deep/gone.txt", False),
        (["corpus/**/*.txt"], "corpus/deep/gone.txt", True),
        (["."], "../x.txt", False),
        (["."], "s3://bucket/x", False),
        (["/"], "/a/b", True),
        (["s3://bucket/a/"], "s3://bucket/a/b.txt", True),
        (["s3://bucket/a"], "s3://bucket/ab.txt", False),
        ([], "a", False),
        ([""], "a", False),
    ],
)
def test_covers_knows_files_that_are_gone(specs, uri, expected):
    assert covers(specs, uri) is expected


@given(st.text("ab[]!^-*?\\/.", min_size=1, max_size=12), st.text("ab[]/.", max_size=8))
def test_no_glob_breaks_the_matcher(glob, uri):
    assert covers([glob], uri) in (True, False)


def test_a_place_that_cannot_be_looked_at_is_not_one_where_nothing_is(tree, monkeypatch):
    def stale(path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "stat", stale)
    for spec in ("corpus", "corpus/*.txt"):
        with pytest.raises(UnreadableInput, match="Stale"):
            list_inputs([spec], gone=lambda spec: True)


def test_an_input_that_is_gone_is_passed_over_where_that_is_allowed(tree):
    asked = []

    def known(spec):
        asked.append(spec)
        return spec != "corpus/*.md"

    assert list(list_inputs(["corpus/nowhere", "nowhere/*"], gone=known)) == []
    assert [f.uri for f in list_inputs(["nowhere", "other.txt"], gone=known)] == ["other.txt"]
    with pytest.raises(InputNotFound):
        list_inputs(["corpus/*.md"], gone=known)
    assert asked == ["corpus/nowhere", "nowhere/*", "nowhere", "corpus/*.md"]


def test_a_hint_says_what_is_wrong_with_a_pattern_or_a_link_that_finds_nothing(tree):
    os.symlink("gone", tree / "dangling.txt")
    with pytest.raises(InputNotFound) as caught:
        uris("corpus/no*.x")
    assert caught.value.hint.startswith("no file matches")
    assert near_names("dangling.txt") == "it is a link to gone, which does not exist"
