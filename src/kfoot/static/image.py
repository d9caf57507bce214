"""What a kernel image says of itself: release and, if built in, its configuration.

Reads vmlinux, arch/x86 bzImage and other compressed images: the payload is found by the first
bytes of gzip, xz, zstd, bzip2 and lzma, as the kernel's extract-vmlinux does. The configuration is
there with CONFIG_IKCONFIG, between IKCFG_ST and IKCFG_ED (kernel/configs.c).
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from kfoot.errors import InputError

LARGEST = 1 << 30
"""Bytes an image may unpack to."""
_VERSION = re.compile(rb"Linux version (\d+\.\d+[\w.+~-]*) ")
_MAX_TRIES = 64
"""Places in the image that look like the start of compressed data."""


class KernelImage(NamedTuple):
    release: str
    machine: str | None
    """As uname -m says it; None when the image does not tell."""
    config: str | None
    """The text of the configuration; None when it is not built in."""


def read(path: Path) -> KernelImage:
    """Raises InputError when the file is no kernel image, or one packed in a way not known here
    (lz4, lzo)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
    release = _boot_header(data)
    machine = None
    for content in _contents(data):
        machine = machine or _machine(content)
        version = _VERSION.search(content)
        if version is None:
            continue
        config = _config(content)
        release = release or version[1].decode()
        if config is not None:
            return KernelImage(release, machine, config)
    if release:
        return KernelImage(release, machine, None)
    raise InputError(
        path,
        "no kernel version was found in it",
        expected="vmlinux, vmlinuz, Image or bzImage",
        hint="an image packed with lz4 or lzo must be unpacked first",
    )


_MACHINES = {62: "x86_64", 3: "i686", 183: "aarch64", 40: "armv7l", 243: "riscv64", 22: "s390x"}
"""By e_machine of an ELF file."""


def _machine(data: bytes) -> str | None:
    """By the headers of Documentation/arch: x86/boot.rst, arm64/booting.rst,
    riscv/boot-image-header.rst, and of ELF files."""
    if data[0x202:0x206] == b"HdrS" and len(data) > 0x238:
        return "x86_64" if data[0x236] & 1 else "i686"
    if data[56:60] == b"ARM\x64":
        return "aarch64"
    if data[56:60] == b"RSC\x05":
        return "riscv64"
    if data.startswith(b"\x7fELF") and len(data) > 20:
        order = "big" if data[5] == 2 else "little"
        return _MACHINES.get(int.from_bytes(data[18:20], order))  # type: ignore[arg-type]
    return None


def _boot_header(data: bytes) -> str | None:
    """The version string a bzImage names in its header (Documentation/arch/x86/boot.rst)."""
    if data[0x202:0x206] != b"HdrS":
        return None
    at = int.from_bytes(data[0x20E:0x210], "little") + 0x200
    words = data[at : at + 128].split(b"\0")[0].split()
    return words[0].decode("ascii", "replace") if words else None


def _contents(data: bytes) -> Iterator[bytes]:
    yield data
    tries = 0
    for magic, unpack in _PACKINGS:
        at = data.find(magic)
        while at >= 0 and tries < _MAX_TRIES:
            tries += 1
            try:
                content = unpack(data[at:])
            except (OSError, EOFError, ValueError, MemoryError, lzma.LZMAError, zlib.error):
                content = b""
            if content:
                yield content
            at = data.find(magic, at + 1)


def _config(content: bytes) -> str | None:
    start, end = content.find(b"IKCFG_ST"), content.find(b"IKCFG_ED")
    if start < 0 or end < start:
        return None
    try:
        return _gzip(content[start + 8 : end]).decode("utf-8", "replace")
    except zlib.error:
        return None


def _gzip(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data, LARGEST)


def _zstd(data: bytes) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().stream_reader(data).read(LARGEST)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


_PACKINGS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b\x08", _gzip),
    (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data, LARGEST)),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"BZh", lambda data: bz2.BZ2Decompressor().decompress(data, LARGEST)),
    (b"\x5d\0\0", lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data, LARGEST)),
)
