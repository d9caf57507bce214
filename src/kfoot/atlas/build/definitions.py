"""Where system call entry points are defined: SYSCALL_DEFINE macros, C functions, assembly labels.

Collected while the sources stream by; asked once all files were seen. A definition in ``arch/``
remembers what its body calls, so that a mere forwarder (``mmap`` -> ``ksys_mmap_pgoff``) can be
given the area of what does the work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOPS = frozenset(
    (
        *("arch", "block", "certs", "crypto", "drivers", "fs", "init", "io_uring", "ipc"),
        *("kernel", "lib", "mm", "net", "security", "sound", "virt"),
    )
)
_MACRO = re.compile(rb"^[ \t]*((?:\w+_)?SYSCALL(?:32)?_DEFINE\w*)\(\s*(\w+)", re.M)
_FUNCTION = re.compile(
    rb"^(?!typedef\b|return\b|else\b|extern\b)((?:static\b)?)[a-z_ ][\w \t*]*?[ \t*\n]"
    rb"((?:\w*sys\w*_|kernel_|do_|vfs_|__do_|old_|compat_|ia64_|xtensa_)\w+)"
    rb"[ \t]*\((?=[^;{}]*\)[^;{}()]*\{)",
    re.M,
)
_LABEL = re.compile(
    rb"^[ \t]*(?:ENTRY|ENTRY_CFI|GLOBAL_ENTRY|SYM_FUNC_START|SYM_CODE_START|SYM_ENTRY|FEXPORT|LEAF|"
    rb"NESTED|_GLOBAL|_GLOBAL_TOC|__SYSCALL_FORK|fork_like|save_static_function)[ \t]*\([ \t]*(\w+)"
    rb"|^[ \t]*\.globa?l[ \t]+(\w+)"
    rb"|^(\w*sys\w+|sunos_\w+):"
    rb"|^sigreturn_like[ \t]+(\w+)",
    re.M,
)
_CALL = re.compile(rb"\b((?:k|\w+_|__)?sys_\w+|(?:kernel|do|vfs|compat|__do)_\w+)\b")
_COND = re.compile(rb"^COND_SYSCALL(_COMPAT)?\((\w+)\)|^cond_syscall\((\w+)\)", re.M)
_CORE = (
    "arch/",
    "block/",
    "fs/",
    "init/",
    "io_uring/",
    "ipc/",
    "kernel/",
    "mm/",
    "net/",
    "security/",
)
"""Elsewhere (drivers/pci, drivers/char/random.c) entries are defined by SYSCALL_DEFINE only."""
_QUICK = (b"SYSCALL", b"sys_", b"kernel_", b"do_", b"compat_", b"sigreturn")


class Definition(NamedTuple):
    path: str
    kind: str
    """define, function or assembly."""
    calls: tuple[str, ...]
    """Names its body mentions that could be where it forwards to (``arch/`` only)."""


def _body(data: bytes, start: int, *, assembly: bool) -> bytes:
    if assembly:
        lines = data[start : start + 2000].split(b"\n")[1:14]
        kept: list[bytes] = []
        for line in lines:
            kept.append(line)
            if re.match(rb"\s*(?:END|ENDPROC|SYM_FUNC_END|\.end|ENTRY)\b", line) or not line:
                break
        return b"\n".join(kept)
    end = data.find(b"\n}", start)
    return data[start : end if end >= 0 else start + 4000]


class Facts(NamedTuple):
    """What one source file says: (name, kind, calls), and the entries that may be missing."""

    definitions: tuple[tuple[str, str, tuple[str, ...]], ...]
    optional: tuple[str, ...]


def wants(path: str) -> bool:
    """Whether a file may hold definitions."""
    top = path.split("/", 1)[0]
    return top in _TOPS and path.endswith((".c", ".S")) and not path.startswith("arch/um/")


def scan(path: str, data: bytes) -> Facts | None:
    """The definitions in one source file."""
    if not path.startswith(_CORE) and b"SYSCALL" not in data:
        return None
    if not any(word in data for word in _QUICK):
        return None
    optional: list[str] = []
    if path == "kernel/sys_ni.c":
        for found in _COND.finditer(data):
            plain = (b"compat_sys_" if found[1] else b"sys_") + (found[2] or b"")
            optional.append((found[3] or plain).decode())
    assembly = path.endswith(".S")
    in_arch = path.startswith("arch/")
    definitions: list[tuple[str, str, tuple[str, ...]]] = []
    for name, kind, at in _names(data, assembly, in_arch):
        calls: tuple[str, ...] = ()
        if in_arch:
            body = _body(data, at, assembly=assembly)
            seen = dict.fromkeys(found.decode() for found in _CALL.findall(body))
            calls = tuple(call for call in seen if call != name)
        definitions.append((name, kind, calls))
    return Facts(tuple(definitions), tuple(optional)) if definitions else None


def _names(data: bytes, assembly: bool, in_arch: bool) -> Iterator[tuple[str, str, int]]:
    if assembly:
        for found in _LABEL.finditer(data):
            name = (found[1] or found[2] or found[3] or b"sys_" + (found[4] or b"")).decode()
            if "sys" in name or name.startswith(("ia64_", "old_", "sunos_")):
                yield name, "assembly", found.end()
        return
    for found in _MACRO.finditer(data):
        prefix = "compat_sys_" if b"COMPAT" in found[1] else "sys_"
        yield prefix + found[2].decode(), "define", found.end()
    for found in _FUNCTION.finditer(data):
        # Static helpers count only where a forwarder of the same architecture may call them.
        if not found[1] or in_arch:
            yield found[2].decode(), "function", found.end()


class Definitions:
    """Names to where they are defined."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Definition]] = {}
        self.optional: set[str] = set()
        """Entries kernel/sys_ni.c answers with ENOSYS where nothing else defines them."""

    def take(self, path: str, facts: Facts) -> None:
        """Keep what one file defines (of two definitions in one file, the first)."""
        self.optional.update(facts.optional)
        for name, kind, calls in facts.definitions:
            self._found.setdefault(name, {}).setdefault(path, Definition(path, kind, calls))

    def get(self, name: str) -> list[Definition]:
        """Every definition of a name, in the order of the paths."""
        found = self._found.get(name, {})
        return [found[path] for path in sorted(found)]


_WEAK = ("stub", "nommu", "noop", "sys_ni.c")


def choose(candidates: list[Definition], arch: str, bits: int) -> Definition | None:
    """The definition ``arch`` (a folder name of arch/) builds; None when all are foreign."""
    own = f"arch/{arch}/"
    wrong = "_32" if bits == 64 else "_64"

    def rank(one: Definition) -> tuple[bool, bool, bool, bool, str]:
        base = one.path.rsplit("/", 1)[-1]
        return (
            one.kind != "define",
            not one.path.startswith(own),
            any(word in base for word in _WEAK),
            wrong in base,
            one.path,
        )

    usable = [
        one for one in candidates if one.path.startswith(own) or not one.path.startswith("arch/")
    ]
    return min(usable, key=rank, default=None)
