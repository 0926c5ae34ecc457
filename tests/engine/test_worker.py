"""What a machine of a cluster tells of itself, and what of it must be the same."""

from __future__ import annotations

from retro_cli.engine.worker import Worker, difference, installed, sights


def test_the_same_machine_is_like_itself(tmp_path):
    (tmp_path / "a").write_text("x")
    assert not difference(installed(), installed())
    assert not difference(sights([tmp_path]), sights([tmp_path]))


def test_a_file_that_is_missing_shorter_or_has_other_bytes_is_seen(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(300_000))
    here = sights([path])
    for changed in (bytes(299_999), bytes(299_999) + b"1", b"1" + bytes(299_999)):
        path.write_bytes(changed)
        assert str(path) in difference(here, sights([path]))
    path.unlink()
    assert "is missing there" in difference(here, sights([path]))


def test_a_folder_with_other_names_is_seen_but_not_hidden_ones(tmp_path):
    here = sights([tmp_path])
    (tmp_path / ".hidden").touch()
    assert not difference(here, sights([tmp_path]))
    (tmp_path / "new").touch()
    assert difference(here, sights([tmp_path]))


def test_what_is_not_installed_there_is_named():
    there = {name: version for name, version in installed().items() if name != "pyarrow"}
    assert difference(installed(), there).startswith("pyarrow is missing there")


def test_unfinished_files_of_two_workers_have_two_names(tmp_path, monkeypatch):
    from retro_cli.store import atomic

    monkeypatch.setattr(atomic, "_signature", "")
    names = []
    for _ in range(2):
        Worker(str(tmp_path / "not there"))
        names.append(atomic.unfinished(tmp_path / "part"))
    assert names[0] != names[1]
    assert all(name.name.startswith("part.") and name.suffix == ".tmp" for name in names)
    for name in names:
        name.touch()
    atomic.sweep_temporaries(tmp_path)
    assert not any(name.exists() for name in names)
