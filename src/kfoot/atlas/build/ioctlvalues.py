"""The numbers of ioctl requests, by compiling the headers and reading what the compiler made.

A request's number holds the size of its argument, so only a compiler knows it. For each header
one program is compiled to assembly with a line ``@@ number value`` for each request; requests
that do not compile are left out. Nothing is linked or run, so any target works that the compiler
has: 64-bit, 32-bit as i386 lays out structures (64-bit members aligned to 4 bytes), and 32-bit as
the other architectures do (aligned to 8).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from kfoot.atlas.build.ioctlmacros import Request

TRIES = 6
"""Rounds of dropping lines that do not compile."""
SECONDS = 60
"""For one header; a compiler that takes longer hangs."""

LAYOUTS = {
    # Name: options to try in turn, size of long, alignment of a 64-bit member.
    "lp64": ((("-m64",), ()), 8, 8),
    "i386": ((("-m32",),), 4, 4),
    "ilp32": ((("-m32", "-malign-double"), ("-m32",), ()), 4, 8),
}

_LIGHT = (
    *("linux/types.h", "stdint.h", "stddef.h", "stdbool.h", "sys/types.h", "linux/time.h"),
    *("sys/socket.h", "linux/sockios.h", "asm/ioctls.h", "linux/ioctl.h", "linux/major.h"),
)
_COMPANIONS = (
    _LIGHT,
    (
        *_LIGHT,
        *("asm/termbits.h", "linux/serial.h", "linux/if.h", "linux/in.h", "linux/filter.h"),
        *("linux/blkpg.h", "linux/fiemap.h", "linux/blktrace_api.h", "linux/fs.h"),
        *("linux/videodev2.h", "linux/atm.h", "linux/atmioc.h", "xen/types.h"),
    ),
    (),
)
"""What a header may need without saying so, one set after the other."""

_STUBS = {
    # What headers_install would have removed, and the little of the C library that is asked for.
    "linux/compiler.h": "",
    "linux/compiler_types.h": "",
    "linux/version.h": "#define LINUX_VERSION_CODE 0\n",
    "xen/types.h": "typedef unsigned int grant_ref_t; typedef unsigned short domid_t;\n",
    "sys/types.h": "typedef long ssize_t; typedef long off_t; typedef unsigned char u_char;\n"
    "typedef long time_t;\n"
    "typedef unsigned short u_short; typedef unsigned int u_int; typedef unsigned long u_long;\n"
    "typedef unsigned char u_int8_t; typedef unsigned short u_int16_t;\n"
    "typedef unsigned int u_int32_t; typedef char *caddr_t;\n",
    "sys/ioctl.h": "#include <asm/ioctls.h>\n",
    "sys/socket.h": "#include <linux/socket.h>\n"
    "typedef unsigned short sa_family_t;\n"
    "struct sockaddr { unsigned short sa_family; char sa_data[14]; };\n",
    "sys/time.h": "#include <linux/time.h>\n",
    "time.h": "#include <linux/time.h>\n",
    "netinet/in.h": "#include <linux/in.h>\n",
    "net/if.h": "#include <linux/if.h>\n",
    "string.h": "",
    "stdlib.h": "",
    "unistd.h": "",
    "errno.h": "#include <linux/errno.h>\n",
    "limits.h": "#include <linux/limits.h>\n",
    "endian.h": "#include <asm/byteorder.h>\n",
}
_DEFINES = (
    "__packed=__attribute__((packed))",
    "__aligned(x)=__attribute__((aligned(x)))",
    "__user=",
    "__force=",
    "__iomem=",
    "__attribute_const__=",
    "__EXPORTED_HEADERS__",
)


class Value(NamedTuple):
    """A request's number in one layout; a family's with the bits that vary cleared in ``mask``."""

    number: int
    mask: int | None


class Compiler:
    """A C compiler and the options that give each layout."""

    def __init__(self, tree: Path, arch: str, scratch: Path):
        self.command = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        self._scratch = scratch
        self._includes = _folders(tree, arch, scratch)
        self.layouts: dict[str, tuple[str, ...]] = {}
        if self.command:
            for name, (choices, size, align) in LAYOUTS.items():
                for options in choices:
                    if self._gives(options, size, align):
                        self.layouts[name] = options
                        break

    def _gives(self, options: tuple[str, ...], size: int, align: int) -> bool:
        program = (
            f'_Static_assert(sizeof(long) == {size}, "");\n'
            "struct s { char c; long long l; };\n"
            f'_Static_assert(__builtin_offsetof(struct s, l) == {align}, "");\n'
        )
        return self._run(program, options)[0]

    def _run(self, program: str, options: Sequence[str]) -> tuple[bool, str, str]:
        assert self.command
        clang = ("-fno-integrated-as",) if "clang" in Path(self.command).name else ()
        try:
            done = subprocess.run(
                [
                    *(self.command, *options, *clang, "-S", "-o", "-", "-x", "c", "-", "-w"),
                    *("-std=gnu11", "-ffreestanding", "-nostdinc", "-fno-pic", "-O0"),
                    *("-isystem", str(self._scratch / "builtin")),
                    *(f"-D{define}" for define in _DEFINES),
                    *(word for folder in self._includes for word in ("-I", str(folder))),
                ],
                input=program,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return False, "", ""
        return done.returncode == 0, done.stdout, done.stderr

    def values(self, header: str, wanted: Sequence[Request]) -> dict[str, dict[str, Value]]:
        """Numbers of one header's requests by layout; those that do not compile are missing.

        The first layout finds out which names compile with which companions, for all.
        """
        out: dict[str, dict[str, Value]] = {layout: {} for layout in self.layouts}
        first, *others = self.layouts
        for companions in _COMPANIONS:
            missing = [request for request in wanted if request.name not in out[first]]
            if not missing:
                break
            found = self._compile(header, missing, first, companions)
            out[first].update(found)
            good = [request for request in missing if request.name in found]
            for layout in others if good else ():
                out[layout].update(self._compile(header, good, layout, companions))
        return out

    def _compile(
        self, header: str, wanted: Sequence[Request], layout: str, companions: Sequence[str]
    ) -> dict[str, Value]:
        probes = [probe for request in wanted for probe in _probes(request)]
        head = "".join(f"#include <{name}>\n" for name in (*companions, header))
        for _ in range(TRIES):
            lines = [
                f'__asm__ volatile("@@ {n} %c0" :: "i"((unsigned int)({text})));'
                for n, (_, _, text) in enumerate(probes)
            ]
            program = head + 'void probe(void) {\n#line 1 "probe"\n' + "\n".join(lines) + "\n}\n"
            good, assembly, errors = self._run(program, self.layouts[layout])
            if good:
                found: dict[str, dict[tuple[int, ...], int]] = {}
                for n, number in re.findall(r"@@ (\d+) [$#]?(-?\d+)", assembly):
                    request, arguments, _ = probes[int(n)]
                    found.setdefault(request.name, {})[arguments] = int(number) & 0xFFFFFFFF
                requests = {request.name: request for request in wanted}
                return {
                    name: value
                    for name, numbers in found.items()
                    if (value := _value(requests[name], numbers))
                }
            bad = {int(line) - 1 for line in re.findall(r"^probe:(\d+):", errors, re.M)}
            if not bad:
                return {}
            probes = [probe for n, probe in enumerate(probes) if n not in bad]
            if not probes:
                return {}
        return {}


def _probes(request: Request) -> list[tuple[Request, tuple[int, ...], str]]:
    """The expressions to evaluate: a family with each argument 0, 1, 2."""
    if not request.params:
        return [(request, (), request.name + ("()" if request.params == 0 else ""))]
    many = [(n,) for n in range(3)]
    if request.params == 2:
        many = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)]  # type: ignore[list-item]
    return [
        (request, arguments, f"{request.name}({', '.join(map(str, arguments))})")
        for arguments in many
    ]


def _value(request: Request, numbers: dict[tuple[int, ...], int]) -> Value | None:
    """The number, or the family: all numbers agree but in the size and low bits of the code."""
    if not request.params:
        return Value(numbers[()], None)
    first = numbers.get((0,) * request.params)
    if first is None or len(numbers) < 3:
        return None
    varies = 0
    for number in numbers.values():
        varies |= number ^ first
    if not varies:
        return Value(first, None)
    mask = 0xFFFFFFFF
    if varies & _SIZE:
        mask &= ~_SIZE
        first &= ~_SIZE
    if varies & 0xFF:
        code = first & 0xFF
        # EVIOCGABS is 0x40 + axis: as many axes as the zero bits at the end have room for.
        room = (code & -code) - 1 if code else 0xFF
        mask &= ~room
    if varies & 0xC000FF00:
        return None  # Type or direction from an argument: a helper, not a request.
    return Value(first, mask & 0xFFFFFFFF)


_SIZE = 0x3FFF0000


def _folders(tree: Path, arch: str, scratch: Path) -> list[Path]:
    """Include folders: the tree's UAPI headers, and what its build would have generated."""
    shim = scratch / "shim"
    for name, text in _STUBS.items():
        file = shim / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#pragma once\n" + text)
    own = tree / "arch" / arch / "include/uapi"
    generic = tree / "include/uapi/asm-generic"
    for header in sorted(generic.glob("*.h")) if generic.is_dir() else ():
        file = shim / "asm" / header.name
        if not (own / "asm" / header.name).exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"#include <asm-generic/{header.name}>\n")
    builtin = scratch / "builtin"
    builtin.mkdir(parents=True, exist_ok=True)
    for name, text in _BUILTIN.items():
        (builtin / name).write_text("#pragma once\n" + text)
    return [own, tree / "include/uapi", shim]


