"""The numbers and names of each ABI's system calls, from whatever a kernel tree has.

By age of the tree: ``syscall*.tbl`` of the architecture, ``scripts/syscall.tbl`` with
``arch/*/kernel/Makefile.syscalls`` (6.11 and later), ``include/uapi/asm-generic/unistd.h``
(before), and the architecture's own ``unistd.h`` where an old tree has nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kfoot.atlas.build.cpp import Preprocessor


class Abi(NamedTuple):
    """How an ABI's table is found: the words in column two, and what is added to the numbers."""

    name: str
    arch: str
    bits: int
    table: str | None
    words: tuple[str, ...] = ("common",)
    offset: int = 0


_S = "kernel/syscalls/syscall.tbl"
_X32_BIT = 0x40000000
"""__X32_SYSCALL_BIT: x32 tasks set it, and it is recorded with the number."""

ABIS = (
    Abi("x86_64", "x86", 64, "entry/syscalls/syscall_64.tbl", ("common", "64")),
    Abi("x32", "x86", 64, "entry/syscalls/syscall_64.tbl", ("common", "x32"), _X32_BIT),
    Abi("i386", "x86", 32, "entry/syscalls/syscall_32.tbl", ("i386",)),
    Abi("arm", "arm", 32, "tools/syscall.tbl", ("common", "eabi")),
    Abi("arm_oabi", "arm", 32, "tools/syscall.tbl", ("common", "oabi")),
    Abi("arm64", "arm64", 64, None),
    Abi("riscv64", "riscv", 64, None),
    Abi("riscv32", "riscv", 32, None),
    Abi("powerpc64", "powerpc", 64, _S, ("common", "nospu", "64")),
    Abi("powerpc32", "powerpc", 32, _S, ("common", "nospu", "32")),
    Abi("s390x", "s390", 64, _S, ("common", "64")),
    Abi("s390", "s390", 32, _S, ("common", "32")),
    Abi("mips_o32", "mips", 32, "kernel/syscalls/syscall_o32.tbl", ("o32",), 4000),
    Abi("mips_n64", "mips", 64, "kernel/syscalls/syscall_n64.tbl", ("common", "n64"), 5000),
    Abi("mips_n32", "mips", 64, "kernel/syscalls/syscall_n32.tbl", ("n32",), 6000),
    Abi("loongarch64", "loongarch", 64, None),
    Abi("loongarch32", "loongarch", 32, None),
    Abi("sparc64", "sparc", 64, _S, ("common", "64")),
    Abi("sparc32", "sparc", 32, _S, ("common", "32")),
    Abi("parisc64", "parisc", 64, _S, ("common", "64")),
    Abi("parisc32", "parisc", 32, _S, ("common", "32")),
    Abi("m68k", "m68k", 32, _S),
    Abi("sh", "sh", 32, _S),
    Abi("xtensa", "xtensa", 32, _S),
    Abi("alpha", "alpha", 64, _S),
    Abi("ia64", "ia64", 64, _S, ("common",), 1024),
    Abi("microblaze", "microblaze", 32, _S),
    Abi("arc", "arc", 32, None),
    Abi("csky", "csky", 32, None),
    Abi("hexagon", "hexagon", 32, None),
    Abi("nios2", "nios2", 32, None),
    Abi("openrisc", "openrisc", 32, None),
)


_GENERIC = "include/uapi/asm-generic/unistd.h"
_TABLE = "scripts/syscall.tbl"


BY_NAME = "name:"
"""Marks an entry that no table names."""
_NO_CALL = ("syscalls", "_specific_syscall")
_MIPS = (
    ("_MIPS_SIM_ABI32", "mips_o32"),
    ("_MIPS_SIM_NABI32", "mips_n32"),
    ("_MIPS_SIM_ABI64", "mips_n64"),
)
"""asm/sgidefs.h, in the order of their values."""


def is_table(path: str) -> bool:
    return path in (_GENERIC, _TABLE) or bool(
        re.fullmatch(
            r"arch/\w+/(?:.*syscall\w*\.tbl|kernel/Makefile\.syscalls"
            r"|include/(?:uapi/)?asm/(?:unistd(?:_\w+)?|syscalls)\.h)",
            path,
        )
    )


class Entry(NamedTuple):
    nr: int
    name: str
    entry: str | None
    compat: str | None


