"""A scorer of one's own: trained from labelled texts on the database's encoder, then used."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

WHY = ("--reason", "rude")


def labelled(path, count=60):
    rows = [
        f'"{"the storm storm" if n % 2 else "the light boat"} {n}",{n % 2}' for n in range(count)
    ]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def test_a_trained_scorer_scores_filters_and_goes_on_scoring(retro, db, archive, tmp_path):
    labelled(tmp_path / "l.csv")
    trained = retro("filter", "train-scorer", db, "l.csv", "--out", "mine.safetensors", "--json")
    assert trained.code == 0, trained.err
    assert trained.rows[0]["rows"] == 60
    assert trained.rows[0]["auc"] > 0.9
    spec = f"probe:{tmp_path / 'mine.safetensors'}"
    scored = retro("filter", "score", db, "--scorer", spec, "--json").rows[0]
    assert scored["scores"] == "probe-mine"
    rows = retro("filter", "sources", db, "--scores", "probe-mine", "--json").rows
    assert all(0 <= row["mean"] <= 1 for row in rows)
    ask = ("filter", "add", db, "--min-toxicity", "0.8", "--scores", "probe-mine", *WHY)
    added = retro(*ask)
    assert added.code == 0, added.err
    (archive / "new.txt").write_text("the storm storm storm")
    assert retro("build", archive, "--db", db).code == 0
    hits = retro("query", db, "the storm storm storm", "-k", 200, "--json").rows[0]["hits"]
    assert not any(hit["source"].endswith("new.txt") for hit in hits)
    assert retro("filter", "verify", db).code == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"text,label\n", b"text\nthe boat\n", b"text,label\nthe boat,2\n", b"text,label\n,1\n",
     b"text,label\nthe boat\n", b"text,label\nthe \xff boat,1\n", b"text,label\nthe boat,1\n",
     b"text,label\n" + b"the boat,1\n" * 30, b"\x00\x00\x00", b"text,label\na,0\nb,1\n"],
)  # fmt: skip
def test_a_table_that_cannot_train_a_scorer_is_refused(retro, db, tmp_path, content):
    (tmp_path / "l.csv").write_bytes(content)
    refused = retro("filter", "train-scorer", db, "l.csv", "--out", "mine.safetensors")
    assert (refused.code, "defect" in refused.err) == (2, False), refused.err
    assert not (tmp_path / "mine.safetensors").exists()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("missing", "error: there is no file t.csv"), ("folder", "cannot be read: is a directory"),
     ("forbidden", "cannot be read: permission denied"), ("binary", "no text but binary data"),
     ("latin", "not UTF-8 (byte 12)"), ("endless", "line 2: field larger than field limit")],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(), ("--json",)])
def test_a_table_that_cannot_be_read_is_named_with_a_hint(
    retro, db, tmp_path, monkeypatch, kind, words, shape
):
    path = tmp_path / "t.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "forbidden":  # also where the tests run as root
        path.write_text("text,label\n")
        read = Path.read_bytes

        def refuse(self):
            if self.name == "t.csv":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
            return read(self)

        monkeypatch.setattr(Path, "read_bytes", refuse)
    elif kind != "missing":
        contents = {
            "binary": b"PK\x03\x04\x00\x00",
            "latin": b"text,label\nd\xe9j\xe0,1\n",
            "endless": b"text,label\n" + b"x" * 200_000 + b",1\n",
        }
        path.write_bytes(contents[kind])
    refused = retro("filter", "train-scorer", db, "t.csv", *shape)
    assert refused.code == 2
    assert (words.removeprefix("error: ") if shape else words) in refused.err
    assert "Errno" not in refused.err
    assert "columns text and label" in refused.err
    assert refused.out == ""


def test_a_table_of_a_spreadsheet_with_a_byte_order_mark_is_read(retro, db, tmp_path):
    labelled(tmp_path / "l.csv")
    data = (tmp_path / "l.csv").read_bytes()
    (tmp_path / "l.csv").write_bytes(b"\xef\xbb\xbf" + data)
    assert retro("filter", "train-scorer", db, "l.csv", "--out", "m.safetensors").code == 0


def test_a_database_without_vectors_cannot_train(retro, archive, static_encoder, tmp_path):
    labelled(tmp_path / "l.csv")
    assert retro("chunk", archive, "--db", "c.db", "--encoder", static_encoder).code == 0
    refused = retro("filter", "train-scorer", "c.db", "l.csv")
    assert (refused.code, "retro embed" in refused.err) == (2, True)


def test_a_scorer_that_cannot_be_written_is_an_error_and_no_defect(retro, db, tmp_path):
    labelled(tmp_path / "l.csv")
    (tmp_path / "taken").mkdir()
    refused = retro("filter", "train-scorer", db, "l.csv", "--out", "taken")
    assert (refused.code, "taken is a folder" in refused.err) == (2, True)
    assert "defect" not in refused.err
    assert list((tmp_path / "taken").iterdir()) == []


def test_the_folder_of_a_scorer_is_made(retro, db, tmp_path):
    labelled(tmp_path / "l.csv")
    made = retro("filter", "train-scorer", db, "l.csv", "--out", "no/such/folder/mine.safetensors")
    assert made.code == 0, made.err
    assert (tmp_path / "no" / "such" / "folder" / "mine.safetensors").is_file()
