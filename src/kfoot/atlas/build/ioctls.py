"""Ioctl requests: number and size for every class of ABIs, and the files that handle them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.cpp import without_comments
from kfoot.atlas.build.handlers import is_code
from kfoot.atlas.build.ioctlmacros import Defined, Request, defines, requests
from kfoot.atlas.build.ioctlvalues import Compiler, Value, evaluate
from kfoot.atlas.schema import Row

_UAPI = "include/uapi/"
_PLAIN_ONLY = ("include/scsi/sg.h", "include/scsi/scsi_ioctl.h")
"""Not below uapi/, but what programs use, by way of the C library's copies."""
_GENERIC_ONLY = ("asm-generic/ioctls.h", "asm-generic/sockios.h")
"""Architectures with their own directions have their own of these."""
_OWN = {
    # Architectures with an asm/ioctls.h that numbers otherwise: classes their values hold for.
    "alpha": {"alpha": "lp64"},
    "mips": {"mips_o32": "ilp32", "mips_n32": "ilp32", "mips_n64": "lp64"},
    "parisc": {"parisc32": "ilp32", "parisc64": "lp64"},
    "powerpc": {"powerpc32": "ilp32", "powerpc64": "lp64"},
    "sparc": {"sparc32": "ilp32", "sparc64": "lp64"},
    "sh": {"sh": "ilp32"},
    "xtensa": {"xtensa": "ilp32"},
}
_CASE = re.compile(rb"\bcase[ \t]+\(?([A-Z][A-Z0-9_a-z]{3,})")
_TABLE = re.compile(rb"\bDRM_IOCTL_DEF(?:_DRV)?\(\s*(?:DRM_IOCTL_)?(\w+)")
"""DRM tables paste the name together: DRM_IOCTL_DEF_DRV(I915_GETPARAM, ...)."""
_NAME = re.compile(rb"\b[A-Z][A-Z0-9]*[_A-Z0-9][A-Z0-9_]{3,}\b")
_CORE = (
    *("fs/ioctl.c", "block/ioctl.c", "drivers/tty/tty_io", "drivers/tty/vt/", "net/socket.c"),
    *("net/core/", "net/ipv4/", "drivers/watchdog/watchdog_dev.c"),
)
_MOST = 8
"""Handlers kept of a request; TCGETS is in dozens of drivers, all below the tty core."""


class Facts(NamedTuple):
    macros: tuple[Defined, ...]
    cases: tuple[str, ...]
    mentions: tuple[str, ...]


class Ioctls(Builder):
    """Tables ``ioctls`` and ``ioctl_handlers``."""

    name = "ioctls"
    needs = ("areas", "maintainers")

    def __init__(self) -> None:
        self._macros: dict[str, tuple[Defined, ...]] = {}
        self._cases: dict[str, set[str]] = {}
        self._mentions: dict[str, set[str]] = {}

    def wants(self, path: str) -> bool:
        return self.keeps(path) or path in _PLAIN_ONLY or is_code(path)

    def keeps(self, path: str) -> bool:
        return path.endswith(".h") and (
            path.startswith(_UAPI) or (path.startswith("arch/") and "/include/uapi/asm/" in path)
        )

    def scan(self, path: str, data: bytes) -> Facts | None:
        if path.endswith(".h"):
            found = defines(without_comments(data.decode("utf-8", "replace")))
            return Facts(found, (), ()) if found else None
        if b"octl" not in data and b"OCTL" not in data and b"SIOC" not in data:
            return None
        cases = {name.decode() for name in _CASE.findall(data)}
        cases |= {f"DRM_IOCTL_{name.decode()}" for name in _TABLE.findall(data)}
        mentions = {name.decode() for name in _NAME.findall(data)} - cases
        return Facts((), tuple(sorted(cases)), tuple(sorted(mentions)))

    def take(self, path: str, facts: Facts) -> None:
        if facts.macros:
            self._macros[path] = facts.macros
        for kept, names in ((self._cases, facts.cases), (self._mentions, facts.mentions)):
            for name in names:
                kept.setdefault(name, set()).add(path)

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        headers = {
            path.removeprefix(_UAPI): macros
            for path, macros in self._macros.items()
            if path.startswith(_UAPI)
        }
        wanted = requests(headers)
        rows: list[Row] = list(self._plain())
        with tempfile.TemporaryDirectory(prefix="kfoot-ioctl-") as folder:
            compiler = Compiler(context.tree, "x86", Path(folder))
            self._note(compiler, context)
            values = evaluate(compiler, wanted, os.cpu_count() or 1)
            for request in wanted:
                found = {
                    layout: numbers[request.name, request.header]
                    for layout, numbers in values.items()
                    if (request.name, request.header) in numbers
                }
                rows += _rows(request, found)
            if compiler.layouts:
                rows += self._own(context, Path(folder))
        names: dict[str, str] = {}
        for row in rows:
            names.setdefault(str(row[0]), str(row[5]))
        return {"ioctls": rows, "ioctl_handlers": list(self._handlers(names, context))}

    def _note(self, compiler: Compiler, context: Context) -> None:
        if not compiler.layouts:
            context.notes.append("no C compiler: ioctl requests are left out but for bare numbers")
        elif missing := {"lp64", "i386", "ilp32"} - compiler.layouts.keys():
            context.notes.append(
                f"{compiler.command} cannot lay out {', '.join(sorted(missing))}: "
                "ioctl requests of those ABIs are left out"
            )

    def _plain(self) -> Iterator[Row]:
        """Bare numbers need no compiler."""
        for path in _PLAIN_ONLY:
            header = path.removeprefix("include/")
            for request in requests({header: self._macros.get(path, ())}):
                body = next(m.body for m in self._macros[path] if m.name == request.name)
                if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", body):
                    yield (request.name, "", int(body, 0), None, None, path)

    def _own(self, context: Context, scratch: Path) -> Iterator[Row]:
        """Requests of asm/ioctls.h and asm/sockios.h of architectures that have their own."""
        for arch, abis in _OWN.items():
            folder = f"arch/{arch}/include/uapi/"
            own = {
                path.removeprefix(folder): macros
                for path, macros in self._macros.items()
                if path in (f"{folder}asm/ioctls.h", f"{folder}asm/sockios.h")
            }
            if not own or (context.architectures and arch not in context.architectures):
                continue
            compiler = Compiler(context.tree, arch, scratch / arch)
            wanted = requests(own)
            values = evaluate(compiler, wanted, 1)
            for request in wanted:
                for abi, layout in abis.items():
                    value = values.get(layout, {}).get((request.name, request.header))
                    if value:
                        yield _row(request, abi, value, path=folder + request.header)

    def _handlers(self, names: Mapping[str, str], context: Context) -> Iterator[Row]:
        for name, header in sorted(names.items()):
            home = context.section_of(header)
            cases = self._cases.get(name, set())
            found = [(path, "ioctl-case") for path in cases]
            if not found:
                found = [(path, "ioctl-mention") for path in self._mentions.get(name, ())]

            def rank(one: tuple[str, str], home: str | None = home) -> tuple[bool, ...]:
                path = one[0]
                return (
                    not path.startswith(_CORE),
                    context.section_of(path) != home,
                    path.startswith("arch/"),
                    "/staging/" in path,
                    "compat" in path,
                )

            best = sorted(found, key=lambda one: (rank(one), one))[:_MOST]
            for number, (path, how) in enumerate(best or [(header, "ioctl-header")]):
                yield (name, number, *context.place(path, how))


