"""A scorer's name on the command line -> the scorer."""

from __future__ import annotations

import difflib
from pathlib import Path

from retro_cli.errors import UsageError
from retro_cli.filters.scorers.contract import Scorer

NAMES = ("default", "words", "words:FILE", "profanity", "probe:FILE", "hf:FOLDER_OR_NAME")


def load_scorer(
    spec: str,
    *,
    encoder_fingerprint: str,
    allow_download: bool = False,
    toxic_label: str = "",
) -> Scorer:
    """Load the scorer called ``spec``: one of NAMES, or the path of a .safetensors probe.

    encoder_fingerprint: of the encoder that made the vectors to score
    allow_download, toxic_label: for a model of the hub (see ``hub``)

    Raises UsageError (or one below it) or IntegrityError.
    """
    kind, _, value = spec.partition(":")
    if toxic_label and kind != "hf":
        raise UsageError(f"the scorer '{spec}' has one label only", "leave out the toxic label")
    if kind == "hf" and value:
        from retro_cli.filters.scorers.hub import HubScorer

        return HubScorer(value, allow_download=allow_download, toxic_label=toxic_label)
    if kind == "words":
        return _words(value)
    if kind == "probe" and value:
        return _probe(value, encoder_fingerprint)
    if spec == "profanity":
        from retro_cli.filters.scorers.profanity import ProfanityScorer

        return ProfanityScorer()
    if spec == "default":
        from retro_cli.filters.scorers.default import load_default

        return load_default(encoder_fingerprint)
    if spec.endswith(".safetensors"):
        return _probe(spec, encoder_fingerprint)
    raise _unknown(spec)


def _words(path: str) -> Scorer:
    from retro_cli.filters.scorers.words import SHIPPED, load_words

    return load_words(Path(path).expanduser() if path else SHIPPED)


def _probe(path: str, encoder_fingerprint: str) -> Scorer:
    from retro_cli.filters.scorers.probe import ProbeScorer, load_probe

    probe = load_probe(Path(path).expanduser())
    return ProbeScorer(probe, encoder_fingerprint, f"probe:{path}")


def _unknown(spec: str) -> UsageError:
    kind = spec.partition(":")[0]
    near = difflib.get_close_matches(kind, [name.partition(":")[0] for name in NAMES], n=1)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    return UsageError(f"no scorer is called '{spec}'{meant}", f"choose one of {', '.join(NAMES)}")
