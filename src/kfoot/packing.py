"""Raw files are kept packed with zstd; what is packed already stays as it is."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

MAGIC = (b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
"""What files packed with gzip, xz and zstd begin with (RFC 1952, xz's file format, RFC 8878)."""

_LEVEL = 3
_BLOCK = 4 << 20
_LARGE = 32 << 20
"""Bytes from which on all processors pack: below, starting threads takes as long."""


def is_packed(path: Path) -> bool:
    """By the first bytes. Raises OSError."""
    with path.open("rb") as file:
        return file.read(6).startswith(MAGIC)


def pack(source: Path, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write ``source`` packed to ``target``, telling ``progress`` the bytes done and in all.

    Raises OSError; then ``target`` is not there.
    """
    import zstandard

    size = source.stat().st_size
    packer = zstandard.ZstdCompressor(level=_LEVEL, threads=-1 if size >= _LARGE else 0)
    beside = target.with_name(f".{target.name}")
    try:
        with (
            source.open("rb") as file,
            beside.open("wb") as sink,
            # The size stands in the head of the file: one that grows meanwhile is cut there.
            packer.stream_writer(sink, size=size, closefd=False) as writer,
        ):
            done = 0
            while done < size and (block := file.read(min(_BLOCK, size - done))):
                writer.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, size)
        beside.replace(target)
    except zstandard.ZstdError as error:
        beside.unlink(missing_ok=True)
        raise OSError(errno.EIO, f"it changed while it was read ({error})", str(source)) from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