class Tables:
    """The texts tables are in, and the table of each ABI."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def take(self, path: str, text: str) -> None:
        """Keep one file that ``is_table``."""
        self._texts[path] = text

    def table(self, abi: Abi) -> list[Entry]:
        """Numbers and names of one ABI; empty when the tree does not have it."""
        folder = f"arch/{abi.arch}/"
        if not any(path.startswith(folder) for path in self._texts):
            return []
        if abi.table and (text := self._texts.get(folder + abi.table)):
            found = list(_rows(text, set(abi.words), abi.offset))
        elif (text := self._texts.get(_TABLE)) and abi.table is None:
            found = list(_rows(text, self._words(abi), abi.offset))
            found = self._renumbered(abi, found)
        else:
            found = self._from_headers(abi)
        if abi.arch == "arm" and found:
            found += self._arm_private()
        unique = {entry.nr: entry for entry in reversed(found)}
        return [unique[number] for number in sorted(unique)]

    def _words(self, abi: Abi) -> set[str]:
        """Column-two words of ``scripts/syscall.tbl`` an architecture takes: its own makefile
        adds to the two scripts/Makefile.asm-headers starts from. Empty where it names no ABI of
        that size (there is no 32-bit LoongArch)."""
        makefile = self._texts.get(f"arch/{abi.arch}/kernel/Makefile.syscalls", "")
        named = re.findall(rf"^syscall_abis_{abi.bits}\s*\+?=(.*)$", makefile, re.M)
        if not named:
            return set()
        words = {"common", str(abi.bits)}
        for line in named:
            words.update(line.split("#")[0].split())
        return words

    def _renumbered(self, abi: Abi, found: list[Entry]) -> list[Entry]:
        """With the names the architecture's unistd.h puts in place of the table's (csky and
        hexagon: number 84 is sync_file_range2)."""
        header = self._texts.get(f"arch/{abi.arch}/include/uapi/asm/unistd.h", "")
        gone = set(re.findall(r"^#undef\s+__NR_(\w+)", header, re.M))
        named = {
            int(nr): name
            for name, nr in re.findall(r"^#define\s+__NR_(\w+)\s+(\d+)$", header, re.M)
        }
        return [
            Entry(one.nr, named[one.nr], f"sys_{named[one.nr]}", one.compat)
            if one.name in gone and one.nr in named
            else one
            for one in found
        ]

    def _from_headers(self, abi: Abi) -> list[Entry]:
        """Through the architecture's unistd.h, as the kernel's own build includes it."""
        folder = f"arch/{abi.arch}/include/"
        start = self._texts.get(f"{folder}uapi/asm/unistd.h")
        start = start or self._texts.get(f"{folder}asm/unistd.h")
        if start is None:
            return []

        def include(name: str) -> str | None:
            if name == "asm-generic/unistd.h":
                return self._texts.get(_GENERIC)
            plain = name.removeprefix("uapi/")
            own = self._texts.get(f"{folder}uapi/{plain}")
            # A header the architecture does not have is generated from the generic one.
            return self._texts.get(_GENERIC) if own is None and plain == "asm/unistd.h" else own

        if abi.name == "loongarch32":
            return []  # No such port before scripts/syscall.tbl.
        cpp = Preprocessor(include=include, fixed=frozenset(("__SYSCALL",)))
        cpp.define("__SYSCALL", "@@ x y", ("x", "y"))
        cpp.define("__BITS_PER_LONG", str(abi.bits))
        if abi.bits == 64:
            cpp.define("__LP64__")
        for constant, mips in enumerate(_MIPS, start=1):
            cpp.define(mips[0], str(constant))
            if abi.name == mips[1]:
                cpp.define("_MIPS_SIM", mips[0])
        lines = list(cpp.run(start))
        names: dict[int, list[str]] = {}
        for macro, body in cpp.macros.items():
            if macro.startswith("__NR_") and body.params is None:
                value = cpp.value(body.body)
                if value is not None and re.search(r"\w", body.body):
                    names.setdefault(value, []).append(macro[len("__NR_") :])
        found: list[Entry] = []
        for line in lines:
            for parts in re.finditer(r"@@\s*(\S.*?)\s+(\w+)\s*$", cpp.expand(line)):
                number = cpp.value(parts[1])
                if number is None:
                    continue
                entry = parts[2]
                known = [n for n in names.get(number, []) if not n.startswith("3264_")]
                plain = entry.removeprefix("sys_")
                name = plain if plain in known or not known else known[0]
                found.append(Entry(number + abi.offset, name, entry, None))
        if not found:
            for number, known in names.items():
                calls = [n for n in known if re.match(r"_?[a-z]", n) and not n.endswith(_NO_CALL)]
                if calls:
                    found.append(Entry(number, calls[0], f"{BY_NAME}{calls[0]}", None))
        return found

    def _arm_private(self) -> list[Entry]:
        """Arm's own calls above 0x0f0000 (cacheflush, set_tls), all through arm_syscall()."""
        text = self._texts.get("arch/arm/include/uapi/asm/unistd.h", "")
        pattern = r"^#define\s+__ARM_NR_(\w+)\s+\(__ARM_NR_BASE\+(\d+)\)"
        return [
            Entry(0x0F0000 + int(found[2]), found[1], "arm_syscall", None)
            for found in re.finditer(pattern, text, re.M)
        ]


def _rows(text: str, words: set[str], offset: int) -> Iterator[Entry]:
    """Rows of a .tbl file: number, ABI word, name, entry, compat entry ("-" for none)."""
    for line in text.splitlines():
        columns = line.split("#", 1)[0].split()
        if len(columns) < 3 or columns[1] not in words or not columns[0].isdigit():
            continue
        entry, compat = (
            columns[at] if len(columns) > at and columns[at] != "-" else None for at in (3, 4)
        )
        yield Entry(int(columns[0]) + offset, columns[2], entry, compat)
