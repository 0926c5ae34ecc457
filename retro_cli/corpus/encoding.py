"""Bytes to text, strictly: what is not valid in its encoding is refused, never guessed at."""

from __future__ import annotations

import codecs
import io
from typing import Any, BinaryIO, cast

from retro_cli.corpus.streams import BLOCK, blocks
from retro_cli.errors import UnreadableInput, UsageError

# UTF-32 before UTF-16: the little-endian mark of the one begins with that of the other.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def effective_encoding(head: bytes, declared: str) -> str:
    """The encoding of a file: what its byte order mark says, else the declared one.

    Raises UsageError if no codec has the declared name.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    try:
        name = codecs.lookup(declared).name
        "".encode(name)
    except LookupError as error:
        raise UsageError(f"unknown encoding {declared}", "utf-8, latin-1, cp1252 ...") from error
    return "utf-8" if name == "utf-8-sig" else name


def is_line_safe(encoding: str) -> bool:
    """Whether lines can be cut at the byte "\\n", and ASCII bytes mean ASCII, before decoding."""
    sample = '\n{}[],\t"'
    try:
        return sample.encode(encoding) == sample.encode("ascii")
    except UnicodeError:
        return False


def decode(data: bytes, encoding: str, offset: int = 0) -> str:
    """Strict decoding; ``offset`` is where ``data`` begins in its file, for the message."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise undecodable(error, offset) from error
    except UnicodeError as error:
        raise UnreadableInput(f"not valid {encoding}: {error}") from error


def decode_file(data: bytes, declared: str) -> str:
    """A whole file, without its byte order mark."""
    encoding = effective_encoding(data[:4], declared)
    text = decode(data, encoding)
    return text.removeprefix("\ufeff")


def glance(head: bytes, encoding: str) -> str:
    """The beginning of a file, decoded for looking only: a bad byte is left out."""
    try:
        return head.decode(encoding, "ignore").removeprefix("\ufeff")
    except UnicodeError as error:  # "utf-16" without a byte order mark, say
        raise UnreadableInput(f"not valid {encoding}: {error}") from error


def undecodable(error: UnicodeDecodeError, offset: int) -> UnreadableInput:
    byte = error.object[error.start : error.start + 1].hex()
    return UnreadableInput(
        f"not valid {error.encoding} at byte {offset + error.start} (0x{byte})",
        "name the encoding with --encoding",
    )


def transcoded(stream: BinaryIO, encoding: str) -> BinaryIO:
    """A stream of UTF-8 from one in an encoding whose lines cannot be cut as bytes."""
    return cast(BinaryIO, io.BufferedReader(_Transcoded(stream, encoding), BLOCK))


class _Transcoded(io.RawIOBase):
    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._blocks = blocks(stream)
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = memoryview(b"")
        self._consumed = 0
        self._failure: UnreadableInput | None = None
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            if self._failure is not None:
                raise self._failure
            self._ready = memoryview(self._next().encode())
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _next(self) -> str:
        block = next(self._blocks, b"")
        self._consumed += len(block)
        self._ended = not block
        try:
            return self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            self._failure = undecodable(error, self._consumed - len(error.object))
            self._ended = False
            return self._before(error, block)
        except UnicodeError as error:
            raise UnreadableInput(f"not valid text: {error}") from error

    def _before(self, error: UnicodeDecodeError, block: bytes) -> str:
        """The good text that precedes the error in its block."""
        lost = len(error.object) - error.start
        try:
            return self._decoder.decode(block[: max(len(block) - lost, 0)])
        except UnicodeError:
            return ""
