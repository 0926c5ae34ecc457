"""What several tests share: small tokenizers, small files, the command as a process."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tantivy
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = ["the", "ferry", "harbour", "light", "keeper", "island", "storm", "boat", "##s", "##ing"]


def wordpiece(folder: Path) -> Path:
    """A BERT-style tokenizer that knows a few words, and spells out all others."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS]
    pieces += [f"##{letter}" for letter in LETTERS] + list(".,;:!?'\"()-")
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def byte_bpe(folder: Path) -> Path:
    """A byte-level BPE like GPT-2's, trained on two sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(
        ["the ferry left the harbour", "the keeper lit the lamp"], trainer
    )
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def write_jsonl(path: Path, records: list[dict]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def every_word(state: Path) -> list[str]:
    """Every word that the files of a lexical state hold, of dead chunks too."""
    index = tantivy.Index.open(str(state))
    return [word for word, _ in index.searcher().terms_with_prefix("text", "")]


def everything(folder: Path) -> dict[str, tuple]:
    """Bytes, times and place on the disk of all below ``folder``. Equal: nothing was touched."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        data = path.read_bytes() if path.is_file() else b""
        times = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        found[str(path.relative_to(folder))] = (data, *times)
    return found


def fingerprint(folder: Path) -> dict[str, str]:
    """The sha256 of every file below ``folder`` but the lock. Equal: no byte was changed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


def process(*args: object, **options) -> subprocess.CompletedProcess:
    """Run ``retro ARGS`` as a process of its own."""
    environment = {**os.environ, "NO_COLOR": "1", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "retro_cli", *map(str, args)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
        **options,
    )


def hear_interrupts() -> None:
    """For ``preexec_fn``: a shell's background jobs, and what they start, are deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


IMPORTED = """
import sys
sys.argv = ["retro", *{args!r}]
from retro_cli.cli.app import main
try:
    main()
except SystemExit as ended:
    code = ended.code
print("IMPORTED", *sorted({{name.split(".")[0] for name in sys.modules}}), file=sys.stderr)
sys.exit(code)
"""


def imported_by(*args: object) -> set[str]:
    code = IMPORTED.format(args=[str(arg) for arg in args])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.rsplit("IMPORTED", 1)[1].split())


@contextmanager
def without_override() -> Iterator[None]:
    """Root is told by the rights of files as others are (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)."""
    if os.geteuid():
        yield
        return
    libc, header = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 2)(0x20080522, 0)
    held, less = ((ctypes.c_uint32 * 6)() for _ in range(2))
    assert libc.capget(header, held) == 0
    less[:] = [held[0] & ~0b110, *held[1:]]
    assert libc.capset(header, less) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0
