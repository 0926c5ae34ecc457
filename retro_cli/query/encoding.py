"""The encoder that a generation's vectors come from, for queries or for more texts like its own."""

from __future__ import annotations

from retro_cli.embeddings.encoder import Encoder, auto_precision, load_encoder
from retro_cli.embeddings.pairing import check_pair
from retro_cli.embeddings.resolve import resolve
from retro_cli.embeddings.spec import EXTERNAL
from retro_cli.errors import UsageError
from retro_cli.query.retrieve import Retriever


def query_encoder(retriever: Retriever, name: str = "") -> Encoder:
    """name: of a query encoder that was trained apart; by default the documents' own.

    Raises EncoderMismatch if its weights are not the ones the index was made with, nor trained
    against them, UsageError if the vectors came from outside, and nobody said what made them.
    """
    resolved = resolve(name or _encoder_name(retriever), verify=False)
    check_pair(resolved, retriever.generation.encoder)
    return load_encoder(resolved, purpose="query")


def document_encoder(retriever: Retriever) -> Encoder:
    """As the chunks were encoded: in int8 if they were, else in floats as this machine has them.

    Raises EncoderMismatch if its weights are not the ones the index was made with.
    """
    resolved = resolve(_encoder_name(retriever))
    retriever.check_encoder(resolved.spec.fingerprint(), resolved.spec.name)
    precision = retriever.generation.precision
    if precision != "int8":  # half and single precision agree to four digits
        precision = auto_precision(resolved.spec, "auto")
    return load_encoder(resolved, purpose="bulk", precision=precision)


def _encoder_name(retriever: Retriever) -> str:
    made_with = retriever.generation.encoder
    if made_with.kind == EXTERNAL:
        raise UsageError(
            "the vectors came from outside, and what made them is not known",
            "query with --vectors, or retro embed DB --from FILE --encoder NAME, and index again",
        )
    return made_with.name