_BUILTIN = {
    "stddef.h": "typedef __SIZE_TYPE__ size_t; typedef __PTRDIFF_TYPE__ ptrdiff_t;\n"
    "#ifndef NULL\n#define NULL ((void *)0)\n#endif\n"
    "#define offsetof(t, m) __builtin_offsetof(t, m)\n",
    "stdint.h": "".join(
        f"typedef __{kind.upper()}{bits}_TYPE__ {kind}{bits}_t;\n"
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    )
    + "typedef __UINTPTR_TYPE__ uintptr_t;\n",
    "stdbool.h": "#define bool _Bool\n#define true 1\n#define false 0\n",
    "inttypes.h": "#include <stdint.h>\n",
}


def evaluate(
    compiler: Compiler, wanted: Iterable[Request], jobs: int
) -> dict[str, dict[tuple[str, str], Value]]:
    """Values by layout, then by (name, header)."""
    by_header: dict[str, list[Request]] = {}
    for request in wanted:
        by_header.setdefault(request.header, []).append(request)
    out: dict[str, dict[tuple[str, str], Value]] = {layout: {} for layout in compiler.layouts}
    if not compiler.layouts:
        return out
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        headers = sorted(by_header)
        results = pool.map(lambda header: compiler.values(header, by_header[header]), headers)
        for header, layouts in zip(headers, results, strict=True):
            for layout, values in layouts.items():
                out[layout].update({(name, header): value for name, value in values.items()})
    return out
