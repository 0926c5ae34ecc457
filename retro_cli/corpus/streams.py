"""Opening a file: local or behind a URL, compressed or not, always as a stream of bytes.

Decompression is ours rather than the standard library's for three promises: every byte before
a break is delivered, a cut-off stream is an error in every format (zstandard's reader takes it
for the end), and memory is bounded whatever the data claims.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from retro_cli.corpus import remote
from retro_cli.corpus.inputs import InputFile
from retro_cli.errors import RetroError, UnreadableInput

BLOCK = 1 << 18
HEAD = 1 << 16  # bytes that decide about a file's format
_XZ_MEMORY = 1 << 28

MAGIC = {"gz": b"\x1f\x8b\x08", "zst": b"\x28\xb5\x2f\xfd", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00"}
NAMES = {"gz": "gzip", "zst": "zstandard", "bz2": "bzip2", "xz": "xz"}


def open_stream(file: InputFile, compression: str = "") -> BinaryIO:
    """A buffered stream of the file's (decompressed) bytes.

    Raises UnreadableInput if the file is missing, forbidden or a folder. Reading raises it where
    compressed data is cut off or broken; then ``read1`` and ``readline`` have given all before.
    """
    try:
        if remote.is_url(file.path):
            raw = remote.open_url(file.path)
        else:
            raw = open(file.path, "rb", buffering=BLOCK)  # noqa: SIM115
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise UnreadableInput(f"cannot be read: {error.strerror or error}") from error
    except (OSError, ValueError) as error:
        raise RetroError(f"cannot read {file.uri}: {error}", "run the same again") from error
    return decompressed(raw, compression)


def decompressed(raw: BinaryIO, compression: str) -> BinaryIO:
    """``raw`` itself, or a buffered stream of what it decompresses to; it closes ``raw``."""
    if not compression:
        return raw
    return cast(BinaryIO, io.BufferedReader(_Decompressed(raw, compression), BLOCK))


def blocks(stream: BinaryIO, size: int = BLOCK) -> Iterator[bytes]:
    """The rest of a stream; what came before an error is delivered before it is raised."""
    read = getattr(stream, "read1", stream.read)
    while block := read(size):
        yield block


def raw_blocks(file: InputFile) -> Iterator[bytes]:
    """The file's bytes as stored, in blocks, for hashing. Raises like ``open_stream``."""
    with open_stream(file) as stream:
        yield from blocks(stream)


def head_of(file: InputFile) -> bytes:
    """The first bytes of a file, as stored."""
    with open_stream(file) as stream:
        return read_up_to(stream, HEAD)


def read_up_to(stream: BinaryIO, size: int) -> bytes:
    """At most ``size`` bytes; fewer only at the end of the stream."""
    parts: list[bytes] = []
    for block in blocks(stream, size):
        parts.append(block[:size])
        size -= len(parts[-1])
        if size <= 0:
            break
    return b"".join(parts)


def decompressed_head(head: bytes, compression: str) -> bytes:
    """The first decompressed bytes behind ``head``, as far as it reaches."""
    parts: list[bytes] = []
    size = 0
    try:
        for block in blocks(decompressed(io.BytesIO(head), compression), HEAD):
            parts.append(block)
            size += len(block)
            if size >= HEAD:
                break
    except UnreadableInput:
        pass  # the head ends in the middle of the data, of course
    return b"".join(parts)[:HEAD]


class _Zstandard:
    """One zstandard frame, with the interface that the standard library's classes share."""

    def __init__(self) -> None:
        import zstandard

        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._error = zstandard.ZstdError

    def decompress(self, data: bytes, limit: int) -> bytes:
        try:
            return bytes(self._frame.decompress(data))
        except self._error as error:
            raise OSError(str(error)) from error

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data)


_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gz": lambda: zlib.decompressobj(wbits=31),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY),
    "zst": _Zstandard,
}


# The zstandard library cannot be told how much to give at once, so it gets little: one
# kilobyte stands for at most 32 MiB.
_ZSTANDARD_BITE = 1 << 10


class _Decompressed(io.RawIOBase):
    """All members (gzip, xz) or frames (zstandard) of a stream, one after another."""

    def __init__(self, raw: BinaryIO, compression: str) -> None:
        self._raw = raw
        self._compression = compression
        self._bite = _ZSTANDARD_BITE if compression == "zst" else BLOCK
        self._member: Any = None
        self._input = b""
        self._ready = memoryview(b"")
        self._delivered = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if not self._ready:
            self._ready = memoryview(self._next(len(view)))
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        self._delivered += count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _next(self, limit: int) -> bytes:
        """Some decompressed bytes, or none at the end."""
        while True:
            if self._member is None and not self._begin():
                return b""
            out = self._step(limit)
            if out:
                return out

    def _begin(self) -> bool:
        """Start the next member, over the zeros that may pad the last; False at the end."""
        self._input = self._input.lstrip(b"\0")
        while not self._input:
            block = self._raw.read(self._bite)
            if not block:
                return False
            self._input = block.lstrip(b"\0")
        self._member = _DECOMPRESSORS[self._compression]()
        return True

    def _step(self, limit: int) -> bytes:
        member = self._member
        hungry = not self._input and getattr(member, "needs_input", True)
        if hungry:
            self._input = self._raw.read(self._bite)
        try:
            out: bytes = member.decompress(self._input, limit)
        except MemoryError as error:
            raise self._broken("asks for too much memory") from error
        except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
            raise self._broken(f"broken ({error})") from error
        if hungry and not self._input and not out and not member.eof:
            raise self._broken("truncated")
        if member.eof:
            self._input = member.unused_data
            self._member = None
        else:
            self._input = getattr(member, "unconsumed_tail", b"")
        return out

    def _broken(self, how: str) -> UnreadableInput:
        name = NAMES[self._compression]
        what = f"truncated {name} data" if how == "truncated" else f"{name} data is {how}"
        return UnreadableInput(f"{what} after {self._delivered} bytes of content")
