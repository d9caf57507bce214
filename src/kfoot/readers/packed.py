"""What is packed with gzip, xz or zstd, unpacked in small steps (see ``files.Source``)."""

from __future__ import annotations

import gzip
import lzma
import zlib
from typing import BinaryIO, Protocol

import zstandard

_BLOCK = 1 << 20
_ZSTD_STEP = 1024
"""Packed bytes given to zstd at once: a block of 4 bytes can unpack to 128 KiB, so this bounds
what one step may give to 32 MiB even for a file made to exhaust memory."""
_LZMA_MEMORY = 256 << 20

ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What reading raises where packed data is broken or ends early."""


class Unpacked(Protocol):
    def read(self, size: int, /) -> bytes: ...


def unpacked(file: BinaryIO, magic: bytes) -> Unpacked:
    """The unpacked bytes of a file that begins with ``magic``, which is one of the three's."""
    if magic.startswith(b"\x1f\x8b"):
        return _Gzip(file)
    return _Xz(file) if magic.startswith(b"\xfd7zXZ\0") else _Zstd(file)


class _Gzip:
    """gzip; ``read1``, because ``read`` forgets what it has when the data ends early."""

    def __init__(self, file: BinaryIO):
        self._file = gzip.GzipFile(fileobj=file)

    def read(self, size: int, /) -> bytes:
        return self._file.read1(size)


class _Xz:
    """xz with a bound on memory, which lzma.LZMAFile has not."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._decoder = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data.lstrip(b"\0") or self._file.read(_BLOCK)
                if not rest:
                    return b""
                self._decoder = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
                data = self._decoder.decompress(rest, size)
            elif self._decoder.needs_input:
                block = self._file.read(_BLOCK)
                if not block:
                    raise EOFError("the xz data ends early")
                data = self._decoder.decompress(block, size)
            else:
                data = self._decoder.decompress(b"", size)
            if data:
                return data


class _Zstd:
    """zstd in small steps; unlike zstandard's own stream reader it notices an early end."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._decoder: zstandard.ZstdDecompressionObj | None = None
        self._error: Exception | None = None

    def read(self, size: int, /) -> bytes:
        if self._error:
            raise self._error
        found: list[bytes] = []
        have = 0
        rest = b""
        while have < size:
            block = rest or self._file.read(_ZSTD_STEP)
            if not block:
                if self._decoder is not None and not found:
                    raise EOFError("the zstd data ends early")
                break
            if self._decoder is None:
                self._decoder = zstandard.ZstdDecompressor().decompressobj()
            try:
                data = self._decoder.decompress(block)
            except zstandard.ZstdError as error:
                self._error = error
                if found:
                    break
                raise
            rest = b""
            if self._decoder.eof:
                rest = self._decoder.unused_data
                self._decoder = None
            if data:
                found.append(data)
                have += len(data)
        if rest:
            self._file.seek(-len(rest), 1)
        return b"".join(found)
