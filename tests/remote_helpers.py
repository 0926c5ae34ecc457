"""What tests of remote databases share: a small one, and a look at what lies in a bucket."""

from __future__ import annotations

from pathlib import Path

from encoders import save_static_encoder
from fsspec.core import url_to_fs
from helpers import fingerprint, write_jsonl

from retro_cli import Database
from retro_cli.store.remote import view
from retro_cli.store.remote.place import TRAFFIC

SECRET = "the keeper hid the ferry light in the harbour of storm island"


def small_database(folder: Path, tokenizer: Path) -> Path:
    """Forty documents about boats, of which one, by the source "letters", holds the SECRET."""
    encoder = save_static_encoder(folder / "encoder", tokenizer.read_text(encoding="utf-8"))
    corpus = write_jsonl(folder / "corpus.jsonl", [*boats(40), secret()])
    Database.build(folder / "built.db", corpus, encoder=str(encoder), tokens=16).close()
    return folder / "built.db"


def add_a_boat(local: Path) -> None:
    more = [{"id": "new", "text": "the new boat " * 9}]
    Database.chunk(local, write_jsonl(local.parent / "more.jsonl", more))
    Database.embed(local)
    Database.index(local)


def boats(count: int) -> list[dict]:
    return [
        {"id": f"b{n}", "text": f"boat {n} left the harbour in storm {n * 7}. " * 4,
         "source": "log"}
        for n in range(count)
    ]  # fmt: skip


def secret() -> dict:
    return {"id": "s", "text": SECRET, "source": "letters"}


def content(root: Path) -> dict[str, str]:
    """The hashes of a database's files, by name, without locks and caches."""
    hidden = (".verified.json", ".pushed.json", ".lock")
    return {
        str(Path(name).relative_to(root)): sha256
        for name, sha256 in fingerprint(root).items()
        if not name.endswith(hidden)
    }


def objects(url: str) -> dict[str, bytes]:
    """All that lies below a URL."""
    system, root = url_to_fs(url)
    system.invalidate_cache()
    return {path[len(root) + 1 :]: system.cat_file(path) for path in system.find(root)}


def put(url: str, key: str, data: bytes) -> None:
    system, root = url_to_fs(url)
    system.pipe_file(f"{root}/{key}", data)


def as_new_process() -> None:
    """Forget what a process counts and has open."""
    TRAFFIC.clear()
    view._opened.clear()


def forget_connections() -> None:
    """Credentials and addresses come from the environment anew; nothing is in memory."""
    import s3fs
    from fsspec.implementations.memory import MemoryFileSystem

    as_new_process()
    s3fs.S3FileSystem.clear_instance_cache()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
