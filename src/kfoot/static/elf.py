"""What an ELF file needs to start: machine, interpreter, shared libraries, search paths.

Field offsets from elf(5). Reads only program headers and the dynamic section.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from kfoot.errors import InputError

_INTERP, _DYNAMIC, _LOAD = 3, 2, 1
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29
_LARGEST = 16 << 20
"""Bytes of a dynamic section or string table that are still read."""

_ABIS = {
    # e_machine, class: the kernel's ABI. Little endian unless said.
    (62, 64): "x86_64",
    (62, 32): "x32",
    (3, 32): "i386",
    (183, 64): "arm64",
    (40, 32): "arm",
    (243, 64): "riscv64",
    (243, 32): "riscv32",
    (21, 64): "powerpc64",
    (20, 32): "powerpc32",
    (22, 64): "s390x",
    (22, 32): "s390",
    (8, 64): "mips_n64",
    (8, 32): "mips_o32",
    (258, 64): "loongarch64",
    (43, 64): "sparc64",
    (2, 32): "sparc32",
    (4, 32): "m68k",
    (42, 32): "sh",
}
_MIPS_N32 = 0x20
"""EF_MIPS_ABI2."""


class Elf(NamedTuple):
    abi: str | None
    """As the kernel names it; None for a machine not known here."""
    interpreter: str | None
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    dynamic: bool


def is_elf(start: bytes) -> bool:
    return start.startswith(b"\x7fELF")


def read(path: Path) -> Elf:
    """Raises InputError when the file is truncated or no ELF file."""
    try:
        with path.open("rb") as file:
            return _Reader(file.fileno(), path).read()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None


class _Reader:
    def __init__(self, descriptor: int, path: Path):
        self.descriptor = descriptor
        self.path = path
        head = self.at(0, 64, short=True)
        if not is_elf(head) or len(head) < 52:
            raise InputError(path, "is no ELF file", expected="\\x7fELF at its beginning")
        self.bits = 64 if head[4] == 2 else 32
        self.order = ">" if head[5] == 2 else "<"
        self.machine = self.number("H", head, 18)
        self.flags = self.number("I", head, 48 if self.bits == 64 else 36)
        if self.bits == 64:
            self.table, self.entry, self.count = (
                self.number("Q", head, 32),
                self.number("H", head, 54),
                self.number("H", head, 56),
            )
        else:
            self.table, self.entry, self.count = (
                self.number("I", head, 28),
                self.number("H", head, 42),
                self.number("H", head, 44),
            )

    def at(self, offset: int, size: int, *, short: bool = False) -> bytes:
        import os

        if size > _LARGEST:
            raise InputError(self.path, f"asks for {size} bytes", where=f"offset {offset}")
        try:
            data = os.pread(self.descriptor, size, offset)
        except OverflowError:
            data = b""
        if len(data) < size and not short:
            raise InputError(self.path, "is cut short", where=f"offset {offset}")
        return data

    def number(self, kind: str, data: bytes, offset: int) -> int:
        return int(struct.unpack_from(self.order + kind, data, offset)[0])

    def read(self) -> Elf:
        segments = [self._segment(n) for n in range(self.count)]
        interpreter = next(
            (
                self.at(offset, size).split(b"\0")[0].decode("utf-8", "surrogateescape")
                for kind, offset, _, size in segments
                if kind == _INTERP
            ),
            None,
        )
        dynamic = next((s for s in segments if s[0] == _DYNAMIC), None)
        values: dict[int, list[int]] = {}
        if dynamic:
            word = "Q" if self.bits == 64 else "I"
            step = self.bits // 8
            data = self.at(dynamic[1], dynamic[3])
            for at in range(0, len(data) - 2 * step + 1, 2 * step):
                tag = self.number(word, data, at)
                if not tag:
                    break
                values.setdefault(tag, []).append(self.number(word, data, at + step))
        strings = self._strings(segments, values)

        def text(tag: int) -> list[str]:
            found = []
            for start in values.get(tag, ()):
                found.append(strings[start:].split(b"\0")[0].decode("utf-8", "surrogateescape"))
            return found

        def paths(tag: int) -> tuple[str, ...]:
            return tuple(part for value in text(tag) for part in value.split(":") if part)

        abi = _ABIS.get((self.machine, self.bits))
        if abi == "mips_o32" and self.flags & _MIPS_N32:
            abi = "mips_n32"
        return Elf(
            abi, interpreter, tuple(text(_NEEDED)), paths(_RPATH), paths(_RUNPATH), bool(dynamic)
        )

    def _segment(self, number: int) -> tuple[int, int, int, int]:
        """type, offset, virtual address, size in the file."""
        data = self.at(self.table + number * self.entry, 56 if self.bits == 64 else 32)
        if self.bits == 64:
            fields = (("I", 0), ("Q", 8), ("Q", 16), ("Q", 32))
        else:
            fields = (("I", 0), ("I", 4), ("I", 8), ("I", 16))
        kind, offset, address, size = (self.number(word, data, at) for word, at in fields)
        return kind, offset, address, size

    def _strings(
        self, segments: list[tuple[int, int, int, int]], values: dict[int, list[int]]
    ) -> bytes:
        if _STRTAB not in values:
            return b""
        address, size = values[_STRTAB][0], values.get(_STRSZ, [0])[0]
        for kind, offset, start, length in segments:
            if kind == _LOAD and start <= address < start + length:
                return self.at(offset + address - start, min(size, length), short=True)
        return b""