def _rows(request: Request, found: Mapping[str, Value]) -> Iterator[Row]:
    """Rows of one request for each class of ABIs (``kfoot.atlas.abi.ioctl_classes``)."""
    generic = request.header in _GENERIC_ONLY
    if len(set(found.values())) == 1 and len(found) == 3:
        value = found["lp64"]
        if not request.coded and not generic:
            yield _row(request, "", value)
            return
        yield _row(request, "generic", value)
        if not generic:
            yield from _elsewhere(request, {"other": value, "parisc": value})
        return
    if "lp64" in found:
        yield _row(request, "lp64", found["lp64"])
    if found.get("i386") == found.get("ilp32") and "i386" in found:
        yield _row(request, "generic32", found["i386"])
    else:
        for layout in ("i386", "ilp32"):
            if layout in found:
                yield _row(request, layout, found[layout])
    if generic:
        return
    for bits, layout in (("64", "lp64"), ("32", "ilp32")):
        if layout in found:
            value = found[layout]
            yield from _elsewhere(request, {f"other{bits}": value, f"parisc{bits}": value})


def _elsewhere(request: Request, values: Mapping[str, Value]) -> Iterator[Row]:
    """The numbers where asm/ioctl.h encodes the direction otherwise."""
    for name, value in values.items():
        if not request.coded:
            yield _row(request, name, value)
            continue
        turned = _other(value) if name.startswith("other") else _parisc(value)
        if turned:
            yield _row(request, name, turned, wide=name.startswith("other"))


def _other(value: Value) -> Value | None:
    """alpha, mips, powerpc, sparc: 3 bits of direction (1 none, 2 read, 4 write), 13 of size."""
    direction, size, low = value.number >> 30, value.number >> 16 & 0x3FFF, value.number & 0xFFFF
    if size >= 1 << 13:
        return None
    turned = (1, 4, 2, 6)[direction] << 29 | size << 16 | low
    mask = value.mask
    if mask is not None and not mask & 0x3FFF0000:
        mask = 0xE0000000 | mask & 0xFFFF
    return Value(turned, mask)


def _parisc(value: Value) -> Value:
    """Read and write change places."""
    direction = (0, 2, 1, 3)[value.number >> 30]
    return Value(direction << 30 | value.number & 0x3FFFFFFF, value.mask)


def _row(
    request: Request, abi: str, value: Value, *, path: str | None = None, wide: bool = False
) -> Row:
    size = None
    if request.coded and value.mask is None:
        size = value.number >> 16 & (0x1FFF if wide else 0x3FFF)
    header = path or f"{_UAPI}{request.header}"
    return (request.name, abi, value.number, size, value.mask, header)
