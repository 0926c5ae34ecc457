"""Conditions on documents, as they are given to the command line."""

from __future__ import annotations

import pytest
from helpers import write_jsonl

LABELS = ("12e4567", "99e9999", "007", "7", "1_0", "10", "nan")


@pytest.fixture
def labelled(retro, static_encoder, tmp_path):
    """Documents whose names look like numbers."""
    records = [{"id": label, "title": label, "text": f"the boat {label}"} for label in LABELS]
    write_jsonl(tmp_path / "labels.jsonl", records)
    path = tmp_path / "labels.db"
    built = retro("build", "labels.jsonl", "--db", path, "--encoder", static_encoder)
    assert built.code == 0, built.err
    return path


def found(retro, db, *how):
    asked = retro("query", db, "the boat", "-k", 50, "--json", *how)
    assert asked.code == 0, asked.err
    return {hit["document"] for hit in asked.rows[0]["hits"]}


@pytest.mark.parametrize("label", LABELS)
def test_a_document_is_found_and_taken_by_its_own_name_alone(retro, labelled, label):
    condition = f"document = {label}"
    assert found(retro, labelled, "--where", condition) == {label}
    assert found(retro, labelled, "--where", f"title != '{label}'") == {*LABELS} - {label}
    added = retro("filter", "add", labelled, "--where", condition, "--reason", "x", "--json")
    assert added.rows[0]["documents"] == 1
    assert found(retro, labelled) == {*LABELS} - {label}


@pytest.fixture
def bracketed(retro, static_encoder, tmp_path):
    """Sources that would be globs, were they no names."""
    names = ("br/a[1].txt", "br/a1.txt", "[ab]", "a")
    write_jsonl(tmp_path / "s.jsonl", [{"id": n, "source": n, "text": f"boat {n}"} for n in names])
    path = tmp_path / "s.db"
    assert retro("build", "s.jsonl", "--db", path, "--encoder", static_encoder).code == 0
    return path


@pytest.mark.parametrize(
    ("source", "documents"),
    [
        ("br/a[1].txt", {"br/a[1].txt"}),
        ("[ab]", {"[ab]"}),
        ("br/*", {"br/a[1].txt", "br/a1.txt"}),
        ("br/a?.txt", {"br/a1.txt"}),
    ],
)
def test_a_source_is_a_glob_for_a_query_where_it_is_one_for_a_rule(
    retro, bracketed, source, documents
):
    assert found(retro, bracketed, "--source", source) == documents
    rule = ("--source", source, "--reason", "x", "--dry-run", "--json")
    assert retro("filter", "add", bracketed, *rule).rows[0]["documents"] == len(documents)


def test_a_source_that_only_replaced_documents_have_is_unknown(retro, db, archive):
    posts = archive / "posts.jsonl"
    posts.write_text(posts.read_text().replace('"letters"', '"mail"'))
    assert retro("build", archive, "--db", db).code == 0
    assert found(retro, db, "--source", "mail") == {"p1", "p3", "p5", "p7", "p9"}
    refused = retro("query", db, "the boat", "--source", "letters")
    assert (refused.code, "no source matches 'letters'" in refused.err) == (2, True)


def test_a_source_that_a_rule_took_is_known_and_has_nothing_to_show(retro, db):
    retro("filter", "add", db, "--source", "letters", "--reason", "x")
    assert found(retro, db, "--source", "letters") == set()


@pytest.mark.parametrize(
    ("condition", "hint"),
    [
        ("yaer = 1990", "near: year"),
        ("Year = 1990", "near: year"),
        ("Document = p1", "near: document"),
        ("year = 1990 and nofield != 1", "retro show"),
    ],
)
def test_a_field_that_no_document_has_is_refused_with_the_near_ones(retro, db, condition, hint):
    refused = retro("query", db, "the boat", "--where", condition)
    assert refused.code == 2
    assert "no document has a field '" in refused.err
    assert hint in refused.err


def test_a_field_is_known_wherever_a_live_document_has_it(retro, db, archive):
    assert found(retro, db, "--source", "*.md", "--where", "year = 1990") == set()
    posts = archive / "posts.jsonl"
    posts.write_text(posts.read_text().replace('"year"', '"yr"'))
    assert retro("build", archive, "--db", db).code == 0
    assert found(retro, db, "--where", "yr = 1990") == {"p0"}
    refused = retro("query", db, "the boat", "--where", "year = 1990")
    assert (refused.code, "near: yr" in refused.err) == (2, True)


def test_a_rule_may_name_a_field_that_later_documents_have(retro, db):
    rule = ("--where", "nofield = 1", "--reason", "x")
    assert retro("filter", "add", db, *rule).code == 2
    assert retro("filter", "add", db, *rule, "--yes").code == 0
